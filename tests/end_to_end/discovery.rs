//! SendTargets, asked of targets nobody here wrote.

use iscsid::ipc;

use crate::common::{Daemon, need};
use crate::targets::{Istgt, Spec, Target, Tgt};

fn discover(daemon: &Daemon, portal: &str) -> Vec<ipc::Discovered> {
    daemon.ctl_json(&["discover", portal])
}

/// tgt names the portal that was asked.
// check: discovery-ipv6
#[test]
fn tgt_names_its_target_on_either_address() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    for portal in [tgt.ipv4(), tgt.ipv6()] {
        let found = discover(&daemon, &portal);
        assert_eq!(found, [ipc::Discovered { name: tgt.iqn.clone(), portals: vec![format!("{portal},1")] }]);
    }
    assert_eq!(tgt.sessions(), 0);
}

/// istgt names all portals, whichever was asked.
#[test]
fn istgt_names_all_portals_on_either_address() {
    if !need(Istgt::TOOLS) {
        return;
    }
    let (istgt, daemon) = (Istgt::start(&Spec::new()), Daemon::start());
    for portal in [istgt.ipv4(), istgt.ipv6()] {
        let mut found = discover(&daemon, &portal);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].name, istgt.iqn);
        found[0].portals.sort();
        assert_eq!(found[0].portals, [format!("{},1", istgt.ipv4()), format!("{},1", istgt.ipv6())]);
    }
}

#[test]
fn discovery_alone_changes_no_configuration() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    discover(&daemon, &tgt.ipv4());
    assert_eq!(daemon.ctl_ok(["list", "targets"]).trim_end(), "No persistent targets are defined");
}

#[test]
fn a_target_that_was_discovered_and_added_can_be_logged_in() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.ctl_ok(["discover", &tgt.ipv4(), "--add"]);
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--attach", "no"]);
    daemon.ctl_ok(["login", &tgt.iqn]);
    assert_eq!(daemon.disks(&tgt.iqn).len(), 1);
    assert_eq!(tgt.sessions(), 1);
    daemon.ctl_ok(["logout", &tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);
}

#[test]
fn discovery_portals_are_kept_and_list_what_they_named() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.ctl_ok(["add", "discovery-portal", &tgt.ipv4()]);
    daemon.ctl_ok(["discover", &tgt.ipv4()]);
    let portals: Vec<ipc::DiscoveryPortal> = daemon.ctl_json(&["list", "discovery-portals"]);
    assert_eq!(portals.len(), 1);
    assert_eq!((portals[0].address.as_str(), portals[0].port), ("127.0.0.1", tgt.port()));
    daemon.ctl_ok(["remove", "discovery-portal", &tgt.ipv4()]);
    let portals: Vec<ipc::DiscoveryPortal> = daemon.ctl_json(&["list", "discovery-portals"]);
    assert_eq!(portals, []);
}

#[test]
fn a_session_needs_no_more_than_what_discovery_said() {
    if !need(Istgt::TOOLS) {
        return;
    }
    let (istgt, daemon) = (Istgt::start(&Spec::new()), Daemon::start());
    let found = discover(&daemon, &istgt.ipv6());
    for portal in &found[0].portals {
        let (address, _tag) = portal.rsplit_once(',').expect("address,tag");
        assert!([Target::ipv4(&istgt), Target::ipv6(&istgt)].iter().any(|known| known == address), "{address}");
        daemon.log_in(&found[0].name, address);
        daemon.ctl_ok(["logout", &found[0].name]);
        daemon.ctl_ok(["remove", "target", &found[0].name]);
    }
}
