//! Units of other kinds than one with a file system.

use std::os::unix::fs::FileExt;

use crate::common::process;
use crate::stage::{LIMIT, Stage, VOLUME, spec};
use crate::targets::Spec;

#[test]
fn a_unit_of_4k_blocks_is_a_disk_of_4k_blocks() {
    let Some(stage) = Stage::formatted(&spec().block_size(4096)) else { return };
    let daemon = stage.log_in(&[]);
    let device = stage.device(&daemon);
    let info = stage.mac.call("diskutil", &["info", "-plist", &device]).stdout;
    assert!(info.contains("<key>DeviceBlockSize</key>\n\t<integer>4096</integer>"), "{info}");
    stage.load();
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn a_read_only_unit_is_a_disk_that_takes_no_writes() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let before = std::fs::read(stage.file()).expect("the unit");
    stage.tgt.set_read_only(1);
    let daemon = stage.log_in(&[]);
    stage.device(&daemon);
    stage.script("ls $volume/lost+found; ! touch $volume/new 2>/dev/null");
    daemon.ctl_ok(["logout", &stage.tgt.iqn]);
    stage.nothing_left();
    stage.nothing_torn();
    assert!(std::fs::read(stage.file()).expect("the unit") == before, "it was written to");
}

#[test]
fn a_disk_with_partitions_has_them_as_its_parts() {
    const START: u64 = 1 << 20;
    let Some(stage) = Stage::set(&spec()) else { return };
    // A partition of Linux, from the sector 2048 on to the end.
    let mut table = [0; 512];
    let sectors = u32::try_from(((32 << 20) - START) / 512).expect("a small disk");
    table[450] = 0x83;
    table[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    table[458..462].copy_from_slice(&sectors.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let disk = std::fs::OpenOptions::new().write(true).open(stage.file()).expect("the unit");
    disk.write_all_at(&table, 0).expect("a table of partitions");
    let offset = format!("offset={START}");
    process::run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "disk", "-E", &offset, &stage.file(), "31M"]);
    let daemon = stage.log_in(&[]);
    assert_eq!(stage.device(&daemon), "/dev/disk4");
    let mounts = stage.mac.mounts().join("\n");
    assert!(mounts.contains(&format!("/dev/disk4s1 on {VOLUME} ")), "{mounts}");
    stage.load();
    stage.end_load();
    daemon.ctl_ok(["logout", &stage.tgt.iqn]);
    stage.nothing_left();
    stage.nothing_torn();
    stage.verify_at(START);
}

#[test]
fn several_disks_are_attached_while_others_come_and_go() {
    let small = Spec::new().bytes(4 << 20);
    let Some(stage) = Stage::set(&small.disks(3)) else { return };
    for disk in &stage.tgt.disks {
        let label = format!("d{}", disk.lun);
        let file = disk.file.to_str().expect("a path in UTF-8");
        process::run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", &label, file]);
    }
    stage.script("truncate -s 4M /tmp/other; /programs/mke2fs -q -F -L other /tmp/other");
    let daemon = std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            for _ in 0..3 {
                let words =
                    ["attach", "-plist", "-imagekey", "diskimage-class=CRawDiskImage", "-nomount", "/tmp/other"];
                assert_eq!(stage.mac.call("hdiutil", &words).code, 0);
                let name = stage.mac.disk_of("/tmp/other");
                assert_eq!(stage.mac.call("diskutil", &["eject", &name]).code, 0);
            }
        });
        let daemon = stage.log_in(&[]);
        others.join().expect("the others");
        daemon
    });
    let devices = process::eventually("three disks", LIMIT, || {
        let devices: Vec<String> = daemon.disks(&stage.tgt.iqn).into_iter().filter_map(|disk| disk.device).collect();
        (devices.len() == 3).then_some(devices)
    });
    let different: std::collections::BTreeSet<_> = devices.iter().collect();
    assert_eq!(different.len(), 3, "{devices:?}");
    // Each is the one it says.
    stage.script("for n in 1 2 3; do echo $n >/Volumes/d$n/number; done");
    daemon.ctl_ok(["logout", &stage.tgt.iqn]);
    stage.nothing_left();
    stage.nothing_torn();
    for disk in &stage.tgt.disks {
        let file = disk.file.to_str().expect("a path in UTF-8");
        assert_eq!(process::run("debugfs", ["-R", "cat number", file]).trim(), disk.lun.to_string());
    }
}
