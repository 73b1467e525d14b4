//! SendTargets, asked of targets nobody here wrote, and of one that answers as some of those do that nobody has here.

use std::time::Duration;

use iscsid::ipc;
use iscsid::ipc::ExitCode;
use sim_target::{Builder, SimDisk, SimTarget};

use crate::common::{Daemon, need, process};
use crate::targets::{Istgt, Spec, Target, Tgt};

fn start(builder: Builder) -> SimTarget {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(builder.own_thread().start()).expect("a target")
}

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

const GOOD: &str = "iqn.2026-11.org.example:good";
const LAST: &str = "iqn.2026-11.org.example:last";

/// A target that lists itself, then that text, then another one.
fn that_lists(between: &str) -> SimTarget {
    let text = format!(
        "TargetName={GOOD}\0TargetAddress=0.0.0.0:3260,1\0{between}TargetName={LAST}\0TargetAddress=192.0.2.1:3260,1\0"
    );
    start(SimTarget::builder(GOOD).lun(0, SimDisk::new(64, 512)).answer_send_targets(text))
}

// check: discovery-bad-record
#[test]
fn one_bad_record_costs_nothing_but_itself() {
    let daemon = Daemon::start();
    let over = "x".repeat(300);
    let bad = "TargetName=iqn.2026-11.org.example:bad\0TargetAddress=";
    for (between, named) in [
        (format!("{bad}:3260,1\0"), "':3260'"),
        (format!("{bad}fe80::1:3260,1\0"), "fe80::1:3260"),
        (format!("{bad}192.0.2.1:0,1\0"), "192.0.2.1:0"),
        (format!("{bad}192.0.2.1:3260,70000\0"), "70000"),
        (format!("{bad}\0"), "''"),
        (format!("{bad}127.0.0.1\u{1b}[2J,1\0"), "\\u{1b}"),
        (format!("{bad}{over}:3260,1\0"), "xxx"),
        ("TargetName=\0TargetAddress=192.0.2.1:3260,1\0".into(), "''"),
        ("TargetName=../../x\0TargetAddress=192.0.2.1:3260,1\0".into(), "../../x"),
        ("TargetName=iqn.2026-11.org.example:../../x\0".into(), "../../x"),
        ("TargetName=a\r\nforged\0".into(), "a\\r\\nforged"),
        (format!("TargetName={over}\0"), "xxx"),
    ] {
        let target = that_lists(&between);
        let portal = target.address().to_string();
        let output = daemon.ctl(["discover", &portal, "--format", "json"]);
        assert_eq!(output.code, 0, "{between:?}: {}", output.stderr);
        let found: Vec<ipc::Discovered> = serde_json::from_str(&output.stdout).expect("a list");
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, [GOOD, LAST], "{between:?}");
        for (where_, text) in [("output", output.stderr), ("log", daemon.log())] {
            assert!(text.contains(named), "{named} is not in the {where_}: {text}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
        }
        daemon.ctl_ok(["discover", &portal, "--add"]);
        daemon.ctl_ok(["remove", "target", GOOD]);
        daemon.ctl_ok(["remove", "target", LAST]);
        assert_eq!(daemon.ctl_ok(["list", "targets"]).trim_end(), "No persistent targets are defined");
    }
}

// check: discovery-bad-record
#[test]
fn a_list_of_which_something_is_left_out_removes_nothing() {
    let daemon = Daemon::start();
    let first = that_lists("TargetName=iqn.2026-11.org.example:other\0TargetAddress=192.0.2.7,1\0");
    let at = first.address().to_string();
    daemon.ctl_ok(["modify", "discovery", "--send-targets", "yes"]);
    daemon.ctl_ok(["add", "discovery-portal", &at]);
    let named = || daemon.ctl_json::<Vec<ipc::Target>>(&["list", "targets"]).len();
    process::eventually("three targets", Duration::from_secs(20), || (named() == 3).then_some(()));
    drop(first);
    // The same portal, and its record of one target has become unreadable.
    let text = format!("TargetName={GOOD}\0TargetName=iqn..bad\0TargetAddress=192.0.2.7,1\0");
    let _second = process::eventually("the port of the first", Duration::from_secs(20), || {
        let builder = SimTarget::builder(GOOD).portal(&at).answer_send_targets(text.clone()).own_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(builder.start()).ok()
    });
    daemon.ctl_ok(["modify", "discovery", "--interval", "60"]);
    process::eventually("a list with a fault", Duration::from_secs(20), || {
        let portals: Vec<ipc::DiscoveryPortal> = daemon.ctl_json(&["list", "discovery-portals"]);
        portals[0].problem.as_ref().filter(|problem| problem.contains("'iqn..bad'")).map(|_| ())
    });
    assert_eq!(named(), 3);
}

// check: discovery-malformed
#[test]
fn a_list_that_is_no_text_of_pairs_fails_in_words() {
    let daemon = Daemon::start();
    for text in [GOOD.to_owned(), format!("TargetName={GOOD}\0nonsense\0"), format!("TargetName={GOOD}\0nonsense")] {
        let says = "without '='";
        let target = start(SimTarget::builder(GOOD).answer_send_targets(text));
        let output = daemon.ctl(["discover", &target.address().to_string()]);
        assert_eq!(output.code, ExitCode::Protocol as i32, "{}", output.stderr);
        assert!(output.stderr.contains(says), "{}", output.stderr);
        assert!(daemon.log().contains(says), "{}", daemon.log());
    }
}

