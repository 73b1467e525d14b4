//! The session against a target that is played line by line, with bytes in memory and a clock of
//! numbers.
//!
//! Every scenario runs three times at once ([`lines`]): what comes arrives whole, byte by byte and glued.

mod bench;
mod data;
mod ends;
mod lines;
mod messages;
mod numbers;

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::error::PeerMisbehaved;
use crate::handoff::HANDOFF_VERSION;
use crate::ids::Ttt;
use crate::pdu::*;
use crate::sn::{CmdSn, DataSn, StatSn};
use bench::Bench;

const LUN: Lun = Lun(0x0001_0000_0000_0000);

fn handoff() -> Handoff {
    Handoff {
        version: HANDOFF_VERSION,
        cmd_sn: 10,
        exp_stat_sn: 100,
        max_cmd_sn: 41,
        first_burst_length: 8192,
        max_burst_length: 16_384,
        max_recv_data_segment_length: 8192,
        max_send_data_segment_length: 4096,
        tsih: 1,
        cid: 0,
        max_outstanding_r2t: 2,
        default_time2wait: 2,
        default_time2retain: 20,
        target_portal_group_tag: 1,
        isid: [0x80, 0, 0, 0, 0, 1],
        header_digest: 0,
        data_digest: 0,
        initial_r2t: 0,
        immediate_data: 1,
        error_recovery_level: 0,
        reserved: [0; 3],
    }
}

/// Bytes of text that a target may answer.
const LIMIT: usize = 64 << 10;

const GOOD: Outcome = Outcome::Status(ScsiStatus::Good);

// check: cmdsn-first, cmdsn-contiguous
#[test]
fn the_first_command_carries_the_logins_cmd_sn_and_the_next_ones_follow() {
    let mut bench = Bench::new(handoff());
    bench.read(512);
    bench.read(512);
    let sent = bench.sent();
    assert_eq!(sent.iter().map(|pdu| pdu.is::<ScsiCommand>().cmd_sn.0).collect::<Vec<_>>(), [10, 11]);
    assert_eq!(sent[0].is::<ScsiCommand>().exp_stat_sn, StatSn(100));
}

// check: data-in-pieces, data-in-status
#[test]
fn a_read_arrives_in_pieces_and_status_comes_with_the_last() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(6000);
    bench.one();
    let first = bench.data_in(itt, 0, 0, &[1; 4096], false);
    let second = bench.data_in(itt, 1, 4096, &[2; 1904], true);
    bench.feed(&first).expect("legal");
    assert_eq!(bench.session.poll_event(), None);
    bench.feed(&second).expect("legal");
    assert_eq!(bench.done(), (itt, TaskResult { outcome: GOOD, transferred: 6000, residual: Residual::None }));
    assert_eq!(bench.buffer(itt), [vec![1; 4096], vec![2; 1904]].concat());
    bench.session.retire(itt).expect("finished");
    assert_eq!(bench.session.in_flight(), 0);
}

// check: stream-segments
#[test]
fn one_byte_at_a_time_gives_the_same_as_one_segment() {
    let mut handoff = handoff();
    (handoff.header_digest, handoff.data_digest) = (1, 1);
    let mut bench = Bench::new(handoff);
    let (first, second) = (bench.read(511), bench.read(512));
    bench.sent();
    let mut stream = bench.data_in(first, 0, 0, &[7; 511], false);
    stream.extend(bench.good(first));
    stream.extend(bench.nop_in(Itt::RESERVED, Ttt(5), b"ping"));
    stream.extend(bench.data_in(second, 0, 0, &[8; 512], true));
    for byte in stream {
        bench.feed(&[byte]).expect("legal");
    }
    assert_eq!((bench.done().0, bench.done().0), (first, second));
    assert_eq!(bench.buffer(first), [7; 511]);
    assert_eq!(bench.one().data, b"ping");
}

// check: digest-data, order-data-digest
#[test]
fn a_wrong_data_digest_is_never_a_result() {
    let mut handoff = handoff();
    handoff.data_digest = 1;
    let mut bench = Bench::new(handoff);
    let itt = bench.read(512);
    bench.one();
    let mut stream = bench.data_in(itt, 0, 0, &[7; 512], true);
    stream[60] ^= 1;
    assert_eq!(bench.fails_with(&stream), PeerMisbehaved::DataDigest);
    assert_eq!(bench.session.poll_event(), None);
}

