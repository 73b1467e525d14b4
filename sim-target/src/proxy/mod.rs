//! A proxy for bytes: what goes through it is the same, how it arrives is not.
//!
//! ```text
//!   initiator ──► Proxy ── one task per connection ──► target
//!                            pump →   gather, send     } how: Segmentation
//!                            pump ←   gather, send     }
//! ```
//! It knows nothing of PDUs. It runs on a thread of its own, so that it works for tests with and without a
//! runtime, and so that what it sends is not put together again before it is looked at. A FIN is passed on
//! after the bytes before it, an RST as an RST.

mod fault;
mod pump;
mod segment;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

pub use fault::{Digests, Fault, FaultyProxy, Injection, Toward};
pub use segment::Segmentation;

/// A proxy that runs until it is dropped; then its connections are reset.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Never sent to: that it is gone ends the thread.
    _end: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    segmentation: Segmentation,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free loopback port of the family of `upstream`, which is connected to for each
    /// connection that comes.
    ///
    /// # Errors
    /// The port cannot be bound or the thread not be started.
    pub fn start(upstream: SocketAddr, segmentation: Segmentation) -> io::Result<Proxy> {
        let here = match upstream {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        };
        let listener = std::net::TcpListener::bind(here)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { upstream, segmentation, connections: AtomicU64::new(0) });
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("proxy".into()).spawn({
            let shared = shared.clone();
            move || {
                let result = runtime.block_on(async {
                    tokio::select! {
                        result = accept(listener, shared) => result,
                        _ = ended => Ok(()),
                    }
                });
                if let Err(error) = result {
                    tracing::warn!("the proxy for {upstream} ends: {error}");
                }
            }
        })?;
        Ok(Proxy { address, shared, _end: end })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(client, &shared).await {
                tracing::debug!("a connection to {} ended: {error}", shared.upstream);
            }
        });
    }
}

/// A connection that is reset unless it has ended.
struct Link {
    stream: TcpStream,
    ended: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!("a connection is closed, not reset: {error}");
        }
    }
}

/// Carries bytes both ways until both have ended or one has failed.
async fn carry(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut client = Link { stream: client, ended: false };
    let mut server = Link { stream: TcpStream::connect(shared.upstream).await?, ended: false };
    client.stream.set_nodelay(true)?;
    server.stream.set_nodelay(true)?;
    let (from_client, to_client) = client.stream.split();
    let (from_server, to_server) = server.stream.split();
    tokio::try_join!(
        pump::pump(from_client, to_server, shared.segmentation),
        pump::pump(from_server, to_client, shared.segmentation),
    )?;
    (client.ended, server.ended) = (true, true);
    Ok(())
}
