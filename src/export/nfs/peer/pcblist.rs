//! The list of all TCP sockets that macOS has under `net.inet.tcp.pcblist_n`.
//!
//! ```text
//!   xinpgen                                                 how long it is, how many there are
//!   xinpcb_n · xsocket_n · xsockbuf_n · xsockbuf_n · xsockstat_n · xtcpcb_n       for each socket
//!   xinpgen                                                 again
//! ```
//! Each part begins with its length and its kind, and the next one follows at a multiple of eight bytes (xnu,
//! bsd/netinet/in_pcblist.c, get_pcblist_n). So parts may be longer than they are known here, and kinds may be added.
//! Numbers are in the machine's byte order, ports and addresses in that of the network.

use std::net::{Ipv4Addr, SocketAddrV4};

/// How long an xinpgen is (bsd/netinet/in_pcb.h). Every part is longer.
const ENDS: usize = 24;

// Kinds of parts (bsd/sys/socketvar.h, XSO_…), and where in them is what counts, under the `#pragma pack(4)` of the
// headers.

/// xinpcb_n (bsd/netinet/in_pcb.h).
const INPCB: u32 = 0x10;
/// inp_fport, and inp_lport behind it.
const PORTS: usize = 16;
/// inp_vflag: by which versions of IP.
const VERSIONS: usize = 44;
/// INP_IPV4.
const IPV4: u8 = 1;
/// The IPv4 address in inp_dependfaddr.
const REMOTE: usize = 60;
/// The one in inp_dependladdr.
const LOCAL: usize = 76;

/// xsocket_n.
const SOCKET: u32 = 0x01;
/// so_uid.
const USER: usize = 64;

/// xtcpcb_n (bsd/netinet/tcp_var.h).
const TCPCB: u32 = 0x20;
/// t_state.
const STATE: usize = 36;
/// TCPS_ESTABLISHED (bsd/netinet/tcp_fsm.h).
const ESTABLISHED: u32 = 4;

/// It is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// Whose the socket is that is connected from `local` to `remote`, by such a list; none if there is none, or its
/// connection is not established, as what is left of a closed one.
///
/// # Errors
/// [`Garbled`] if the list cannot be understood.
pub(super) fn owner(list: &[u8], local: SocketAddrV4, remote: SocketAddrV4) -> Result<Option<u32>, Garbled> {
    let mut rest = list.get(padded(length(list)?)..).ok_or(Garbled)?;
    let (mut is_it, mut user) = (false, None);
    loop {
        let length = length(rest)?;
        if length == ENDS {
            return Ok(None);
        }
        let part = rest.get(..length).ok_or(Garbled)?;
        match number(part, 4)? {
            INPCB => (is_it, user) = (connects(part, local, remote)?, None),
            SOCKET if is_it => user = Some(number(part, USER)?),
            TCPCB if is_it => return Ok(user.filter(|_| number(part, STATE) == Ok(ESTABLISHED))),
            _ => {}
        }
        rest = rest.get(padded(length)..).ok_or(Garbled)?;
    }
}

/// How long the part is that begins here.
fn length(rest: &[u8]) -> Result<usize, Garbled> {
    let length = number(rest, 0)? as usize;
    if length < ENDS { Err(Garbled) } else { Ok(length) }
}

fn padded(length: usize) -> usize {
    length.saturating_add(length.wrapping_neg() % 8)
}

fn number(part: &[u8], at: usize) -> Result<u32, Garbled> {
    let bytes = part.get(at..).and_then(<[u8]>::first_chunk).ok_or(Garbled)?;
    Ok(u32::from_ne_bytes(*bytes))
}

