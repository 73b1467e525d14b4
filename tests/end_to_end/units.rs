//! More than one unit, and more than one target.

use iscsid::ipc;

use crate::common::daemon::uri;
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
