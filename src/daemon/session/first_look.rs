//! The first look at a session's units, for whose end somebody waits who logs in.
//!
//! ```text
//!   login ──► look ──┬─ found ──────────────────────────────► attached; the login is done
//!                    ├─ the connection is lost ─► said ──┬──► … the look goes on over the next one
//!                    │                                   └──► again, or for long: he is told, and waits no more
//!                    └─ it takes long ──────────► said
//! ```
//! There are targets that let everybody in and end the connection at the first command, as often as that is tried. The session
//! stays: recovery goes on to log in, and the units are looked for in the background.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::slot::Live;
use super::units::scan;
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::UnitInfo;

/// How many connections may be lost meanwhile.
const LOSSES: u32 = 2;

/// How long a lost connection is waited for.
const AFTER_LOSS: Duration = Duration::from_secs(10);

/// How long nothing is said.
const SILENCE: Duration = Duration::from_secs(10);

/// Looks for the units of a new session. `lost` tells why a connection was lost, each time.
///
/// # Errors
/// They could not be looked for, or cannot be yet.
pub(crate) async fn first_look(
    daemon: &Daemon,
    live: &Live,
    lost: &mut watch::Receiver<String>,
    progress: &Progress,
) -> Result<Vec<UnitInfo>, Failure> {
    let target = &live.target;
    let (look, patience) = (scan(daemon, live), sleep(SILENCE));
    tokio::pin!(look, patience);
    let (mut losses, mut said) = (0, false);
    let mut last = String::new();
    let found = loop {
        tokio::select! {
            biased;
            found = &mut look => break found,
            // Its other end is the session's.
            Ok(()) = lost.changed() => {
                losses += 1;
                lost.borrow_and_update().clone_into(&mut last);
                if losses >= LOSSES {
                    break Err(not_yet(target, losses, &last));
                }
                let what = "was lost while its units were looked for";
                progress.say(format!("the connection to {target} {what}: {last}; logging in again"));
                patience.as_mut().reset(Instant::now() + AFTER_LOSS);
            }
            () = &mut patience, if losses > 0 || !said => {
                if losses > 0 {
                    break Err(not_yet(target, losses, &last));
                }
                said = true;
                progress.say(format!("{target} has not told its units yet; waiting for it"));
            }
        }
    };
    if found.is_err() {
        live.changed.notify_one();
    }
    found
}

fn not_yet(target: &str, losses: u32, why: &str) -> Failure {
    let how = if losses == 1 { "was lost meanwhile".to_owned() } else { format!("was lost {losses} times meanwhile") };
    let message =
        format!("{target} is logged in to, and its units could not be looked for yet: the connection {how}: {why}");
    Failure::new(ExitCode::TryAgain, message)
        .advice("iscsid goes on trying: `iscsictl list luns` shows what it finds, and `iscsictl logout` ends it")
}
