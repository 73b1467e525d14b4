//! Addresses that a target names, in SendTargets or in a redirection: what is meant by them, seen from here.
//!
//! ```text
//!   0.0.0.0:3261,1     every address of mine, says the target:   the address that was asked, port and tag as named
//!   127.0.0.1:3260     mine, not yours                           nobody's, unless the target is on this machine
//!   [fe80::1]:3260     on some link                              on the link that its name came over
//!   [fe80::1%eth3]     on a link by a name of mine               as well: the name means nothing here
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use iscsi_proto::names::TargetAddress;

/// Why an address of a loopback interface is of no use.
pub(crate) const NOT_HERE: &str = "it is an address within a machine, and the portal that names it is on another one";

/// Where a target was asked that names an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The host, as it was typed or named.
    pub(crate) host: &'a str,
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
}

impl Asked<'_> {
    /// Whether the target is on this machine.
    pub(crate) fn is_here(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }

    /// What is meant by an address.
    ///
    /// # Errors
    /// A clause: why it cannot be meant at all.
    pub(crate) fn meant(&self, mut address: TargetAddress) -> Result<TargetAddress, &'static str> {
        let host = &mut address.portal.host;
        let Some(ip) = ip(host) else {
            return if is_local(host) && !self.is_here() { Err(NOT_HERE) } else { Ok(address) };
        };
        if let Some(zone) = host.find('%') {
            host.truncate(zone);
        }
        match ip.to_canonical() {
            ip if ip.is_unspecified() => self.host.clone_into(host),
            ip if ip.is_loopback() && !self.is_here() => return Err(NOT_HERE),
            ip if ip.is_multicast() => return Err("it is a multicast address, and no portal has one"),
            IpAddr::V4(ip) if ip.is_broadcast() => return Err("it is the broadcast address, and no portal has it"),
            IpAddr::V4(ip) if ip.octets()[0] == 0 => return Err("no portal has an address that begins with 0"),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                if let Some(zone) = self.zone() {
                    *host = format!("{ip}%{zone}");
                }
            }
            _ => {}
        }
        Ok(address)
    }

    /// The interface over which a link-local address was asked.
    fn zone(&self) -> Option<String> {
        if let Some((_, zone)) = self.host.split_once('%') {
            return Some(zone.to_owned());
        }
        match self.peer {
            SocketAddr::V6(peer) if peer.ip().is_unicast_link_local() && peer.scope_id() != 0 => {
                let name = nix::net::if_::if_indextoname(peer.scope_id()).ok()?;
                name.into_string().ok()
            }
            _ => None,
        }
    }
}

