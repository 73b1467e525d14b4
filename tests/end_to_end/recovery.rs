//! Connections that are lost under a session.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::AsyncEvent;
use iscsi_proto::scsi::{Sense, SenseKey};
use iscsid::ipc;
use sim_target::{Action, Hold, SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::uri;
use crate::common::process::{self, Process, eventually};
use crate::common::{Daemon, Mounted, RandomFile, need, need_loop, need_root, run, scratch_dir};
use crate::targets::{Spec, Tgt};

fn stats(daemon: &Daemon, iqn: &str) -> ipc::Stats {
    let stats: Vec<ipc::Stats> = daemon.ctl_json(&["stats", iqn]);
    stats.into_iter().next().unwrap_or_else(|| panic!("no counters of {iqn}"))
}

/// Resets all connections to a port, as a firewall that forgot them would.
fn cut(port: u16) {
    run("ss", ["--kill", "--tcp", "state", "established", "dport", "=", &format!(":{port}")]);
}

// check: recovery-replay-order, stream-end
#[test]
fn connections_cut_under_load_lose_no_data() {
    if !need_root() || !need(Tgt::TOOLS) || !need(&["fio", "ss"]) {
        return;
    }
    let (tgt, daemon, dir) = (Tgt::start(&Spec::new().bytes(64 << 20)), Daemon::start(), scratch_dir());
    daemon.add(&tgt.iqn, &tgt.ipv4());
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--default-time2wait", "0"]);
    daemon.ctl_ok(["login", &tgt.iqn]);
    let disks = daemon.disks(&tgt.iqn);

    let mut fio = Command::new("fio");
    fio.args(["--name=cut", "--ioengine=nbd", "--rw=randwrite", "--bs=16k", "--iodepth=16", "--size=64M", "--loops=4"]);
    fio.args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--rate=,16m"]);
    fio.arg(format!("--uri={}", uri(&disks[0])));
    let mut fio = Process::start(&fio, &dir.path().join("fio.log"));
    for cuts in 1..=3 {
        let written = stats(&daemon, &tgt.iqn).counters.bytes_written;
        eventually("more data", Duration::from_secs(30), || {
            assert!(fio.exited().is_none(), "fio ended before it was disturbed:\n{}", fio.log());
            (stats(&daemon, &tgt.iqn).counters.bytes_written > written + (1 << 20)).then_some(())
        });
        cut(tgt.port());
        eventually("another connection", Duration::from_secs(30), || {
            (stats(&daemon, &tgt.iqn).counters.reconnects >= cuts).then_some(())
        });
    }
    let status = eventually("the end of fio", Duration::from_secs(100), || fio.exited());
    assert!(status.success() && !fio.log().contains("verify:"), "{}", fio.log());
    assert_eq!(tgt.sessions(), 1, "the old sessions are replaced, not left");
}

#[test]
fn data_waits_for_a_target_that_is_down_for_a_while() {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    tgt.freeze();
    let random = RandomFile::of_bytes(disks[0].bytes);
    std::thread::scope(|scope| {
        let copy =
            scope.spawn(|| process::output(Command::new("nbdcopy").args(["--flush", random.name(), uri(&disks[0])])));
        eventually("a lost connection", Duration::from_secs(30), || {
            daemon.session(&tgt.iqn).filter(|session| session.state == ipc::SessionState::Recovering)
        });
        tgt.thaw();
        let copy = copy.join().expect("nbdcopy");
        assert_eq!(copy.code, 0, "{}", copy.stderr);
    });
    random.assert_same_as(&tgt.disks[0].file, "what the target has");
}

const SIM: &str = "iqn.2026-11.test.sim:recovery";

fn sim(runtime: &Runtime) -> SimTarget {
    let builder = SimTarget::builder(SIM).lun(0, SimDisk::new(32_768, 512)).own_thread();
    runtime.block_on(builder.start()).expect("a free port")
}

/// Copies to the unit while `trouble` happens to its session, and compares.
fn copied_through(target: &SimTarget, daemon: &Daemon, trouble: impl FnOnce()) {
    let disks = daemon.log_in(SIM, &target.address().to_string());
    let random = RandomFile::of_bytes(disks[0].bytes);
    let hold = Hold::new();
    let held = hold.clone();
    // It happens while the first write is under way.
    let first = AtomicBool::new(true);
    target.on_command(move |command| {
        let write = command.opcode() == 0x8a && first.swap(false, Ordering::SeqCst);
        if write { Action::Hold(held.clone()) } else { Action::Proceed }
    });
    std::thread::scope(|scope| {
        let copy =
            scope.spawn(|| process::output(Command::new("nbdcopy").args(["--flush", random.name(), uri(&disks[0])])));
        eventually("a write", Duration::from_secs(30), || (hold.waiting() > 0).then_some(()));
        trouble();
        hold.release();
        let copy = copy.join().expect("nbdcopy");
        assert_eq!(copy.code, 0, "{}", copy.stderr);
    });
    assert!(target.content(0, 0, disks[0].bytes) == random.bytes(), "other bytes than were written");
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: async-logout, async-negotiation
#[test]
fn a_target_that_asks_for_a_logout_gets_one_and_the_session_back_under_load() {
    if !need(&["nbdcopy"]) {
        return;
    }
    for event in [AsyncEvent::LogoutRequest, AsyncEvent::NegotiationRequest] {
        let runtime = Runtime::new().expect("a runtime");
        let (target, daemon) = (sim(&runtime), Daemon::start());
        copied_through(&target, &daemon, || target.send_async(event, Lun(0), [0, 0, 2], &[]));
        eventually("another login", Duration::from_secs(30), || (target.logins().len() == 2).then_some(()));
        assert_eq!(target.counters().logouts, 1, "it was logged out of, not left");
    }
}

// check: async-drop
#[test]
fn a_target_that_announces_to_drop_us_is_given_the_time_it_wants() {
    if !need(&["nbdcopy"]) {
        return;
    }
    for event in [AsyncEvent::ConnectionDrop, AsyncEvent::SessionDrop] {
        let runtime = Runtime::new().expect("a runtime");
        let (target, daemon) = (sim(&runtime), Daemon::start());
        copied_through(&target, &daemon, || {
            target.send_async(event, Lun(0), [0, 1, 20], &[]);
            let recovering = || daemon.session(SIM).filter(|session| session.state == ipc::SessionState::Recovering);
            eventually("it is heard", Duration::from_secs(30), recovering);
            target.disconnect_all(false);
        });
        assert!(target.logins().len() >= 2);
    }
}

// check: recovery-restart
#[test]
fn a_daemon_that_is_killed_logs_in_again_when_it_is_started_without_being_told() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (sim(&runtime), Daemon::start());
    let disks = daemon.log_in(SIM, &target.address().to_string());
    let random = RandomFile::of_bytes(disks[0].bytes);
    run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
    let daemon = Daemon::start_in(daemon.crash());
    let active = || daemon.session(SIM).filter(|session| session.state == ipc::SessionState::Active);
    eventually("the session", Duration::from_secs(30), active);
    eventually("its unit", Duration::from_secs(30), || (!daemon.disks(SIM).is_empty()).then_some(()));
    let back = scratch_dir();
    let file = back.path().join("back");
    run("nbdcopy", [uri(&daemon.disks(SIM)[0]), file.to_str().expect("text")]);
    assert!(std::fs::read(&file).expect("the copy") == random.bytes());
    let isids: Vec<_> = target.logins().iter().map(|login| login.isid).collect();
    assert_eq!(isids[0], isids[1], "so that the target ends the old session");
    // Logged out of, it stays so.
    daemon.ctl_ok(["logout", SIM]);
    let daemon = Daemon::start_in(daemon.crash());
    assert_eq!(daemon.ctl(["list", "sessions", "--format", "json"]).stdout.trim(), "[]");
    assert_eq!(target.logins().len(), 2);
}

// check: recovery-restart
#[test]
fn the_disk_of_a_daemon_that_was_killed_is_cleared_away_and_comes_back_with_what_was_synced() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount", "sync"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (sim(&runtime), Daemon::start());
    daemon.log_in(SIM, &target.address().to_string());
    daemon.ctl_ok(["modify", "target", SIM, "--attach", "yes"]);
    daemon.ctl_ok(["attach", SIM]);
    let device = daemon.disks(SIM)[0].device.clone().expect("a device");
    run("mkfs.ext4", ["-q", &device]);
    let mounted = Mounted::new(&device);
    let file = mounted.at.join("file");
    std::fs::write(&file, vec![7; 1 << 20]).expect("written");
    run("sync", ["--file-system", file.to_str().expect("text")]);

    let daemon = Daemon::start_in(daemon.crash());
    let device = eventually("the disk", Duration::from_secs(30), || daemon.disks(SIM).first()?.device.clone());
    drop(mounted);
    let luns = daemon.home().runtime_dir().join("luns");
    let served = run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]);
    assert_eq!(served.lines().filter(|file| file.starts_with(luns.to_str().expect("text"))).count(), 1, "{served}");
    let mounted = Mounted::new(&device);
    assert!(std::fs::read(mounted.at.join("file")).expect("the file") == vec![7; 1 << 20]);
    mounted.unmount();
}

