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
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use framing::Digests;
use state::{Armed, Shared, State};
pub use state::{Fault, Toward};

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
