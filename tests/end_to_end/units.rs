//! More than one unit, and more than one target.

use std::time::{Duration, Instant};

use iscsi_proto::scsi::{Sense, SenseKey, cdb::opcode};
use iscsid::ipc::{self, ExitCode};
use sim_target::{Action, Builder, SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::uri;
use crate::common::process::eventually;
use crate::common::{Daemon, RandomFile, need, run};
use crate::targets::{Istgt, Spec, Tgt};

#[test]
fn four_units_of_one_target_do_not_mix_their_data() {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(4)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    assert_eq!(disks.iter().map(|disk| disk.lun).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let contents: Vec<_> = disks.iter().map(|disk| (disk, RandomFile::of_bytes(disk.bytes))).collect();
    for (disk, content) in &contents {
        run("nbdcopy", ["--flush", content.name(), uri(disk)]);
    }
    for ((disk, content), backing) in contents.iter().zip(&tgt.disks) {
        content.assert_same_as(&backing.file, &format!("unit {}", disk.lun));
    }
}

#[test]
fn two_targets_at_once_do_not_mix_their_data() {
    if !need(Tgt::TOOLS) || !need(Istgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let (tgt, istgt) = (Tgt::start(&Spec::new().name("one")), Istgt::start(&Spec::new().name("two")));
    let daemon = Daemon::start();
    let one = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let two = daemon.log_in(&istgt.iqn, &istgt.ipv6());
    let (a, b) = (RandomFile::of_bytes(one[0].bytes), RandomFile::of_bytes(two[0].bytes));
    std::thread::scope(|scope| {
        scope.spawn(|| run("nbdcopy", ["--flush", a.name(), uri(&one[0])]));
        scope.spawn(|| run("nbdcopy", ["--flush", b.name(), uri(&two[0])]));
    });
    a.assert_same_as(&tgt.disks[0].file, "tgt");
    b.assert_same_as(&istgt.disks[0].file, "istgt");
    let sessions: Vec<ipc::Session> = daemon.ctl_json(&["list", "sessions"]);
    assert_eq!(sessions.len(), 2);
    assert_ne!(sessions[0].isid, sessions[1].isid);
}

/// 255 disks, and the controller that tgt has as its unit 0.
#[test]
fn all_of_256_units_are_reported() {
    if !need(Tgt::TOOLS) || !need(&["nbdinfo"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(255).bytes(1 << 20)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    assert_eq!(disks.iter().map(|disk| disk.lun).collect::<Vec<_>>(), (1..=255).collect::<Vec<_>>());
    let all: Vec<ipc::Lun> = daemon.ctl_json(&["list", "luns"]);
    assert_eq!(all.len(), 256);
    assert_eq!(run("nbdinfo", ["--size", uri(&disks[254])]).trim(), (1 << 20).to_string());
    daemon.ctl_ok(["logout", &tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);
}

#[test]
fn a_unit_with_4096_byte_blocks_keeps_its_data() {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().block_size(4096)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    assert_eq!((disks[0].block_size, disks[0].blocks), (4096, 1024));
    let content = RandomFile::of_bytes(disks[0].bytes);
    run("nbdcopy", ["--flush", content.name(), uri(&disks[0])]);
    content.assert_same_as(&tgt.disks[0].file, "the unit");
}

fn sim(runtime: &Runtime, name: &str, shape: impl FnOnce(Builder) -> Builder) -> SimTarget {
    runtime.block_on(shape(SimTarget::builder(name).own_thread()).start()).expect("a free port")
}

fn disk() -> SimDisk {
    SimDisk::new(2048, 512)
}

// check: scan-no-unit-zero
#[test]
fn units_of_a_target_that_lists_none_and_has_no_unit_0_are_listed() {
    const TARGET: &str = "iqn.2026-11.test.sim:gap";
    let (runtime, daemon) = (Runtime::new().expect("a runtime"), Daemon::start());
    let target = sim(&runtime, TARGET, |builder| {
        builder.lun(1, disk()).lun(100, disk()).on_command(|command| match command.opcode() {
            opcode::REPORT_LUNS => Action::CheckCondition(Sense::new(SenseKey::IllegalRequest, 0x25, 0)),
            _ => Action::Proceed,
        })
    });
    let disks = daemon.log_in(TARGET, &target.address().to_string());
    let found: Vec<_> = disks.iter().map(|disk| (disk.lun, disk.bytes, disk.problem.clone())).collect();
    assert_eq!(found, [(1, 1 << 20, None), (100, 1 << 20, None)]);
    let details = daemon.ctl_ok(["show", "target", TARGET]);
    assert!(details.contains("this target lists its units nowhere; each number up to 255 is tried"), "{details}");
    daemon.ctl_ok(["logout", TARGET]);
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: login-units-unread
#[test]
fn a_target_that_lets_us_in_and_ends_the_connection_at_the_first_command_is_told_and_tried_on() {
    const TARGET: &str = "iqn.2026-11.test.sim:shy";
    let (runtime, daemon) = (Runtime::new().expect("a runtime"), Daemon::start());
    let target = sim(&runtime, TARGET, |builder| builder.lun(0, disk()).on_command(|_| Action::Disconnect));
    daemon.add(TARGET, &target.address().to_string());
    let began = Instant::now();
    let output = daemon.ctl(["login", TARGET]);
    assert_eq!(output.code, ExitCode::TryAgain as i32, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("its units could not be looked for yet"), "{}", output.stderr);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    target.clear_command_hook();
    let found = || daemon.disks(TARGET).into_iter().find(|unit| unit.bytes == 1 << 20);
    eventually("its unit", Duration::from_secs(90), found);
    daemon.ctl_ok(["logout", TARGET]);
}

// check: scan-no-disk
#[test]
fn an_administrative_unit_is_listed_as_what_it_is() {
    const TARGET: &str = "iqn.2026-11.test.sim:conglomerate";
    let (runtime, daemon) = (Runtime::new().expect("a runtime"), Daemon::start());
    let target = sim(&runtime, TARGET, |builder| builder.lun(0, SimDisk::administrative()).lun(1, disk()));
    let units = daemon.log_in(TARGET, &target.address().to_string());
    let found: Vec<_> =
        units.iter().map(|unit| (unit.lun, unit.administrative, unit.bytes, unit.problem.clone())).collect();
    assert_eq!(found, [(0, true, 0, None), (1, false, 1 << 20, None)]);
    let table = daemon.ctl_ok(["list", "luns"]);
    assert!(table.contains("lun 0: type 0x00 (Administrative unit)"), "{table}");
}

// check: unit-same-name
#[test]
fn units_of_two_targets_that_have_one_name_are_two_disks() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let (runtime, daemon) = (Runtime::new().expect("a runtime"), Daemon::start());
    let names = ["iqn.2026-11.test.sim:one", "iqn.2026-11.test.sim:two"];
    let targets =
        names.map(|name| sim(&runtime, name, |builder| builder.lun(0, disk().serial("SAME").naa([0x60; 16]))));
    let disks: Vec<_> = std::iter::zip(&names, &targets)
        .map(|(name, target)| daemon.log_in(name, &target.address().to_string()).remove(0))
        .collect();
    assert_ne!(uri(&disks[0]), uri(&disks[1]));
    let contents: Vec<_> = disks.iter().map(|disk| (disk, RandomFile::of_bytes(disk.bytes))).collect();
    for (disk, content) in &contents {
        run("nbdcopy", ["--flush", content.name(), uri(disk)]);
    }
    for ((disk, content), target) in contents.iter().zip(&targets) {
        assert!(target.content(0, 0, disk.bytes) == content.bytes(), "{}", disk.target);
    }
}
