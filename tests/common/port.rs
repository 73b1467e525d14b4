//! Ports nobody listens on, reserved among all tests that run at the same time.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below the ports the system gives to outgoing connections, and not where services live.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that is free on both loopback addresses. Other tests do not get it while this value lives.
pub(crate) struct Port {
    pub(crate) number: u16,
    // A name in the abstract namespace: it goes away with its process, also when that is killed.
    _reservation: UnixListener,
}

impl Port {
    pub(crate) fn reserve() -> Port {
        for _ in 0..1000 {
            let mut random = [0; 2];
            getrandom::fill(&mut random).expect("entropy");
            let number = RANGE.start + u16::from_ne_bytes(random) % (RANGE.end - RANGE.start);
            let name = SocketAddr::from_abstract_name(format!("iscsid-test-port-{number}")).expect("a short name");
            let Ok(reservation) = UnixListener::bind_addr(&name) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() && TcpListener::bind(("::1", number)).is_ok() {
                return Port { number, _reservation: reservation };
            }
        }
        panic!("no free port in {RANGE:?} on 127.0.0.1 and ::1");
    }
}
