//! The way of the bridge's events to the recovery of their session.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::kernel_bridge::{BridgeEvent, SessionId};

/// Events of sessions that nobody has subscribed to yet; older ones are dropped.
const EARLY: usize = 256;

/// Passes each event of the bridge to the recovery of its session.
#[derive(Debug, Default)]
pub(crate) struct Router {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    recoveries: BTreeMap<SessionId, mpsc::UnboundedSender<BridgeEvent>>,
    /// A session's first event may come before the hand-over has returned its number.
    early: VecDeque<BridgeEvent>,
}

impl Router {
    /// Events of `session` go to `recovery` from now on, those that are here already first.
    pub(crate) fn subscribe(&self, session: SessionId, recovery: mpsc::UnboundedSender<BridgeEvent>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let (theirs, others) =
            std::mem::take(&mut table.early).into_iter().partition(|event| of(event) == Some(session));
        table.early = others;
        for event in theirs {
            let _ = recovery.send(event);
        }
        table.recoveries.insert(session, recovery);
    }

    /// The session is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.recoveries.remove(&session);
        table.early.retain(|event| of(event) != Some(session));
    }

    /// Passes an event on.
    pub(crate) fn route(&self, event: BridgeEvent) {
        let Some(session) = of(&event) else {
            tracing::warn!("an event that this version does not know: {event:?}");
            return;
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match table.recoveries.get(&session) {
            // A recovery that has ended needs no events.
            Some(recovery) => drop(recovery.send(event)),
            None => {
                table.early.push_back(event);
                if table.early.len() > EARLY {
                    table.early.pop_front();
                }
            }
        }
    }
}

/// The session an event belongs to.
fn of(event: &BridgeEvent) -> Option<SessionId> {
    match event {
        BridgeEvent::ConnectionLost { session, .. }
        | BridgeEvent::LogoutRequested { session, .. }
        | BridgeEvent::DropAnnounced { session, .. }
        | BridgeEvent::UnitsChanged { session } => Some(*session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_that_comes_before_its_session_is_known_is_kept_for_it() {
        let router = Router::default();
        router.route(BridgeEvent::UnitsChanged { session: SessionId(1) });
        router.route(BridgeEvent::UnitsChanged { session: SessionId(2) });
        let (recovery, mut events) = mpsc::unbounded_channel();
        router.subscribe(SessionId(2), recovery);
        assert_eq!(events.recv().await, Some(BridgeEvent::UnitsChanged { session: SessionId(2) }));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn events_of_nobody_do_not_pile_up() {
        let router = Router::default();
        for session in 0..2 * EARLY as u32 {
            router.route(BridgeEvent::UnitsChanged { session: SessionId(session) });
        }
        assert_eq!(router.table.lock().expect("sound").early.len(), EARLY);
    }
}
