//! The connection is lost, and replaced, or not.

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::pdu::*;
use iscsi_proto::scsi::cdb;
use iscsi_proto::session::Data;

use crate::rig::{LUN, Pdu, Rig, SECOND};

/// The LBA of a 16-byte command.
fn lba(pdu: &Pdu) -> u64 {
    u64::from_be_bytes(*pdu.is::<ScsiCommand>().cdb[2..].first_chunk().expect("eight bytes"))
}

/// PERSISTENT RESERVE OUT of that token.
fn reservation(token: u64) -> iscsi_command {
    let mut cdb = [0; 16];
    cdb[0] = 0x5f;
    let (direction, origin) = (ISCSI_DATA_NONE, ISCSI_ORIGIN_STACK);
    iscsi_command { token, lun: LUN, cdb, data_length: 0, direction, attribute: 1, origin, reserved: 0 }
}

fn lbas(sent: &[Pdu]) -> Vec<u64> {
    sent.iter().filter(|pdu| opcode(&pdu.bhs) == ScsiCommand::OPCODE).map(lba).collect()
}

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

// check: async-logout-holds, async-logout-refused
#[test]
fn what_a_target_refuses_after_it_has_asked_for_an_end_is_issued_again_over_the_next_connection() {
    for event in 1..=4 {
        let mut rig = Rig::new();
        rig.write_at(100, 8);
        rig.write_at(200, 8);
        let sent = rig.sent();
        let itts: Vec<_> = sent
            .iter()
            .filter(|pdu| opcode(&pdu.bhs) == ScsiCommand::OPCODE)
            .map(|pdu| pdu.is::<ScsiCommand>().itt)
            .collect();
        let stat_sn = rig.next_stat_sn();
        let asked = AsyncMessage {
            flags: FINAL,
            lun: iscsi_proto::ids::Lun(0),
            itt: iscsi_proto::ids::Itt::RESERVED,
            stat_sn,
            exp_cmd_sn: iscsi_proto::sn::CmdSn(10),
            max_cmd_sn: iscsi_proto::sn::CmdSn(41),
            event,
            vendor_code: 0,
            parameter1: 0,
            parameter2: 0,
            parameter3: 3,
        };
        assert_eq!(rig.arrives(asked.encode(), &[]), ISCSI_OK);
        rig.write_at(300, 8);
        assert!(rig.sent().is_empty() && !rig.wants_transmit(), "nothing new goes there");
        let not_supported = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0];
        assert_eq!(rig.responds(itts[0], 0x02, &not_supported), ISCSI_OK);
        assert_eq!(rig.responds(itts[1], 0, &[]), ISCSI_OK);
        let told: Vec<u32> = rig.events().iter().map(|event| event.kind).collect();
        let wanted = if matches!(event, 1 | 4) { ISCSI_EVENT_LOGOUT_REQUESTED } else { ISCSI_EVENT_DROP_ANNOUNCED };
        assert_eq!(told, [wanted, ISCSI_EVENT_TASK_DONE], "the stack hears of no failure");
        rig.lost();
        assert_eq!(rig.reinstate(0), ISCSI_OK);
        assert_eq!(lbas(&rig.sent()), [100, 300]);
    }
}

#[test]
fn a_later_command_to_the_same_blocks_waits_until_one_that_is_issued_again_is_through() {
    let mut rig = Rig::new();
    rig.write_at(100, 8);
    rig.sent();
    rig.lost();
    // While the connection is down: one that overlaps, and one that does not.
    rig.write_at(104, 8);
    rig.write_at(200, 8);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let sent = rig.sent();
    assert_eq!(lbas(&sent), [100, 200]);
    assert_eq!((rig.state().in_flight, rig.state().waiting, rig.wants_transmit()), (2, 1, false));
    // Nor does one that comes when all goes well again.
    rig.write_at(99, 2);
    assert_eq!(lbas(&rig.sent()), [0; 0]);
    assert_eq!(rig.responds(sent[0].is::<ScsiCommand>().itt, 0, &[]), ISCSI_OK);
    assert_eq!(rig.events().len(), 1);
    assert!(rig.wants_transmit());
    assert_eq!(lbas(&rig.sent()), [104, 99]);
    // The next ones are not held up: nothing is issued again any more.
    rig.write_at(99, 2);
    assert_eq!(lbas(&rig.sent()), [99]);
}

#[test]
fn writes_to_the_same_blocks_that_were_both_under_way_go_again_one_after_the_other() {
    let mut rig = Rig::new();
    rig.write_at(100, 8);
    rig.write_at(100, 4);
    rig.write_at(102, 4);
    assert_eq!(rig.sent().len(), 3, "nothing has gone wrong yet: their order is the target's business");
    rig.lost();
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let mut order = Vec::new();
    for _ in 0..3 {
        let sent = rig.sent();
        assert_eq!(sent.len(), 1, "after {order:?}");
        order.push((lba(&sent[0]), sent[0].is::<ScsiCommand>().expected_data_transfer_length / 512));
        assert_eq!(rig.responds(sent[0].is::<ScsiCommand>().itt, 0, &[]), ISCSI_OK);
        assert_eq!(rig.events().len(), 1);
    }
    assert_eq!(order, [(100, 8), (100, 4), (102, 4)]);
}

#[test]
fn what_names_no_blocks_waits_for_all_of_its_unit_but_a_flush_for_none() {
    let mut rig = Rig::new();
    rig.write_at(100, 8);
    rig.sent();
    rig.lost();
    // UNMAP has its list in its data. This unit is not the only one.
    rig.run(cdb::unmap(24).padded(), Data::Out(24));
    rig.run(cdb::synchronize_cache_16(0, 0).padded(), Data::None);
    rig.read_of([0, 4, 0, 0, 0, 0, 0, 0], 512);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let mut sent = rig.sent();
    let opcodes = |sent: &[Pdu]| sent.iter().map(|pdu| pdu.is::<ScsiCommand>().cdb[0]).collect::<Vec<_>>();
    assert_eq!(opcodes(&sent), [0x8a, 0x91, 0x88]);
    // The daemon waits for nobody: the stack may be waiting for what it learns.
    let command = iscsi_command { origin: ISCSI_ORIGIN_DAEMON, ..reservation(1000) };
    rig.submit(&command).expect("room");
    sent.extend(rig.sent());
    assert_eq!(opcodes(&sent[3..]), [0x5f]);
    for pdu in &sent {
        assert_eq!(rig.responds(pdu.is::<ScsiCommand>().itt, 0, &[]), ISCSI_OK);
    }
    assert_eq!(rig.events().len(), 4);
    assert_eq!(opcodes(&rig.sent()), [0x42]);
    // And when it is issued again, all of its unit waits for it.
    rig.lost();
    rig.write_at(7, 1);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    assert_eq!(opcodes(&rig.sent()), [0x42]);
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
    rig.submit(&reservation(1000)).expect("room");
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
