//! Loads on a disk in memory, which answers out of order, from a task of its own.

use super::*;
use crate::block::MAX_BUFFER;
use crate::block::testing::{Plan, RamDisk};

const MOMENT: Duration = Duration::from_millis(50);

fn job(mix: Mix) -> Job {
    Job { mix, random: true, length: 4096, depth: 8, verify: false, seed: 1 }
}

fn load(disk: &Arc<RamDisk>, job: Job) -> Load {
    Load::new(disk.clone(), job).expect("it fits")
}

fn disk() -> Arc<RamDisk> {
    RamDisk::start(Plan::of_bytes(256 << 10))
}

#[tokio::test]
async fn reads_are_counted_and_timed() {
    let disk = disk();
    let mut load = load(&disk, job(Mix::Reads));
    load.prepare().await;
    load.run(MOMENT).await.expect("nothing fails");
    let measured = load.measured();
    assert!(measured.operations > 8 && measured.operations == load.meter().measured(), "{measured:?}");
    assert!(measured.elapsed >= MOMENT, "{measured:?}");
    let Measured { p50, p99, p999, max, .. } = measured;
    assert!(Duration::ZERO < p50 && p50 <= p99 && p99 <= p999 && p999 <= max && max <= measured.elapsed * 2);
    assert_eq!(disk.count(|op| op != Op::Read), 0);
    assert_eq!((load.open(), disk.waiting()), (0, 0));
}

#[tokio::test]
async fn one_after_the_other_means_from_the_beginning() {
    let disk = disk();
    let mut load = load(&disk, Job { random: false, length: 64 << 10, depth: 1, ..job(Mix::Reads) });
    load.prepare().await;
    load.run(MOMENT).await.expect("nothing fails");
    let asked: Vec<u64> = disk.asked().into_iter().map(|(_, lba, _)| lba).take(6).collect();
    assert_eq!(asked, [0, 128, 256, 384, 0, 128], "four places of 128 blocks, and round again");
}

#[tokio::test]
async fn never_more_is_under_way_than_asked_for() {
    let disk = disk();
    disk.hold(true);
    let mut load = load(&disk, job(Mix::Reads));
    load.prepare().await;
    let run = load.run(MOMENT);
    assert!(tokio::time::timeout(MOMENT, run).await.is_err(), "nothing is answered");
    assert_eq!((load.open(), disk.waiting()), (8, 8));
}

#[tokio::test]
async fn a_run_that_was_dropped_is_drained_and_gives_its_buffers_back() {
    let disk = disk();
    disk.hold(true);
    let mut load = load(&disk, job(Mix::Writes));
    load.prepare().await;
    assert!(tokio::time::timeout(MOMENT, load.run(MOMENT)).await.is_err(), "nothing is answered");
    disk.hold(false);
    load.drain().await;
    assert_eq!((load.open(), disk.waiting()), (0, 0));
    assert_eq!(disk.count(|op| matches!(op, Op::Write { .. })), 8, "nothing new was begun");
    let footprint = load.footprint();
    assert_eq!((footprint, disk.pool().allocated()), (8 * 4096, 8 * 4096));
    drop(load);
    let all: Vec<Buffer> = std::iter::from_fn(|| disk.pool().try_get(MAX_BUFFER)).collect();
    assert_eq!(all.len(), 64, "the whole budget is there for others");
}

#[tokio::test]
async fn what_was_written_is_found_again() {
    for mix in [Mix::Writes, Mix::Half] {
        let disk = disk();
        let mut load = load(&disk, Job { verify: true, ..job(mix) });
        load.prepare().await;
        load.run(MOMENT).await.expect("every read is what was written");
        let blocks = load.compare().await.expect("and in the end as well");
        assert!(blocks > 8 && blocks <= 512, "{blocks}");
        assert_eq!(load.meter().compared(), (blocks / 8, blocks / 8));
        let reads = disk.count(|op| op == Op::Read) as u64;
        assert_eq!(reads > blocks / 8, mix == Mix::Half, "{mix:?}: {reads} reads");
    }
}

#[tokio::test]
async fn a_block_with_other_data_is_named() {
    let disk = disk();
    let mut load = load(&disk, Job { verify: true, random: false, ..job(Mix::Writes) });
    load.prepare().await;
    load.run(MOMENT).await.expect("nothing fails");
    disk.put(77 * 512 + 100, b"not what was written");
    let fault = load.compare().await.expect_err("it differs");
    assert_eq!(fault, Fault::Mismatch { lba: 77, found: Found::Damaged(100) });
    assert!(fault.to_string().contains("block 77 "), "{fault}");
    load.drain().await;
    disk.put(77 * 512, &disk.content()[78 * 512..79 * 512]);
    let fault = load.compare().await.expect_err("it differs");
    assert_eq!(fault, Fault::Mismatch { lba: 77, found: Found::OtherBlock(78) });
    load.drain().await;
}

#[tokio::test]
async fn an_error_ends_the_run_and_is_named() {
    let disk = disk();
    let error = IoError::Target { key: 3, asc: 0x11, ascq: 0 };
    disk.break_block(17, error);
    let mut load = load(&disk, Job { random: false, ..job(Mix::Reads) });
    load.prepare().await;
    let fault = load.run(Duration::from_secs(3600)).await.expect_err("one block is broken");
    assert_eq!(fault, Fault::Io { write: false, lba: 16, error });
    load.drain().await;
    assert_eq!(load.open(), 0);
}

#[tokio::test]
async fn what_does_not_fit_the_unit_is_refused() {
    let disk = disk();
    let misfit = |job| Load::new(disk.clone(), job).expect_err("it does not fit");
    assert_eq!(misfit(Job { length: 1000, ..job(Mix::Reads) }), Misfit::NotBlocks { length: 1000, block_size: 512 });
    assert_eq!(misfit(Job { length: 0, ..job(Mix::Reads) }), Misfit::NotBlocks { length: 0, block_size: 512 });
    let max_transfer = 256 << 10;
    assert_eq!(
        misfit(Job { length: 2 * max_transfer, ..job(Mix::Reads) }),
        Misfit::TooLong { length: 2 * max_transfer, max_transfer }
    );
    assert_eq!(
        misfit(Job { length: 64 << 10, verify: true, ..job(Mix::Writes) }),
        Misfit::TooSmall { places: 4, needed: 8 }
    );
    let mut plan = Plan::of_bytes(64 << 10);
    plan.geometry.read_only = true;
    let read_only = RamDisk::start(plan);
    assert_eq!(Load::new(read_only.clone(), job(Mix::Half)).expect_err("no writes"), Misfit::ReadOnly);
    assert!(Load::new(read_only, job(Mix::Reads)).is_ok());
}
