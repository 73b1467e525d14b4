//! Pings, asynchronous messages, task management, text.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::bench::*;
use super::{GOOD, LIMIT, LUN, async_message, handoff, reject};
use crate::error::PeerMisbehaved;
use crate::ids::Ttt;
use crate::pdu::*;
use crate::sn::{CmdSn, StatSn};
use crate::time::Duration;

// Pings.

// check: nop-answered
#[test]
fn a_ping_that_is_longer_than_the_target_takes_is_answered_with_its_beginning() {
    let mut bench = Bench::new(handoff());
    let data: Vec<u8> = (0..6000u32).map(|n| n as u8).collect();
    let ping = bench.nop_in(Itt::RESERVED, Ttt(3), &data);
    bench.feed(&ping).expect("legal");
    assert_eq!(bench.one().data, data[..4096]);
}

// check: nop-answered
#[test]
fn a_ping_that_wants_no_answer_gets_none() {
    let mut bench = Bench::new(handoff());
    let ping = bench.nop_in(Itt::RESERVED, Ttt::RESERVED, b"hello");
    bench.feed(&ping).expect("legal");
    assert!(bench.sent().is_empty());
}

// check: nop-ttt
#[test]
fn a_ping_with_tag_0_is_answered_and_one_with_the_reserved_tag_is_not() {
    for (ttt, answered) in [(Ttt(0), true), (Ttt(1), true), (Ttt(0xffff_fffe), true), (Ttt(0xffff_ffff), false)] {
        let mut bench = Bench::new(handoff());
        let ping = bench.nop_in(Itt::RESERVED, ttt, b"");
        bench.feed(&ping).expect("legal");
        let tags: Vec<Ttt> = bench.sent().iter().map(|pdu| pdu.is::<NopOut>().ttt).collect();
        assert_eq!(tags, if answered { vec![ttt] } else { vec![] });
    }
}

// check: window-stale
#[test]
fn commands_go_on_past_numbers_that_contradict_each_other() {
    let mut bench = Bench::new(handoff());
    // A ping takes no status number.
    let stat_sn = StatSn(bench.stat_sn);
    let (exp_cmd_sn, max_cmd_sn) = (CmdSn(0x7fff_ffea), CmdSn(0));
    let ping = NopIn { flags: FINAL, lun: LUN, itt: Itt::RESERVED, ttt: Ttt(0), stat_sn, exp_cmd_sn, max_cmd_sn };
    let ping = bench.pdu(ping.encode(), &[]);
    bench.feed(&ping).expect("legal");
    bench.one();
    bench.read(512);
    bench.one();
}

// check: nop-flood
#[test]
fn a_flood_of_pings_ends_the_connection_before_it_fills_the_memory() {
    let mut bench = Bench::new(handoff());
    let ping = bench.nop_in(Itt::RESERVED, Ttt(3), &[0; 4096]);
    let taken = (0..1000).take_while(|_| bench.feed(&ping).is_ok()).count();
    assert!((200..=256).contains(&taken), "{taken}");
    // A target that reads the answers may ping for ever.
    let mut bench = Bench::new(handoff());
    for _ in 0..1000 {
        let ping = bench.nop_in(Itt::RESERVED, Ttt(3), &[0; 64]);
        bench.feed(&ping).expect("legal");
        bench.one();
    }
}

// check: stream-segments, nop-answered
#[test]
fn thousands_of_pings_in_one_segment_are_each_answered() {
    let mut bench = Bench::new(handoff());
    let stream: Vec<u8> = (0..5000).flat_map(|n| bench.nop_in(Itt::RESERVED, Ttt(n), &[])).collect();
    bench.feed(&stream).expect("legal");
    let answered: Vec<u32> = bench.sent().iter().map(|pdu| pdu.is::<NopOut>().ttt.0).collect();
    assert_eq!(answered, (0..5000).collect::<Vec<_>>());
}

