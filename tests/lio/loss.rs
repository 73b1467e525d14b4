//! A target that falls silent, loses its power or is taken out of service, under load.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use iscsid::ipc::{self, SessionState};

use crate::common::daemon::uri;
use crate::common::process::{Process, eventually};
use crate::common::{Daemon, RandomFile, need, run, scratch_dir};
use crate::counters;
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::Spec;

/// A session that was refused for a while comes back after a wait twice as long as the last.
const LIMIT: Duration = Duration::from_secs(240);

/// Random writes, 32 under way, each block with its checksum; in the end all of it is read and checked.
fn verified_load(disk: &ipc::Lun, dir: &Path) -> Process {
    let mut fio = Command::new("fio");
    fio.args(["--name=load", "--ioengine=nbd", "--rw=randwrite", "--bs=8k", "--iodepth=32", "--size=4M", "--loops=4"]);
    fio.args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--rate=,2m"]);
    fio.arg(format!("--uri={}", uri(disk)));
    Process::start(&fio, &dir.join("fio.log"))
}

fn assert_verified(fio: &mut Process) {
    let status = eventually("the end of fio", LIMIT, || fio.exited());
    assert!(status.success() && !fio.log().contains("verify:"), "{}", fio.log());
}

/// Waits until the load has written so much more.
fn await_written(daemon: &Daemon, lio: &Lio, fio: &mut Process, more: u64) {
    let before = counters(daemon, lio).bytes_written;
    eventually("more data", LIMIT, || {
        assert!(fio.exited().is_none(), "fio ended before it was disturbed:\n{}", fio.log());
        (counters(daemon, lio).bytes_written >= before + more).then_some(())
    });
}

pub(crate) fn await_state(daemon: &Daemon, lio: &Lio, state: SessionState) {
    eventually(&format!("{state:?}"), LIMIT, || daemon.session(&lio.iqn).filter(|session| session.state == state));
}

/// Adds and logs in, with pings that notice a silent target soon.
pub(crate) fn log_in_watchful(daemon: &Daemon, lio: &Lio) -> Vec<ipc::Lun> {
    daemon.add(&lio.iqn, &lio.portal());
    let pings = ["--nop-interval", "1", "--nop-timeout", "2"];
    // A guest that boots takes connections and says nothing; on a busy machine it does so for a minute.
    let logins = ["--default-time2wait", "0", "--login-timeout", "2", "--replacement-timeout", "600"];
    daemon.ctl_ok([&["modify", "target", &lio.iqn][..], &pings, &logins].concat());
    daemon.ctl_ok(["login", &lio.iqn]);
    daemon.disks(&lio.iqn)
}

// check: nop-own
#[test]
fn a_target_that_stands_still_for_a_while_under_load_loses_nothing() {
    if !need(&["fio"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon, dir) = (Lio::start(&guest, &Spec::new().bytes(4 << 20)), Daemon::start(), scratch_dir());
    let disks = log_in_watchful(&daemon, &lio);
    let mut fio = verified_load(&disks[0], dir.path());
    for times in 1..=2 {
        await_written(&daemon, &lio, &mut fio, 1 << 20);
        guest.freeze();
        await_state(&daemon, &lio, SessionState::Recovering);
        guest.thaw();
        await_state(&daemon, &lio, SessionState::Active);
        assert_eq!(counters(&daemon, &lio).reconnects, times);
    }
    assert_verified(&mut fio);
    assert_eq!(lio.sessions(), 1, "the old sessions are replaced, not left");
}

/// What it had acknowledged is on its drive; what it had not is written again.
#[test]
fn a_power_cut_of_the_target_under_load_loses_nothing() {
    if !need(&["fio"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let (spec, unit) = (Spec::new().disks(0), "drive drive0 67108864 512\nunit 0 drive0");
    let (lio, daemon, dir) = (Lio::start_with(&guest, &spec, unit), Daemon::start(), scratch_dir());
    let disks = log_in_watchful(&daemon, &lio);
    let mut fio = verified_load(&disks[0], dir.path());
    await_written(&daemon, &lio, &mut fio, 1 << 20);
    guest.power_cut();
    await_state(&daemon, &lio, SessionState::Recovering);
    Lio::start_with(&guest, &spec, unit);
    await_state(&daemon, &lio, SessionState::Active);
    assert_eq!(counters(&daemon, &lio).reconnects, 1);
    assert_verified(&mut fio);
}

/// LIO announces nothing: it closes the connections, and refuses logins with 0301 until it is back.
// check: login-03xx
#[test]
fn a_target_that_is_taken_out_of_service_for_a_while_under_load_loses_nothing() {
    if !need(&["fio"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon, dir) = (Lio::start(&guest, &Spec::new().bytes(4 << 20)), Daemon::start(), scratch_dir());
    let disks = log_in_watchful(&daemon, &lio);
    let mut fio = verified_load(&disks[0], dir.path());
    await_written(&daemon, &lio, &mut fio, 1 << 20);
    lio.script("disable");
    eventually("a login refused", LIMIT, || daemon.log().contains("(status 0301)").then_some(()));
    lio.script("enable");
    await_state(&daemon, &lio, SessionState::Active);
    assert_verified(&mut fio);
}

/// As an administrator would who deletes the target and makes it again from the same disks.
#[test]
fn a_target_that_is_removed_and_made_again_is_the_same_to_its_users() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().disks(2).bytes(64 << 10)), Daemon::start());
    let disks = log_in_watchful(&daemon, &lio);
    let content = RandomFile::of_bytes(disks[1].bytes);
    run("nbdcopy", ["--flush", content.name(), uri(&disks[1])]);
    lio.script("remove_target");
    await_state(&daemon, &lio, SessionState::Recovering);
    guest.script(&format!("target {}\nunit 0 disk0\nunit 1 disk1\nportal 3260\nenable", lio.iqn));
    await_state(&daemon, &lio, SessionState::Active);
    let dir = scratch_dir();
    let back = dir.path().join("read");
    run("nbdcopy", [uri(&disks[1]), back.to_str().expect("a path in UTF-8")]);
    content.assert_same_as(&back, "what was read back");
}

/// Another disk in the place of the one that was there is not written to.
// check: recovery-identity
#[test]
fn a_unit_that_became_another_disk_meanwhile_stays_offline() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    log_in_watchful(&daemon, &lio);
    lio.script("disable\nno_unit 0\ndisk other 65536 512\nunit 0 other");
    await_state(&daemon, &lio, SessionState::Recovering);
    lio.script("enable");
    await_state(&daemon, &lio, SessionState::Active);
    let problem = eventually("a word about the disk", LIMIT, || {
        daemon.disks(&lio.iqn).into_iter().next().and_then(|disk| disk.problem)
    });
    assert!(problem.contains("not the disk that it was"), "{problem}");
    assert_eq!(guest.script("tr -d '\\0' </disks/other | wc -c").trim(), "0");
}

