//! The way of the bridge's events to the recovery of their session.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::kernel_bridge::{self, BridgeEvent, SessionId};

/// Passes each event of the bridge to the recovery of its session.
#[derive(Debug, Default)]
pub(crate) struct Router {
    tasks: Mutex<kernel_bridge::Router<SessionId, BridgeEvent>>,
}

impl Router {
    /// Events of `session` go to `recovery` from now on, those that are here already first.
    pub(crate) fn subscribe(&self, session: SessionId, recovery: mpsc::UnboundedSender<BridgeEvent>) {
        self.lock().subscribe(session, recovery);
    }

    /// The session is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        self.lock().forget(session);
    }

    /// Passes an event on.
    pub(crate) fn route(&self, event: BridgeEvent) {
        match of(&event) {
            Some(session) => self.lock().route(session, event),
            None => tracing::warn!("an event that this version does not know: {event:?}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, kernel_bridge::Router<SessionId, BridgeEvent>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
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
