//! The end of the daemon: what goes first, and what the next daemon finds.
//!
//! ```text
//!   NBD's clients go ─► disks are taken away, or stay in use ─► the NFS export ends ─► logouts
//!                       └─ by the NFS export, where they are made of its files ─┘
//! ```
//! A disk image is a file of the NFS export: whoever unmounts it writes through the export, so this ends after the disks.
//! It ends before the logouts: of a unit that was logged out of it would say that there is none (`NFS3ERR_STALE`), and a disk
//! that waits for the next daemon would fail. A client without a server waits.
//!
//! What cuts the end short, a hung tool or another signal, must not cost a disk its target: [`hand_down`] keeps every target
//! of which a unit still has a disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::disks::Afterlife;
use super::session::logout;
use super::state::Daemon;

/// How long the end may take, all logouts together. launchd and systemd wait for longer.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(50);

/// How much of that the disks may take; the rest is for exports and logouts.
pub(super) const DISKS_LIMIT: Duration = Duration::from_secs(45);

/// An export that serves.
pub(super) struct Export {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Export {
    /// One of that name, begun by a function that is handed what stops it.
    pub(super) fn start(name: &'static str, serve: impl FnOnce(CancellationToken) -> JoinHandle<()>) -> Export {
        let stop = CancellationToken::new();
        Export { name, task: serve(stop.clone()), stop }
    }

    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            error!("the {} export ended in a panic: {error}", self.name);
        }
    }
}

/// What serves units.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) nbd: Option<Export>,
    pub(super) nfs: Option<Export>,
}

/// Ends everything, in order. It takes no disk in use away by force: the disk's session ends all the same, the log says so, and
/// the next daemon logs in again. A disk that outlives that waits for the next daemon, unless the machine ends, and no daemon
/// comes before all that hangs on it has gone: then it is put away, whoever uses it. Returns a sentence for each disk that
/// fails from now on.
pub(super) async fn end(daemon: &Arc<Daemon>, exports: Exports, machine_ends: bool) -> Vec<String> {
    if let Some(nbd) = exports.nbd {
        nbd.end().await;
    }
    let departures = logout::let_go_of_all(daemon, machine_ends, DISKS_LIMIT).await;
    if let Some(nfs) = exports.nfs {
        nfs.end().await;
    }
    logout::depart_all(daemon, departures).await
}

/// Writes down which targets the next daemon logs in to again, however far the end has come: those whose disks stay, those of
/// which a unit still has a disk, and those that a disk of an earlier daemon may wait for.
pub(super) fn hand_down(daemon: &Daemon) {
    for live in daemon.slots().into_iter().filter_map(|(_, slot)| slot.live()) {
        if logout::unit_names(daemon, &live).iter().any(|name| daemon.disks.device(name).is_some()) {
            daemon.survivors.stay(&live.target);
        }
    }
    if daemon.disks.afterlife() == Afterlife::Waits {
        for target in daemon.left_by_last.iter().filter(|target| daemon.is_pursued(target)) {
            daemon.survivors.stay(target);
        }
    }
    daemon.survivors.clear();
}
