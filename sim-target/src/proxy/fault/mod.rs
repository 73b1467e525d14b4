//! A proxy that breaks what goes through it, when it is told to.
//!
//! ```text
//!   initiator ──► FaultyProxy ──► target
//!                    ▲    │
//!      inject(Fault) │    │ Injection::done: it has happened
//!                    │    ▼ logins: how often a full-feature phase has begun
//!                   a test
//! ```
//! A fault happens to the connection that is in its full-feature phase, or to the next one that is. What a
//! seed says is where: which bit, after how many bytes. There is one fault at a time.

mod framing;
mod link;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use framing::Digests;

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

/// A fault that was asked for.
#[derive(Debug, Clone)]
pub struct Injection {
    done: watch::Receiver<bool>,
}

impl Injection {
    /// Whether it has happened and is over, or never will.
    pub fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Waits for that; for ever, if the proxy ends before.
    pub async fn done(&mut self) {
        if self.done.wait_for(|done| *done).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A proxy that runs until it is dropped; then its connections are closed.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    digests: Digests,
    state: Mutex<State>,
    /// Counts changes of the state.
    changed: watch::Sender<u64>,
    logins: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    /// The connection that began its full-feature phase last.
    current: Option<u64>,
    muted: bool,
}

/// A fault that waits for its connection.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    seed: u64,
    done: Option<watch::Sender<bool>>,
}

impl Drop for Armed {
    /// However it ended: its connection may be gone before it is over.
    fn drop(&mut self) {
        if let Some(done) = &self.done {
            done.send_replace(true);
        }
    }
}

impl FaultyProxy {
    /// Listens on a free port of 127.0.0.1, on this runtime. `digests` is what initiator and target will
    /// agree on.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(upstream: SocketAddr, digests: Digests) -> io::Result<FaultyProxy> {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            digests,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            logins: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, address, shared.clone())).abort_handle();
        Ok(FaultyProxy { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often a full-feature phase has begun.
    pub fn logins(&self) -> watch::Receiver<u64> {
        self.shared.logins.subscribe()
    }

    /// Makes the fault happen, in place of one that has not happened yet.
    pub fn inject(&self, fault: Fault, seed: u64) -> Injection {
        let (done, is_done) = watch::channel(false);
        self.shared.arm(fault, seed, Some(done));
        Injection { done: is_done }
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, fault: Fault, seed: u64, done: Option<watch::Sender<bool>>) {
        self.state().armed = Some(Armed { fault, seed, done });
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The fault, if it is one that `which` wants, taken away from all others.
    fn take(&self, which: impl Fn(&State, Fault) -> bool) -> Option<Armed> {
        let mut state = self.state();
        let wanted = state.armed.as_ref().is_some_and(|armed| which(&state, armed.fault));
        if wanted { state.armed.take() } else { None }
    }

    fn begin_full_feature(&self, connection: u64) {
        self.state().current = Some(connection);
        self.logins.send_modify(|logins| *logins += 1);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn set_muted(&self, muted: bool) {
        self.state().muted = muted;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // The port was ours a moment ago, and its connections may not have gone yet.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

async fn accept(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) -> io::Result<()> {
    let (mut links, mut changes, mut connections) = (JoinSet::new(), shared.changed.subscribe(), 0);
    let mut unmute: Option<(tokio::time::Instant, Armed)> = None;
    loop {
        let until = unmute.as_ref().map(|(at, _)| *at);
        let unmuted = async move {
            match until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => {
                let (initiator, _) = accepted?;
                connections += 1;
                links.spawn(link::carry(initiator, connections, shared.clone()));
            }
            Some(ended) = links.join_next() => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!("a connection to {} ended: {error}", shared.upstream);
                }
            }
            () = unmuted => {
                shared.set_muted(false);
                if let Some((_, armed)) = unmute.take() {
                    drop(armed);
                }
            }
            _ = changes.changed() => {
                let of_portal = |_: &State, fault| matches!(fault, Fault::Refuse(_) | Fault::Mute(_));
                let Some(armed) = shared.take(of_portal) else { continue };
                match armed.fault {
                    Fault::Mute(time) => {
                        shared.set_muted(true);
                        shared.arm(Fault::Silence, armed.seed, None);
                        unmute = Some((tokio::time::Instant::now() + time, armed));
                    }
                    Fault::Refuse(time) => {
                        drop(listener);
                        shared.arm(Fault::Reset, armed.seed, None);
                        tokio::time::sleep(time).await;
                        // There may have been no connection to reset.
                        shared.take(|_, fault| fault == Fault::Reset);
                        listener = listen(address)?;
                        drop(armed);
                    }
                    _ => {}
                }
            }
        }
    }
}
