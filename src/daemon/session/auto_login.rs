//! Logging in to targets without being asked: when the daemon starts, and when discovery finds one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::back_off::back_off;
use super::login::log_in;
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::login::failure::Again;

/// Pursues every target that is to be logged in to automatically, or that an earlier daemon was logged in to when it died or
/// ended under its disks.
pub(crate) fn pursue_all(daemon: &Arc<Daemon>) {
    let current = daemon.settings.current();
    for target in current.config.targets.keys().filter(|target| is_wanted(daemon, target)) {
        if daemon.left_by_last.contains(target) {
            info!("logging in to {target} again, as the iscsid before this one was");
            daemon.survivors.enter(target);
        }
        pursue(daemon, target);
    }
    for target in daemon.bridge.orphans().iter().filter(|target| !is_wanted(daemon, target)) {
        warn!("a session with {target} is left in the kernel, and no such target is configured: it is ended");
        daemon.bridge.end_orphan(target);
    }
}

/// Pursues those of newly discovered targets that are to be logged in to automatically.
pub(crate) fn pursue_new(daemon: &Arc<Daemon>, targets: &[String]) {
    let current = daemon.settings.current();
    for target in targets.iter().filter(|target| current.effective(target).auto_login) {
        pursue(daemon, target);
    }
}

/// Tries to log in to a target until it works, or until there is no reason any more.
pub(crate) fn pursue(daemon: &Arc<Daemon>, target: &str) {
    if let Some(stop) = daemon.pursue(target) {
        tokio::spawn(pursuit(daemon.clone(), target.to_owned(), stop));
    }
}

fn is_wanted(daemon: &Daemon, target: &str) -> bool {
    let current = daemon.settings.current();
    current.config.targets.contains_key(target)
        && (daemon.left_by_last.contains(target) || current.effective(target).auto_login)
}

async fn pursuit(daemon: Arc<Daemon>, target: String, stop: CancellationToken) {
    let mut failures: u32 = 0;
    loop {
        let wanted = is_wanted(&daemon, &target) && daemon.slot(&target).live().is_none();
        if !wanted || stop.is_cancelled() {
            break;
        }
        // A session whose units could not be looked for is one: recovery sees to it.
        let Err(no_login) = log_in(&daemon, &target, None, &Progress::default()).await else { break };
        failures = failures.saturating_add(1);
        let wait = back_off(failures, no_login.again);
        warn!("automatic {}; the next attempt is in {} s", no_login.failure, wait.as_secs().max(1));
        let passes = no_login.again == Again::Later;
        tokio::select! {
            () = stop.cancelled() => break,
            // A failure that the network has no part in keeps its back-off.
            () = daemon.network_changed.notified(), if passes => failures = 0,
            () = tokio::time::sleep(wait) => {}
        }
    }
    if !stop.is_cancelled() {
        daemon.give_up(&target);
    }
}
