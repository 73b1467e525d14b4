//! Where a driver stands: its connection, and its way out.

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::kernel_bridge::BridgeError;
use crate::kernel_bridge::orders::Purpose;

/// The connection under it.
pub(super) enum Link {
    Up(TcpStream),
    /// No connection since then; after the replacement timeout, requests fail at once.
    Down {
        since: Instant,
        gave_up: bool,
    },
}

/// Where the driver is on its way out.
pub(super) enum Leaving {
    No,
    /// Everything under way first, then the logout.
    Draining(Departure),
    /// The logout is out.
    LoggingOut(Departure),
    Gone,
}

pub(super) struct Departure {
    pub(super) purpose: Purpose,
    pub(super) deadline: Instant,
    /// A session that comes back waits until then for commands under way; afterwards they are issued again.
    pub(super) drained: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<(), BridgeError>>,
}

impl Leaving {
    /// Whether new commands may be issued: for an end, those that were taken on before it.
    pub(super) fn lets_issue(&self) -> bool {
        match self {
            Leaving::No => true,
            Leaving::Draining(departure) => departure.purpose == Purpose::End,
            Leaving::LoggingOut(_) | Leaving::Gone => false,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Leaving::Draining(_))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Leaving::Draining(Departure { deadline, drained, .. }) => Some(drained.unwrap_or(*deadline)),
            Leaving::LoggingOut(Departure { deadline, .. }) => Some(*deadline),
            Leaving::No | Leaving::Gone => None,
        }
    }
}

impl Departure {
    /// Answers the caller, which may have stopped waiting, and says where the driver is now.
    pub(super) fn over(self, result: Result<(), BridgeError>) -> Leaving {
        drop(self.reply.send(result));
        match self.purpose {
            Purpose::End => Leaving::Gone,
            Purpose::Return => Leaving::No,
        }
    }
}
