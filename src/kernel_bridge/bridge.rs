//! The trait by which the daemon reaches the kernel, which runs the full-feature phase.

use std::fmt;
use std::future::Future;
use std::net::TcpStream;
use std::pin::Pin;
use std::time::Duration;

use iscsi_proto::handoff::Handoff;

use super::counters::SessionStats;
use super::unit::info::UnitInfo;

/// A session, as the bridge counts them: never used twice in a bridge's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// What a kernel must know of a session beyond its [`Handoff`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec {
    /// The target's name: first half of its units' names.
    pub target: String,
    /// How many commands may be under way, 1 to 1024; the target's window may allow fewer.
    pub depth: u16,
    /// Ping an idle connection this often; zero never.
    pub nop_interval: Duration,
    /// A ping unanswered for this long loses the connection; zero waits for ever.
    pub nop_timeout: Duration,
    /// How long I/O waits for a lost connection to come back before it fails.
    pub replacement_timeout: Duration,
    /// A command unanswered for this long is aborted and issued again; zero waits for ever.
    pub task_timeout: Duration,
}

/// What a kernel tells the daemon of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeEvent {
    /// The connection is gone; `why` is a sentence's end. Units stay, their I/O waits.
    ConnectionLost {
        /// The session.
        session: SessionId,
        /// What happened.
        why: String,
    },
    /// The target wants a logout (asynchronous event 1, or Reject 0x0c) within that many seconds.
    LogoutRequested {
        /// The session.
        session: SessionId,
        /// Parameter3.
        seconds: u16,
    },
    /// The target announced that it will drop the connection or session (events 2 and 3): after
    /// `time2wait` seconds a login may follow.
    DropAnnounced {
        /// The session.
        session: SessionId,
        /// Parameter2.
        time2wait: u16,
    },
    /// The set of units, or one's size, may have changed: a rescan is due.
    UnitsChanged {
        /// The session.
        session: SessionId,
    },
}

/// Why a kernel could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeError {
    /// No such session.
    NoSession,
    /// The handoff does not make sense.
    BadHandoff(String),
    /// The connection was lost meanwhile.
    ConnectionLost(String),
    /// The target did not answer in time.
    TimedOut,
    /// Anything else; a sentence.
    Failed(String),
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BridgeError::NoSession => f.write_str("there is no such session"),
            BridgeError::BadHandoff(why) => write!(f, "the kernel refused the connection: {why}"),
            BridgeError::ConnectionLost(why) => write!(f, "the connection was lost: {why}"),
            BridgeError::TimedOut => f.write_str("the target did not answer in time"),
            BridgeError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for BridgeError {}

/// A future that a bridge returns.
pub type BridgeFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BridgeError>> + Send + 'a>>;

/// A kernel, from the daemon's side.
pub trait KernelBridge: Send + Sync + 'static {
    /// `user` or `kext`.
    fn name(&self) -> &'static str;

    /// Takes over a logged-in connection. With `replaces`, the session it replaces goes on over it
    /// (session reinstatement, RFC 7143 §6.3.5); its waiting I/O is issued again, once each unit is known
    /// to be the disk that it was.
    fn handoff(
        &self,
        spec: SessionSpec,
        handoff: Handoff,
        stream: TcpStream,
        replaces: Option<SessionId>,
    ) -> BridgeFuture<'_, SessionId>;

    /// Looks for the target's units (REPORT LUNS and so on), publishes disks, and returns all.
    fn scan(&self, session: SessionId) -> BridgeFuture<'_, Vec<UnitInfo>>;

    /// The units the last scan found.
    fn units(&self, session: SessionId) -> Vec<UnitInfo>;

    /// What the target does otherwise than others in its full-feature phase, and what is done about it; sentences
    /// without their subject.
    fn workarounds(&self, session: SessionId) -> Vec<String>;

    /// Flushes what has a write cache, logs out and ends the session; after `within`, or when the
    /// connection is down, it just ends. Units are gone afterwards, also after an error.
    fn logout(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, ()>;

    /// Logs out, but keeps the units: their I/O waits for the connection that replaces this one. After
    /// `within`, or when the connection is down, it closes the connection without the target's consent.
    fn suspend(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, ()>;

    /// Whether the target answers a command within that time.
    fn is_alive(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, bool>;

    /// Ends the session at once, without a word to the target.
    fn abandon(&self, session: SessionId);

    /// The targets of sessions that go on although the daemon that began them is gone. A [`handoff`](Self::handoff)
    /// to one of them is its next connection.
    fn orphans(&self) -> Vec<String> {
        Vec::new()
    }

    /// Ends such a session, for which nobody will log in.
    fn end_orphan(&self, _target: &str) {}

    /// Its counters.
    fn stats(&self, session: SessionId) -> Option<SessionStats>;
}