/// Whether nobody can be reached there who is not on this machine: what a stranger may not send us to.
pub(crate) fn is_within(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether a host is this machine by what it is called, RFC 6761 §6.3; a name that is found to lead here is not known by that.
pub(crate) fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || ip(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether another machine has named a host by a name of which only looking it up shows where it leads. `from` is the host
/// of the portal that named it. What is called the same as that portal leads where the user has sent us.
pub(crate) fn is_foreign_name(host: &str, from: &str) -> bool {
    !is_local(from) && !is_local(host) && ip(host).is_none() && !host.eq_ignore_ascii_case(from)
}

/// Whether a host is a link-local address that does not say on which link.
pub(crate) fn lacks_zone(host: &str) -> bool {
    host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local())
}

fn ip(host: &str) -> Option<IpAddr> {
    host.split_once('%').map_or(host, |(address, _)| address).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iscsi_proto::names::parse_target_address;

    fn meant(host: &str, peer: &str, named: &str) -> Result<String, &'static str> {
        let asked = Asked { host, peer: peer.parse().expect("an address") };
        let address = parse_target_address(named).expect("a target address");
        asked.meant(address).map(|address| address.to_string())
    }

    // check: address-unspecified
    #[test]
    fn an_unspecified_address_is_the_one_that_was_asked_with_the_named_port_and_tag() {
        for named in ["0.0.0.0:3261,7", "[::]:3261,7", "[::ffff:0.0.0.0]:3261,7"] {
            assert_eq!(meant("nas.example", "192.0.2.1:3260", named).as_deref(), Ok("nas.example:3261,7"), "{named}");
            assert_eq!(meant("2001:db8::1", "[2001:db8::1]:3260", named).as_deref(), Ok("[2001:db8::1]:3261,7"));
            assert_eq!(meant("127.0.0.1", "127.0.0.1:3260", named).as_deref(), Ok("127.0.0.1:3261,7"), "{named}");
        }
        assert_eq!(meant("nas.example", "192.0.2.1:3260", "0.0.0.0").as_deref(), Ok("nas.example:3260"));
    }

    // check: address-foreign-loopback
    #[test]
    fn a_loopback_address_is_taken_from_this_machine_alone() {
        for named in [
            "127.0.0.1:3260,1",
            "127.9.9.9,1",
            "[::1]:3260,1",
            "[::ffff:127.0.0.1],1",
            "[::ffff:7f00:1%lo],1",
            "[::1%1]:3260,1",
            "localhost,1",
            "a.localhost,1",
            "localhost.:3260,1",
        ] {
            assert_eq!(meant("nas.example", "192.0.2.1:3260", named), Err(NOT_HERE), "{named}");
            assert!(meant("localhost", "127.0.0.1:3260", named).is_ok(), "{named}");
            assert!(meant("::1", "[::1]:3260", named).is_ok(), "{named}");
        }
    }

    // check: address-foreign-loopback
    #[test]
    fn a_name_of_another_machines_choice_is_told_from_those_that_say_where_they_lead() {
        assert!(is_foreign_name("nas2.example", "nas.example") && is_foreign_name("nas2.example", "192.0.2.1"));
        for (host, from) in [
            ("nas.example", "NAS.example"),
            ("192.0.2.2", "nas.example"),
            ("2001:db8::1", "nas.example"),
            ("localhost.", "myself.example"),
            ("nas2.example", "localhost"),
            ("nas2.example", "127.0.0.1"),
        ] {
            assert!(!is_foreign_name(host, from), "{host} from {from}");
        }
    }

    // check: address-nobodys
    #[test]
    fn an_address_that_no_portal_can_have_is_left_out() {
        for named in
            ["224.0.0.1,1", "239.255.255.250,1", "255.255.255.255,1", "[ff02::1],1", "[ff02::1%eth0],1", "0.1.2.3,1"]
        {
            assert!(meant("nas.example", "192.0.2.1:3260", named).is_err(), "{named}");
        }
        for named in ["192.0.2.255,1", "169.254.1.1,1", "10.0.0.1,1", "[2001:db8::1],1", "nas2.example,1"] {
            assert!(meant("nas.example", "192.0.2.1:3260", named).is_ok(), "{named}");
        }
    }

    // check: address-link-local
    #[test]
    fn a_link_local_address_is_on_the_link_its_name_came_over() {
        let shown = |host, peer, named| meant(host, peer, named).expect("an address");
        assert_eq!(shown("fe80::1%lo", "[fe80::1]:3260", "[fe80::2]:3260,1"), "[fe80::2%lo]:3260,1");
        assert_eq!(shown("fe80::1%lo", "[fe80::1]:3260", "[fe80::2%ix0]:3260,1"), "[fe80::2%lo]:3260,1");
        // Interface 1 is the loopback interface, everywhere.
        let name = nix::net::if_::if_indextoname(1).expect("an interface").into_string().expect("a name");
        let asked = Asked {
            host: "nas.example",
            peer: std::net::SocketAddrV6::new("fe80::1".parse().expect("an address"), 3260, 0, 1).into(),
        };
        let address = asked.meant(parse_target_address("[fe80::2],1").expect("an address")).expect("an address");
        assert_eq!(address.portal.host, format!("fe80::2%{name}"));
        // A zone of the target's means nothing here, also where we have none to put in its place.
        for named in ["[fe80::2],1", "[fe80::2%ix0],1", "[fe80::2%25lo],1", "[fe80::2%1]:3260,1"] {
            assert_eq!(shown("nas.example", "192.0.2.1:3260", named), "[fe80::2]:3260,1");
            assert_eq!(shown("fe80::1%lo", "[fe80::1]:3260", named), "[fe80::2%lo]:3260,1");
        }
        assert_eq!(shown("nas.example", "192.0.2.1:3260", "[2001:db8::1%eth3],1"), "[2001:db8::1]:3260,1");
        assert_eq!(shown("nas.example", "192.0.2.1:3260", "[::ffff:192.0.2.2%3],1"), "[::ffff:192.0.2.2]:3260,1");
        assert!(lacks_zone("fe80::2") && !lacks_zone("fe80::2%lo") && !lacks_zone("2001:db8::1") && !lacks_zone("nas"));
    }
}