// check: digest-header, order-header-digest
#[test]
fn a_wrong_header_digest_ends_the_connection() {
    let mut handoff = handoff();
    handoff.header_digest = 1;
    let mut bench = Bench::new(handoff);
    let itt = bench.read(512);
    bench.one();
    let mut stream = bench.good(itt);
    stream[40] ^= 1;
    assert_eq!(bench.fails_with(&stream), PeerMisbehaved::HeaderDigest);
}

/// {InitialR2T, ImmediateData} → data in the command, unsolicited bytes behind it.
// check: data-out-unsolicited, data-out-first-burst, data-out-segments, data-out-sequence
#[test]
fn the_four_pairs_of_initial_r2t_and_immediate_data() {
    for (initial_r2t, immediate_data, with_command, unsolicited) in
        [(0, 1, 4096, 4096), (0, 0, 0, 8192), (1, 1, 4096, 0), (1, 0, 0, 0)]
    {
        let mut bench = Bench::new(Handoff { initial_r2t, immediate_data, ..handoff() });
        let data: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let itt = bench.write(data.clone());
        let sent = bench.sent();
        let command = sent[0].is::<ScsiCommand>();
        assert_eq!(sent[0].data.len(), with_command);
        assert_eq!(command.flags & FINAL == 0, unsolicited > 0, "F says that no unsolicited data follows");
        let behind: Vec<u8> = sent[1..].iter().flat_map(|pdu| pdu.data.clone()).collect();
        assert_eq!(behind.len(), unsolicited);
        assert!(sent[1..].iter().all(|pdu| pdu.is::<DataOut>().ttt == Ttt::RESERVED));
        let taken = (with_command + unsolicited) as u32;
        let r2t = bench.r2t(itt, 0, taken, (20_000 - taken).min(16_384));
        bench.feed(&r2t).expect("legal");
        let answer = bench.sent();
        assert!(answer.iter().all(|pdu| pdu.data.len() <= 4096 && pdu.is::<DataOut>().ttt == Ttt(0x77)));
        let sns: Vec<u32> = answer.iter().map(|pdu| pdu.is::<DataOut>().data_sn.0).collect();
        assert_eq!(sns, (0..answer.len() as u32).collect::<Vec<_>>());
        let finals = answer.iter().filter(|pdu| pdu.bhs[1] & FINAL != 0).count();
        assert!(finals == 1 && answer.last().is_some_and(|pdu| pdu.bhs[1] & FINAL != 0));
        let all: Vec<u8> = sent.iter().chain(&answer).flat_map(|pdu| pdu.data.clone()).collect();
        assert_eq!(all[..], data[..all.len()]);
    }
}

// check: r2t-several
#[test]
fn several_r2ts_are_answered_and_one_too_many_is_an_error() {
    let mut bench = Bench::new(Handoff { initial_r2t: 1, immediate_data: 0, ..handoff() });
    let itt = bench.write(vec![9; 40_000]);
    bench.one();
    let mut stream = bench.r2t(itt, 0, 0, 16_384);
    stream.extend(bench.r2t(itt, 1, 16_384, 16_384));
    bench.feed(&stream).expect("two are allowed");
    let third = bench.r2t(itt, 2, 32_768, 7232);
    assert!(matches!(bench.fails_with(&third), PeerMisbehaved::Rule(rule) if rule.contains("MaxOutstandingR2T")));
}

// check: r2t-bounds, order-offset
#[test]
fn an_r2t_must_stay_within_the_command_and_in_order() {
    for (sn, offset, len, word) in [
        (1, 0, 512, "R2TSN"),
        (0, 512, 512, "go on"),
        (0, 0, 0, "no data"),
        (0, 0, 16_385, "MaxBurstLength"),
        (0, 0, 5000, "past the end"),
    ] {
        let mut bench = Bench::new(Handoff { initial_r2t: 1, immediate_data: 0, ..handoff() });
        let itt = bench.write(vec![9; 4096]);
        bench.one();
        let r2t = bench.r2t(itt, sn, offset, len);
        assert!(matches!(bench.fails_with(&r2t), PeerMisbehaved::Rule(rule) if rule.contains(word)), "{word}");
    }
}

// check: data-in-bounds, datasn-gap, order-offset
#[test]
fn data_in_must_fit_its_command() {
    for (sn, offset, len) in [(1, 0, 512), (0, 512, 512), (0, 0, 1024)] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(600);
        bench.one();
        let data = vec![1; len];
        let pdu = bench.data_in(itt, sn, offset, &data, false);
        assert!(matches!(bench.fails_with(&pdu), PeerMisbehaved::Rule(_)));
        assert_eq!(bench.buffer(itt), vec![0; 600], "nothing was placed");
    }
}

