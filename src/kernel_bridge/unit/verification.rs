//! Whether units that are in doubt are still the disks they were.
//!
//! ```text
//!   doubt ──► probe ──► the same      ──► trusted: what waited goes on
//!               ▲  ├──► another one   ──► refused, and why, until the next doubt or scan
//!               └──┴──► not clear yet ──► refused once I/O has waited long enough, and looked at again
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iscsi_proto::ids::Lun;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::disk::Disk;
use super::gate::Pass;
use super::identity::{Likeness, other_disk};
use super::request::Inbox;
use super::scan::{NoAnswer, PROBES, Scanner};
use super::units::Units;
use crate::kernel_bridge::orders::Control;

/// The first wait before a unit is looked at again; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait before a unit is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Looks at every unit of a session that is in doubt, until its driver ends. `doubted` changes with each
/// doubt; its value is how long I/O may wait.
pub(crate) async fn verify(
    units: Arc<Units>,
    inbox: Arc<Inbox>,
    control: mpsc::UnboundedSender<Control>,
    mut doubted: watch::Receiver<Instant>,
) {
    let turns = Arc::new(Semaphore::new(PROBES));
    let mut checks: JoinSet<()> = JoinSet::new();
    let mut checked: BTreeMap<task::Id, Lun> = BTreeMap::new();
    loop {
        tokio::select! {
            changed = doubted.changed() => if changed.is_err() { return },
            Some(ended) = checks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(target = %units.target, "looking at a unit ended early: {error}");
                        error.id()
                    }
                };
                checked.remove(&id);
            }
        }
        let doubtful: Vec<(Lun, Disk)> = {
            let disks = units.disks();
            disks
                .iter()
                .filter(|(_, disk)| disk.unit.gate().in_doubt())
                .map(|(lun, disk)| (*lun, disk.clone()))
                .collect()
        };
        for (lun, disk) in doubtful {
            if !checked.values().any(|checked| *checked == lun) {
                let check = Check {
                    units: units.clone(),
                    scanner: Scanner::new(inbox.clone()),
                    control: control.clone(),
                    turns: turns.clone(),
                    doubted: doubted.clone(),
                    lun,
                    disk,
                };
                checked.insert(checks.spawn(check.run()).id(), lun);
            }
        }
    }
}

/// One unit that is looked at.
struct Check {
    units: Arc<Units>,
    scanner: Scanner,
    control: mpsc::UnboundedSender<Control>,
    turns: Arc<Semaphore>,
    doubted: watch::Receiver<Instant>,
    lun: Lun,
    disk: Disk,
}

impl Check {
    async fn run(self) {
        let unit = &*self.disk.unit;
        let gate = unit.gate();
        let mut doubted = self.doubted.clone();
        let mut wait = FIRST_WAIT;
        // A look at whose end the unit was in doubt again was made.
        let mut doubted_again = false;
        while gate.in_doubt() {
            let doubt = gate.doubts();
            let deadline = *doubted.borrow_and_update();
            let look = async {
                // The semaphore is never closed.
                let _turn = self.turns.acquire().await;
                self.scanner.probe(self.lun).await
            };
            // After the deadline I/O waits no longer, but the answer is still wanted.
            tokio::pin!(look);
            let found = match timeout_at(deadline, &mut look).await {
                Ok(found) => found,
                Err(_) => {
                    self.refuse("it does not answer");
                    look.await
                }
            };
            let unclear = match found {
                Ok(Some(found)) => match unit.likeness(&found.info) {
                    Likeness::Same => {
                        if let Some(geometry) = found.info.geometry {
                            unit.reshape(geometry, found.features);
                        }
                        if gate.trust(doubt) {
                            self.units.note(found.info);
                            self.recheck();
                            return;
                        }
                        // It was put in doubt again meanwhile: once is an accident.
                        if !std::mem::replace(&mut doubted_again, true) {
                            continue;
                        }
                        "its target says again and again that its units have changed".to_owned()
                    }
                    Likeness::Other(why) => {
                        let why = other_disk(&why);
                        self.refuse(&why);
                        gate.settle(doubt);
                        if !gate.in_doubt() {
                            return;
                        }
                        why
                    }
                    Likeness::Unclear(why) => why,
                },
                Ok(None) => "the target has no such unit now".to_owned(),
                Err(NoAnswer::Refused(None)) => "it refuses to tell what it is".to_owned(),
                Err(why) => why.sentence(),
            };
            if Instant::now() >= deadline {
                self.refuse(&unclear);
            }
            if gate.doubts() != doubt {
                // A target that says at each command that its units have changed says so to this look as well, and would
                // be asked without end.
                let target = &self.units.target;
                tracing::warn!(%target, lun = %self.lun, why = unclear, "a unit is in doubt again and again");
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                // Perhaps there is another connection.
                _ = doubted.changed() => wait = FIRST_WAIT,
            }
        }
    }

    fn refuse(&self, why: &str) {
        let gate = self.disk.unit.gate();
        if gate.pass() == Pass::Refused {
            return;
        }
        gate.refuse();
        self.units.offline(self.lun, why);
        self.recheck();
    }

    fn recheck(&self) {
        // A driver that has ended has answered everything.
        drop(self.control.send(Control::Recheck));
    }
}
