//! What may happen to a connection, and what waits to happen.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::framing::Digests;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toward {
    /// From the initiator to the target.
    Target,
    /// From the target to the initiator.
    Initiator,
}

/// What may happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// RST to both sides.
    Reset,
    /// FIN to both sides.
    Finish,
    /// Nothing is passed on any more; the connection stays until the initiator closes it.
    Silence,
    /// As [`Fault::Silence`], and of every connection that is made within that time.
    Mute(Duration),
    /// A bit of a header is turned over. Without header digests nobody could notice.
    CorruptHeader(Toward),
    /// A bit of a data segment is turned over. Without data digests nobody could notice.
    CorruptData(Toward),
    /// RST to both sides in the middle of a PDU, the first half of which has been passed on.
    Cut(Toward),
    /// RST to both sides, and for that time nobody listens.
    Refuse(Duration),
    /// For that time nothing is passed on; then everything is.
    Delay(Duration),
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: SocketAddr,
    pub(super) digests: Digests,
    pub(super) state: Mutex<State>,
    /// Counts changes of the state.
    pub(super) changed: watch::Sender<u64>,
    pub(super) logins: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) armed: Option<Armed>,
    /// The connection that began its full-feature phase last.
    pub(super) current: Option<u64>,
    pub(super) muted: bool,
}

/// A fault that waits for its connection.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    pub(super) seed: u64,
    pub(super) done: Option<watch::Sender<bool>>,
}

impl Drop for Armed {
    /// However it ended: its connection may be gone before it is over.
    fn drop(&mut self) {
        if let Some(done) = &self.done {
            done.send_replace(true);
        }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, fault: Fault, seed: u64, done: Option<watch::Sender<bool>>) {
        self.state().armed = Some(Armed { fault, seed, done });
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The fault, if it is one that `which` wants, taken away from all others.
    pub(super) fn take(&self, which: impl Fn(&State, Fault) -> bool) -> Option<Armed> {
        let mut state = self.state();
        let wanted = state.armed.as_ref().is_some_and(|armed| which(&state, armed.fault));
        if wanted { state.armed.take() } else { None }
    }

    pub(super) fn begin_full_feature(&self, connection: u64) {
        self.state().current = Some(connection);
        self.logins.send_modify(|logins| *logins += 1);
        self.changed.send_modify(|changes| *changes += 1);
    }

    pub(super) fn set_muted(&self, muted: bool) {
        self.state().muted = muted;
    }
}
