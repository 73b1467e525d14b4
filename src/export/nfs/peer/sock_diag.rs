//! Whose a connection is, as Linux tells: of the one that is asked for (sock_diag(7)). The table of all that it also has
//! (`/proc/net/tcp`) grows with what every user of the machine does.

use std::io;
use std::net::{IpAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, IPPROTO_TCP, TCP_ESTABLISHED};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// More than an answer has without extensions.
const ANSWER: usize = 4096;

/// No cookie: the addresses are all that is known of the connection.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Who tells.
#[derive(Debug)]
pub(super) struct SockDiag {
    kernel: OwnedFd,
    sequence: AtomicU32,
}

impl SockDiag {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// If the kernel does not answer such questions.
    pub(super) fn new() -> io::Result<SockDiag> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
        Ok(SockDiag { kernel, sequence: AtomicU32::new(0) })
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
