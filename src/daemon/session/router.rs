//! Which session's keeper an event of the bridge goes to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::kernel_bridge::{BridgeEvent, SessionId};

/// Events of sessions that nobody has subscribed to yet; older ones are dropped.
const EARLY: usize = 256;

/// The way of events from the bridge to whoever keeps the session.
#[derive(Debug, Default)]
pub(crate) struct Router {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    keepers: BTreeMap<SessionId, mpsc::UnboundedSender<BridgeEvent>>,
    /// A session's first event may come before the hand-over has returned its number.
    early: VecDeque<BridgeEvent>,
}

impl Router {
    /// Events of `session` go to `keeper` from now on, those that are here already first.
    pub(crate) fn subscribe(&self, session: SessionId, keeper: mpsc::UnboundedSender<BridgeEvent>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let (theirs, others) =
            std::mem::take(&mut table.early).into_iter().partition(|event| of(event) == Some(session));
        table.early = others;
        for event in theirs {
            let _ = keeper.send(event);
        }
        table.keepers.insert(session, keeper);
    }

    /// The session is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.keepers.remove(&session);
        table.early.retain(|event| of(event) != Some(session));
    }

    /// Passes an event on.
    pub(crate) fn route(&self, event: BridgeEvent) {
        let Some(session) = of(&event) else {
            tracing::warn!("an event that this version does not know: {event:?}");
            return;
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match table.keepers.get(&session) {
            // A keeper that has ended needs no events.
            Some(keeper) => drop(keeper.send(event)),
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
        let (keeper, mut events) = mpsc::unbounded_channel();
        router.subscribe(SessionId(2), keeper);
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
