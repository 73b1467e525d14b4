//! SendTargets, asked of LIO: it names all portals of all targets.

use iscsid::ipc::{self, ExitCode};

use crate::common::Daemon;
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::{CHAP_NAME, CHAP_SECRET, MUTUAL_NAME, MUTUAL_SECRET, Spec};

fn discover(daemon: &Daemon, portal: &str) -> Vec<ipc::Discovered> {
    daemon.ctl_json(&["discover", portal])
}

#[test]
fn all_targets_and_all_their_portals_are_named() {
    let Some(guest) = Guest::get("lio") else { return };
    let one = Lio::start_with(&guest, &Spec::new().name("one"), "portal 3261");
    let two = Lio::start(&guest, &Spec::new().name("two").disks(0));
    let daemon = Daemon::start();
    let mut found = discover(&daemon, &one.portal());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.iter_mut().for_each(|target| target.portals.sort());
    let [first, second] = [3260, 3261].map(|port| format!("{},1", guest.portal(port)));
    let expected = [(one.iqn, vec![first.clone(), second]), (two.iqn, vec![first])];
    assert_eq!(found, expected.map(|(name, portals)| ipc::Discovered { name, portals }));
}

/// The answer is longer than a PDU's text may be.
// check: discovery-several-pdus
#[test]
fn an_answer_over_several_pdus_is_put_together() {
    let Some(guest) = Guest::get("lio") else { return };
    let names: Vec<_> = (0..60).map(|n| format!("iqn.2026-11.org.example:{}-{n:02}", "x".repeat(180))).collect();
    for name in &names {
        guest.script(&format!("target {name}\nportal 3260\nenable"));
    }
    let daemon = Daemon::start();
    let mut found: Vec<_> = discover(&daemon, &guest.portal(3260)).into_iter().map(|target| target.name).collect();
    found.sort();
    assert_eq!(found, names);
}

#[test]
fn a_session_needs_no_more_than_what_discovery_said() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new()), Daemon::start());
    daemon.ctl_ok(["discover", &lio.portal(), "--add"]);
    daemon.ctl_ok(["modify", "target", &lio.iqn, "--attach", "no"]);
    daemon.ctl_ok(["login", &lio.iqn]);
    assert_eq!(daemon.disks(&lio.iqn).len(), 1);
    assert_eq!(daemon.session(&lio.iqn).expect("a session").group_tag, 1);
}

// check: chap-discovery
#[test]
fn discovery_authenticates_both_ways() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new()), Daemon::start());
    guest.script(&format!("discovery_chap {CHAP_NAME} {CHAP_SECRET} {MUTUAL_NAME} {MUTUAL_SECRET}"));
    let ours = ["--chap-name", CHAP_NAME, "--chap-secret", CHAP_SECRET];
    let theirs = ["--chap-mutual-name", MUTUAL_NAME, "--chap-mutual-secret", MUTUAL_SECRET];
    daemon.ctl_ok([&["modify", "initiator"][..], &ours, &theirs].concat());
    assert_eq!(discover(&daemon, &lio.portal())[0].name, lio.iqn);
}

#[test]
fn discovery_with_a_wrong_secret_is_refused() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new()), Daemon::start());
    guest.script(&format!("discovery_chap {CHAP_NAME} {CHAP_SECRET}"));
    daemon.ctl_ok(["modify", "initiator", "--chap-name", CHAP_NAME, "--chap-secret", "not the secret"]);
    let asked = daemon.ctl(["discover", &lio.portal()]);
    assert_eq!(asked.code, ExitCode::NotPermitted as i32, "{}{}", asked.stdout, asked.stderr);
    assert!(asked.stderr.contains("secret"), "{}", asked.stderr);
}
