use std::time::{Duration, Instant};

use sim_target::{Action, SimTarget};

use crate::common::Daemon;
use crate::common::daemon::LIMIT;
use crate::common::process::eventually;
use crate::mac::{Mac, mac};
use crate::{TARGET, log_in, started, target};

const SLEPT: &str = "the machine has slept: all sessions are checked";

/// SYNCHRONIZE CACHE (10) and (16).
fn is_flush(opcode: u8) -> bool {
    matches!(opcode, 0x35 | 0x91)
}

fn flushes(target: &SimTarget) -> usize {
    target.commands().iter().filter(|command| is_flush(command.opcode())).count()
}

fn logged_in_again(daemon: &Daemon, target: &SimTarget, logins: usize) {
    eventually("another login", LIMIT, || (target.logins().len() == logins).then_some(()));
    eventually("an active session", LIMIT, || {
        daemon.session(TARGET).filter(|session| session.state == iscsid::ipc::SessionState::Active)
    });
}

#[test]
fn a_mac_sleeps_when_units_have_been_flushed_and_is_told_so_by_the_number_it_gave() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let daemon = mac.start(home);
    log_in(&daemon, &target);
    // An idle machine asks first, and nothing has to be done for that.
    mac.tell(&["can-sleep"], "allowed");
    assert_eq!(flushes(&target), 0);
    mac.tell(&["sleep"], "allowed");
    assert_eq!(flushes(&target), 1);
    mac.tell(&["wake"], "heard");
    let power: Vec<_> = mac.log().into_iter().filter(|line| line.starts_with("power")).collect();
    assert_eq!(power, ["power registered", "power allowed 0x10000", "power allowed 0x20000"]);
    assert_eq!(target.violations(), [""; 0]);
    daemon.stop();
}

#[test]
fn a_target_that_does_not_flush_keeps_no_mac_awake_for_longer_than_macos_waits() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let daemon = mac.start(home);
    log_in(&daemon, &target);
    target.on_command(|command| if is_flush(command.opcode()) { Action::Ignore } else { Action::Proceed });
    let begun = Instant::now();
    mac.tell(&["sleep"], "allowed");
    // An answer after macOS' limit would be "late".
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(19), "{took:?}");
    target.clear_command_hook();
    mac.tell(&["wake"], "heard");
    Mac::said(&daemon, "not all units were flushed within 20 seconds before the sleep");
}

#[test]
fn after_a_sleep_a_session_looks_at_its_connection_at_once() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let daemon = mac.start(home);
    daemon.add(TARGET, &target.address().to_string());
    // Longer than this test waits: without a cause nothing would be said.
    daemon.ctl_ok(["modify", "target", TARGET, "--nop-interval", "3600"]);
    daemon.ctl_ok(["login", TARGET]);
    mac.tell(&["sleep"], "allowed");
    let before = target.counters().pdus_in;
    mac.tell(&["wake", "7200"], "heard");
    Mac::said(&daemon, SLEPT);
    eventually("a question", LIMIT, || (target.counters().pdus_in > before).then_some(()));
    assert_eq!(target.logins().len(), 1, "the session is the same");
    daemon.stop();
}

#[test]
fn a_connection_that_was_lost_in_a_sleep_of_hours_is_replaced_at_the_wake() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let daemon = mac.start(home);
    log_in(&daemon, &target);
    mac.tell(&["sleep"], "allowed");
    target.disconnect_all(true);
    mac.tell(&["wake", "36000"], "heard");
    logged_in_again(&daemon, &target, 2);
    // Programs' timeouts do not run in sleep.
    assert!(!daemon.log().contains("given up"), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn in_a_dark_wake_sessions_go_on_and_nobody_takes_it_for_a_wake() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let daemon = mac.start(home);
    log_in(&daemon, &target);
    mac.tell(&["sleep"], "allowed");
    target.disconnect_all(true);
    mac.set(&["dark-wake", "3600"]);
    logged_in_again(&daemon, &target, 2);
    assert!(!daemon.log().contains(SLEPT), "{}", daemon.log());
    let flushed = flushes(&target);
    mac.set(&["sleep"]);
    assert_eq!(flushes(&target), flushed, "nobody is asked a second time");
    mac.tell(&["wake"], "heard");
    Mac::said(&daemon, SLEPT);
    daemon.stop();
}
