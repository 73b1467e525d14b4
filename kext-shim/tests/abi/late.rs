//! Commands that take too long, and task management that the stack asks for.

use iscsi_kext::abi::*;
use iscsi_proto::pdu::*;

use crate::rig::{Rig, SECOND};

fn functions(rig: &mut Rig) -> Vec<TaskManagementRequest> {
    rig.sent().iter().map(|pdu| pdu.is::<TaskManagementRequest>()).collect()
}

#[test]
fn a_command_that_takes_too_long_is_aborted_and_told_as_timed_out() {
    let mut rig = Rig::new();
    let (token, tag) = rig.read(512);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    assert_eq!(rig.overdue(tag), ISCSI_OK);
    let event = rig.event().expect("it is told");
    assert_eq!((event.kind, event.code), (ISCSI_EVENT_ESCALATED, 1));
    let abort = functions(&mut rig).remove(0);
    assert_eq!((abort.function & 0x7f, abort.referenced_task_tag), (1, itt));
    assert_eq!(rig.answers_function(abort.itt, 0), ISCSI_OK);
    let event = rig.event().expect("it is done");
    assert_eq!((event.token, event.outcome), (token, ISCSI_OUTCOME_TIMED_OUT));
    assert_eq!(rig.overdue(tag), ISCSI_NOT_FOUND);
    assert_eq!(rig.event(), None);
}

#[test]
fn a_target_that_ignores_every_function_loses_its_connection() {
    let mut rig = Rig::new();
    let (token, tag) = rig.read(512);
    rig.sent();
    assert_eq!(rig.overdue(tag), ISCSI_OK);
    let mut seen = Vec::new();
    let broken = loop {
        seen.extend(functions(&mut rig).iter().map(|function| function.function & 0x7f));
        rig.events();
        rig.now = rig.deadline();
        match rig.tick() {
            ISCSI_OK => {}
            broken => break broken,
        }
        assert!(rig.now < 100 * SECOND, "for ever");
    };
    assert_eq!((broken, seen), (ISCSI_BROKEN, vec![1, 5, 6]), "abort, unit reset, target reset");
    assert!(rig.reason().contains("neither was task management"), "{}", rig.reason());
    rig.lost();
    let event = rig.events().pop().expect("it is done");
    assert_eq!((event.token, event.outcome), (token, ISCSI_OUTCOME_TIMED_OUT), "it is not issued again");
}

#[test]
fn the_answer_that_comes_after_all_ends_the_escalation() {
    let mut rig = Rig::new();
    let (token, tag) = rig.read(512);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    assert_eq!(rig.overdue(tag), ISCSI_OK);
    rig.sent();
    assert_eq!(rig.delivers(itt, &[3; 512]), ISCSI_OK);
    let done = rig.events().pop().expect("it is done");
    assert_eq!((done.token, done.outcome, done.status), (token, ISCSI_OUTCOME_STATUS, 0));
    rig.now = 25 * SECOND;
    assert_eq!(rig.tick(), ISCSI_OK);
    assert!(functions(&mut rig).is_empty(), "nothing more is asked");
}

#[test]
fn one_that_nobody_has_sent_ends_at_once() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.read(512);
    }
    let (token, tag) = rig.read(512);
    rig.sent();
    assert_eq!(rig.overdue(tag), ISCSI_OK);
    assert_eq!(rig.event().map(|event| (event.token, event.outcome)), Some((token, ISCSI_OUTCOME_TIMED_OUT)));
    assert!(rig.sent().is_empty());
}

#[test]
fn one_that_waits_for_an_earlier_one_to_its_blocks_is_not_late() {
    let mut rig = Rig::new();
    let (first, first_tag) = rig.write_at(100, 8);
    let (_, second_tag) = rig.write_at(100, 8);
    rig.sent();
    rig.lost();
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.overdue(second_tag), ISCSI_WAITS);
    assert_eq!(rig.event(), None);
    // The one it waits for may be.
    assert_eq!(rig.overdue(first_tag), ISCSI_OK);
    let abort = functions(&mut rig).remove(0);
    assert_eq!(rig.answers_function(abort.itt, 0), ISCSI_OK);
    let done = rig.events().pop().expect("it is done");
    assert_eq!((done.token, done.outcome), (first, ISCSI_OUTCOME_TIMED_OUT));
    assert_eq!(rig.sent().len(), 1, "then the other one has its turn");
    assert_eq!(rig.overdue(second_tag), ISCSI_OK);
}

#[test]
fn the_stack_aborts_a_task_and_hears_the_answer_after_the_task() {
    let mut rig = Rig::new();
    let (token, tag) = rig.read(512);
    rig.sent();
    assert_eq!(rig.manage(1, tag, 99), ISCSI_OK);
    let abort = functions(&mut rig).remove(0);
    assert_eq!(rig.answers_function(abort.itt, 0), ISCSI_OK);
    let events = rig.events();
    assert_eq!((events[0].token, events[0].outcome), (token, ISCSI_OUTCOME_ABORTED));
    assert_eq!((events[1].kind, events[1].token, events[1].code), (ISCSI_EVENT_FUNCTION_DONE, 99, 0));
}

#[test]
fn a_unit_reset_ends_what_waits_for_the_unit_as_well() {
    let mut rig = Rig::new();
    let tokens: Vec<u64> = (0..6).map(|_| rig.read(512).0).collect();
    rig.sent();
    assert_eq!(rig.manage(5, 0, 50), ISCSI_OK);
    let reset = functions(&mut rig).remove(0);
    assert_eq!(rig.answers_function(reset.itt, 0), ISCSI_OK);
    let events = rig.events();
    let mut ended: Vec<u64> =
        events.iter().filter(|event| event.outcome == ISCSI_OUTCOME_ABORTED).map(|event| event.token).collect();
    ended.sort_unstable();
    assert_eq!(ended, tokens);
    assert_eq!(events.last().map(|event| (event.kind, event.token)), Some((ISCSI_EVENT_FUNCTION_DONE, 50)));
}

#[test]
fn a_unit_is_found_however_its_address_is_written() {
    let mut rig = Rig::new();
    // Unit 3 by flat space addressing; the reset names it as a peripheral device.
    let (token, _) = rig.read_of([0x40, 3, 0, 0, 0, 0, 0, 0], 512);
    rig.sent();
    assert_eq!(rig.manage(5, 0, 50), ISCSI_OK);
    let reset = functions(&mut rig).remove(0);
    assert_eq!(reset.lun.0 >> 48, 0x4003, "as the target wrote it");
    assert_eq!(rig.answers_function(reset.itt, 0), ISCSI_OK);
    let events = rig.events();
    assert_eq!((events[0].token, events[0].outcome), (token, ISCSI_OUTCOME_ABORTED));
    assert_eq!((events[1].kind, events[1].token), (ISCSI_EVENT_FUNCTION_DONE, 50));
}

#[test]
fn a_function_that_is_not_answered_is_told_so() {
    let mut rig = Rig::new();
    assert_eq!(rig.manage(6, 0, 7), ISCSI_OK);
    let reset = functions(&mut rig).remove(0);
    rig.now = 10 * SECOND;
    assert_eq!(rig.deadline(), rig.now);
    assert_eq!(rig.tick(), ISCSI_OK);
    let event = rig.event().expect("it is told");
    assert_eq!((event.kind, event.token, event.code), (ISCSI_EVENT_FUNCTION_DONE, 7, ISCSI_NO_ANSWER));
    assert_eq!(rig.answers_function(reset.itt, 0), ISCSI_OK);
    assert_eq!(rig.event(), None, "once");
}
