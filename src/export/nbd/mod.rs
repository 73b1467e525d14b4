//! The NBD server: units for qemu, libnbd, fio, and other programs that speak NBD.
//!
//! ```text
//!   client ──► handshake ──► transmission ──────────────────────────────────────────► Block
//!              which export   ring ─► request ─► pieces, each with a pool buffer ─► submit
//!   client ◄───────────────── outbox ◄─ reply ◄─ pieces done ◄───────────── Completions ◄─┘
//! ```
//! One task per connection, which never waits for one thing while another could go on: each round
//! takes what the unit has completed, what the client has sent, hands all new operations over in one
//! batch, and writes all replies at once. Nothing is allocated per request once things are warm.
//!
//! The protocol is `doc/proto.md` of the reference implementation; what is said "the protocol" in
//! this module is that document.

mod connection;
mod handshake;
mod request;
mod small_blocks;
mod socket;
mod transmission;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use self::handshake::Agreed;
use self::small_blocks::SmallUnits;
use crate::block::Registry;
use crate::clients::{self, Limits, Place};

/// Socket buffers of a connection: a few large requests. Some systems give a Unix socket 8 KiB.
const SOCKET_BUFFER: usize = 1 << 20;

/// Serves the units of `registry` on `listener`, each under its name, to at most `clients` clients at a time, until
/// `stop`. Then clients get the answers that are about to come, for two seconds at most, and all is closed.
pub async fn serve(listener: UnixListener, clients: usize, registry: Arc<Registry>, stop: CancellationToken) {
    let small = Arc::<SmallUnits>::default();
    let converse = |stream, place, _uid| converse(stream, place, registry.clone(), small.clone(), stop.clone());
    let limits = Limits { all: clients, busy_leave: false };
    clients::serve("the NBD export", listener, limits, &stop, converse).await;
}

async fn converse(
    mut stream: UnixStream,
    place: Arc<Place>,
    registry: Arc<Registry>,
    small: Arc<SmallUnits>,
    stop: CancellationToken,
) {
    let socket = socket2::SockRef::from(&stream);
    if let Err(error) =
        socket.set_send_buffer_size(SOCKET_BUFFER).and_then(|()| socket.set_recv_buffer_size(SOCKET_BUFFER))
    {
        debug!("an NBD connection keeps its small socket buffers: {error}");
    }
    let agreed = tokio::select! {
        () = stop.cancelled() => return,
        agreed = handshake::shake_hands(&mut stream, &registry) => agreed,
    };
    match agreed {
        Ok(Some(mut agreed)) => {
            if !agreed.told {
                agreed.unit = small.of(&agreed.name, agreed.unit);
            }
            // A client that uses a unit has no way to come back: it does not leave for another.
            place.set_busy(true);
            let name = agreed.name.clone();
            debug!("an NBD client uses {name}");
            match beside_the_unit(stream, agreed, stop).await {
                Ok(()) => debug!("an NBD client of {name} is done"),
                Err(error) => debug!("an NBD client of {name} was let go: {error}"),
            }
        }
        Ok(None) => {}
        Err(error) => debug!("an NBD client was let go: {error}"),
    }
}

/// Serves a client on the thread of the unit's driver, where it has one.
async fn beside_the_unit(stream: UnixStream, agreed: Agreed, stop: CancellationToken) -> io::Result<()> {
    let Some(lane) = agreed.unit.lane() else { return connection::run(stream, agreed, stop).await };
    let stream = stream.into_std()?;
    // It ends with this task: whoever has to leave must not go on without a place.
    let served = AbortOnDropHandle::new(
        lane.spawn(async move { connection::run(UnixStream::from_std(stream)?, agreed, stop).await }),
    );
    // The lanes have ended, or a bug has ended it.
    served.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