fn connects(part: &[u8], local: SocketAddrV4, remote: SocketAddrV4) -> Result<bool, Garbled> {
    let version = *part.get(VERSIONS).ok_or(Garbled)?;
    let port = |at: usize| part.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_be_bytes(*bytes));
    let host = |at: usize| part.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|bytes| Ipv4Addr::from(*bytes));
    let end = |host, port| SocketAddrV4::new(host, port);
    let (Some(remote_port), Some(local_port), Some(remote_host), Some(local_host)) =
        (port(PORTS), port(PORTS + 2), host(REMOTE), host(LOCAL))
    else {
        return Err(Garbled);
    };
    let ends = (end(local_host, local_port), end(remote_host, remote_port));
    Ok(version & IPV4 != 0 && ends == (local, remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 20_049);
    const THEIRS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 51_000);

    fn part(length: usize, kind: u32, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut part = vec![0; padded(length)];
        let head = [(0, &(length as u32).to_ne_bytes()[..]), (4, &kind.to_ne_bytes())];
        for (at, bytes) in head.iter().chain(fields) {
            part[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        part
    }

    /// The six parts of a socket.
    fn socket(local: SocketAddrV4, remote: SocketAddrV4, version: u8, user: u32, state: u32) -> Vec<u8> {
        let ends = [
            (PORTS, &remote.port().to_be_bytes()[..]),
            (PORTS + 2, &local.port().to_be_bytes()),
            (VERSIONS, &[version]),
            (REMOTE, &remote.ip().octets()),
            (LOCAL, &local.ip().octets()),
        ];
        let parts = [
            part(104, INPCB, &ends),
            part(104, SOCKET, &[(USER, &user.to_ne_bytes())]),
            part(32, 0x02, &[]),
            part(32, 0x04, &[]),
            part(136, 0x08, &[]),
            part(204, TCPCB, &[(STATE, &state.to_ne_bytes())]),
        ];
        parts.concat()
    }

    fn list(sockets: &[Vec<u8>]) -> Vec<u8> {
        // How many there are is where a part has its kind: 16 sockets are no xinpcb_n.
        let ends = part(ENDS, INPCB, &[]);
        [&ends[..], &sockets.concat(), &ends].concat()
    }

    // check: nfs-owners-by-list
    #[test]
    fn the_owner_of_the_other_end_is_found_among_others() {
        let elsewhere = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 51_000);
        let all = list(&[
            socket(OURS, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), IPV4, 0, 1),
            socket(THEIRS, elsewhere, IPV4, 1, ESTABLISHED),
            socket(elsewhere, OURS, IPV4, 2, ESTABLISHED),
            socket(OURS, THEIRS, IPV4, 0, ESTABLISHED),
            socket(THEIRS, OURS, 2, 3, ESTABLISHED),
            socket(THEIRS, OURS, IPV4, 501, ESTABLISHED),
        ]);
        assert_eq!(owner(&all, THEIRS, OURS), Ok(Some(501)));
        assert_eq!(owner(&all, OURS, THEIRS), Ok(Some(0)), "our own end is another socket");
        assert_eq!(owner(&all, OURS, elsewhere), Ok(None));
        assert_eq!(owner(&list(&[]), THEIRS, OURS), Ok(None));
    }

    // check: nfs-closed-client-is-nobody-s
    #[test]
    fn what_is_left_of_a_closed_connection_is_nobody_s() {
        for state in (0..=10).filter(|state| *state != ESTABLISHED) {
            assert_eq!(owner(&list(&[socket(THEIRS, OURS, IPV4, 0, state)]), THEIRS, OURS), Ok(None), "{state}");
        }
    }

    #[test]
    fn longer_parts_and_new_kinds_of_them_are_passed_over() {
        let mut one = socket(THEIRS, OURS, IPV4, 501, ESTABLISHED);
        let longer = part(120, INPCB, &[]);
        one.splice(0..8, [&120u32.to_ne_bytes()[..], &INPCB.to_ne_bytes()].concat());
        one.splice(104..104, longer[104..].to_vec());
        one.splice(120..120, part(41, 0x40, &[]));
        assert_eq!(owner(&list(&[one]), THEIRS, OURS), Ok(Some(501)));
    }

    // check: nfs-owners-by-list
    #[test]
    fn a_list_that_lies_is_refused_or_shows_nobody_and_never_reads_beyond() {
        let good = list(&[socket(OURS, THEIRS, IPV4, 0, ESTABLISHED), socket(THEIRS, OURS, IPV4, 501, ESTABLISHED)]);
        // Cut after the part that told it, it was told.
        let told = good.len() - ENDS - 208 + STATE + 4;
        for length in 0..good.len() {
            let cut = owner(&good[..length], THEIRS, OURS);
            assert!(cut == Err(Garbled) || (length > told && cut == Ok(Some(501))), "{length}: {cut:?}");
        }
        for lie in [0, 7, 8, 23, u32::MAX, u32::MAX - 7, 1 << 31] {
            let mut bad = good.clone();
            bad[ENDS..ENDS + 4].copy_from_slice(&u32::to_ne_bytes(lie));
            assert_eq!(owner(&bad, THEIRS, OURS), Err(Garbled), "{lie}");
            bad = good.clone();
            bad[..4].copy_from_slice(&u32::to_ne_bytes(lie));
            assert_eq!(owner(&bad, THEIRS, OURS), Err(Garbled), "{lie}");
        }
        let mut random = fastrand::Rng::with_seed(20_049);
        for _ in 0..100_000 {
            let mut spoilt = good.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..spoilt.len());
                spoilt[at] = random.u8(..);
            }
            spoilt.truncate(random.usize(..=spoilt.len()));
            // Whatever it makes of it, it comes to an end of it.
            let _ = owner(&spoilt, THEIRS, OURS);
        }
    }
}
