//! The connection is lost, and replaced, or not.

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::pdu::*;

use crate::rig::{Rig, SECOND};

#[test]
fn what_was_under_way_is_issued_again_in_its_order_before_anything_new() {
    let mut rig = Rig::new();
    for len in [512, 1024, 1536] {
        rig.read(len);
    }
    rig.sent();
    rig.lost();
    assert_eq!(rig.events(), [], "nobody hears of it");
    rig.read(2048);
    assert_eq!(rig.state().waiting, 4);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let lengths: Vec<u32> =
        rig.sent().iter().map(|pdu| pdu.is::<ScsiCommand>().expected_data_transfer_length).collect();
    assert_eq!(lengths, [512, 1024, 1536, 2048]);
    assert_eq!(rig.state().reconnects, 1);
}

#[test]
fn while_the_session_is_held_only_the_daemon_is_heard() {
    let mut rig = Rig::new();
    rig.read(512);
    rig.sent();
    rig.lost();
    assert_eq!(rig.reinstate(1), ISCSI_OK);
    assert!(rig.sent().is_empty());
    let asked = rig.ask().expect("room");
    let sent = rig.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(rig.responds(sent[0].is::<ScsiCommand>().itt, 0, &[]), ISCSI_OK);
    assert_eq!(rig.event().map(|event| event.tag), Some(asked));
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_resume(rig.session) }, ISCSI_OK);
    assert_eq!(rig.sent().len(), 1, "the stack's go on");
}

#[test]
fn a_command_of_the_daemon_ends_with_its_connection() {
    let mut rig = Rig::new();
    let asked = rig.ask().expect("room");
    rig.sent();
    rig.lost();
    let event = rig.event().expect("it is told");
    assert_eq!((event.tag, event.outcome), (asked, ISCSI_OUTCOME_LOST));
    assert_eq!(rig.ask(), Err(ISCSI_WRONG_STATE));
}

#[test]
fn commands_fail_when_there_is_no_connection_for_too_long_and_work_again_afterwards() {
    let mut rig = Rig::new();
    let (token, _) = rig.read(512);
    rig.sent();
    rig.now = 5 * SECOND;
    rig.lost();
    rig.now = 125 * SECOND;
    assert_eq!(rig.deadline(), rig.now);
    assert_eq!(rig.tick(), ISCSI_OK);
    assert_eq!(rig.event().map(|event| (event.token, event.outcome)), Some((token, ISCSI_OUTCOME_LOST)));
    assert_eq!(rig.state().link, ISCSI_LINK_GIVEN_UP);
    let refused = rig.ask();
    assert_eq!(refused, Err(ISCSI_OFFLINE));
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    rig.read(512);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn a_silent_target_is_found_out_by_a_ping() {
    let mut rig = Rig::new();
    rig.now = 30 * SECOND;
    assert_eq!(rig.tick(), ISCSI_OK);
    assert_eq!(opcode(&rig.sent()[0].bhs), NopOut::OPCODE);
    rig.now = rig.deadline();
    assert_eq!(rig.tick(), ISCSI_BROKEN);
    assert!(rig.reason().contains("ping"), "{}", rig.reason());
}

#[test]
fn a_command_that_must_not_run_twice_ends_with_its_connection() {
    let mut rig = Rig::new();
    let (_, tag) = rig.read(512);
    let mut command = iscsi_command {
        token: 1000,
        lun: [0; 8],
        cdb: [0; 16],
        data_length: 0,
        direction: ISCSI_DATA_NONE,
        attribute: 1,
        origin: ISCSI_ORIGIN_STACK,
        reserved: 0,
    };
    command.cdb[0] = 0x5f;
    rig.submit(&command).expect("room");
    rig.sent();
    rig.lost();
    let events = rig.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].token, events[0].outcome), (1000, ISCSI_OUTCOME_LOST));
    assert_ne!(events[0].tag, tag);
    assert_eq!(rig.state().waiting, 1);
}

#[test]
fn bytes_of_the_lost_connection_are_forgotten() {
    let mut rig = Rig::new();
    assert_eq!(rig.feed(&[0x21, 0x80, 0]), ISCSI_OK);
    rig.lost();
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    rig.read(512);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    assert_eq!(rig.delivers(itt, &[1; 512]), ISCSI_OK);
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn commands_that_a_logout_overtakes_wait_for_the_next_connection() {
    let mut rig = Rig::new();
    let mut window = Vec::new();
    for _ in 0..4 {
        window.push(rig.read(512));
    }
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_logout(rig.session, 1) }, ISCSI_OK);
    assert_eq!(rig.sent().len(), 1, "the logout alone: it overtakes all");
    assert_eq!(rig.events(), []);
    rig.lost();
    assert_eq!(rig.events(), []);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    assert_eq!(rig.sent().len(), 4);
}
