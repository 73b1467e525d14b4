//! What the daemon does about what a target does of its own accord: moves, wants us to leave, changes its
//! units.

use std::time::{Duration, Instant};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::{AsyncEvent, RejectReason};
use iscsi_proto::scsi::{Sense, SenseKey};
use iscsid::ipc::{self, SessionState};
use sim_target::{Action, Builder, Chap, Hold, LoginAction, Negotiation, SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::{LIMIT, uri};
use crate::common::process::eventually;
use crate::common::{Daemon, RandomFile, need, run, scratch_dir};

const TARGET: &str = "iqn.2026-11.test.sim:conduct";

fn start(runtime: &Runtime, shape: impl FnOnce(Builder) -> Builder) -> SimTarget {
    let builder = SimTarget::builder(TARGET).lun(0, SimDisk::new(32_768, 512)).own_thread();
    runtime.block_on(shape(builder).start()).expect("a free port")
}

/// A target, and a daemon that is logged in to it and has forgotten the way there.
fn scene() -> (Runtime, SimTarget, Daemon) {
    let runtime = Runtime::new().expect("a runtime");
    let target = start(&runtime, |builder| builder);
    let daemon = Daemon::start();
    daemon.log_in(TARGET, &target.address().to_string());
    (runtime, target, daemon)
}

/// Waits for the `count`th login, and until the daemon says that the session is up.
fn logged_in(daemon: &Daemon, target: &SimTarget, count: usize) {
    eventually("another login", LIMIT, || {
        let up = daemon.session(TARGET).is_some_and(|session| session.state == SessionState::Active);
        (up && target.logins().iter().filter(|login| login.succeeded).count() == count).then_some(())
    });
}

// check: redirect-configuration, redirect-followed
#[test]
fn a_permanent_move_is_followed_and_not_written_down() {
    let runtime = Runtime::new().expect("a runtime");
    let (here, there) = (start(&runtime, |builder| builder), start(&runtime, |builder| builder));
    let address = there.address().to_string();
    here.on_login(move |_| LoginAction::Redirect { address: Some(address.clone()), permanent: true });
    let daemon = Daemon::start();
    daemon.add(TARGET, &here.address().to_string());
    let written = std::fs::read(daemon.home().config()).expect("the configuration");
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!(daemon.session(TARGET).expect("a session").portal, there.address().to_string());
    assert!(std::fs::read(daemon.home().config()).expect("the configuration") == written, "it was rewritten");
    let details: ipc::TargetDetails = daemon.ctl_json(&["show", "target", TARGET]);
    let ports: Vec<u16> = details.target.portals.iter().map(|portal| portal.port).collect();
    assert_eq!(ports, [here.address().port()]);
    // And the next login asks here again.
    daemon.ctl_ok(["logout", TARGET]);
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!((here.counters().connections, there.counters().connections), (2, 2));
    assert_eq!(there.violations(), Vec::<String>::new());
}

// check: login-silence
#[test]
fn a_silent_portal_costs_the_login_timeout_and_then_comes_the_next() {
    let runtime = Runtime::new().expect("a runtime");
    let (silent, there) = (start(&runtime, |builder| builder), start(&runtime, |builder| builder));
    silent.on_login(|_| LoginAction::Silence);
    let daemon = Daemon::start();
    daemon.add(TARGET, &silent.address().to_string());
    daemon.ctl_ok(["add", "target", TARGET, "--portal", &there.address().to_string()]);
    daemon.ctl_ok(["modify", "target", TARGET, "--login-timeout", "1"]);
    let asked = Instant::now();
    daemon.ctl_ok(["login", TARGET]);
    assert!(asked.elapsed() >= Duration::from_secs(1));
    assert_eq!(daemon.session(TARGET).expect("a session").portal, there.address().to_string());
    assert_eq!((silent.counters().connections, there.counters().connections), (1, 1));
}

// check: chap-secret-log
#[test]
fn no_secret_comes_out_of_the_daemon_again() {
    const SECRETS: [&str; 4] = ["first-of-secrets", "second-of-secrets", "third-of-secrets", "fourth-of-secrets"];
    let runtime = Runtime::new().expect("a runtime");
    let chap = || Chap::new("us", SECRETS[0]).mutual("them", SECRETS[1]);
    let target = start(&runtime, |builder| builder.chap(chap()));
    let daemon = Daemon::start();
    daemon.add(TARGET, &target.address().to_string());
    let chap = |ours: &'static str, theirs: &'static str| {
        ["--chap-name", "us", "--chap-secret", ours, "--chap-mutual-name", "them", "--chap-mutual-secret", theirs]
    };
    let set = |whom: &[&str], chap: [&str; 8]| daemon.ctl_ok([&["modify"], whom, &chap[..]].concat());
    let mut said = vec![set(&["initiator"], chap(SECRETS[2], SECRETS[3]))];
    // A wrong one of ours, a wrong one of the target's, and then the right ones.
    for (ours, theirs) in [(SECRETS[2], SECRETS[1]), (SECRETS[0], SECRETS[3]), (SECRETS[0], SECRETS[1])] {
        said.push(set(&["target", TARGET], chap(ours, theirs)));
        let output = daemon.ctl(["login", TARGET]);
        assert_eq!(output.code == 0, (ours, theirs) == (SECRETS[0], SECRETS[1]), "{output:?}");
        said.extend([output.stdout, output.stderr]);
    }
    let session = daemon.session(TARGET).expect("a session").id.to_string();
    for what in [
        &["show", "target", TARGET][..],
        &["show", "initiator"],
        &["show", "discovery"],
        &["show", "session", &session],
        &["list", "targets"],
        &["list", "sessions"],
    ] {
        for format in ["table", "json", "plist"] {
            said.push(daemon.ctl_ok(what.iter().chain(&["--format", format])));
        }
    }
    said.push(daemon.log());
    said.push(std::fs::read_to_string(daemon.home().config()).expect("the configuration"));
    for secret in SECRETS {
        // As it is, and as bytes would be printed.
        let bytes = format!("{:?}", secret.as_bytes());
        let told = said.iter().find(|text| text.contains(secret) || text.contains(bytes.trim_matches(['[', ']'])));
        assert_eq!(told, None, "{secret}");
    }
}

// check: async-logout, async-negotiation
#[test]
fn a_target_that_wants_us_to_leave_is_left_in_time_and_logged_in_to_again() {
    for event in [AsyncEvent::LogoutRequest, AsyncEvent::NegotiationRequest] {
        let (_runtime, target, daemon) = scene();
        let asked = Instant::now();
        target.send_async(event, Lun(0), [0, 0, 10], &[]);
        eventually("the logout", Duration::from_secs(10), || (target.counters().logouts == 1).then_some(()));
        assert!(asked.elapsed() < Duration::from_secs(10));
        logged_in(&daemon, &target, 2);
        assert_eq!(target.violations(), Vec::<String>::new());
    }
}

// check: async-logout-drains
#[test]
fn what_is_under_way_when_a_target_asks_for_a_logout_is_waited_for_and_not_done_twice() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let (_runtime, target, daemon) = scene();
    let hold = Hold::new();
    let held = hold.clone();
    let is_write = |command: &sim_target::Command| [0x2a, 0x8a].contains(&command.opcode());
    target.on_command(move |command| if is_write(command) { Action::Hold(held.clone()) } else { Action::Proceed });
    let disk = daemon.disks(TARGET).remove(0);
    let file = RandomFile::of_bytes(4096);
    let writer = std::thread::scope(|threads| {
        let writer = threads.spawn(|| run("nbdcopy", [file.name(), uri(&disk)]));
        eventually("the write", LIMIT, || target.commands().iter().any(is_write).then_some(()));
        // Time enough for what is under way, however busy this machine is.
        daemon.ctl_ok(["modify", "target", TARGET, "--logout-timeout", "60"]);
        target.send_async(AsyncEvent::LogoutRequest, Lun(0), [0, 0, 60], &[]);
        eventually("the request for a logout is heard", LIMIT, || {
            (daemon.session(TARGET)?.state == SessionState::Recovering).then_some(())
        });
        assert_eq!(target.counters().logouts, 0, "the logout does not overtake what is under way");
        hold.release();
        writer.join()
    });
    writer.expect("it is written");
    logged_in(&daemon, &target, 2);
    assert_eq!(target.counters().logouts, 1);
    assert_eq!(target.commands().iter().filter(|command| is_write(command)).count(), 1, "it was done twice");
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: reject-waiting-for-logout
#[test]
fn a_target_that_waits_for_a_logout_gets_it() {
    let (_runtime, target, daemon) = scene();
    target.send_reject(RejectReason::WaitingForLogout.into(), &[0; 48]);
    eventually("the logout", LIMIT, || (target.counters().logouts == 1).then_some(()));
    logged_in(&daemon, &target, 2);
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: reject-waiting-for-logout, recovery-replay-order
#[test]
fn whoever_reads_while_the_target_waits_for_a_logout_sees_no_error() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let (_runtime, target, daemon) = scene();
    let content = vec![0x5a; 1 << 20];
    target.set_content(0, 0, &content);
    target.on_command(|command| match command.connection {
        0 => Action::Reject(RejectReason::WaitingForLogout),
        _ => Action::Proceed,
    });
    let dir = scratch_dir();
    let copy = dir.path().join("copy");
    run("nbdcopy", [uri(&daemon.disks(TARGET)[0]), copy.to_str().expect("a path in UTF-8")]);
    assert!(std::fs::read(copy).expect("the copy")[..content.len()] == content);
    logged_in(&daemon, &target, 2);
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: async-drop, recovery-time2wait
#[test]
fn a_target_that_announces_its_going_is_given_the_time_it_asked_for() {
    for event in [AsyncEvent::ConnectionDrop, AsyncEvent::SessionDrop] {
        let (_runtime, target, daemon) = scene();
        let announced = Instant::now();
        target.send_async(event, Lun(0), [0, 2, 20], &[]);
        target.disconnect_all(false);
        logged_in(&daemon, &target, 2);
        assert!(announced.elapsed() >= Duration::from_secs(2), "{:?}", announced.elapsed());
        let logins = target.logins();
        assert_eq!(logins[0].isid, logins[1].isid);
        assert_eq!(target.violations(), Vec::<String>::new());
    }
}

// check: async-luns-changed
#[test]
fn a_unit_that_the_target_reports_is_found() {
    let (_runtime, target, daemon) = scene();
    target.add_lun(1, SimDisk::new(2048, 512));
    target.send_scsi_event(Lun(0), &Sense::new(SenseKey::UnitAttention, 0x3f, 0x0e));
    eventually("the new unit", LIMIT, || (daemon.disks(TARGET).len() == 2).then_some(()));
    target.remove_lun(0);
    target.send_scsi_event(Lun(0), &Sense::new(SenseKey::UnitAttention, 0x3f, 0x0e));
    eventually("its end", LIMIT, || {
        let disks = daemon.disks(TARGET);
        (disks.len() == 1 && disks[0].lun == 1).then_some(())
    });
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: async-capacity
#[test]
fn a_capacity_that_the_target_reports_is_read() {
    let (_runtime, target, daemon) = scene();
    target.resize(0, 65_536);
    target.send_scsi_event(Lun(0), &Sense::new(SenseKey::UnitAttention, 0x2a, 0x09));
    eventually("the new size", LIMIT, || (daemon.disks(TARGET)[0].blocks == 65_536).then_some(()));
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: async-vendor
#[test]
fn an_event_nobody_knows_is_in_the_log_and_changes_nothing() {
    let (_runtime, target, daemon) = scene();
    for event in [AsyncEvent::VendorSpecific, AsyncEvent::Unknown(100)] {
        target.send_async(event, Lun(0), [1, 2, 3], b"whatever");
    }
    eventually("two lines in the log", LIMIT, || {
        let log = daemon.log();
        (log.contains("event=255") && log.contains("event=100")).then_some(())
    });
    assert_eq!(daemon.session(TARGET).map(|session| session.state), Some(SessionState::Active));
    assert_eq!(target.counters().connections, 1);
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: recovery-isid, recovery-restart
#[test]
fn a_daemon_that_was_killed_takes_its_own_session_over_and_another_one_keeps_out_of_it() {
    let (_runtime, target, daemon) = scene();
    daemon.ctl_ok(["modify", "target", TARGET, "--auto-login", "yes"]);
    let daemon = Daemon::start_in(daemon.crash());
    logged_in(&daemon, &target, 2);
    let logins = target.logins();
    assert_eq!(logins[0].isid, logins[1].isid);
    assert_eq!(target.sessions().len(), 1, "reinstated, not beside the old one");
    // Another installation on the same machine.
    let other = Daemon::start();
    other.log_in(TARGET, &target.address().to_string());
    assert_ne!(target.logins()[2].isid, logins[0].isid);
    assert_eq!(target.sessions().len(), 2);
    assert!(daemon.session(TARGET).is_some_and(|session| session.state == SessionState::Active));
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: chap-secret-core-dump
#[test]
fn the_daemon_leaves_no_core_dump() {
    let daemon = Daemon::start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("the limits of a process");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("that limit");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
}

// check: statsn-acknowledged
#[test]
fn a_target_that_keeps_few_statuses_is_never_left_with_more() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let negotiation = Negotiation { window: 512, ..Negotiation::default() };
    let target = start(&runtime, |builder| builder.negotiation(negotiation).most_unacknowledged(128));
    let daemon = Daemon::start();
    let disks = daemon.log_in(TARGET, &target.address().to_string());
    // The target answers the first writes in one go, and those that wait are behind them.
    let hold = Hold::new();
    let held = hold.clone();
    target
        .on_command(move |command| if command.opcode() == 0x8a { Action::Hold(held.clone()) } else { Action::Proceed });
    let random = RandomFile::of_bytes(disks[0].bytes);
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| {
            // A disk this small gets one connection, however many are allowed.
            let queue = ["--connections=1", "--requests=256", "--request-size=4096"];
            run("nbdcopy", queue.into_iter().chain(["--flush", random.name(), uri(&disks[0])]))
        });
        eventually("a deep queue", LIMIT, || (hold.waiting() >= 100).then_some(()));
        hold.release();
        copy.join().expect("nbdcopy");
    });
    assert!(target.content(0, 0, disks[0].bytes) == random.bytes(), "other bytes than were written");
    assert_eq!(target.violations(), Vec::<String>::new());
    assert_eq!(target.logins().len(), 1, "nobody was dropped");
}
