//! Bounds how long the I/O of an attach waits, where no volume is mounted.
//!
//! ```text
//!   Bare      something has waited too long ──► all is answered, the unit is away
//!   away      what comes is answered at once; the unit is asked until it answers ──► it is back
//!   Failing   all is answered
//!   Mounted   nothing
//! ```
//! An operation whose request was answered goes on: what a unit has been given cannot be taken back. A write may
//! reach it later, before any that comes after.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::answer::Pending;
use super::attached::{Attached, Phase};
use super::volume::{File, Shown, Volume};
use super::wire::Status;
use crate::block::{Block, IoError, read_first_block};

/// How long I/O waits for a unit of whose disk no volume is mounted. macOS panics when something keeps its registry of
/// devices busy for a minute, as it does while it looks at a new disk: what it looks for comes in several reads, of
/// which the first one may wait for so long and the others not at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a unit that is away and says so at once is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a client shows a handle for. An attach is overseen from then on.
///
/// # Errors
/// What to answer to a handle that is not good.
pub(super) fn shown(volume: &Arc<Volume>, handle: &[u8]) -> Result<Shown, Status> {
    let shown = volume.shown(handle)?;
    if let Some(attached) = &shown.attached {
        // Not where the connection is served: it would end with the unit's driver.
        let task = || volume.runtime.spawn(oversee(Arc::downgrade(volume), attached.clone()));
        volume.overseers.begin(attached.nonce, task);
    }
    Ok(shown)
}

async fn oversee(volume: Weak<Volume>, attached: Arc<Attached>) {
    let mut standing = attached.watch();
    // When it is looked for what has waited too long.
    let mut next: Option<Instant> = None;
    // It outlives a turn of the loop: each that began anew would ask the unit once more.
    let mut asking: Option<Asking> = None;
    loop {
        let seen = *standing.borrow_and_update();
        let file = match volume.upgrade() {
            Some(volume) => volume.file(attached.unit_id()),
            None => return,
        };
        if !seen.away {
            asking = None;
        }
        match seen.phase {
            Phase::Closed => {
                answer(file.as_deref(), &attached, IoError::Aborted, |_| true);
                return;
            }
            Phase::Mounted => {
                // The sender is in `attached`.
                drop(standing.changed().await);
            }
            Phase::Failing => {
                answer(file.as_deref(), &attached, IoError::Aborted, |_| true);
                tokio::select! { _ = standing.changed() => {}, () = attached.begun() => {} }
            }
            Phase::Bare(_) if seen.away => {
                answer(file.as_deref(), &attached, IoError::TimedOut, |_| true);
                let unit = file.as_ref().map(|file| file.unit.clone());
                let asked = asking.get_or_insert_with(|| Box::pin(answers(unit)));
                tokio::select! {
                    _ = standing.changed() => {}
                    () = attached.begun() => {}
                    back = asked => {
                        asking = None;
                        attached.set_away(!back);
                    }
                }
            }
            Phase::Bare(since) => {
                let now = Instant::now();
                next = next.filter(|at| *at > now);
                let overdue = answer(file.as_deref(), &attached, IoError::TimedOut, |pending| {
                    let until = pending.since.max(since) + PATIENCE;
                    if until > now {
                        next = Some(next.map_or(until, |at| at.min(until)));
                    }
                    until <= now
                });
                if overdue {
                    attached.set_away(true);
                    continue;
                }
                tokio::select! {
                    _ = standing.changed() => {}
                    () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
                    // It is under way in a moment, and its time not over before that.
                    () = attached.begun(), if next.is_none() => next = Some(Instant::now() + PATIENCE),
                }
            }
        }
    }
}

/// A question to a unit: whether it is back.
type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Answers the requests of an attach that `which` picks. Whether there were any.
fn answer(file: Option<&File>, attached: &Attached, error: IoError, mut which: impl FnMut(&Pending) -> bool) -> bool {
    let of_it = |pending: &Pending| pending.attached.as_ref().is_some_and(|other| other.nonce == attached.nonce);
    file.is_some_and(|file| file.bytes.answer_early(error, |pending| of_it(pending) && which(pending)))
}

/// Whether a unit that was away answers again, by an error or not; in a while if it does not. Nothing but its I/O tells.
async fn answers(unit: Option<Arc<dyn Block>>) -> bool {
    let answer = match unit {
        Some(unit) => read_first_block(&*unit).await,
        None => Err(IoError::Offline),
    };
    let away = matches!(answer, Err(IoError::Offline | IoError::TimedOut | IoError::Aborted));
    if away {
        sleep(PAUSE).await;
    }
    !away
}
