//! Many units, special ones, and units that come, go and grow while a session lasts.

use std::time::Duration;

use iscsid::ipc;

use crate::common::daemon::uri;
use crate::common::process::eventually;
use crate::common::{Daemon, RandomFile, run};
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::Spec;

const LIMIT: Duration = Duration::from_secs(30);

fn numbers(daemon: &Daemon, lio: &Lio) -> Vec<u64> {
    daemon.disks(&lio.iqn).iter().map(|disk| disk.lun).collect()
}

/// Reads a disk whole. What the target wants to say of its units, it says in answer to this.
fn read(disk: &ipc::Lun) {
    run("nbdcopy", [uri(disk), "null:"]);
}

#[test]
fn all_of_64_units_are_reported_and_do_not_mix_their_data() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().disks(64).bytes(64 << 10)), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    assert_eq!(disks.iter().map(|disk| disk.lun).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
    let contents: Vec<_> = disks.iter().step_by(21).map(|disk| (disk, RandomFile::of_bytes(disk.bytes))).collect();
    for (disk, content) in &contents {
        run("nbdcopy", ["--flush", content.name(), uri(disk)]);
    }
    for (disk, content) in &contents {
        let file = format!("/disks/disk{}", disk.lun);
        assert_eq!(guest.sha256(&file), crate::sha256(content.name()), "unit {}", disk.lun);
    }
}

/// LIO writes its address as that of a peripheral device on bus 63.
#[test]
fn a_unit_with_a_number_beyond_255_is_reached() {
    let Some(guest) = Guest::get("lio") else { return };
    let unit = "disk far 65536 512\nunit 16383 far";
    let (lio, daemon) = (Lio::start_with(&guest, &Spec::new().disks(0), unit), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    assert_eq!(disks.iter().map(|disk| disk.lun).collect::<Vec<_>>(), [16383]);
    let content = RandomFile::of_bytes(disks[0].bytes);
    run("nbdcopy", ["--flush", content.name(), uri(&disks[0])]);
    assert_eq!(guest.sha256("/disks/far"), crate::sha256(content.name()));
}

#[test]
fn a_unit_with_4096_byte_blocks_keeps_its_data() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(1 << 20).block_size(4096)), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    assert_eq!((disks[0].block_size, disks[0].blocks), (4096, 256));
    super::login::copy_there_and_back(&daemon, &lio, "4096-byte blocks");
}

#[test]
fn a_write_protected_unit_is_read_and_not_written() {
    let Some(guest) = Guest::get("lio") else { return };
    let protect = "head -c 65536 /dev/urandom >/disks/disk0\nattribute demo_mode_write_protect=1";
    let (lio, daemon) = (Lio::start_with(&guest, &Spec::new().bytes(64 << 10), protect), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    assert!(disks[0].read_only);
    assert!(run("nbdinfo", [uri(&disks[0])]).contains("is_read_only: true"));
    let dir = crate::common::scratch_dir();
    let back = dir.path().join("read");
    let back = back.to_str().expect("a path in UTF-8");
    run("nbdcopy", [uri(&disks[0]), back]);
    assert_eq!(guest.sha256("/disks/disk0"), crate::sha256(back));
}

// check: status-unit-attention
#[test]
fn a_unit_that_is_added_appears_by_itself() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    lio.script("disk extra 131072 512\nunit 5 extra");
    read(&disks[0]);
    assert_eq!(crate::counters(&daemon, &lio).errors, 0, "being told is no error");
    eventually("the new unit", LIMIT, || (numbers(&daemon, &lio) == [0, 5]).then_some(()));
    let disks = daemon.disks(&lio.iqn);
    assert_eq!(disks[1].bytes, 131072);
    let content = RandomFile::of_bytes(disks[1].bytes);
    run("nbdcopy", ["--flush", content.name(), uri(&disks[1])]);
    assert_eq!(guest.sha256("/disks/extra"), crate::sha256(content.name()));
}

// check: recovery-units-changed
#[test]
fn a_unit_that_is_removed_disappears_by_itself() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().disks(3).bytes(64 << 10)), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    lio.script("no_unit 1");
    read(&disks[0]);
    eventually("the end of the unit", LIMIT, || (numbers(&daemon, &lio) == [0, 2]).then_some(()));
    read(&disks[2]);
}

/// LIO tells nobody: it knows no unit attention for it. A rescan asks.
// check: recovery-capacity
#[test]
fn a_unit_that_has_grown_is_written_to_its_new_end_after_a_rescan() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    daemon.log_in(&lio.iqn, &lio.portal());
    guest.script("resize disk0 262144");
    daemon.ctl_ok(["rescan", &lio.iqn]);
    assert_eq!(daemon.disks(&lio.iqn)[0].bytes, 262144);
    super::login::copy_there_and_back(&daemon, &lio, "after it has grown");
}

#[test]
fn a_unit_that_has_shrunk_has_its_new_size_after_a_rescan() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(256 << 10)), Daemon::start());
    daemon.log_in(&lio.iqn, &lio.portal());
    guest.script("resize disk0 65536");
    daemon.ctl_ok(["rescan", &lio.iqn]);
    assert_eq!(daemon.disks(&lio.iqn)[0].bytes, 65536);
    super::login::copy_there_and_back(&daemon, &lio, "after it has shrunk");
}

/// LIO says of its units what the ALUA state of their group allows: for two seconds nothing but "wait".
#[test]
fn reads_and_writes_wait_for_a_unit_that_changes_its_alua_state() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start());
    daemon.log_in(&lio.iqn, &lio.portal());
    lio.script("alua disk0 trans_delay_msecs=2000\n(alua disk0 alua_access_state=1) >/dev/null 2>&1 &");
    eventually("the transition", LIMIT, || lio.script("alua_state 0").contains("Transition").then_some(()));
    super::login::copy_there_and_back(&daemon, &lio, "across a transition");
    let state = lio.script("alua_state 0");
    assert!(state.contains("Active/NonOptimized"), "{state}");
    assert_eq!(crate::counters(&daemon, &lio).errors, 0);
}
