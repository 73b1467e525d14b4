//! From a portal to a connected socket, or to the reason why not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::failure::Cause;
use super::meant::{NOT_HERE, is_within, lacks_zone};

/// Where to connect to, and from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// An address (IPv6 without brackets) or a name.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// The interface to connect from.
    pub(crate) interface: Option<String>,
    /// Another machine has named the host: it is not to lead to this one, also where its name does only when it is looked up.
    pub(crate) foreign: bool,
}

/// Names of this machine's interfaces.
pub(crate) fn interfaces() -> Vec<String> {
    let mut names: Vec<String> = match nix::net::if_::if_nameindex() {
        Ok(list) => list.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect(),
        Err(error) => {
            tracing::warn!("the network interfaces cannot be listed: {error}");
            Vec::new()
        }
    };
    names.dedup();
    names
}

/// Checks that there is an interface of that name.
///
/// # Errors
/// [`Cause::InterfaceUnknown`] names those that are there.
pub(crate) fn check_interface(name: &str) -> Result<(), Cause> {
    match nix::net::if_::if_nametoindex(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(Cause::InterfaceUnknown { interface: name.to_owned(), known: interfaces() }),
    }
}

/// Connects before `deadline`. Every address of the host is tried, each with its share of the time.
/// `patience` is the whole time that there was, for the sentence about silence.
///
/// # Errors
/// Why the last address did not work.
pub(crate) async fn connect(to: &Endpoint, deadline: Instant, patience: Duration) -> Result<TcpStream, Cause> {
    if let Some(interface) = &to.interface {
        check_interface(interface)?;
    }
    if to.interface.is_none() && lacks_zone(&to.host) {
        let why =
            "a link-local address is of no use without the interface of its link; `--interface` names one".to_owned();
        return Err(Cause::Unreachable { why });
    }
    let silent = || Cause::Silent { after: patience };
    let found = timeout_at(deadline, lookup_host((to.host.as_str(), to.port))).await.map_err(|_| silent())?;
    let unknown = |why: String| Cause::HostUnknown { why };
    let addresses: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
    let mut last = unknown("it has no address".to_owned());
    for (tried, &address) in addresses.iter().enumerate() {
        if to.foreign && is_within(address.ip()) {
            last = Cause::Redirected { why: format!("{} is no place to follow it to: {NOT_HERE}", address.ip()) };
            continue;
        }
        let left = u32::try_from(addresses.len().saturating_sub(tried)).unwrap_or(u32::MAX).max(1);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        last = match timeout_at(now + share, connect_address(address, to.interface.as_deref())).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => silent(),
            Ok(Err(error)) => Cause::of_connect(&error),
            Err(_) => silent(),
        };
        tracing::debug!("{address} does not take a connection: {last}");
    }
    Err(last)
}

async fn connect_address(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(interface) = interface {
        bind_to(&socket, address, interface)?;
    }
    set_buffers(&socket)?;
    socket.set_nonblocking(true)?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    let connected = SockRef::from(&stream);
    connected.set_tcp_nodelay(true)?;
    // A target whose machine vanished is found by NOP-Out; this is for those who switch that off.
    connected.set_keepalive(true)?;
    Ok(stream)
}

#[cfg(target_os = "linux")]
fn bind_to(socket: &Socket, _address: SocketAddr, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(target_vendor = "apple")]
fn bind_to(socket: &Socket, address: SocketAddr, interface: &str) -> io::Result<()> {
    let index = std::num::NonZeroU32::new(nix::net::if_::if_nametoindex(interface)?);
    match address {
        SocketAddr::V4(_) => socket.bind_device_by_index_v4(index),
        SocketAddr::V6(_) => socket.bind_device_by_index_v6(index),
    }
}

/// Linux grows the buffers itself, up to 6 MiB; one that is set is cut at `rmem_max`, often 208 KiB,
/// and grows no more.
#[cfg(target_os = "linux")]
fn set_buffers(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Before connecting, since the window scale is settled in the handshake. A system whose limit is
/// lower keeps its own size.
#[cfg(target_vendor = "apple")]
fn set_buffers(socket: &Socket) -> io::Result<()> {
    const BYTES: usize = 4 << 20;
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        match set(socket, BYTES) {
            Err(error) if error.raw_os_error() != Some(nix::libc::ENOBUFS) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn try_connect(host: &str, port: u16, interface: Option<&str>) -> Result<TcpStream, Cause> {
        let to = Endpoint { host: host.into(), port, interface: interface.map(str::to_owned), foreign: false };
        connect(&to, Instant::now() + PATIENCE, PATIENCE).await
    }

    #[tokio::test]
    async fn a_closed_port_is_told_from_silence() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        assert_eq!(try_connect("127.0.0.1", port, None).await.err(), Some(Cause::Closed));
    }

    #[tokio::test]
    async fn an_unknown_host_is_said_so() {
        // RFC 6761 §6.4: this name never resolves.
        assert!(matches!(try_connect("nas.invalid", 3260, None).await, Err(Cause::HostUnknown { .. })));
    }

    #[tokio::test]
    async fn an_unknown_interface_is_answered_with_those_that_there_are() {
        match try_connect("127.0.0.1", 3260, Some("nosuch0")).await {
            Err(Cause::InterfaceUnknown { interface, known }) => {
                assert_eq!(interface, "nosuch0");
                assert!(known.iter().any(|name| name.starts_with("lo")), "{known:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_leaves_through_the_interface_it_is_bound_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let stream = try_connect("localhost", port, Some("lo")).await.expect("a connection");
        assert_eq!(SockRef::from(&stream).device().expect("the device"), Some(b"lo".to_vec()));
        assert!(stream.nodelay().expect("the option"));
    }

    #[tokio::test]
    async fn a_silent_host_costs_no_more_than_the_time_that_was_given() {
        // TEST-NET-1 (RFC 5737) answers nothing; where the network says so at once, that is no silence.
        let to = Endpoint { host: "192.0.2.1".into(), port: 3260, interface: None, foreign: false };
        let patience = Duration::from_millis(300);
        let started = Instant::now();
        let cause = connect(&to, started + patience, patience).await.expect_err("nobody is there");
        assert!(matches!(cause, Cause::Silent { .. } | Cause::Unreachable { .. } | Cause::Closed), "{cause:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