// check: data-in-declared, order-length
#[test]
fn data_in_longer_than_we_declared_is_refused_before_it_is_read() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(20_000);
    bench.one();
    let pdu = bench.data_in(itt, 0, 0, &[1; 8196], false);
    assert!(matches!(bench.fails_with(&pdu[..48]), PeerMisbehaved::SegmentTooLong { length: 8196, limit: 8192, .. }));
}

// check: window-closed, window-opens
#[test]
fn a_closed_window_holds_commands_until_any_pdu_opens_it() {
    let mut bench = Bench::new(Handoff { max_cmd_sn: 10, ..handoff() });
    bench.read(512);
    bench.read(512);
    assert_eq!(bench.sent().len(), 1);
    bench.max_cmd_sn = 11;
    let nop = bench.nop_in(Itt::RESERVED, Ttt::RESERVED, &[]);
    bench.feed(&nop).expect("legal");
    assert_eq!(bench.one().is::<ScsiCommand>().cmd_sn, CmdSn(11));
}

// check: residual-exact, status-sense
#[test]
fn a_response_with_sense_and_underflow_is_told_exactly() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(4096);
    bench.one();
    let mut stream = bench.data_in(itt, 0, 0, &[3; 1024], false);
    stream.extend(bench.respond(itt, 2, residual::UNDERFLOW, 3072, &[0x70, 0, 3, 0, 0, 0, 0, 0]));
    bench.feed(&stream).expect("legal");
    let (done, result) = bench.done();
    assert_eq!(done, itt);
    assert_eq!(result.outcome, Outcome::Status(ScsiStatus::CheckCondition));
    assert_eq!((result.transferred, result.residual), (1024, Residual::Underflow(3072)));
    assert_eq!(bench.session.sense(itt), [0x70, 0, 3, 0, 0, 0, 0, 0]);
}

// check: status-sense-bounds
#[test]
fn a_sense_length_that_lies_is_cut_to_what_arrived() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = ScsiResponse {
        flags: FINAL,
        response: 0,
        status: 2,
        itt,
        snack_tag: 0,
        stat_sn,
        exp_cmd_sn,
        max_cmd_sn,
        exp_data_sn: DataSn(0),
        bidi_read_residual_count: 0,
        residual_count: 0,
    };
    let wire = bench.pdu(pdu.encode(), &[0xff, 0xff, 0x70, 0, 5]);
    bench.feed(&wire).expect("tolerable");
    assert_eq!(bench.session.sense(itt), [0x70, 0, 5]);
}

// check: statsn-gap
#[test]
fn a_gap_in_stat_sn_ends_the_connection() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    bench.stat_sn += 1;
    let response = bench.good(itt);
    assert_eq!(bench.fails_with(&response), PeerMisbehaved::StatSn { expected: 100, received: 101 });
}

// check: statsn-acknowledged
#[test]
fn stat_sn_wraps() {
    let mut bench = Bench::new(Handoff { exp_stat_sn: u32::MAX, ..handoff() });
    let (first, second) = (bench.read(512), bench.read(512));
    bench.sent();
    let mut stream = bench.good(first);
    stream.extend(bench.good(second));
    bench.feed(&stream).expect("legal");
    assert_eq!((bench.done().0, bench.done().0), (first, second));
}

// check: response-once, order-task
#[test]
fn a_response_to_a_retired_task_is_a_protocol_error() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    let response = bench.good(itt);
    bench.feed(&response).expect("legal");
    bench.done();
    bench.session.retire(itt).expect("finished");
    let again = bench.good(itt);
    assert_eq!(bench.fails_with(&again), PeerMisbehaved::UnknownTask(itt.0));
}

// check: nop-answered, cmdsn-immediate
#[test]
fn a_ping_of_the_target_is_answered_with_its_data() {
    let mut bench = Bench::new(handoff());
    let nop = bench.nop_in(Itt::RESERVED, Ttt(0x1234), b"hello");
    bench.feed(&nop).expect("legal");
    let pong = bench.one();
    assert!(is_immediate(&pong.bhs));
    let header = pong.is::<NopOut>();
    assert_eq!((header.itt, header.ttt, header.lun), (Itt::RESERVED, Ttt(0x1234), LUN));
    assert_eq!((header.cmd_sn, pong.data.as_slice()), (CmdSn(10), b"hello".as_slice()));
}

