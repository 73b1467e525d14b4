//! The connection under a driver: lost, and replaced.
//!
//! ```text
//!   Up ── lost, part ──► Down ── replacement timeout ──► Down, given up
//!    ▲                    │                                │
//!    └──── reinstate ─────┴────────────────────────────────┘
//! ```

use iscsi_proto::handoff::Handoff;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Driver;
use super::state::Link;
use crate::kernel_bridge::counters::add;
use crate::kernel_bridge::{BridgeError, BridgeEvent};

impl Driver {
    pub(super) fn lost(&mut self, why: &str) {
        if matches!(self.link, Link::Down { .. }) {
            return;
        }
        tracing::warn!(target = %self.spec.target, why, "the connection was lost");
        self.part();
        if self.left_by_loss(why) {
            self.notices.tell(BridgeEvent::ConnectionLost { session: self.notices.id, why: why.to_owned() });
        }
    }

    /// There is no connection any more. What was under way waits for the next one.
    pub(super) fn part(&mut self) {
        self.link = Link::Down { since: Instant::now(), gave_up: false };
        self.forget_outbox();
        self.ring.clear();
        let now = Instant::now();
        self.watchdog.forget(now);
        for request in self.slots.iter_mut().filter_map(|slot| slot.request.as_mut()) {
            request.losses = request.losses.saturating_add(1);
            request.first_loss.get_or_insert(now);
        }
        self.session.connection_lost();
        self.take_events();
    }

    /// Goes on over another connection. It may lead to another target's disks: each unit is looked at
    /// before its I/O goes on.
    pub(super) fn reinstate(&mut self, handoff: &Handoff, stream: TcpStream) -> Result<(), BridgeError> {
        if matches!(self.link, Link::Up(_)) {
            self.part();
        }
        let since = match self.link {
            Link::Down { since, .. } => since,
            Link::Up(_) => Instant::now(),
        };
        self.session.reinstate(handoff, self.now()).map_err(|error| BridgeError::BadHandoff(error.to_string()))?;
        // Before the doubts: a scan that publishes a unit after these sees that it has to doubt it itself.
        add(&self.counters.reconnects, 1);
        self.notices.doubt_all(since);
        self.link = Link::Up(stream);
        self.large = false;
        self.watchdog.forget(Instant::now());
        Ok(())
    }
}