// check: discovery-last-zero, discovery-bad-record
#[test]
fn a_list_that_lacks_its_last_zero_byte_or_has_a_key_that_is_none_is_taken_with_a_remark() {
    let daemon = Daemon::start();
    for (text, says) in [
        (format!("TargetName={GOOD}").into_bytes(), "lacks the zero byte at its end"),
        ([b"Caf\xe9=x\0TargetName=", GOOD.as_bytes(), b"\0"].concat(), "is left out"),
        (format!("TargetName=\0TargetName={GOOD}\0").into_bytes(), "it is empty"),
    ] {
        let target = start(SimTarget::builder(GOOD).answer_send_targets(text));
        let output = daemon.ctl(["discover", &target.address().to_string()]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains(GOOD) && output.stderr.contains(says), "{}{}", output.stdout, output.stderr);
        assert!(daemon.log().contains(says), "{}", daemon.log());
    }
}

// check: name-of-a-target
#[test]
fn a_target_whose_name_is_no_iscsi_name_is_found_logged_in_to_and_exported() {
    let daemon = Daemon::start();
    for name in [
        "iqn.2015-1.workgroup:RAID.iscsi0.vg0.data1",
        "iqn.com.example-10",
        "iqn.2001-04.com.example:",
        "iqn.2001-04.com.example",
        "Target-911data",
    ] {
        let target = start(SimTarget::builder(name).lun(0, SimDisk::new(64, 512)));
        let portal = target.address().to_string();
        let regular = name == "iqn.2001-04.com.example";
        let output = daemon.ctl(["discover", &portal, "--add"]);
        assert_eq!((output.code, output.stderr.contains("is not an iSCSI name")), (0, !regular), "{}", output.stderr);
        daemon.ctl_ok(["modify", "target", name, "--attach", "no"]);
        daemon.ctl_ok(["login", name]);
        let called = target.logins().last().expect("a login").keys.clone();
        assert!(called.contains(&("TargetName".into(), name.into())), "{called:?}");
        let disks = daemon.disks(&name.to_lowercase());
        assert!(disks[0].nbd.is_some(), "{disks:?}");
        daemon.ctl_ok(["logout", name]);
        daemon.ctl_ok(["remove", "target", name]);
        let output = daemon.ctl(["add", "target", name, "--portal", &portal]);
        assert_eq!((output.code, output.stdout.contains("is not an iSCSI name")), (0, !regular), "{}", output.stdout);
        daemon.ctl_ok(["show", "target", name]);
    }
    // What was added is read again.
    let (_, home) = daemon.stop();
    let daemon = Daemon::start_in(home);
    assert_eq!(daemon.ctl_json::<Vec<ipc::Target>>(&["list", "targets"]).len(), 5);
}

// check: login-group-tag
#[test]
fn the_portal_group_of_the_login_replaces_the_one_of_the_list() {
    let target = start({
        let text = format!("TargetName={GOOD}\0TargetAddress=0.0.0.0:PORT,1\0TargetAddress=0.0.0.0:PORT,2\0");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
        let text = text.replace("PORT", &free.port().to_string());
        let disk = SimTarget::builder(GOOD).lun(0, SimDisk::new(64, 512));
        disk.portal(&free.to_string()).portal_group_tag(2).answer_send_targets(text)
    });
    let daemon = Daemon::start();
    let portal = target.address().to_string();
    daemon.ctl_ok(["discover", &portal, "--add"]);
    daemon.ctl_ok(["modify", "target", GOOD, "--attach", "no"]);
    let tag = || daemon.ctl_json::<Vec<ipc::Target>>(&["list", "targets"])[0].portals[0].group_tag;
    assert_eq!(tag(), Some(1));
    daemon.ctl_ok(["login", GOOD]);
    assert_eq!(tag(), Some(2));
    assert!(daemon.log().contains("belongs to 2, not 1"), "{}", daemon.log());
    // Asked again, the list does not undo it.
    daemon.ctl_ok(["discover", &portal, "--add"]);
    assert_eq!(tag(), Some(2));
}

// check: discovery-bounded
#[test]
fn a_portal_that_lists_without_end_makes_no_settings_that_cannot_be_read_again() {
    let name = |list: usize, n: usize| format!("iqn.2026-11.org.example:{list}-{}{n:04}", "x".repeat(190));
    let host = |n: usize| format!("{0}.{0}.{0}.{n:05}.example", "h".repeat(60));
    let text = |list: usize| -> String {
        let records = (0..1500).map(|n| {
            let addresses: String = (0..2).map(|k| format!("TargetAddress={}:3260,1\0", host(2 * n + k))).collect();
            format!("TargetName={}\0{addresses}", name(list, n))
        });
        records.collect()
    };
    let daemon = Daemon::start();
    for list in 0..3 {
        let target = start(SimTarget::builder(GOOD).answer_send_targets(text(list)));
        let output = daemon.ctl(["discover", &target.address().to_string(), "--add"]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stderr.contains("after the first 1024 are left out"), "{}", output.stderr);
    }
    assert!(daemon.log().len() < 64 << 10, "{} bytes of log", daemon.log().len());
    let listed = daemon.ctl_json::<Vec<ipc::Target>>(&["list", "targets"]).len();
    assert_eq!(listed, 2048);
    let (_, home) = daemon.stop();
    let daemon = Daemon::start_in(home);
    assert_eq!(daemon.ctl_json::<Vec<ipc::Target>>(&["list", "targets"]).len(), listed);
}

#[test]
fn a_login_that_fails_by_command_is_in_the_log_and_not_again_and_again() {
    let target = start(SimTarget::builder(GOOD).on_login(|_| sim_target::LoginAction::Refuse(2, 2)));
    let daemon = Daemon::start();
    daemon.add(GOOD, &target.address().to_string());
    for _ in 0..5 {
        assert_eq!(daemon.ctl(["login", GOOD]).code, ExitCode::NotPermitted as i32);
    }
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("0202")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "{log}");
}
