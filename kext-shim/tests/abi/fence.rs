//! Units that the stack may not use.

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::pdu::*;

use crate::rig::{LUN, Rig};

const OTHER: [u8; 8] = [0, 4, 0, 0, 0, 0, 0, 0];

/// Asserts that it ended as a command for a unit that is not there, and says whose it was.
fn fenced(event: &iscsi_event) -> u64 {
    assert_eq!(
        (event.kind, event.outcome, event.status),
        (ISCSI_EVENT_TASK_DONE, ISCSI_OUTCOME_STATUS, 2),
        "{event:?}"
    );
    assert_eq!((event.sense_length, event.transferred), (18, 0));
    assert_eq!((event.sense[2], event.sense[12], event.sense[13]), (5, 0x25, 0), "LOGICAL UNIT NOT SUPPORTED");
    event.token
}

fn tokens(rig: &mut Rig) -> Vec<u64> {
    rig.events().iter().map(fenced).collect()
}

#[test]
fn what_waits_for_a_fenced_unit_and_what_comes_later_ends_and_nothing_else_does() {
    let mut rig = Rig::new();
    let reads: Vec<u64> = (0..6).map(|_| rig.read(512).0).collect();
    let (theirs, _) = rig.read_of(OTHER, 512);
    let mut first = std::mem::MaybeUninit::uninit();
    // SAFETY: with 1, it was written. Four of them are the core's now, and the first has been sent.
    let itt = unsafe {
        assert_eq!(iscsi_session_transmit(rig.session, first.as_mut_ptr()), 1);
        let first: iscsi_transmit = first.assume_init();
        ScsiCommand::decode(first.head.first_chunk().expect("48 bytes")).itt
    };
    assert_eq!(rig.fence(LUN, 1), ISCSI_OK);
    let mut ended = tokens(&mut rig);
    ended.sort_unstable();
    assert_eq!(ended, reads[1..], "all but the one that the target has");
    assert_eq!(rig.delivers(itt, &[7; 512]), ISCSI_OK);
    let event = rig.event().expect("its answer");
    assert_eq!((event.token, event.status, event.transferred), (reads[0], 0, 512));

    let (later, _) = rig.read(512);
    assert_eq!(tokens(&mut rig), [later]);
    let asked = rig.ask().expect("room");
    let lengths: Vec<u32> =
        rig.sent().iter().map(|pdu| pdu.is::<ScsiCommand>().expected_data_transfer_length).collect();
    assert_eq!(lengths, [512, 0], "the other unit's, and the daemon's {asked}");
    let mut report = iscsi_command {
        token: 900,
        lun: LUN,
        cdb: [0; 16],
        data_length: 0,
        direction: ISCSI_DATA_NONE,
        attribute: 1,
        origin: ISCSI_ORIGIN_STACK,
        reserved: 0,
    };
    report.cdb[0] = 0xa0;
    rig.submit(&report).expect("room");
    assert_eq!(rig.sent().len(), 1, "REPORT LUNS asks the target");
    assert_eq!(rig.events(), [], "{theirs} is under way");
    let state = rig.state();
    assert_eq!((state.commands, state.errors, state.waiting), (7, 6, 0));
}

#[test]
fn it_holds_over_connections_until_the_right_disk_is_back() {
    let mut rig = Rig::new();
    let (sent, _) = rig.read(512);
    rig.sent();
    rig.lost();
    let (waits, _) = rig.read(512);
    assert_eq!(rig.reinstate(1), ISCSI_OK);
    assert_eq!(rig.fence(LUN, 1), ISCSI_OK);
    assert_eq!(tokens(&mut rig), [sent, waits]);
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_resume(rig.session) }, ISCSI_OK);
    assert!(rig.sent().is_empty());
    rig.lost();
    let (down, _) = rig.read(512);
    assert_eq!(tokens(&mut rig), [down], "nobody waits for the connection");
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let (again, _) = rig.read(512);
    assert_eq!(tokens(&mut rig), [again]);
    assert_eq!(rig.fence(LUN, 0), ISCSI_OK);
    rig.read(512);
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.events(), []);
}

#[test]
fn what_the_target_had_when_its_unit_was_fenced_is_not_issued_again() {
    let mut rig = Rig::new();
    let (token, _) = rig.read(512);
    rig.sent();
    assert_eq!(rig.fence(LUN, 1), ISCSI_OK);
    assert_eq!(rig.events(), [], "the target has it");
    rig.lost();
    assert_eq!(tokens(&mut rig), [token]);
}

#[test]
fn a_unit_is_fenced_however_its_address_is_written() {
    let mut rig = Rig::new();
    assert_eq!(rig.fence([0x40, 3, 0, 0, 0, 0, 0, 0], 1), ISCSI_OK);
    let (token, _) = rig.read(512);
    assert_eq!(tokens(&mut rig), [token]);
    assert_eq!(rig.fence(LUN, 0), ISCSI_OK);
    rig.read(512);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn only_what_is_ours_ends_at_another_ones_disk() {
    let mut rig = Rig::new();
    rig.read(512);
    rig.sent();
    assert_eq!(rig.fence(LUN, 1), ISCSI_OK);
    assert_eq!(rig.manage(5, 0, 77), ISCSI_OK, "the stack wants a LOGICAL UNIT RESET");
    let function = rig.sent().remove(0).is::<TaskManagementRequest>();
    assert_eq!((function.function & 0x7f, function.lun.0.to_be_bytes()), (2, LUN), "ABORT TASK SET");
    assert_eq!(rig.answers_function(function.itt, 0), ISCSI_OK);
    let events = rig.events();
    assert_eq!(events[0].outcome, ISCSI_OUTCOME_ABORTED);
    assert_eq!((events[1].kind, events[1].token, events[1].code), (ISCSI_EVENT_FUNCTION_DONE, 77, 0));
}

#[test]
fn no_more_than_256_units_are_fenced_at_a_time() {
    let mut rig = Rig::new();
    let unit = |number: u16| {
        let [high, low] = (0x4000 | number).to_be_bytes();
        [high, low, 0, 0, 0, 0, 0, 0]
    };
    for number in 0..256 {
        assert_eq!(rig.fence(unit(number), 1), ISCSI_OK);
        assert_eq!(rig.fence(unit(number), 1), ISCSI_OK, "again");
    }
    assert_eq!(rig.fence(unit(256), 1), ISCSI_FULL);
    assert_eq!(rig.fence(unit(300), 0), ISCSI_OK, "one that was not");
    assert_eq!(rig.fence(unit(9), 0), ISCSI_OK);
    assert_eq!(rig.fence(unit(256), 1), ISCSI_OK);
    let (token, _) = rig.read_of(unit(256), 512);
    assert_eq!(tokens(&mut rig), [token]);
}