// check: stream-segments
#[test]
fn a_hundred_responses_in_one_segment_end_a_hundred_commands() {
    let pings = PingTimers { interval: None, timeout: None };
    let mut bench = Bench::with(Handoff { max_cmd_sn: 200, ..handoff() }, SessionConfig { depth: 100, pings });
    let tags: Vec<Itt> = (0..100).map(|_| bench.read(8)).collect();
    assert_eq!(bench.sent().len(), 100);
    let stream: Vec<u8> = tags.iter().flat_map(|itt| bench.data_in(*itt, 0, 0, &[7; 8], true)).collect();
    bench.feed(&stream).expect("legal");
    for itt in tags {
        assert_eq!(bench.done().0, itt);
        assert_eq!(bench.buffer(itt), [7; 8]);
    }
}

// check: nop-off
#[test]
fn pings_can_be_switched_off() {
    let mut bench = without_pings();
    assert_eq!(bench.session.poll_timeout(), None);
    bench.session.handle_timeout(Instant::from_millis(1_000_000)).expect("nothing is due");
    assert!(bench.sent().is_empty());
    let pings = PingTimers { interval: Some(Duration::from_secs(5)), timeout: None };
    let mut bench = Bench::with(handoff(), SessionConfig { depth: 8, pings });
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    bench.one();
    assert_eq!(bench.session.poll_timeout(), None, "and no answer is waited for");
}

// check: nop-own
#[test]
fn whatever_arrives_shows_that_the_target_lives() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(1024);
    bench.one();
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    bench.one();
    // No pong, but data, a byte before the time is over.
    bench.now = Instant::from_millis(9000);
    let data = bench.data_in(itt, 0, 0, &[1; 512], false);
    bench.feed(&data[..1]).expect("the beginning of a header");
    assert_eq!(bench.session.poll_timeout(), Some(Instant::from_millis(14_000)));
    bench.session.handle_timeout(Instant::from_millis(13_999)).expect("it lives");
    let dead = bench.session.handle_timeout(Instant::from_millis(14_000));
    assert_eq!(dead, Err(PeerMisbehaved::Silent.into()));
}

// Asynchronous messages.

// check: async-vendor
#[test]
fn events_nobody_knows_are_told_and_change_nothing() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    for event in [5, 6, 100, 248, 255] {
        let wire = async_message(&mut bench, event, [1, 2, 3], b"whatever");
        bench.feed(&wire).expect("legal");
        assert_eq!(bench.session.poll_event(), Some(Event::Notice { event, vendor_code: 9 }));
    }
    let response = bench.good(itt);
    bench.feed(&response).expect("legal");
    assert_eq!(bench.done().0, itt);
}

// check: async-sense-bounds
#[test]
fn a_report_of_a_unit_is_read_as_far_as_it_came() {
    for (segment, told) in [
        (&[][..], None),
        (&[0], None),
        (&[0, 0], Some(vec![])),
        (&[0xff, 0xff, 0x70, 0, 6], Some(vec![0x70, 0, 6])),
        (&[0, 1, 0x70, 0, 6], Some(vec![0x70])),
    ] {
        let mut bench = Bench::new(handoff());
        let wire = async_message(&mut bench, 0, [0; 3], segment);
        bench.feed(&wire).expect("legal");
        let expected = told.map(|sense| Event::UnitReport { lun: LUN, sense });
        assert_eq!(bench.session.poll_event(), expected);
    }
}

// Task management.

// check: tmf-task-not-there, response-once
#[test]
fn a_task_that_the_target_does_not_know_may_still_be_answered_and_ends_once() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    let manage = bench.session.manage(Manage::AbortTask(itt)).expect("under way");
    bench.one();
    let wire = manage_response(&mut bench, manage, 1);
    bench.feed(&wire).expect("legal");
    let response = Some(TaskFunctionResponse::TaskDoesNotExist);
    let answered = Event::ManageDone { itt: manage, function: TaskFunction::AbortTask, response };
    assert_eq!(bench.session.poll_event(), Some(answered));
    assert_eq!(bench.session.in_flight(), 1, "the command goes on");
    let late = bench.good(itt);
    bench.feed(&late).expect("legal");
    assert_eq!(bench.done().0, itt);
    let again = bench.good(itt);
    assert!(is_unknown(&bench.fails_with(&again)));
    assert_eq!(bench.session.poll_event(), None);
}

