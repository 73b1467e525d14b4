//! Another disk stands at a unit's number: the stack may not use it.

use iscsi_kext_messages::*;
use sim_target::{SimDisk, SimTarget};

use crate::TARGET;
use crate::client::*;
use crate::common::process::eventually;
use crate::sim::{BLOCKS, Sim, disk, log_in, target};
use crate::tasks::io;

/// ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED.
const GONE: Option<(u8, u16)> = Some((5, 0x2500));
const FIRST: [u8; 8] = [0; 8];
const SECOND: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

fn fence(daemon: &mut Client, session: u32, lun: [u8; 8], fence: u32) -> Result<(), Code> {
    daemon.tell(ISCSI_FENCE, &IscsiFenceIn { session, fence, lun })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_came_back_as_another_disk_fails_at_once_until_it_is_the_right_one_again() {
    let disks = SimTarget::builder(TARGET).lun(0, SimDisk::new(BLOCKS, 512)).lun(1, SimDisk::new(BLOCKS, 512));
    let target = disks.start().await.expect("a free port");
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, 0).expect("a session");
    let (session, number) = (created.session, created.target);
    eventually("both disks", PATIENCE, || (daemon.units().len() == 2).then_some(()));
    daemon.tell(ISCSI_DROP, &of(session)).expect("a session");
    let first = daemon.begin_task(&io(number, FIRST, true, 0, 8), &[1; 4096]);
    let second = daemon.begin_task(&io(number, SECOND, true, 0, 8), &[2; 4096]);
    eventually("both wait", PATIENCE, || (daemon.statistics(session).expect("a session").waiting == 2).then_some(()));
    daemon.replace(session, &log_in(&target, "CRC32C").await, ISCSI_FLAG_HOLD).expect("a session");
    fence(&mut daemon, session, FIRST, 1).expect("a session");
    let (ended, _) = daemon.task_end(first);
    assert_eq!((ended.check(), ended.realized), (GONE, 0), "the one that waited: {ended:?}");
    let (out, data) = daemon.execute(session, &[0x12, 0, 0, 0, 96], 96, 5000).expect("an answer");
    assert_eq!((out.outcome, out.status, data.len()), (0, 0, 96), "the daemon looks at it nevertheless");
    daemon.tell(ISCSI_RESUME, &of(session)).expect("a session");
    let (ended, _) = daemon.task_end(second);
    assert!(ended.is_good(), "the other unit's: {ended:?}");
    for write in [true, false] {
        let data = if write { &[1; 512][..] } else { &[] };
        assert_eq!(daemon.task(&io(number, FIRST, write, 0, 1), data).0.check(), GONE);
    }
    daemon.replace(session, &log_in(&target, "None").await, 0).expect("a session");
    assert_eq!(daemon.task(&io(number, FIRST, true, 0, 1), &[1; 512]).0.check(), GONE, "over another connection, too");
    assert!(target.content(0, 0, 4096).iter().all(|&byte| byte == 0), "nothing has reached it");
    assert!(target.content(1, 0, 4096).iter().all(|&byte| byte == 2));
    fence(&mut daemon, session, FIRST, 0).expect("a session");
    assert!(daemon.task(&io(number, FIRST, true, 0, 1), &[3; 512]).0.is_good());
    assert!(target.content(0, 0, 512).iter().all(|&byte| byte == 3));
    // Its last flush fails, and that holds nobody up.
    fence(&mut daemon, session, FIRST, 1).expect("a session");
    daemon.log_out(session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_fenced_while_its_commands_are_on_every_part_of_their_way() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    let (session, number) = (created.session, created.target);
    for round in 0..6u64 {
        let mut tasks: Vec<(u64, u64)> = Vec::new();
        for lba in (0..300).map(|n| round * 300 + n) {
            tasks.push((lba, daemon.begin_task(&io(number, FIRST, true, lba, 1), &[7; 512])));
            if lba % 300 == 40 * round {
                fence(&mut daemon, session, FIRST, 1).expect("a session");
            }
        }
        let mut failed = 0;
        for (lba, id) in tasks {
            let (ended, _) = daemon.task_end(id);
            assert!(ended.is_good() || ended.check() == GONE, "{ended:?}");
            let written = target.content(0, lba * 512, 512).iter().all(|&byte| byte == 7);
            assert_eq!(written, ended.is_good(), "block {lba}");
            failed += u32::from(!ended.is_good());
        }
        assert!(failed > 0, "round {round}");
        fence(&mut daemon, session, FIRST, 0).expect("a session");
        assert_eq!(daemon.statistics(session).expect("a session").waiting, 0);
    }
    daemon.log_out(session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fenced_is_said() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, ISCSI_FLAG_HOLD).expect("a session");
    let session = created.session;
    assert_eq!(fence(&mut daemon, session, FIRST, 2), Err(BAD_ARGUMENT));
    assert_eq!(fence(&mut daemon, session + 1, FIRST, 1), Err(NOT_FOUND));
    let unit = |number: u32| {
        let [high, low] = (0x4000 | number as u16).to_be_bytes();
        [high, low, 0, 0, 0, 0, 0, 0]
    };
    for number in 0..ISCSI_FENCED_MOST {
        fence(&mut daemon, session, unit(number), 1).expect("room");
    }
    assert_eq!(fence(&mut daemon, session, unit(ISCSI_FENCED_MOST), 1), Err(NO_RESOURCES));
    daemon.remove(session, ISCSI_REMOVE_ALL).expect("a session");
    sim.end(&mut daemon);
}
