//! What the sessions ask of a driver, whichever runs a session.

use std::sync::Arc;

use iscsi_proto::handoff::Handoff;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::bridge::{BridgeError, SessionSpec};
use super::counters::Counters;
use super::unit::notices::Notices;
use super::unit::request::Inbox;

/// What the bridge asks of a driver.
pub(crate) enum Control {
    /// Go on over this connection.
    Reinstate { handoff: Handoff, stream: TcpStream, reply: oneshot::Sender<Result<(), BridgeError>> },
    /// Finish what is under way, log out, and then what `purpose` says; at `deadline` without the
    /// target's consent.
    Logout { purpose: Purpose, deadline: Instant, reply: oneshot::Sender<Result<(), BridgeError>> },
    /// The gates of some units have changed: their I/O goes on, or fails.
    Recheck,
    /// The sender has put a unit in doubt: verify it.
    Look,
    /// The daemon has scanned: an operating system that has its own list of units must scan as well.
    Scanned,
    /// End at once.
    Abandon,
}

/// What follows a logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The end of the session and its units.
    End,
    /// Another connection: units stay and their I/O waits for it.
    Return,
}

/// Everything a new driver needs.
pub(crate) struct Start {
    pub(crate) spec: SessionSpec,
    pub(crate) handoff: Handoff,
    pub(crate) stream: TcpStream,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) notices: Notices,
}
