//! The way of the bridge's events to the recovery of their session.
//!
//! ```text
//!   route ──► waits there already, one of its kind? ── no ──► the recovery ──► taken
//! ```
//! A recovery that waits for a login hears nothing for minutes, and a target may go on talking: of each kind, one event
//! waits for it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::kernel_bridge::{self, BridgeEvent, SessionId};

/// Passes each event of the bridge to the recovery of its session.
#[derive(Debug, Default)]
pub(crate) struct Router {
    ways: Mutex<Ways>,
}

#[derive(Debug, Default)]
struct Ways {
    tasks: kernel_bridge::Router<SessionId, BridgeEvent>,
    /// What waits for its recovery.
    waiting: BTreeSet<(SessionId, Kind)>,
}

/// What an event is about. The second of a kind says nothing new to who has not heard the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lost,
    Logout,
    Drop,
    Units,
}

impl Router {
    /// Events of `session` go to `recovery` from now on, those that are here already first.
    pub(crate) fn subscribe(&self, session: SessionId, recovery: mpsc::UnboundedSender<BridgeEvent>) {
        self.lock().tasks.subscribe(session, recovery);
    }

    /// The session is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut ways = self.lock();
        ways.tasks.forget(session);
        ways.waiting.retain(|(of, _)| *of != session);
    }

    /// A recovery has got this event: the next one of its kind is news.
    pub(crate) fn taken(&self, event: &BridgeEvent) {
        if let Some(which) = of(event) {
            self.lock().waiting.remove(&which);
        }
    }

    /// Passes an event on.
    pub(crate) fn route(&self, event: BridgeEvent) {
        match of(&event) {
            Some((session, kind)) => {
                let mut ways = self.lock();
                if ways.waiting.insert((session, kind)) {
                    ways.tasks.route(session, event);
                }
            }
            None => tracing::warn!("an event that this version does not know: {event:?}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session an event belongs to, and what it is about.
fn of(event: &BridgeEvent) -> Option<(SessionId, Kind)> {
    match event {
        BridgeEvent::ConnectionLost { session, .. } => Some((*session, Kind::Lost)),
        BridgeEvent::LogoutRequested { session, .. } => Some((*session, Kind::Logout)),
        BridgeEvent::DropAnnounced { session, .. } => Some((*session, Kind::Drop)),
        BridgeEvent::UnitsChanged { session } => Some((*session, Kind::Units)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: async-flood
    #[test]
    fn of_a_flood_one_event_of_each_kind_waits_and_none_is_lost() {
        let router = Router::default();
        let (recovery, mut events) = mpsc::unbounded_channel();
        let session = SessionId(1);
        let logout = BridgeEvent::LogoutRequested { session, seconds: 0 };
        // Also before anybody listens.
        router.route(logout.clone());
        router.subscribe(session, recovery);
        for _ in 0..100_000 {
            router.route(logout.clone());
            router.route(BridgeEvent::DropAnnounced { session, time2wait: 0 });
            router.route(BridgeEvent::UnitsChanged { session });
        }
        assert_eq!(events.len(), 3);
        let taken = events.try_recv().expect("the first");
        assert_eq!(taken, logout);
        router.route(logout.clone());
        assert_eq!(events.len(), 2, "not before it is taken");
        router.taken(&taken);
        router.route(logout);
        router.route(BridgeEvent::ConnectionLost { session, why: "reset".into() });
        assert_eq!(events.len(), 4);
        router.forget(session);
        assert!(router.lock().waiting.is_empty());
    }
}