// check: nop-own
#[test]
fn silence_is_answered_by_a_ping_and_then_by_giving_up() {
    let mut bench = Bench::new(handoff());
    assert_eq!(bench.session.poll_timeout(), Some(Instant::from_millis(5000)));
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    let ping = bench.one().is::<NopOut>();
    assert_ne!(ping.itt, Itt::RESERVED);
    bench.now = Instant::from_millis(6000);
    let pong = bench.nop_in(ping.itt, Ttt::RESERVED, &[]);
    bench.feed(&pong).expect("legal");
    assert_eq!(bench.session.poll_timeout(), Some(Instant::from_millis(11_000)));
    bench.session.handle_timeout(Instant::from_millis(11_000)).expect("a ping is due");
    bench.one();
    let dead = bench.session.handle_timeout(Instant::from_millis(16_000));
    assert_eq!(dead, Err(PeerMisbehaved::Silent.into()));
}

// check: tmf-fields, cmdsn-immediate
#[test]
fn an_abort_names_the_task_its_lun_and_its_cmd_sn() {
    let mut bench = Bench::new(handoff());
    bench.read(512);
    let victim = bench.read(512);
    bench.sent();
    let tag = bench.session.manage(Manage::AbortTask(victim)).expect("under way");
    let pdu = bench.one();
    let request = pdu.is::<TaskManagementRequest>();
    assert!(is_immediate(&pdu.bhs));
    assert_eq!((request.lun, request.referenced_task_tag, request.ref_cmd_sn), (LUN, victim, CmdSn(11)));
    assert_eq!((request.cmd_sn, request.function & 0x7f), (CmdSn(12), 1));
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let response = TaskManagementResponse { flags: FINAL, response: 0, itt: tag, stat_sn, exp_cmd_sn, max_cmd_sn };
    let wire = bench.pdu(response.encode(), &[]);
    bench.feed(&wire).expect("legal");
    assert_eq!(
        bench.done(),
        (victim, TaskResult { outcome: Outcome::Aborted, transferred: 0, residual: Residual::None })
    );
    assert!(matches!(bench.session.poll_event(), Some(Event::ManageDone { itt, .. }) if itt == tag));
}

// check: tmf-scope
#[test]
fn a_unit_reset_ends_what_was_sent_before_it_on_that_unit_only() {
    let mut bench = Bench::new(handoff());
    let before = bench.read(512);
    bench.sent();
    let tag = bench.session.manage(Manage::LogicalUnitReset(LUN)).expect("room");
    let after = bench.read(512);
    bench.sent();
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let response = TaskManagementResponse { flags: FINAL, response: 0, itt: tag, stat_sn, exp_cmd_sn, max_cmd_sn };
    let wire = bench.pdu(response.encode(), &[]);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.done().0, before);
    assert!(matches!(bench.session.poll_event(), Some(Event::ManageDone { .. })));
    let response = bench.good(after);
    bench.feed(&response).expect("legal");
    assert_eq!(bench.done().0, after);
}

// check: cmdsn-contiguous
#[test]
fn a_command_that_was_not_sent_is_taken_back_without_a_gap_in_cmd_sn() {
    let mut bench = Bench::new(handoff());
    let first = bench.read(512);
    let second = bench.read(512);
    assert!(bench.session.cancel(first));
    assert_eq!(bench.done().0, first);
    let sent = bench.one().is::<ScsiCommand>();
    assert_eq!((sent.itt, sent.cmd_sn), (second, CmdSn(10)));
    assert!(!bench.session.cancel(second), "that one was sent");
}

fn reject(bench: &mut Bench, reason: u8, rejected: &Bhs) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let data_sn = DataSn(0);
    let pdu = Reject { flags: FINAL, reason, itt: Itt::RESERVED, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn };
    bench.pdu(pdu.encode(), rejected)
}

// check: reject-ends
#[test]
fn a_rejected_command_ends() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    let sent = bench.one();
    let wire = reject(&mut bench, 0x04, &sent.bhs);
    bench.feed(&wire).expect("legal");
    let (done, result) = bench.done();
    assert_eq!((done, result.outcome), (itt, Outcome::Rejected(RejectReason::ProtocolError)));
}

