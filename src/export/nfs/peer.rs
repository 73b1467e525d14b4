//! The owner of a connection, where the system tells it.

use std::io;

use tokio::net::TcpStream;

/// Whether this system tells whose a connection within the machine is.
pub(crate) const SHOWS_OWNERS: bool = cfg!(target_os = "linux");

/// Whether the other end belongs to root, as the kernel's own client does, or to the daemon's user.
///
/// # Errors
/// If the system does not tell.
#[cfg(target_os = "linux")]
pub(super) async fn is_one_of_ours(stream: &TcpStream) -> io::Result<bool> {
    let (std::net::SocketAddr::V4(ours), std::net::SocketAddr::V4(theirs)) =
        (stream.local_addr()?, stream.peer_addr()?)
    else {
        return Ok(false);
    };
    let table = tokio::fs::read("/proc/net/tcp").await?;
    let owner = owner(&String::from_utf8_lossy(&table), theirs, ours);
    Ok(owner.is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw()))
}

/// macOS does not tell it of a connection within the machine: there the paths and the handles have to do.
///
/// # Errors
/// If the other end is gone.
#[cfg(not(target_os = "linux"))]
pub(super) async fn is_one_of_ours(stream: &TcpStream) -> io::Result<bool> {
    Ok(stream.peer_addr()?.ip().is_loopback())
}

/// The owner of the connection from `local` to `remote`, as `/proc/net/tcp` has it (proc_net_tcp.txt):
/// addresses are hexadecimal words in the machine's byte order.
#[cfg(target_os = "linux")]
fn owner(table: &str, local: std::net::SocketAddrV4, remote: std::net::SocketAddrV4) -> Option<u32> {
    let shown = |address: std::net::SocketAddrV4| {
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let (local, remote) = (shown(local), shown(remote));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let found = fields.next() == Some(&local) && fields.next() == Some(&remote);
        // st, tx_queue:rx_queue, tr:tm->when, retrnsmt, uid
        found.then(|| fields.nth(4)?.parse().ok())?
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_connections_are_ours_and_a_strange_one_is_found_to_be_another_s() {
        let listener = super::super::listen(0).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a client");
        assert!(is_one_of_ours(&stream).await.expect("procfs"));

        let ours = "127.0.0.1:2049".parse().expect("an address");
        let theirs = "127.0.0.1:8080".parse().expect("an address");
        let host = u32::from_ne_bytes([127, 0, 0, 1]);
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: {host:08X}:1F90 {host:08X}:0801 01 00000000:00000000 00:00000000 00000000  1234        0 555 1"
        );
        assert_eq!(owner(&table, theirs, ours), Some(1234));
        assert_eq!(owner(&table, ours, theirs), None);
    }
}
