//! The owner of a connection, where the system tells it.
//!
//! ```text
//!   connection ── both addresses ─┬─► Linux: sock_diag(7) ──────────────────┬─► established? ─► uid of the other end
//!                                 └─► macOS: net.inet.tcp.pcblist_n, a list ┘
//! ```
//! The list of macOS is one of all sockets, and Apple's headers are all there is of a manual. So it is believed after
//! it has shown a connection of our own, with our own user; where it does not, nobody tells.

mod pcblist;
#[cfg(target_os = "linux")]
mod sock_diag;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use self::sock_diag::SockDiag;
use crate::clients::Caller;
use crate::trust::is_trusted;

/// Gives the list of all TCP sockets, as the system has it under `net.inet.tcp.pcblist_n`.
pub type ListSockets = fn() -> io::Result<Vec<u8>>;

/// Who tells whose a connection within the machine is.
#[derive(Debug)]
pub struct Owners(System);

#[derive(Debug)]
enum System {
    #[cfg(target_os = "linux")]
    Asked(SockDiag),
    Listed(ListSockets),
    /// Nobody: there the paths and the handles have to do.
    Unknown,
}

impl Owners {
    /// By the system's list of sockets, if it has one, or else by what Linux has in its place.
    ///
    /// # Errors
    /// If the kernel of Linux does not answer such questions.
    pub fn new(list: Option<ListSockets>) -> io::Result<Owners> {
        match list {
            Some(list) => Ok(Owners(by_list(list))),
            #[cfg(target_os = "linux")]
            None => SockDiag::new().map(|kernel| Owners(System::Asked(kernel))),
            #[cfg(not(target_os = "linux"))]
            None => Ok(Owners(System::Unknown)),
        }
    }

    /// Whether it is told at all.
    pub fn are_shown(&self) -> bool {
        !matches!(self.0, System::Unknown)
    }

    /// Whose the other end is; nobody's but root, as the kernel's own client is, and the daemon's user are wanted.
    /// Where nobody tells, somebody of this machine: all have the same places.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn caller(&self, stream: &TcpStream) -> io::Result<Caller> {
        let (SocketAddr::V4(ours), SocketAddr::V4(theirs)) = (stream.local_addr()?, stream.peer_addr()?) else {
            return Ok(Caller::Unwanted);
        };
        let owner = match self.owner(theirs, ours)? {
            None if !self.are_shown() && theirs.ip().is_loopback() => Some(nix::unistd::geteuid().as_raw()),
            owner => owner.filter(|&uid| is_trusted(uid)),
        };
        Ok(owner.map_or(Caller::Unwanted, Caller::User))
    }

    /// The owner of the connection from `local` to `remote`. None of one that its owner has closed: what is left
    /// of it is nobody's, and shows as root's.
    fn owner(&self, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u32>> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            System::Asked(kernel) => kernel.owner(local, remote),
            System::Listed(list) => listed(*list, local, remote),
            System::Unknown => Ok(None),
        }
    }
}

fn listed(list: ListSockets, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u32>> {
    let garbled = |_| io::Error::new(io::ErrorKind::InvalidData, "the system's list of sockets is not as it should be");
    pcblist::owner(&list()?, local, remote).map_err(garbled)
}

/// That list, if it can be believed.
fn by_list(list: ListSockets) -> System {
    match shows_our_own(list) {
        Ok(true) => return System::Listed(list),
        Ok(false) => tracing::warn!(
            "the system does not show whose a connection is where it should: other users' are not told from root's"
        ),
        Err(error) => tracing::warn!(
            "the system does not tell whose a connection is ({error}): other users' are not told from root's"
        ),
    }
    System::Unknown
}

/// Whether it shows that a connection of ours is ours, at both its ends.
fn shows_our_own(list: ListSockets) -> io::Result<bool> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (SocketAddr::V4(ours), SocketAddr::V4(theirs)) = (client.local_addr()?, client.peer_addr()?) else {
        return Ok(false);
    };
    let _accepted = listener.accept()?;
    let own = Some(nix::unistd::geteuid().as_raw());
    Ok(listed(list, ours, theirs)? == own && listed(list, theirs, ours)? == own)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("a connection"), accepted.expect("a client").0)
    }

    fn v4(address: io::Result<SocketAddr>) -> SocketAddrV4 {
        match address.expect("connected") {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[tokio::test]
    async fn our_own_connections_are_ours() {
        let (_client, stream) = pair().await;
        let own = nix::unistd::geteuid().as_raw();
        let owners = Owners::new(None).expect("a socket");
        for _ in 0..3 {
            assert_eq!(owners.caller(&stream).expect("an answer"), Caller::User(own));
        }
        let other = Owners::new(None).expect("a socket");
        let nobody_s = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(other.owner(nobody_s, v4(stream.local_addr())).expect("an answer"), None);
    }

    // check: nfs-closed-client-is-nobody-s
    #[tokio::test]
    async fn what_is_left_of_a_closed_connection_is_nobody_s() {
        let (client, mut stream) = pair().await;
        let owners = Owners::new(None).expect("a socket");
        drop(client);
        assert_eq!(stream.read(&mut [0; 1]).await.expect("its end"), 0);
        assert_eq!(owners.caller(&stream).expect("an answer"), Caller::Unwanted);
        let (theirs, ours) = (v4(stream.peer_addr()), v4(stream.local_addr()));
        drop(stream);
        // TIME_WAIT at the client's side.
        assert_eq!(owners.owner(theirs, ours).expect("an answer"), None);
    }

    // check: nfs-owners-unknown
    #[tokio::test]
    async fn a_list_that_does_not_show_ourselves_is_not_believed() {
        let (_client, stream) = pair().await;
        let own = Caller::User(nix::unistd::geteuid().as_raw());
        for list in [|| Ok(Vec::new()), || Ok(vec![24; 48]), || Err(io::ErrorKind::NotFound.into())] as [ListSockets; 3]
        {
            let owners = Owners::new(Some(list)).expect("nothing to prepare");
            assert!(!owners.are_shown());
            assert_eq!(owners.caller(&stream).expect("an address"), own, "whoever it is");
        }
    }
}
