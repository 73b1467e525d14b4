//! Linux reports changes of its network by rtnetlink(7). The messages are not read: each is reason enough to
//! look. There is no report of sleep; a ping that is not answered shows it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::sync::mpsc;
use tracing::warn;

use super::event::PlatformEvent;
use super::interfaces::{Interfaces, watch};

pub(super) fn listen(events: &mpsc::UnboundedSender<PlatformEvent>) {
    let (tell, changed) = mpsc::unbounded_channel();
    // A thread that sleeps in `recv`: tokio takes such a descriptor by `unsafe` alone.
    let listening = subscribe().and_then(|socket| {
        std::thread::Builder::new().name("rtnetlink".to_owned()).spawn(move || ticks(&socket, &tell))
    });
    match listening {
        Ok(_) => drop(tokio::spawn(watch(changed, events.clone(), Interfaces::now))),
        Err(error) => warn!("the system does not tell of its network: {error}; changes are found by pings alone"),
    }
}

fn subscribe() -> std::io::Result<OwnedFd> {
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups.unsigned_abs()))?;
    Ok(socket)
}

/// Reports a change for every message, until the receiver ends.
fn ticks(socket: &OwnedFd, tell: &mpsc::UnboundedSender<()>) {
    let mut message = vec![0; 64 << 10];
    loop {
        match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            // The socket could not hold all messages: all the more reason to look.
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => {
                warn!("the system tells of its network no more: {error}; changes are found by pings alone");
                return;
            }
        }
        if tell.send(()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_may_listen_to_the_network() {
        subscribe().expect("a socket");
    }
}
