//! Clients of a server, taken one after another and served side by side.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How many clients are served at a time.
pub(super) const MAX_CONNECTIONS: usize = 256;

/// Where clients come in.
pub(super) trait Listener {
    /// A client's connection.
    type Stream;

    /// The next one. May be cancelled and called again without loss.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Converses with every client of `listener` until `stop`; then no new one is taken, and the conversations are waited for.
/// `protocol` is for the log.
pub(super) async fn serve<L: Listener, F: Future<Output = ()> + Send + 'static>(
    protocol: &str,
    listener: L,
    stop: &CancellationToken,
    converse: impl Fn(L::Stream) -> F,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!("an {protocol} connection ended by a bug: {error}");
                }
            }
            accepted = listener.next() => match accepted {
                Ok(_) if connections.len() >= MAX_CONNECTIONS => {
                    warn!("an {protocol} client was turned away: {MAX_CONNECTIONS} are connected already");
                }
                Ok(stream) => {
                    connections.spawn(converse(stream));
                }
                Err(error) => {
                    // Out of descriptors, most likely, and nothing tells when there is one again.
                    warn!("cannot accept an {protocol} client: {error}");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(Duration::from_millis(100)) => {}
                    }
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
