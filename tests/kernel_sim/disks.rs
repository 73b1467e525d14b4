//! Disks: found, read, written, gone.

use iscsi_kext_messages::*;
use sim_target::{SimDisk, SimTarget};

use crate::TARGET;
use crate::client::{FRAME_UNLOAD, SUCCESS};
use crate::common::process::{eventually, need, run};
use crate::sim::{BLOCKS, Sim, disk, log_in, target};

/// Writes a file of random bytes over the disk, reads it back and compares; then both with the target.
async fn there_and_back(digest: &str) {
    if !need(&["nbdcopy"]) {
        return;
    }
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, digest).await, 0).expect("a session");
    let unit = disk(&mut daemon);
    assert_eq!((unit.target, unit.blocks, unit.block_size), (created.target.into(), BLOCKS, 512));
    let mut content = vec![0; (BLOCKS * 512) as usize];
    getrandom::fill(&mut content).expect("random bytes");
    let file = sim.dir.path().join("random");
    std::fs::write(&file, &content).expect("a file");
    let (file, uri) = (file.to_str().expect("UTF-8").to_owned(), sim.uri(&unit));
    run("nbdcopy", ["--flush", "--connections=4", "--requests=32", &file, &uri]);
    assert!(target.content(0, 0, BLOCKS * 512) == content, "what the target has");
    let back = sim.dir.path().join("back");
    run("nbdcopy", ["--connections=4", "--requests=32", &uri, back.to_str().expect("UTF-8")]);
    assert!(std::fs::read(back).expect("the copy") == content, "what was read back");
    let statistics = daemon.statistics(created.session).expect("a session");
    assert_eq!((statistics.in_flight, statistics.waiting), (0, 0));
    assert!(statistics.bytes_read >= BLOCKS * 512 && statistics.bytes_written == BLOCKS * 512, "{statistics:?}");
    daemon.log_out(created.session);
    assert!(daemon.units().is_empty());
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_written_and_read_back() {
    there_and_back("None").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_written_and_read_back_with_digests() {
    there_and_back("CRC32C").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_units_are_found_also_those_above_255() {
    let mut builder = SimTarget::builder(TARGET);
    for number in [0, 1, 255, 256, 16_383] {
        builder = builder.lun(number, SimDisk::new(u64::from(number) + 8, 4096));
    }
    let target = builder.start().await.expect("a free port");
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    eventually("the disks", std::time::Duration::from_secs(30), || (daemon.units().len() == 5).then_some(()));
    let mut units: Vec<_> = daemon.units().iter().map(|unit| (unit.number, unit.blocks)).collect();
    units.sort_unstable();
    assert_eq!(units, [(0, 8), (1, 9), (255, 263), (256, 264), (16_383, 16_391)]);
    target.add_lun(7, SimDisk::new(99, 512));
    daemon.tell(ISCSI_RESCAN, &crate::client::of(created.session)).expect("a rescan");
    assert_eq!(daemon.units().len(), 6);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extension_is_not_unloaded_while_there_is_a_session() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    assert_ne!(daemon.call(FRAME_UNLOAD, &[], 0, &[]).0, SUCCESS);
    assert_eq!(daemon.units().len(), 1, "it is still there");
    daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
    assert_eq!(daemon.notice(ISCSI_NOTICE_TERMINATING).session, created.session);
    sim.end(&mut daemon);
}