// check: recovery-forced-removal
#[test]
fn a_dead_target_with_a_mounted_disk_is_removed_by_force_at_once() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(&["mkfs.ext4", "mount"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().bytes(64 << 20)), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    daemon.ctl_ok(["attach", &tgt.iqn]);
    let device = daemon.disks(&tgt.iqn)[0].device.clone().expect("a device");
    run("mkfs.ext4", ["-q", &device]);
    let mounted = Mounted::new(&device);
    std::fs::write(mounted.at.join("file"), vec![1; 1 << 20]).expect("written");
    tgt.freeze();
    let started = std::time::Instant::now();
    daemon.ctl_ok(["remove", "target", &tgt.iqn, "--force"]);
    let took = started.elapsed();
    tgt.thaw();
    assert!(daemon.ctl_ok(["list", "targets", "--format", "json"]).trim() == "[]");
    // In virtual time it is less than one; this machine may have other things to do.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

// check: recovery-capacity, async-capacity
#[test]
fn a_unit_that_grows_is_larger_everywhere_without_a_command() {
    if !need(&["nbdinfo"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (sim(&runtime), Daemon::start());
    daemon.log_in(SIM, &target.address().to_string());
    target.resize(0, 65_536);
    target.send_scsi_event(Lun(0), &Sense::new(SenseKey::UnitAttention, 0x2a, 0x09));
    eventually("the new size", Duration::from_secs(30), || (daemon.disks(SIM)[0].blocks == 65_536).then_some(()));
    let size = run("nbdinfo", ["--size", uri(&daemon.disks(SIM)[0])]);
    assert_eq!(size.trim(), (65_536 * 512).to_string());
}
