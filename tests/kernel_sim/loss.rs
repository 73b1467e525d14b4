//! Connections that are lost while tasks are in flight.

use std::process::Command;
use std::time::Duration;

use iscsi_kext_messages::*;
use iscsi_proto::scsi::cdb::opcode;
use sim_target::{Action, Hold};

use crate::client::{Client, Ended};
use crate::common::process::{Process, eventually, need, run};
use crate::sim::{BLOCKS, Sim, disk, log_in, target};
use crate::tasks::io;

#[tokio::test(flavor = "multi_thread")]
async fn io_waits_for_the_connection_that_replaces_the_lost_one() {
    if !need(&["fio"]) {
        return;
    }
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, 0).expect("a session");
    let unit = disk(&mut daemon);
    let mut load = Command::new("fio");
    load.args(["--name=load", "--ioengine=nbd", "--rw=randrw", "--bs=512-64k", "--iodepth=16", "--verify=crc32c"]);
    load.args(["--verify_backlog=64", "--verify_fatal=1", "--number_ios=20000", "--runtime=12", "--randrepeat=1"]);
    load.arg(format!("--uri={}", sim.uri(&unit))).arg(format!("--size={}", BLOCKS * 512));
    let mut load = Process::start(&load, &sim.dir.path().join("fio"));
    for round in 0..4 {
        let before = daemon.statistics(created.session).expect("a session").commands;
        eventually("I/O", Duration::from_secs(30), || {
            let now = daemon.statistics(created.session).expect("a session").commands;
            (now > before + 100 || load.exited().is_some()).then_some(())
        });
        match round % 2 {
            0 => target.disconnect_all(true),
            _ => daemon.tell(ISCSI_DROP, &crate::client::of(created.session)).expect("a session"),
        }
        daemon.notice(ISCSI_NOTICE_CONNECTION_LOST);
        let held = if round < 2 { 0 } else { ISCSI_FLAG_HOLD };
        daemon.replace(created.session, &log_in(&target, "CRC32C").await, held).expect("a session");
        if held != 0 {
            let (out, _) = daemon.execute(created.session, &[0], 0, 5000).expect("an answer");
            assert_eq!(out.outcome, 0);
            daemon.tell(ISCSI_RESUME, &crate::client::of(created.session)).expect("a session");
        }
    }
    let status = eventually("fio's end", Duration::from_secs(90), || load.exited());
    assert!(status.success(), "{}\n{}", load.log(), sim.log());
    assert!(daemon.statistics(created.session).expect("a session").reconnects >= 4);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: recovery-replay-order
