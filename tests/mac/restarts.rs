//! The daemon ends or dies under a disk, and another one begins.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::daemon::{Daemon, Home};
use crate::common::process;
use crate::stage::{Stage, spec};

/// SIGTERM, and the end that it brings in the time that launchd grants.
fn end(mut daemon: Daemon) -> Home {
    daemon.signal(Signal::SIGTERM);
    process::eventually("the end of the daemon", Duration::from_secs(60), || daemon.has_ended().then_some(()));
    let (status, home) = daemon.ended();
    assert!(status.success(), "{status}");
    home
}

#[test]
fn a_unit_becomes_a_disk_with_its_volume_and_goes_again() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    assert_eq!(stage.device(&daemon), "/dev/disk4");
    stage.load();
    stage.await_progress(10);
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn sigterm_with_a_volume_in_use_leaves_the_disk_to_the_next_daemon() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    stage.load();
    let group = daemon.pid();
    let home = end(daemon);
    stage.mac.clear_group(group);
    stage.nothing_torn();
    assert_eq!(stage.mac.disks(), ["disk4"]);
    let daemon = stage.mac.start(home);
    assert_eq!(stage.device(&daemon), "/dev/disk4");
    stage.await_progress(3);
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn sigterm_with_a_volume_that_nobody_uses_takes_the_disk_away_with_all_that_was_written() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    stage.load();
    stage.end_load();
    // Written and nowhere but in memory: the eject writes it.
    stage.script(
        "dd if=/dev/urandom of=$volume/late bs=64k count=16 2>/dev/null; sha256sum $volume/late >>/tmp/written",
    );
    let _home = end(daemon);
    stage.nothing_torn();
    stage.nothing_left();
    stage.verify();
}

#[test]
fn a_volume_survives_a_daemon_that_is_killed_with_its_process_group_and_started_again() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let mut daemon = stage.log_in(&[]);
    stage.load();
    for _ in 0..2 {
        let group = daemon.pid();
        let home = daemon.crash();
        stage.mac.clear_group(group);
        daemon = stage.mac.start(home);
        assert_eq!(stage.device(&daemon), "/dev/disk4");
        stage.await_progress(3);
    }
    stage.nothing_torn();
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn at_the_end_of_the_machine_everything_is_written_though_diskutil_answers_no_more() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    // Not written yet, and nobody goes on writing when the volume is gone.
    stage.script(
        "dd if=/dev/urandom of=$volume/late bs=64k count=16 2>/dev/null; sha256sum $volume/late >>/tmp/written",
    );
    stage.mac.sysctl("kern.willshutdown", "1");
    stage.mac.habit("diskutil-silent", "");
    let _home = end(daemon);
    stage.nothing_torn();
    stage.nothing_left();
    stage.verify();
}
