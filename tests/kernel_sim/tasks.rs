//! Tasks through the SCSI stack, as the operating system's disk driver issues them.

use std::time::Duration;

use bytemuck::bytes_of;
use iscsi_kext_messages::*;

use crate::client::{
    BAD_ARGUMENT, Client, Ended, FRAME_FROM_TARGET, FRAME_NO_DATA, FRAME_TASK, FRAME_TASK_MOST, FRAME_TO_TARGET,
    FrameTask, SUCCESS, of,
};
use crate::common::process::eventually;
use crate::sim::{BLOCKS, Sim, disk, log_in, target};

/// READ (16) or WRITE (16) of so many blocks of the disk.
pub(crate) fn io(target: u32, lun: [u8; 8], write: bool, lba: u64, blocks: u32) -> FrameTask {
    let mut cdb = [0; 16];
    cdb[0] = if write { 0x8a } else { 0x88 };
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    FrameTask {
        target: target.into(),
        lun,
        cdb,
        direction: if write { FRAME_TO_TARGET } else { FRAME_FROM_TARGET },
        length: blocks * 512,
    }
}

/// TEST UNIT READY.
fn ready(target: u32) -> FrameTask {
    FrameTask { target: target.into(), lun: [0; 8], cdb: [0; 16], direction: FRAME_NO_DATA, length: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_write_read_back_and_fail_as_the_unit_and_the_stack_say() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, 0).expect("a session");
    disk(&mut daemon);
    let mut content = vec![0; 8 << 20];
    getrandom::fill(&mut content).expect("random bytes");
    let number = created.target;
    for (lba, data) in [(0, &content[..512]), (7, &content[..4096]), (64, &content[..])] {
        let blocks = (data.len() / 512) as u32;
        let (written, none) = daemon.task(&io(number, [0; 8], true, lba, blocks), data);
        assert!(written.is_good() && written.realized == data.len() as u64 && none.is_empty(), "{written:?}");
        let (read, back) = daemon.task(&io(number, [0; 8], false, lba, blocks), &[]);
        assert!(read.is_good() && read.realized == data.len() as u64, "{read:?}");
        assert!(back == data, "at {lba}");
    }
    let (beyond, none) = daemon.task(&io(number, [0; 8], false, BLOCKS, 1), &[]);
    assert_eq!(
        (beyond.check(), beyond.realized, none.len()),
        (Some((5, 0x2100)), 0, 0),
        "ILLEGAL REQUEST, LBA OUT OF RANGE"
    );
    let (nobody, _) = daemon.task(&ready(number + 1), &[]);
    assert_eq!((nobody.response, nobody.status), (1, 4), "no such target: DeviceNotPresent");
    let (other, _) = daemon.task(&FrameTask { lun: [0, 9, 0, 0, 0, 0, 0, 0], ..ready(number) }, &[]);
    assert_eq!(other.check(), Some((5, 0x2500)), "no such unit");
    let wrong = [
        FrameTask { direction: 3, ..ready(number) },
        FrameTask { length: 512, ..ready(number) },
        FrameTask { direction: FRAME_FROM_TARGET, length: FRAME_TASK_MOST + 1, ..ready(number) },
        io(number, [0; 8], true, 0, 1),
    ];
    for task in wrong {
        assert_eq!(daemon.call(FRAME_TASK, bytes_of(&task), 4096, &[]).0, BAD_ARGUMENT, "{task:?}");
    }
    assert_eq!(daemon.call(FRAME_TASK, &[0; 39], 4096, &[]).0, BAD_ARGUMENT);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_the_stack_takes_wait_while_the_same_client_replaces_the_connection() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    daemon.tell(ISCSI_DROP, &of(created.session)).expect("a session");
    // The HBA has 1024 of them; the rest waits for those.
    let block = [0x5a; 512];
    let tasks: Vec<u64> =
        (0..1200).map(|lba| daemon.begin_task(&io(created.target, [0; 8], true, lba, 1), &block)).collect();
    daemon.replace(created.session, &log_in(&target, "None").await, ISCSI_FLAG_HOLD).expect("a session");
    let (out, _) = daemon.execute(created.session, &[0], 0, 5000).expect("an answer");
    assert_eq!((out.outcome, out.status), (0, 0), "the daemon's own command goes out");
    daemon.tell(ISCSI_RESUME, &of(created.session)).expect("a session");
    for id in tasks {
        let (done, _) = daemon.task_end(id);
        assert!(done.is_good(), "{done:?}");
    }
    assert!(target.content(0, 0, 1200 * 512).iter().all(|&byte| byte == 0x5a));
    daemon.log_out(created.session);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_its_tasks_to_end_by_themselves() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    daemon.tell(ISCSI_DROP, &of(created.session)).expect("a session");
    let mut other = Client::open(&sim.socket());
    for lba in 0..50 {
        other.begin_task(&io(created.target, [0; 8], true, lba, 1), &[1; 512]);
    }
    // Calls are taken in order, so the tasks are on their way to the stack.
    other.units();
    eventually("the tasks", Duration::from_secs(10), || {
        (daemon.statistics(created.session).expect("a session").waiting > 0).then_some(())
    });
    drop(other);
    daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
    assert_eq!(
        daemon.call(FRAME_TASK, bytes_of(&ready(created.target)), 200, &[]).0,
        SUCCESS,
        "the next one is answered"
    );
    sim.end(&mut daemon);
}
