//! One attach, from the export's side: how long its I/O may wait for the unit.
//!
//! ```text
//!   Bare ── I/O takes too long ──► Bare, away: I/O fails at once ── the unit answers ──► Bare
//!    ▲ ▼ set_mounted                          fail ──► Failing        close ──► Closed
//!   Mounted: I/O waits
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::handle::{Nonce, UnitId};
use crate::block::UnitName;

/// One attach.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) nonce: Nonce,
    pub(super) unit: UnitName,
    /// How long its file is, in bytes.
    pub(super) size: u64,
    standing: watch::Sender<Standing>,
    /// A request has begun whose wait is bounded.
    begun: Notify,
    /// There has been I/O since it was asked last.
    stir: AtomicBool,
    stirred: Notify,
}

/// What its I/O has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) phase: Phase,
    /// The unit did not answer in time, and has not answered since.
    pub(super) away: bool,
}

/// Where an attach is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No volume is mounted, since then: I/O waits for a while.
    Bare(Instant),
    /// A volume is mounted: I/O waits as long as it takes.
    Mounted,
    /// All I/O fails.
    Failing,
    /// It is over.
    Closed,
}

impl Standing {
    /// Whether I/O fails at once.
    pub(super) fn refuses(self) -> bool {
        self.away || matches!(self.phase, Phase::Failing | Phase::Closed)
    }
}

impl Attached {
    pub(super) fn new(nonce: Nonce, unit: UnitName, size: u64) -> Attached {
        let standing = Standing { phase: Phase::Bare(Instant::now()), away: false };
        Attached {
            nonce,
            unit,
            size,
            standing: watch::Sender::new(standing),
            begun: Notify::new(),
            stir: AtomicBool::new(false),
            stirred: Notify::new(),
        }
    }

    /// The unit, as handles name it.
    pub(super) fn unit_id(&self) -> UnitId {
        UnitId::of(&self.unit)
    }

    /// Goes from one of the first two phases to the other; one that fails goes on failing.
    pub(super) fn set_mounted(&self, mounted: bool) {
        self.standing.send_if_modified(|standing| {
            let phase = match (standing.phase, mounted) {
                (Phase::Bare(_), true) => Phase::Mounted,
                (Phase::Mounted, false) => Phase::Bare(Instant::now()),
                _ => return false,
            };
            *standing = Standing { phase, away: false };
            true
        });
    }

    pub(super) fn fail(&self) {
        self.standing.send_if_modified(|standing| {
            let goes_on = matches!(standing.phase, Phase::Bare(_) | Phase::Mounted);
            if goes_on {
                standing.phase = Phase::Failing;
            }
            goes_on
        });
    }

    pub(super) fn close(&self) {
        self.standing.send_modify(|standing| standing.phase = Phase::Closed);
    }

    /// The unit did not answer in time, or does again. Nothing where a volume is mounted.
    pub(super) fn set_away(&self, away: bool) {
        self.standing.send_if_modified(|standing| {
            let changes = standing.away != away && matches!(standing.phase, Phase::Bare(_));
            standing.away ^= changes;
            changes
        });
    }

    /// What its I/O has to expect now.
    pub(super) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// The same as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether I/O waits for the unit as long as it takes.
    pub(super) fn waits(&self) -> bool {
        self.standing().phase == Phase::Mounted
    }

    /// Does what has the unit do something, unless I/O fails meanwhile.
    pub(super) async fn unless_refused<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.stir();
        if !self.waits() {
            self.begun.notify_one();
        }
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.refuses() => None,
        };
        self.has_begun();
        done
    }

    /// A request is under way to the unit. It may have come after all others were refused.
    pub(super) fn has_begun(&self) {
        if self.standing().refuses() {
            self.begun.notify_one();
        }
    }

    /// There is I/O.
    pub(super) fn stir(&self) {
        if !self.stir.load(Ordering::Relaxed) {
            self.stir.store(true, Ordering::Relaxed);
            self.stirred.notify_one();
        }
    }

    async fn refuses(&self) {
        // The sender is here.
        drop(self.watch().wait_for(|standing| standing.refuses()).await);
    }

    /// Comes back when a request has begun whose wait is bounded.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    pub(super) async fn stirred(&self) {
        while !self.stir.load(Ordering::Relaxed) {
            self.stirred.notified().await;
        }
        self.stir.store(false, Ordering::Relaxed);
    }

    pub(super) async fn closed(&self) {
        drop(self.watch().wait_for(|standing| standing.phase == Phase::Closed).await);
    }
}
