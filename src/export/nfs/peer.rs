//! The owner of a connection, where the system tells it.
//!
//! ```text
//!   connection ── both addresses ──► sock_diag(7) ──► state, uid of the other end
//! ```
//! The kernel is asked for the one connection. The table of all that it also has (`/proc/net/tcp`) grows with
//! what every user of the machine does.

use std::io;

use tokio::net::TcpStream;

use crate::clients::Caller;

/// Whether this system tells whose a connection within the machine is.
pub(crate) const SHOWS_OWNERS: bool = cfg!(target_os = "linux");

pub(super) use self::system::Owners;

#[cfg(target_os = "linux")]
mod system {
    use std::net::{IpAddr, SocketAddr, SocketAddrV4};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::atomic::{AtomicU32, Ordering};

    use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_sock_diag::SockDiagMessage;
    use netlink_packet_sock_diag::constants::{AF_INET, IPPROTO_TCP, TCP_ESTABLISHED};
    use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

    use super::{Caller, TcpStream, io};
    use crate::trust::is_trusted;

    /// More than an answer has without extensions.
    const ANSWER: usize = 4096;

    /// No cookie: the addresses are all that is known of the connection.
    const NO_COOKIE: [u8; 8] = [0xff; 8];

    /// Who tells.
    pub(crate) struct Owners {
        kernel: OwnedFd,
        sequence: AtomicU32,
    }

    impl Owners {
        /// Asks nothing yet.
        ///
        /// # Errors
        /// If the kernel does not answer such questions.
        pub(crate) fn new() -> io::Result<Owners> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
            Ok(Owners { kernel, sequence: AtomicU32::new(0) })
        }

        /// Whose the other end is; nobody's but root, as the kernel's own client is, and the daemon's user are
        /// wanted.
        ///
        /// # Errors
        /// If the system does not tell.
        pub(crate) fn caller(&self, stream: &TcpStream) -> io::Result<Caller> {
            let (SocketAddr::V4(ours), SocketAddr::V4(theirs)) = (stream.local_addr()?, stream.peer_addr()?) else {
                return Ok(Caller::Unwanted);
            };
            let owner = self.owner(theirs, ours)?.filter(|&uid| is_trusted(uid));
            Ok(owner.map_or(Caller::Unwanted, Caller::User))
        }

        /// The owner of the connection from `local` to `remote`. None of one that its owner has closed: what is left
        /// of it is nobody's, and shows as root's.
        pub(super) fn owner(&self, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u32>> {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            self.ask(sequence, local, remote)?;
            let mut answer = [0; ANSWER];
            loop {
                // It is there when the question has been sent.
                let n = recv(self.kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
                let bytes = answer.get(..n).unwrap_or_default();
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes).map_err(io::Error::other)?;
                if message.header.sequence_number != sequence {
                    continue;
                }
                return match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
                        let found = found.header;
                        let same = found.socket_id.source_port == local.port()
                            && found.socket_id.destination_port == remote.port();
                        Ok((same && found.state == TCP_ESTABLISHED).then_some(found.uid))
                    }
                    NetlinkPayload::Error(error) if error.raw_code() == -(Errno::ENOENT as i32) => Ok(None),
                    NetlinkPayload::Error(error) => Err(error.to_io()),
                    _ => Err(io::Error::other("the kernel's answer is none")),
                };
            }
        }

        fn ask(&self, sequence: u32, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<()> {
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST;
            header.sequence_number = sequence;
            let question = InetRequest {
                family: AF_INET,
                protocol: IPPROTO_TCP,
                extensions: ExtensionFlags::empty(),
                states: StateFlags::ESTABLISHED,
                socket_id: SocketId {
                    source_port: local.port(),
                    destination_port: remote.port(),
                    source_address: IpAddr::V4(*local.ip()),
                    destination_address: IpAddr::V4(*remote.ip()),
                    interface_id: 0,
                    cookie: NO_COOKIE,
                },
            };
            let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(question).into());
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            send(self.kernel.as_raw_fd(), &bytes, MsgFlags::empty())?;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Caller, TcpStream, io};

    /// Nobody tells: there the paths and the handles have to do.
    pub(crate) struct Owners;

    impl Owners {
        /// There is nothing to prepare.
        ///
        /// # Errors
        /// None.
        pub(crate) fn new() -> io::Result<Owners> {
            Ok(Owners)
        }

        /// Somebody of this machine, whoever it is: all have the same places.
        ///
        /// # Errors
        /// If the other end is gone.
        pub(crate) fn caller(&self, stream: &TcpStream) -> io::Result<Caller> {
            match stream.peer_addr()?.ip().is_loopback() {
                true => Ok(Caller::User(nix::unistd::geteuid().as_raw())),
                false => Ok(Caller::Unwanted),
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{SocketAddr, SocketAddrV4};

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
        let owners = Owners::new().expect("a socket");
        for _ in 0..3 {
            assert_eq!(owners.caller(&stream).expect("an answer"), Caller::User(own));
        }
        let other = Owners::new().expect("a socket");
        let nobody_s = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(other.owner(nobody_s, v4(stream.local_addr())).expect("an answer"), None);
    }

    // check: nfs-closed-client-is-nobody-s
    #[tokio::test]
    async fn what_is_left_of_a_closed_connection_is_nobody_s() {
        let (client, mut stream) = pair().await;
        let owners = Owners::new().expect("a socket");
        drop(client);
        assert_eq!(stream.read(&mut [0; 1]).await.expect("its end"), 0);
        assert_eq!(owners.caller(&stream).expect("an answer"), Caller::Unwanted);
        let (theirs, ours) = (v4(stream.peer_addr()), v4(stream.local_addr()));
        drop(stream);
        // TIME_WAIT at the client's side.
        assert_eq!(owners.owner(theirs, ours).expect("an answer"), None);
    }
}
