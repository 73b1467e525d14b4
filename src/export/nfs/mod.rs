//! The NFS server: units as files, for systems that make a disk of a file and have no FUSE (macOS).
//!
//! ```text
//!   mount_nfs 127.0.0.1:/… ──► mount ───► the handle of a directory
//!   LOOKUP, GETATTR …      ──► files ───► volume: which unit is behind a handle
//!   READ, WRITE, COMMIT    ──► connection: data ──► Bytes ──► Block
//!   client ◄── replies (one gathered write) ◄── Answer ◄──────┘
//! ```
//! NFS version 3 (RFC 1813) over TCP, and the MOUNT protocol version 3 on the same port. What there is to
//! see is one directory with a file per unit, as long as the unit and as constant; to each unit there is
//! also a directory with nothing but its file, so that it can be mounted and taken away on its own.
//!
//! - **Stable storage.** A write is on it before it is answered (`FILE_SYNC`), by FUA or by SYNCHRONIZE CACHE,
//!   unless the unit's [`FlushPolicy`] says otherwise; COMMIT is a SYNCHRONIZE CACHE. The write verifier is
//!   new at each start.
//! - **A client outlives the server.** Handles follow from a unit's name, its attach and the installation's secret,
//!   the port stays, and READ, WRITE and COMMIT may come twice: a client that mounts `hard` goes on where it was.
//!   A unit that is not there yet, or that has been away for too long, is answered `NFS3ERR_JUKEBOX`: try again
//!   later. One that was logged out of is answered `NFS3ERR_STALE`.
//! - **Nothing waits for long where nothing is mounted.** As long as no volume of a unit's disk is, its I/O is answered
//!   `NFS3ERR_IO` after half a minute, and at once from then on until the unit answers again ([`Attachment`]).
//! - **Who may.** Only this machine's root and the daemon's own user, as the system says whose a connection is
//!   ([`Owners`]); where it does not, everybody of this machine may connect. A handle carries a code that takes the secret to make, and a client gets its first
//!   handle only for a path: the secret itself, or a [`Ticket`] that is good for one mount and leads to handles that
//!   are good for one attach. A client that has shown neither ticket nor handle for half a minute is let go.
//!   What a client says of its user (AUTH_SYS) counts for ACCESS and nothing else: it keeps the other users of
//!   the mount out, as the mode of a file does.
//! - **Whose it is.** A client that has mounted does not ask who serves it. The daemon does, through the mount: in each unit's
//!   directory there is a file by any name that is asked for, whose content only this life of the daemon knows (see [`Proofs`]).
//!
//! One task per connection, on the thread of the unit's driver once it is known which. Payloads are received
//! into the buffers from which they are written, and replies leave from the buffers they were read to.

mod answer;
mod attached;
mod attachments;
mod complaints;
mod connection;
mod files;
mod handle;
mod mount;
mod overseer;
mod overseers;
mod peer;
mod proof;
mod replies;
mod rpc;
mod setup;
mod volume;
mod wire;
mod xdr;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::attachments::{Attachment, Attachments, Ticket};
pub use self::handle::Secret;
pub use self::peer::{ListSockets, Owners};
pub use self::proof::{Proof, Proofs};
pub use self::setup::{FlushPolicy, Setup};
use self::volume::Volume;
use crate::clients::{self, Caller, Limits, Listener, Place};
pub(crate) use crate::export::name::file_name;

/// Listens at that port of the loopback address, or at any if it is 0.
///
/// # Errors
/// The system's; `AddrInUse` if another program has the port.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    // The connections of the server before us may linger.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(64)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Serves on `listener` until `stop`. Then clients get the answers that are about to come, for two seconds at
/// most, and all is closed.
///
/// # Errors
/// If the system gives no random number for the write verifier.
pub async fn serve(listener: TcpListener, setup: Setup, stop: CancellationToken) -> io::Result<()> {
    let limits = Limits { all: setup.clients, busy_leave: true };
    let owners = setup.owners.clone();
    let volume = Volume::new(setup)?;
    let converse = |stream, place, _uid| converse(stream, place, volume.clone(), stop.clone());
    clients::serve("the NFS export", Loopback { listener, owners }, limits, &stop, converse).await;
    Ok(())
}

/// Clients of this machine.
struct Loopback {
    listener: TcpListener,
    owners: Arc<Owners>,
}

impl Listener for Loopback {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    fn caller(&self, stream: &TcpStream) -> io::Result<Caller> {
        self.owners.caller(stream)
    }
}

/// One that has to leave for another comes back, and sends again what was not answered.
async fn converse(stream: TcpStream, place: Arc<Place>, volume: Arc<Volume>, stop: CancellationToken) {
    match connection::serve(stream, place, volume, stop).await {
        Ok(()) => debug!("an NFS client is done"),
        Err(error) => debug!("an NFS client was let go: {error}"),
    }
}
