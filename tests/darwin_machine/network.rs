use iscsid::testing::cannot;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use crate::common::daemon::LIMIT;
use crate::common::process::eventually;
use crate::mac::mac;
use crate::{log_in, started, target};

/// An interface of this machine that the daemon looks at: it can be used, and is not the loopback.
fn interface() -> Option<String> {
    let usable = |entry: &InterfaceAddress| {
        let flags = entry.flags;
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
            && entry.address.as_ref().is_some_and(|address| address.as_sockaddr_in().is_some())
    };
    let found = getifaddrs().expect("a list").find(usable).map(|entry| entry.interface_name);
    if found.is_none() {
        cannot("this machine has no network interface but the loopback");
    }
    found
}

#[test]
fn an_interface_that_goes_or_loses_its_link_is_heard_of_and_that_it_is_back() {
    let (Some((mac, home)), Some(interface)) = (mac(), interface()) else { return };
    let target = started(target());
    let daemon = mac.start(home);
    log_in(&daemon, &target);
    for (count, how) in ["gone", "down"].into_iter().enumerate() {
        for (how, what) in [(how, "gone"), ("back", "there")] {
            mac.tell(&["interface", &interface, how], "told of 1");
            let what = format!("the interface {interface} is {what}");
            eventually(&what, LIMIT, || (daemon.log().matches(&what).count() == count + 1).then_some(()));
        }
    }
    assert_eq!(target.logins().len(), 1, "the session is by another interface");
    daemon.stop();
}

#[test]
fn the_daemon_asks_for_links_and_addresses_and_nothing_else() {
    let Some((mac, home)) = mac() else { return };
    let daemon = mac.start(home);
    for key in ["Link", "IPv4", "IPv6"] {
        mac.tell(&["network", &format!("State:/Network/Interface/en7/{key}")], "told of 1");
    }
    for key in ["State:/Network/Global/IPv4", "State:/Network/Interface/en7/AirPort", "Setup:/Network/Global/IPv4"] {
        assert_eq!(mac.told(&["network", key]).code, 1, "{key}");
    }
    daemon.stop();
}