// check: reject-data-digest
#[test]
fn a_command_that_was_discarded_with_its_number_ends_the_connection_and_is_issued_over_the_next() {
    let mut bench = Bench::new(handoff());
    bench.write(vec![1; 512]);
    let sent = bench.one();
    let wire = reject(&mut bench, 0x02, &sent.bhs);
    assert!(matches!(bench.fails_with(&wire), PeerMisbehaved::Rule(_)));
    assert_eq!(bench.session.poll_event(), None, "it has not ended");
    bench.session.connection_lost();
    assert_eq!(bench.done().1, lost(true));
}

// check: reject-data-out, response-once
#[test]
fn a_command_whose_data_out_was_rejected_sends_the_rest_and_ends_with_the_response() {
    let mut bench = Bench::new(handoff());
    let itt = bench.write(vec![1; 8192]);
    let sent = bench.sent();
    let wire = reject(&mut bench, 0x02, &sent[1].bhs);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.session.poll_event(), Some(Event::Rejected { reason: RejectReason::DataDigestError }));
    assert_eq!(bench.session.poll_event(), None, "the target waits for the rest and ends it then");
    assert!(bench.session.retire(itt).is_err());
    let response = bench.respond(itt, 2, 0, 0, &[]);
    bench.feed(&response).expect("its end");
    assert_eq!(bench.done().0, itt);
    bench.session.retire(itt).expect("finished");
    let again = bench.good(itt);
    assert_eq!(bench.fails_with(&again), PeerMisbehaved::UnknownTask(itt.0));
}

fn async_message(bench: &mut Bench, event: u8, parameters: [u16; 3], data: &[u8]) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let [parameter1, parameter2, parameter3] = parameters;
    let pdu = AsyncMessage {
        flags: FINAL,
        lun: LUN,
        itt: Itt::RESERVED,
        stat_sn,
        exp_cmd_sn,
        max_cmd_sn,
        event,
        vendor_code: 9,
        parameter1,
        parameter2,
        parameter3,
    };
    bench.pdu(pdu.encode(), data)
}

// check: async-logout, async-drop, async-negotiation
#[test]
fn asynchronous_events_are_told_as_they_are_meant() {
    let mut bench;
    let expected = [
        (1, Event::LogoutRequested { seconds: 30 }),
        (2, Event::DropAnnounced { time2wait: 20, time2retain: 30 }),
        (3, Event::DropAnnounced { time2wait: 20, time2retain: 30 }),
        (4, Event::LogoutRequested { seconds: 30 }),
        (255, Event::Notice { event: 255, vendor_code: 9 }),
    ];
    for (event, meaning) in expected {
        // Each over a connection of its own: the end of one is told once.
        bench = Bench::new(handoff());
        let wire = async_message(&mut bench, event, [10, 20, 30], &[]);
        bench.feed(&wire).expect("legal");
        assert_eq!(bench.session.poll_event(), Some(meaning));
    }
    bench = Bench::new(handoff());
    let wire = async_message(&mut bench, 0, [0; 3], &[0, 3, 0x70, 0, 6]);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.session.poll_event(), Some(Event::UnitReport { lun: LUN, sense: vec![0x70, 0, 6] }));
}

// check: text-continued
#[test]
fn text_that_goes_on_is_gathered() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec(), LIMIT).expect("none is under way");
    assert_eq!(bench.one().data, b"SendTargets=All\0");
    for (flags, ttt, part) in [(CONTINUE, Ttt(7), "TargetName=a"), (FINAL, Ttt::RESERVED, "bc\0")] {
        let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
        let pdu = TextResponse { flags, lun: Lun(0), itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn };
        let wire = bench.pdu(pdu.encode(), part.as_bytes());
        bench.feed(&wire).expect("legal");
        if ttt != Ttt::RESERVED {
            let request = bench.one();
            assert_eq!((request.is::<TextRequest>().ttt, request.data.len()), (Ttt(7), 0));
        }
    }
    let answer = Ok(b"TargetName=abc\0".to_vec());
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt, answer }));
}

// check: logout-nothing-after
#[test]
fn nothing_follows_a_logout() {
    let mut bench = Bench::new(handoff());
    let waiting = bench.read(512);
    bench.session.logout(LogoutReason::CloseSession).expect("connected");
    let logout = bench.one().is::<LogoutRequest>();
    assert_eq!(logout.reason, FINAL);
    assert_eq!(bench.done(), (waiting, lost(true)));
    bench.read(512);
    assert!(bench.sent().is_empty());
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = LogoutResponse {
        flags: FINAL,
        response: 0,
        itt: logout.itt,
        stat_sn,
        exp_cmd_sn,
        max_cmd_sn,
        time2wait: 0,
        time2retain: 0,
    };
    let wire = bench.pdu(pdu.encode(), &[]);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.session.poll_event(), Some(Event::LoggedOut { outcome: LogoutOutcome::Closed }));
    assert_eq!(bench.session.rx_plan(), RxPlan::Stop);
}

