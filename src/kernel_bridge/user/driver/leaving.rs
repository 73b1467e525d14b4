//! How a session ends, or makes room for another connection.
//!
//! ```text
//!   No ── leave ──► Draining ── nothing under way ──► LoggingOut ── answered ──► Gone, or No
//!                       └────────────── deadline, connection lost ──────────────►┘
//! ```

use tokio::sync::oneshot;
use tokio::time::Instant;

use iscsi_proto::pdu::LogoutReason;

use super::Driver;
use super::state::{Departure, Leaving, Link};
use crate::kernel_bridge::BridgeError;
use crate::kernel_bridge::orders::Purpose;

impl Driver {
    pub(super) fn leave(
        &mut self,
        purpose: Purpose,
        deadline: Instant,
        reply: oneshot::Sender<Result<(), BridgeError>>,
    ) {
        let now = Instant::now();
        let drained = (purpose == Purpose::Return).then(|| now + deadline.saturating_duration_since(now) / 2);
        let departure = Departure { purpose, deadline, drained, reply };
        if purpose == Purpose::End {
            self.inbox.close();
        }
        self.leaving = match (std::mem::replace(&mut self.leaving, Leaving::No), &self.link) {
            (Leaving::Gone, _) => Leaving::Gone,
            (_, Link::Down { .. }) => {
                let lost = "there was no connection to log out of".to_owned();
                departure.over(Err(BridgeError::ConnectionLost(lost)))
            }
            // The logout is out already: only what follows is another matter now.
            (Leaving::LoggingOut(_), Link::Up(_)) => Leaving::LoggingOut(departure),
            (Leaving::No | Leaving::Draining(_), Link::Up(_)) => Leaving::Draining(departure),
        };
    }

    /// Whether there is nothing to wait for before the logout.
    pub(super) fn is_idle(&self) -> bool {
        match &self.leaving {
            // What was not sent waits for the next connection.
            Leaving::Draining(departure) if departure.purpose == Purpose::Return => self.session.gone_out() == 0,
            // The target takes nothing more: what was not sent can only fail.
            _ if self.session.is_held() => self.session.gone_out() == 0,
            _ => self.session.in_flight() == 0 && self.queue.is_empty(),
        }
    }

    pub(super) fn log_out(&mut self) {
        self.leaving = match std::mem::replace(&mut self.leaving, Leaving::No) {
            Leaving::Draining(departure) => match self.session.logout(LogoutReason::CloseSession) {
                Ok(_) => Leaving::LoggingOut(departure),
                Err(_) => {
                    let lost = "there was no connection to log out of".to_owned();
                    departure.over(Err(BridgeError::ConnectionLost(lost)))
                }
            },
            other => other,
        };
    }

    /// The target has answered our logout.
    pub(super) fn logged_out(&mut self) {
        match std::mem::replace(&mut self.leaving, Leaving::No) {
            Leaving::LoggingOut(departure) => {
                self.part();
                self.leaving = departure.over(Ok(()));
            }
            other => self.leaving = other,
        }
    }

    /// The connection was lost on the way out, or not; whether anybody must be told.
    pub(super) fn left_by_loss(&mut self, why: &str) -> bool {
        match std::mem::replace(&mut self.leaving, Leaving::No) {
            Leaving::No => true,
            Leaving::Draining(departure) | Leaving::LoggingOut(departure) => {
                self.leaving = departure.over(Err(BridgeError::ConnectionLost(why.to_owned())));
                false
            }
            Leaving::Gone => {
                self.leaving = Leaving::Gone;
                false
            }
        }
    }

    pub(super) fn leave_on_time(&mut self, now: Instant) {
        let late = self.leaving.deadline().is_some_and(|deadline| deadline <= now);
        match &self.leaving {
            Leaving::Draining(Departure { deadline, .. }) if late && now < *deadline => self.log_out(),
            Leaving::Draining(_) | Leaving::LoggingOut(_) if late => {
                self.part();
                if let Leaving::Draining(departure) | Leaving::LoggingOut(departure) =
                    std::mem::replace(&mut self.leaving, Leaving::No)
                {
                    self.leaving = departure.over(Err(BridgeError::TimedOut));
                }
            }
            _ => {}
        }
    }
}