// check: tmf-task-not-there, tmf-scope
#[test]
fn a_response_that_overtakes_the_one_to_its_abort_counts() {
    for code in [0, 1] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let manage = bench.session.manage(Manage::AbortTask(itt)).expect("under way");
        bench.one();
        let mut stream = bench.good(itt);
        stream.extend(manage_response(&mut bench, manage, code));
        bench.feed(&stream).expect("legal");
        assert_eq!(bench.done().1.outcome, GOOD);
        assert!(matches!(bench.session.poll_event(), Some(Event::ManageDone { .. })));
        assert_eq!(bench.session.poll_event(), None);
    }
}

// check: tmf-affected
#[test]
fn tasks_that_a_reset_will_end_go_on_until_it_has() {
    let mut bench = Bench::new(solicited());
    let (write, read, other) = (bench.write(vec![1; 512]), bench.read(512), bench.read(512));
    bench.sent();
    let manage = bench.session.manage(Manage::LogicalUnitReset(LUN)).expect("room");
    bench.one();
    let mut stream = bench.r2t(write, 0, 0, 512);
    stream.extend(bench.data_in(read, 0, 0, &[7; 512], true));
    bench.feed(&stream).expect("legal");
    assert_eq!(bench.one().is::<DataOut>().itt, write);
    assert_eq!(bench.done(), (read, TaskResult { outcome: GOOD, transferred: 512, residual: Residual::None }));
    let wire = manage_response(&mut bench, manage, 0);
    bench.feed(&wire).expect("legal");
    let ended = [bench.done(), bench.done()].map(|(itt, result)| (itt, result.outcome));
    assert_eq!(ended, [(write, Outcome::Aborted), (other, Outcome::Aborted)]);
}

// check: tmf-scope
#[test]
fn a_function_that_failed_ends_nothing() {
    for code in [2, 3, 4, 5, 6, 0x77, 255] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let manage = bench.session.manage(Manage::TargetWarmReset).expect("room");
        bench.one();
        let wire = manage_response(&mut bench, manage, code);
        bench.feed(&wire).expect("legal");
        assert!(matches!(bench.session.poll_event(), Some(Event::ManageDone { .. })));
        let response = bench.good(itt);
        bench.feed(&response).expect("legal");
        assert_eq!(bench.done().1.outcome, GOOD, "{code}");
    }
}

// check: tmf-scope, response-once
#[test]
fn what_was_never_asked_is_not_answered() {
    type Say = fn(&mut Bench) -> Vec<u8>;
    let ways: [(&str, Say); 4] = [
        ("task management", |bench| manage_response(bench, Itt(3), 0)),
        ("text", |bench| text_response(bench, Itt(3), FINAL, Ttt::RESERVED, b"A=1\0")),
        ("a ping", |bench| bench.nop_in(Itt(3), Ttt::RESERVED, &[])),
        ("a logout", |bench| logout_response(bench, Itt(3))),
    ];
    for (what, say) in ways {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let wire = say(&mut bench);
        assert!(is_unknown(&bench.fails_with(&wire)), "{what}");
        // Nor does a tag of another kind of task do.
        let mut bench = Bench::new(handoff());
        assert_eq!(bench.read(512), itt);
        bench.one();
        let mut wire = say(&mut bench);
        wire[16..20].copy_from_slice(&itt.0.to_be_bytes());
        assert!(is_unknown(&bench.fails_with(&wire)), "{what}");
    }
}

// check: response-once, itt-unique
#[test]
fn nothing_is_answered_before_it_was_asked() {
    type Ask = fn(&mut Bench) -> Vec<u8>;
    let ways: [(&str, Ask); 3] = [
        ("task management", |bench| {
            let itt = bench.session.manage(Manage::TargetWarmReset).expect("room");
            manage_response(bench, itt, 0)
        }),
        ("text", |bench| {
            let itt = bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("none is under way");
            text_response(bench, itt, FINAL, Ttt::RESERVED, b"A=1\0")
        }),
        ("a ping", |bench| {
            bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
            bench.nop_in(Itt(0), Ttt::RESERVED, &[])
        }),
    ];
    for (what, ask) in ways {
        let mut bench = Bench::new(handoff());
        let wire = ask(&mut bench);
        assert!(is_unknown(&bench.fails_with(&wire)), "{what}");
    }
}