fn lost(again: bool) -> TaskResult {
    TaskResult { outcome: Outcome::Lost { again }, transferred: 0, residual: Residual::None }
}

// check: recovery-replay-never
#[test]
fn a_lost_connection_ends_every_command_and_says_which_may_be_issued_again() {
    let mut bench = Bench::new(handoff());
    let write = bench.write(vec![5; 10_000]);
    let read = bench.read(4096);
    let reserve = bench.submit(0x5f, Data::None, Vec::new());
    bench.sent();
    let unsent = bench.submit(0x5f, Data::None, Vec::new());
    let partly = bench.data_in(read, 0, 0, &[1; 1024], false);
    bench.feed(&partly).expect("legal");
    bench.session.connection_lost();
    let ended: Vec<_> = (0..4).map(|_| bench.done()).collect();
    assert_eq!(ended, [(write, lost(true)), (read, lost(true)), (reserve, lost(false)), (unsent, lost(true))]);
    assert_eq!(bench.session.poll_event(), None);
    for (itt, _) in ended {
        bench.session.retire(itt).expect("finished");
    }
    assert_eq!(bench.session.in_flight(), 0);
}

// check: recovery-replay-order
#[test]
fn over_the_next_connection_commands_start_anew_in_the_order_of_their_submission() {
    let mut bench = Bench::new(handoff());
    bench.write(vec![5; 10_000]);
    let half = bench.read(4096);
    bench.sent();
    let partly = bench.data_in(half, 0, 0, &[1; 1024], false);
    bench.feed(&partly).expect("legal");
    bench.session.connection_lost();
    for _ in 0..2 {
        let (itt, _) = bench.done();
        bench.session.retire(itt).expect("finished");
    }
    let (write, read) = (bench.write(vec![5; 10_000]), bench.read(4096));
    assert!(bench.sent().is_empty(), "there is no connection");
    let next = Handoff { cmd_sn: 500, max_cmd_sn: 600, exp_stat_sn: 7, ..handoff() };
    bench.session.reinstate(&next, bench.now).expect("down");
    bench.stat_sn = 7;
    let late = bench.read(512);
    let again = bench.sent();
    let commands: Vec<_> =
        again.iter().filter(|pdu| opcode(&pdu.bhs) == 1).map(|pdu| pdu.is::<ScsiCommand>()).collect();
    assert_eq!(commands.iter().map(|pdu| pdu.itt).collect::<Vec<_>>(), [write, read, late]);
    assert_eq!(commands[0].cmd_sn, CmdSn(500));
    let whole = bench.data_in(read, 0, 0, &[2; 4096], true);
    bench.feed(&whole).expect("it starts anew");
    assert_eq!(bench.done().1.transferred, 4096);
}

// check: recovery-replacement-timeout
#[test]
fn giving_up_ends_everything_once() {
    let mut bench = Bench::new(handoff());
    let tags: Vec<Itt> = (0..4).map(|_| bench.read(512)).collect();
    bench.sent();
    bench.session.give_up();
    let mut ended: Vec<_> = (0..4).map(|_| bench.done()).collect();
    ended.sort_by_key(|(itt, _)| itt.0);
    assert_eq!(ended, tags.into_iter().map(|itt| (itt, lost(false))).collect::<Vec<_>>());
    assert_eq!(bench.session.poll_event(), None);
}

// check: unknown-opcode, order-opcode
#[test]
fn opcodes_of_an_initiator_or_of_nobody_are_refused() {
    for code in [0x01, 0x23, 0x3e] {
        let mut bench = Bench::new(handoff());
        let mut bhs = [0; BHS_LEN];
        bhs[0] = code;
        assert_eq!(bench.fails_with(&bhs), PeerMisbehaved::UnexpectedOpcode(code));
    }
}

// check: unknown-ahs
#[test]
fn an_ahs_nobody_asked_for_is_passed_over() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    bench.one();
    let mut wire = bench.good(itt);
    wire[4] = 3;
    wire.splice(48..48, [0xaa; 12]);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.done().0, itt);
}