// check: logout-unanswered
#[test]
fn a_logout_from_a_target_that_stands_still_is_soon_over() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    log_in_watchful(&daemon, &lio);
    guest.freeze();
    let began = std::time::Instant::now();
    daemon.ctl_ok(["logout", &lio.iqn, "--force"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(daemon.session(&lio.iqn), None);
    guest.thaw();
    eventually("the end of the session at the target", LIMIT, || (lio.sessions() == 0).then_some(()));
    daemon.ctl_ok(["login", &lio.iqn]);
    assert_eq!(daemon.disks(&lio.iqn).len(), 1);
}

/// Both portals belong to one group; the session goes on over the one that is left.
// check: recovery-portal-dead
#[test]
fn a_session_moves_to_the_portal_that_is_left() {
    let Some(guest) = Guest::get("lio") else { return };
    let lio = Lio::start_with(&guest, &Spec::new().bytes(64 << 10), "portal 3261");
    let daemon = Daemon::start();
    daemon.ctl_ok(["add", "target", &lio.iqn, "--portal", &guest.portal(3260)]);
    daemon.ctl_ok(["add", "target", &lio.iqn, "--portal", &guest.portal(3261)]);
    let settings = ["--attach", "no", "--default-time2wait", "0"];
    daemon.ctl_ok([&["modify", "target", &lio.iqn][..], &settings].concat());
    daemon.ctl_ok(["login", &lio.iqn]);
    assert_eq!(daemon.session(&lio.iqn).expect("a session").portal, guest.portal(3260));
    lio.script("disable\nno_portal 3260\nenable");
    eventually("the other portal", LIMIT, || {
        let session = daemon.session(&lio.iqn)?;
        (session.state == SessionState::Active && session.portal == guest.portal(3261)).then_some(())
    });
    super::login::copy_there_and_back(&daemon, &lio, "over the other portal");
    assert_eq!(lio.sessions(), 1);
}

/// The new session takes the place of the one that the target still holds (RFC 7143 §6.3.5).
// check: recovery-isid
#[test]
fn a_daemon_that_was_killed_and_started_again_replaces_its_session() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    log_in_watchful(&daemon, &lio);
    // The target hears nothing of the end, and a moment later finds the old session in the way.
    guest.freeze();
    let home = daemon.crash();
    guest.thaw();
    let daemon = Daemon::start_in(home);
    await_state(&daemon, &lio, SessionState::Active);
    eventually("the unit", LIMIT, || (daemon.disks(&lio.iqn).len() == 1).then_some(()));
    super::login::copy_there_and_back(&daemon, &lio, "after the daemon was killed");
    assert_eq!(lio.sessions(), 1);
}
