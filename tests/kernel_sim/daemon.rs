//! What else the daemon does, and that it may go away.

use std::time::Duration;

use iscsi_kext_messages::*;
use sim_target::Action;

use crate::TARGET;
use crate::client::{Client, EXCLUSIVE_ACCESS, NOT_READY, create_in, of};
use crate::common::process::eventually;
use crate::sim::{Sim, disk, log_in, target};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_their_daemon_and_are_adopted_by_the_next() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    let mut second = Client::open(&sim.socket());
    second.ask::<IscsiHelloOut>(ISCSI_HELLO, &crate::client::hello()).expect("hello");
    assert_eq!(second.tell(ISCSI_LISTEN, &IscsiListenIn { reserved: 0 }), Err(EXCLUSIVE_ACCESS));
    drop(daemon);
    eventually("the other has gone", Duration::from_secs(10), || {
        second.tell(ISCSI_LISTEN, &IscsiListenIn { reserved: 0 }).ok()
    });
    let sessions = second.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        (sessions[0].session, sessions[0].link, sessions[0].spec),
        (created.session, ISCSI_UP, crate::client::spec())
    );
    assert_eq!(&sessions[0].spec.target[..TARGET.len()], TARGET.as_bytes());
    assert_eq!(second.units().len(), 1, "the disk has not noticed");
    second.log_out(created.session);
    sim.end(&mut second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_adopts_ends_after_its_replacement_timeout() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let connection = log_in(&target, "None").await;
    let mut input = create_in(&connection.handoff, 0);
    input.spec.replacement_timeout = 300;
    let pass = [std::os::fd::AsRawFd::as_raw_fd(&connection.stream)];
    let (code, _) = daemon.call(ISCSI_CREATE, bytemuck::bytes_of(&input), 8, &pass);
    assert_eq!(code, 0);
    drop(connection);
    drop(daemon);
    let mut client = Client::open(&sim.socket());
    client.ask::<IscsiHelloOut>(ISCSI_HELLO, &crate::client::hello()).expect("hello");
    eventually("the session's end", Duration::from_secs(20), || client.sessions().is_empty().then_some(()));
    eventually("its connection's end", Duration::from_secs(10), || (target.open_connections() == 0).then_some(()));
    sim.end(&mut client);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_asks_units_of_a_held_session_before_the_stack_may() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "CRC32C").await, ISCSI_FLAG_HOLD).expect("a session");
    let (out, data) = daemon.execute(created.session, &[0x12, 0, 0, 0, 96], 96, 5000).expect("an answer");
    assert_eq!((out.outcome, out.status, data[0]), (0, 0, 0), "a disk");
    let (out, _) = daemon.execute(created.session, &[0xff], 0, 5000).expect("an answer");
    assert_eq!((out.status, out.sense[2] & 0x0f), (2, 5), "an unknown command: {out:?}");
    // Longer than a message: it comes as memory.
    let (out, data) =
        daemon.execute(created.session, &[0x28, 0, 0, 0, 0, 0, 0, 0, 200, 0], 102_400, 5000).expect("an answer");
    assert_eq!((out.status, out.transferred, data.len()), (0, 102_400, 102_400));
    assert!(daemon.units().is_empty());
    assert_eq!(target.commands().len(), 3, "nobody else has asked");
    daemon.tell(ISCSI_RESUME, &of(created.session)).expect("a session");
    disk(&mut daemon);
    daemon.log_out(created.session);
    assert_eq!(daemon.execute(created.session, &[0], 0, 100), Err(crate::client::NOT_FOUND));
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_daemon_that_is_not_answered_is_aborted() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, ISCSI_FLAG_HOLD).expect("a session");
    target.on_command(|_| Action::Ignore);
    let (out, _) = daemon.execute(created.session, &[0], 0, 200).expect("an end");
    assert_eq!(out.outcome, 4, "it took too long");
    assert_eq!(target.task_management().len(), 1);
    assert_eq!(daemon.notice(ISCSI_NOTICE_ESCALATED).code, 1);
    target.clear_command_hook();
    daemon.tell(ISCSI_DROP, &of(created.session)).expect("a session");
    assert_eq!(daemon.execute(created.session, &[0], 0, 200), Err(NOT_READY), "there is no connection");
    daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
    sim.end(&mut daemon);
}