// check: response-once
#[test]
fn a_request_is_not_rejected_before_it_was_sent() {
    let mut bench = Bench::new(handoff());
    let text = bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("none is under way");
    let mut named = [0; BHS_LEN];
    named[0] = TextRequest::OPCODE;
    named[16..20].copy_from_slice(&text.0.to_be_bytes());
    let wire = reject(&mut bench, 0x04, &named);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.session.poll_event(), Some(Event::Rejected { reason: RejectReason::ProtocolError }));
    assert_eq!(bench.one().is::<TextRequest>().itt, text);
}

// Text.

// check: text-one
#[test]
fn no_text_waits_for_a_connection_whose_target_may_take_less() {
    let mut bench = Bench::new(handoff());
    bench.session.connection_lost();
    assert!(bench.session.text(vec![b'k'; 600], LIMIT).is_err());
    let smaller = Handoff { max_send_data_segment_length: 512, ..handoff() };
    bench.session.reinstate(&smaller, bench.now).expect("down");
    assert!(bench.session.text(vec![b'k'; 600], LIMIT).is_err());
    bench.session.text(vec![b'k'; 512], LIMIT).expect("it fits");
}

// check: text-continued
#[test]
fn the_rest_of_a_text_does_not_come_before_we_asked_for_it() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    bench.one();
    let mut stream = text_response(&mut bench, itt, CONTINUE, Ttt(7), b"TargetName=iqn.");
    stream.extend(text_response(&mut bench, itt, FINAL, Ttt::RESERVED, b"2001-04.com.example:a\0"));
    assert!(is_unknown(&bench.fails_with(&stream)));
}

// check: text-continued
#[test]
fn text_that_never_ends_ends_without_an_answer() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    bench.one();
    for _ in 0..100 {
        let wire = text_response(&mut bench, itt, CONTINUE, Ttt(7), &[b'x'; 8000]);
        bench.feed(&wire).expect("legal");
        if bench.sent().is_empty() {
            break;
        }
    }
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt, answer: Err(Unanswered::TooLong) }));
}

// check: text-continued
#[test]
fn text_is_taken_up_to_the_limit_of_the_caller() {
    for (length, answer) in [(10, Ok(vec![b'x'; 10])), (11, Err(Unanswered::TooLong))] {
        let mut bench = Bench::new(handoff());
        let itt = bench.session.text(b"A=1\0".to_vec(), 10).expect("none is under way");
        bench.one();
        let wire = text_response(&mut bench, itt, FINAL, Ttt::RESERVED, &vec![b'x'; length]);
        bench.feed(&wire).expect("legal");
        assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt, answer }));
    }
}

// check: text-continued
#[test]
fn text_that_ends_and_goes_on_is_refused() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    bench.one();
    let wire = text_response(&mut bench, itt, FINAL | CONTINUE, Ttt(7), b"x");
    assert!(matches!(bench.fails_with(&wire), PeerMisbehaved::Rule(rule) if rule.contains("F and C")));
}

// check: text-one
#[test]
fn text_ends_with_its_connection() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    bench.session.connection_lost();
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt, answer: Err(Unanswered::Lost) }));
}

// check: text-one
#[test]
fn one_text_exchange_is_under_way_at_a_time() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    assert!(bench.session.text(b"SendTargets=\0".to_vec(), LIMIT).is_err());
    bench.one();
    assert!(bench.session.text(b"SendTargets=\0".to_vec(), LIMIT).is_err());
    let wire = text_response(&mut bench, itt, FINAL, Ttt::RESERVED, b"");
    bench.feed(&wire).expect("legal");
    bench.session.text(b"SendTargets=\0".to_vec(), LIMIT).expect("it has ended");
}

// check: text-continued
#[test]
fn text_that_goes_on_without_a_tag_is_refused() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    bench.one();
    let wire = text_response(&mut bench, itt, CONTINUE, Ttt::RESERVED, b"x");
    assert!(matches!(bench.fails_with(&wire), PeerMisbehaved::Rule(rule) if rule.contains("Target Transfer Tag")));
}