#[tokio::test(flavor = "multi_thread")]
async fn writes_to_the_same_blocks_go_again_one_after_the_other() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, 0).expect("a session");
    disk(&mut daemon);
    let hold_writes = |hold: &Hold| {
        let hold = hold.clone();
        target.on_command(move |command| match command.opcode() {
            opcode::WRITE_16 => Action::Hold(hold.clone()),
            _ => Action::Proceed,
        });
    };
    let first = Hold::new();
    hold_writes(&first);
    let mut writes = Vec::new();
    let mut write = |daemon: &mut Client, lba, byte| {
        writes.push(daemon.begin_task(&io(created.target, [0; 8], true, lba, 8), &[byte; 8 * 512]));
        writes.len()
    };
    for (lba, byte) in [(100, 1), (104, 2), (100, 3)] {
        first.reached(write(&mut daemon, lba, byte)).await;
    }
    target.disconnect_all(true);
    daemon.notice(ISCSI_NOTICE_CONNECTION_LOST);
    write(&mut daemon, 102, 4);
    eventually("the last one waits too", Duration::from_secs(10), || {
        (daemon.statistics(created.session).expect("a session").waiting == 4).then_some(())
    });
    let again = Hold::new();
    hold_writes(&again);
    target.forget_commands();
    daemon.replace(created.session, &log_in(&target, "CRC32C").await, 0).expect("a session");
    again.reached(1).await;
    let (out, _) = daemon.execute(created.session, &[0], 0, 5000).expect("an answer");
    assert_eq!((out.outcome, out.status), (0, 0), "it goes out after all that may");
    let lbas = || -> Vec<u64> {
        let writes = target.commands().into_iter().filter(|command| command.opcode() == opcode::WRITE_16);
        writes.map(|command| command.lba).collect()
    };
    assert_eq!(lbas(), [100], "the others wait for its answer");
    again.release();
    for id in writes {
        let (done, _) = daemon.task_end(id);
        assert!(done.is_good(), "{done:?}");
    }
    assert_eq!(lbas(), [100, 104, 100, 102]);
    let content = target.content(0, 100 * 512, 12 * 512);
    let bytes: Vec<u8> = content.chunks(512).map(|block| block[0]).collect();
    assert_eq!(bytes, [3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2]);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn io_fails_when_the_session_is_removed_under_it() {
    if !need(&["fio"]) {
        return;
    }
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    let unit = disk(&mut daemon);
    let mut load = Command::new("fio");
    load.args(["--name=load", "--ioengine=nbd", "--rw=randwrite", "--bs=4k", "--iodepth=32", "--runtime=60"]);
    load.args(["--time_based", "--size=16m"]).arg(format!("--uri={}", sim.uri(&unit)));
    let mut load = Process::start(&load, &sim.dir.path().join("fio"));
    eventually("I/O", Duration::from_secs(30), || {
        (daemon.statistics(created.session).expect("a session").commands > 200).then_some(())
    });
    daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
    let status = eventually("fio's end", Duration::from_secs(30), || load.exited());
    assert!(!status.success(), "its disk is gone");
    assert_eq!(daemon.sessions(), []);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_answer_a_task_is_asked_to_abort_it() {
    if !need(&["qemu-io"]) {
        return;
    }
    let target = target().await;
    let sim = Sim::with(&["--timeout", "300"]);
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    let unit = disk(&mut daemon);
    target.on_command(|command| if command.cdb[0] == 0x88 { Action::Ignore } else { Action::Proceed });
    let failed =
        crate::common::process::output(Command::new("qemu-io").args(["-f", "raw", "-c", "read 0 4k", &sim.uri(&unit)]));
    assert!(failed.stdout.contains("Input/output error") || failed.stderr.contains("Input/output error"), "{failed:?}");
    assert_eq!(daemon.notice(ISCSI_NOTICE_ESCALATED).code, 1);
    assert!(!target.task_management().is_empty());
    target.clear_command_hook();
    run("qemu-io", ["-f", "raw", "-c", "read 0 4k", &sim.uri(&unit)]);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
}

// check: async-logout-holds, async-logout-refused
#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_refuses_after_it_has_asked_for_a_logout_is_done_over_the_next_connection() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, 0).expect("a session");
    disk(&mut daemon);
    let hold = Hold::new();
    let (held, count) = (hold.clone(), std::sync::atomic::AtomicU32::new(0));
    target.forget_commands();
    target.on_command(move |command| {
        let write = command.opcode() == opcode::WRITE_16;
        match write.then(|| count.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
            Some(0) => Action::Hold(held.clone()),
            Some(1) => Action::AskForEnd(iscsi_proto::pdu::AsyncEvent::LogoutRequest),
            _ => Action::Proceed,
        }
    });
    let lbas = || -> Vec<u64> {
        let writes = target.commands().into_iter().filter(|command| command.opcode() == opcode::WRITE_16);
        writes.map(|command| command.lba).collect()
    };
    let write = |daemon: &mut Client, lba| daemon.begin_task(&io(created.target, [0; 8], true, lba, 8), &[7; 8 * 512]);
    let under_way = write(&mut daemon, 100);
    hold.reached(1).await;
    let crossing = write(&mut daemon, 200);
    daemon.notice(ISCSI_NOTICE_LOGOUT_REQUESTED);
    let later = write(&mut daemon, 300);
    hold.release();
    assert!(daemon.task_end(under_way).0.is_good(), "what is under way may end");
    target.disconnect_all(false);
    daemon.notice(ISCSI_NOTICE_CONNECTION_LOST);
    assert_eq!(lbas(), [100, 200], "nothing new has gone there");
    daemon.replace(created.session, &log_in(&target, "CRC32C").await, 0).expect("a session");
    for id in [crossing, later] {
        assert!(daemon.task_end(id).0.is_good());
    }
    assert_eq!(lbas(), [100, 200, 200, 300]);
    daemon.log_out(created.session);
    sim.end(&mut daemon);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_the_target_asks_for_is_told() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    target.send_async(iscsi_proto::pdu::AsyncEvent::LogoutRequest, iscsi_proto::ids::Lun(0), [0, 0, 7], &[]);
    let notice = daemon.notice(ISCSI_NOTICE_LOGOUT_REQUESTED);
    assert_eq!((notice.session, notice.parameter[0]), (created.session, 7));
    daemon.log_out(created.session);
    sim.end(&mut daemon);
}
