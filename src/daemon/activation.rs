//! Sockets that launchd or systemd has opened for the daemon, and holds when the daemon is gone.
//!
//! ```text
//!   launchd   Sockets → Control, NFS in the job's property list ─┐            ┌─► control: RuntimeDir::adopt
//!   systemd   socket units: LISTEN_FDS, LISTEN_PID ──────────────┴─► Handed ──┴─► nfs:     NfsExport::prepare
//! ```
//! `iscsictl` then waits for a daemon that is on its way up, and does not report that there is none. The port of the NFS
//! export is nobody else's while no daemon runs: whoever had it then would be the disk to a client that has mounted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::{SockRef, Type};
use tracing::warn;

/// What was handed to this process.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The control socket.
    pub(crate) control: Option<UnixListener>,
    /// The port of the NFS export, at 127.0.0.1.
    pub(crate) nfs: Option<TcpListener>,
}

impl Handed {
    fn take_control(&mut self, socket: UnixListener) {
        match self.control {
            None => self.control = Some(socket),
            Some(_) => warn!("of the Unix sockets that were handed to iscsid only the first is used"),
        }
    }

    /// Takes what may be the port of the NFS export, and says why if it is not.
    fn take_nfs(&mut self, socket: TcpListener) {
        let unused = match self.nfs {
            None => unfit(&socket),
            Some(_) => Some("another one was handed over before it".to_owned()),
        };
        match unused {
            None => self.nfs = Some(socket),
            Some(why) => warn!("a socket that was handed to iscsid for its NFS export is not used: {why}"),
        }
    }
}

/// Why a socket is not one at which the NFS export may listen; `None` where it is. Mounts lead to 127.0.0.1, and other
/// machines must not get in.
fn unfit(socket: &TcpListener) -> Option<String> {
    let at = match (SockRef::from(socket).r#type(), socket.local_addr()) {
        (Ok(Type::STREAM), Ok(SocketAddr::V4(at))) if at.port() != 0 => at,
        (Ok(Type::STREAM), Ok(SocketAddr::V6(at))) => {
            return Some(format!("it is at {at}, and has to be TCP at 127.0.0.1"));
        }
        _ => return Some("it is not TCP, and has to be, at 127.0.0.1".to_owned()),
    };
    if SockRef::from(socket).peer_addr().is_ok() {
        return Some("it is a connection, and has to be a socket that listens (systemd: Accept=no)".to_owned());
    }
    (*at.ip() != Ipv4Addr::LOCALHOST)
        .then(|| format!("it is at {at}, where others than this machine may reach it; it has to be at 127.0.0.1"))
}

/// What was handed to this process. Call it once, before there are threads: the environment is changed.
///
/// systemd names a descriptor as its unit says, and it may be of any unit: what it is tells what it is for.
#[cfg(target_os = "linux")]
pub(crate) fn inherited() -> Handed {
    let (mut descriptors, mut handed) = (listenfd::ListenFd::from_env(), Handed::default());
    for index in 0..descriptors.len() {
        if let Ok(socket) = descriptors.take_unix_listener(index) {
            socket.into_iter().for_each(|socket| handed.take_control(socket));
            continue;
        }
        match descriptors.take_tcp_listener(index) {
            Ok(socket) => socket.into_iter().for_each(|socket| handed.take_nfs(socket)),
            Err(error) => {
                warn!(
                    "descriptor {index} of those handed to iscsid is neither a Unix socket that listens nor one of TCP: {error}"
                );
            }
        }
    }
    handed
}

/// What was handed to this process, by the names in the job's property list. Call it once: launchd gives it once.
#[cfg(target_os = "macos")]
pub(crate) fn inherited() -> Handed {
    let sockets = |name: &str| {
        super::platform::handed_by_launchd(name).unwrap_or_else(|why| {
            tracing::debug!("launchd has no socket {name} for iscsid: {why}");
            Vec::new()
        })
    };
    let mut handed = Handed::default();
    sockets("Control").into_iter().for_each(|socket| handed.take_control(socket.into()));
    sockets("NFS").into_iter().for_each(|socket| handed.take_nfs(socket.into()));
    handed
}

/// This system hands no socket over.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn inherited() -> Handed {
    Handed::default()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;

    use super::*;

    fn listener(address: &str) -> TcpListener {
        TcpListener::bind(address).expect("a port")
    }

    // check: held-port-is-loopback-tcp
    #[test]
    fn only_tcp_at_the_loopback_address_is_the_port_of_the_nfs_export() {
        assert_eq!(unfit(&listener("127.0.0.1:0")), None);
        let said = |socket: OwnedFd| unfit(&TcpListener::from(socket)).expect("it is none");
        assert!(said(listener("0.0.0.0:0").into()).contains("others than this machine"));
        assert!(said(listener("127.0.0.2:0").into()).contains("has to be at 127.0.0.1"));
        if let Ok(six) = TcpListener::bind("[::1]:0") {
            assert!(said(six.into()).contains("it is at [::1]:"));
        }
        assert!(said(UdpSocket::bind("127.0.0.1:0").expect("a port").into()).contains("not TCP"));
        let scratch = tempfile::tempdir().expect("a directory");
        assert!(said(UnixListener::bind(scratch.path().join("s")).expect("a socket").into()).contains("not TCP"));
        let server = listener("127.0.0.1:0");
        let client = TcpStream::connect(server.local_addr().expect("bound")).expect("a connection");
        assert!(said(client.into()).contains("it is a connection"));
    }

    #[test]
    fn of_two_sockets_the_first_is_taken() {
        let mut handed = Handed::default();
        let sockets = [listener("0.0.0.0:0"), listener("127.0.0.1:0"), listener("127.0.0.1:0")];
        let wanted = sockets[1].local_addr().expect("bound");
        sockets.into_iter().for_each(|socket| handed.take_nfs(socket));
        assert_eq!(handed.nfs.expect("one is good").local_addr().expect("bound"), wanted);
    }
}
