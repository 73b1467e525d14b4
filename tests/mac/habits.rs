//! The tools' bad habits: lists that lie, words that are translated, commands that never end.

use std::time::Duration;

use crate::common::process;
use crate::stage::{LIMIT, Stage, spec, within};

#[test]
fn a_list_of_images_that_is_cut_short_takes_no_disk_away() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let mut daemon = stage.log_in(&[]);
    stage.load();
    stage.mac.habit("info-cut-short", "");
    let refused = daemon.ctl(["logout", &stage.tgt.iqn]);
    assert_ne!(refused.code, 0, "{}{}", refused.stdout, refused.stderr);
    stage.nothing_torn();
    stage.await_progress(2);
    // Nor does the next daemon believe it.
    stage.mac.habit("info-cut-short", "2");
    daemon = stage.mac.start(daemon.crash());
    process::eventually("a session", LIMIT, || daemon.session(&stage.tgt.iqn));
    stage.await_progress(2);
    stage.nothing_torn();
    stage.mac.habit_ends("info-cut-short");
    daemon.ctl_ok(["attach", &stage.tgt.iqn]);
    assert_eq!(stage.device(&daemon), "/dev/disk4");
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn a_blank_disk_is_attached_on_a_mac_in_another_language() {
    let Some(stage) = Stage::set(&spec()) else { return };
    stage.mac.habit("language", "it");
    let daemon = stage.log_in(&[]);
    let device = stage.device(&daemon);
    assert_eq!(stage.mac.disks(), [device.trim_start_matches("/dev/")]);
    daemon.ctl_ok(["logout", &stage.tgt.iqn]);
    stage.nothing_left();
}

#[test]
fn whoever_uses_a_disk_is_named_on_a_mac_in_another_language() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    stage.mac.habit("language", "it");
    let daemon = stage.log_in(&[]);
    stage.load();
    stage.end_load();
    stage.script("touch $volume/open; hold $volume/open");
    let refused = daemon.ctl(["logout", &stage.tgt.iqn]);
    assert_eq!(refused.code, 75, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("tail"), "{}", refused.stderr);
    stage.nothing_torn();
    stage.script("let_go");
    stage.log_out_and_verify(&daemon);
}

#[test]
fn a_container_with_a_shorter_name_is_not_taken_for_the_disk() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    stage.mac.habit("first-disk", "10");
    stage.mac.habit("container", "disk5");
    let daemon = stage.log_in(&[]);
    assert_eq!(stage.device(&daemon), "/dev/disk10");
    stage.load();
    stage.end_load();
    stage.mac.habit_ends("container");
    stage.log_out_and_verify(&daemon);
}

#[test]
fn where_hdiutil_detaches_nothing_any_more_a_disk_goes_all_the_same() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    stage.mac.habit("detach-busy", "");
    let daemon = stage.log_in(&[]);
    stage.load();
    stage.end_load();
    stage.script("touch $volume/open; hold $volume/open");
    daemon.ctl_ok(["logout", &stage.tgt.iqn, "--force"]);
    stage.nothing_left();
    stage.nothing_torn();
    stage.verify();
}

#[test]
fn a_process_that_keeps_the_tool_s_pipes_open_keeps_nobody_waiting() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    stage.mac.habit("helper-keeps-pipes", "");
    let daemon = within(Duration::from_secs(45), "a login", || stage.log_in(&[]));
    stage.device(&daemon);
    stage.load();
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}
