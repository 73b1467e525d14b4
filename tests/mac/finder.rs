//! What a person does to disks without asking the daemon.

use crate::stage::{Stage, spec};

/// The Finder's eject.
fn eject(stage: &Stage, device: &str) {
    let ejected = stage.mac.call("diskutil", &["eject", device]);
    assert_eq!(ejected.code, 0, "{}", ejected.stderr);
}

#[test]
fn after_an_eject_of_the_last_disk_a_logout_finds_nothing_to_do() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    stage.load();
    stage.end_load();
    eject(&stage, &stage.device(&daemon));
    assert_eq!(stage.mac.disks(), [""; 0]);
    stage.log_out_and_verify(&daemon);
}

#[test]
fn after_an_eject_of_the_last_disk_it_is_attached_again() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    let device = stage.device(&daemon);
    eject(&stage, &device);
    daemon.ctl_ok(["attach", &stage.tgt.iqn]);
    assert_eq!(stage.mac.disks().len(), 1);
    stage.load();
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn after_an_eject_of_the_last_disk_the_next_daemon_starts_and_attaches_it() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&[]);
    stage.load();
    stage.end_load();
    eject(&stage, &stage.device(&daemon));
    let daemon = stage.mac.start(daemon.crash());
    stage.device(&daemon);
    stage.log_out_and_verify(&daemon);
}
