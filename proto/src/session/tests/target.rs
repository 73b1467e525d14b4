//! What a target may do beyond what is in order, and what it must not get away with.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::bench::Bench;
use super::lines::Sent;
use super::{GOOD, LUN, async_message, handoff, reject};
use crate::error::PeerMisbehaved;
use crate::pdu::*;
use crate::sn::{CmdSn, DataSn, StatSn};
use crate::time::Duration;

fn digests() -> Handoff {
    Handoff { header_digest: 1, data_digest: 1, ..handoff() }
}

/// Every write waits for R2Ts.
fn solicited() -> Handoff {
    Handoff { initial_r2t: 1, immediate_data: 0, ..handoff() }
}

/// A session that never pings.
fn without_pings() -> Bench {
    let pings = PingTimers { interval: None, timeout: None };
    Bench::with(handoff(), SessionConfig { depth: 8, pings })
}

fn numbers(sent: &[Sent]) -> Vec<u32> {
    sent.iter().map(|pdu| CmdSn::get(&pdu.bhs, 24).0).collect()
}

fn manage_response(bench: &mut Bench, itt: Itt, response: u8) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = TaskManagementResponse { flags: FINAL, response, itt, stat_sn, exp_cmd_sn, max_cmd_sn };
    bench.pdu(pdu.encode(), &[])
}

fn text_response(bench: &mut Bench, itt: Itt, flags: u8, ttt: Ttt, data: &[u8]) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = TextResponse { flags, lun: Lun(0), itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn };
    bench.pdu(pdu.encode(), data)
}

/// A header back out of the bytes of a PDU.
fn header(wire: &[u8]) -> Bhs {
    *wire.first_chunk().expect("a header")
}

fn is_unknown(how: &PeerMisbehaved) -> bool {
    matches!(how, PeerMisbehaved::UnknownTask(_))
}

// Numbers and windows.

// check: cmdsn-contiguous
#[test]
fn command_numbers_wrap() {
    let mut bench = Bench::new(Handoff { cmd_sn: u32::MAX, max_cmd_sn: 10, ..handoff() });
    for _ in 0..3 {
        bench.read(512);
    }
    assert_eq!(numbers(&bench.sent()), [u32::MAX, 0, 1]);
}

// check: cmdsn-immediate
#[test]
fn what_is_immediate_does_not_take_a_command_number() {
    let mut bench = Bench::new(handoff());
    let first = bench.read(512);
    assert_eq!(numbers(&bench.sent()), [10]);
    bench.session.manage(Manage::AbortTask(first)).expect("under way");
    bench.session.text(b"A=1\0".to_vec()).expect("none is under way");
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    let ping = bench.nop_in(Itt::RESERVED, Ttt(1), &[]);
    bench.feed(&ping).expect("legal");
    bench.read(512);
    let sent = bench.sent();
    assert_eq!(numbers(&sent), [11; 5]);
    assert_eq!(sent.iter().filter(|pdu| is_immediate(&pdu.bhs)).count(), 4);
    bench.read(512);
    assert_eq!(numbers(&bench.sent()), [12]);
}

// check: window-huge
#[test]
fn the_widest_window_is_no_wider_than_our_own_depth() {
    for ahead in [0x7fff_fffe, 0x7fff_ffff, 0x8000_0000] {
        let mut bench = Bench::new(Handoff { max_cmd_sn: 10_u32.wrapping_add(ahead), ..handoff() });
        let all: Vec<Itt> = (0..8).map(|_| bench.read(512)).collect();
        assert_eq!(bench.sent().len(), 8, "{ahead:#x}");
        let one_more = Command { lun: LUN, cdb: [0; 16], attribute: TaskAttribute::Simple, data: Data::None };
        assert!(bench.session.try_submit(one_more).is_err());
        let response = bench.good(all[0]);
        bench.feed(&response).expect("legal");
        bench.done();
        bench.session.retire(all[0]).expect("finished");
        assert!(bench.session.try_submit(one_more).is_ok());
    }
}

// check: window-opens
#[test]
fn every_pdu_of_a_target_opens_the_window() {
    type Say = fn(&mut Bench, Itt, Itt) -> Vec<u8>;
    let ways: [(&str, Say); 9] = [
        ("NOP-In", |bench, _, _| bench.nop_in(Itt::RESERVED, Ttt::RESERVED, &[])),
        ("SCSI Response", |bench, read, _| bench.good(read)),
        ("Data-In", |bench, read, _| bench.data_in(read, 0, 0, &[1; 8], false)),
        ("Data-In with status", |bench, read, _| bench.data_in(read, 0, 0, &[1; 512], true)),
        ("R2T", |bench, _, write| bench.r2t(write, 0, 0, 512)),
        ("Task Management Response", |bench, read, _| {
            let itt = bench.session.manage(Manage::AbortTask(read)).expect("under way");
            bench.one();
            manage_response(bench, itt, 1)
        }),
        ("Text Response", |bench, _, _| {
            let itt = bench.session.text(b"A=1\0".to_vec()).expect("none is under way");
            bench.one();
            text_response(bench, itt, FINAL, Ttt::RESERVED, b"A=1\0")
        }),
        ("Async Message", |bench, _, _| async_message(bench, 255, [0; 3], &[])),
        ("Reject", |bench, _, _| reject(bench, 0x04, &[0; BHS_LEN])),
    ];
    for (what, say) in ways {
        let mut bench = Bench::new(Handoff { max_cmd_sn: 11, ..solicited() });
        let (read, write) = (bench.read(512), bench.write(vec![1; 512]));
        bench.read(512);
        assert_eq!(bench.sent().len(), 2, "{what}");
        bench.max_cmd_sn = 12;
        let wire = say(&mut bench, read, write);
        bench.feed(&wire).expect(what);
        let commands = bench.sent().into_iter().filter(|pdu| opcode(&pdu.bhs) == ScsiCommand::OPCODE).count();
        assert_eq!(commands, 1, "{what}");
    }
}

// check: statsn-not-advanced, statsn-acknowledged
#[test]
fn what_carries_no_status_is_not_acknowledged_and_what_does_is() {
    let mut bench = Bench::new(solicited());
    let (read, write) = (bench.read(1024), bench.write(vec![1; 512]));
    bench.sent();
    let mut stream = bench.data_in(read, 0, 0, &[1; 512], false);
    stream.extend(bench.r2t(write, 0, 0, 512));
    stream.extend(bench.nop_in(Itt::RESERVED, Ttt(9), b"x"));
    bench.feed(&stream).expect("legal");
    assert!(bench.sent().iter().all(|pdu| StatSn::get(&pdu.bhs, 28) == StatSn(100)));
    let mut stream = bench.data_in(read, 1, 512, &[1; 512], true);
    stream.extend(bench.good(write));
    bench.feed(&stream).expect("legal");
    bench.read(512);
    assert_eq!(bench.one().is::<ScsiCommand>().exp_stat_sn, StatSn(102));
}

// check: itt-unique
#[test]
fn tags_of_tasks_under_way_differ_and_a_retired_one_does_not_come_back() {
    let mut bench = Bench::new(handoff());
    let mut seen = Vec::new();
    for _ in 0..50 {
        let itt = bench.read(512);
        assert!(itt != Itt::RESERVED && !seen.contains(&itt));
        seen.push(itt);
        bench.sent();
        let response = bench.good(itt);
        bench.feed(&response).expect("legal");
        bench.done();
        bench.session.retire(itt).expect("finished");
        bench.max_cmd_sn += 1;
    }
}

// Data out.

// check: r2t-echo, r2t-several, data-out-sequence
#[test]
fn each_of_several_r2ts_gets_a_sequence_of_its_own() {
    let mut bench = Bench::new(solicited());
    let itt = bench.write((0..20_000u32).map(|n| (n % 251) as u8).collect());
    bench.one();
    let mut stream = bench.r2t(itt, 0, 0, 10_000);
    stream.extend(bench.r2t(itt, 1, 10_000, 10_000));
    bench.feed(&stream).expect("two are allowed");
    let sent = bench.sent();
    for (ttt, start) in [(0x77, 0), (0x78, 10_000)] {
        let sequence: Vec<(DataOut, usize)> = sent
            .iter()
            .map(|pdu| (pdu.is::<DataOut>(), pdu.data.len()))
            .filter(|(header, _)| header.ttt == Ttt(ttt))
            .collect();
        assert_eq!(sequence.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [4096, 4096, 1808]);
        for (n, (header, _)) in sequence.iter().enumerate() {
            assert_eq!((header.itt, header.lun, header.data_sn), (itt, LUN, DataSn(n as u32)));
            assert_eq!(header.buffer_offset, start + 4096 * n as u32);
            assert_eq!(header.flags, if n == 2 { FINAL } else { 0 });
        }
    }
    // Both are answered: there is room for two more.
    assert_eq!(bench.buffer(itt), sent.iter().flat_map(|pdu| pdu.data.clone()).collect::<Vec<_>>());
}

// check: login-first-burst-bounded, data-out-first-burst
#[test]
fn unsolicited_data_stay_within_both_bursts_whichever_is_smaller() {
    for (first_burst_length, max_burst_length) in [(16_384, 6000), (6000, 16_384)] {
        let mut bench = Bench::new(Handoff { first_burst_length, max_burst_length, ..handoff() });
        bench.write(vec![1; 20_000]);
        let sent: usize = bench.sent().iter().map(|pdu| pdu.data.len()).sum();
        assert_eq!(sent, 6000);
    }
}

// check: data-out-order
#[test]
fn unsolicited_data_go_out_in_the_order_of_their_commands() {
    let mut bench = Bench::new(Handoff { immediate_data: 0, ..handoff() });
    let (first, second) = (bench.write(vec![1; 6000]), bench.write(vec![2; 6000]));
    let order: Vec<(u8, Itt)> = bench.sent().iter().map(|pdu| (opcode(&pdu.bhs), Itt::get(&pdu.bhs, 16))).collect();
    assert_eq!(order, [(1, first), (5, first), (5, first), (1, second), (5, second), (5, second)]);
}

// check: r2t-echo
#[test]
fn the_units_address_in_an_r2t_is_the_one_that_goes_back() {
    let mut bench = Bench::new(solicited());
    let itt = bench.write(vec![1; 512]);
    bench.one();
    let mut wire = bench.r2t(itt, 0, 0, 512);
    wire[8..16].copy_from_slice(&[0x40, 7, 0, 0, 0, 0, 0, 0]);
    wire[20..24].copy_from_slice(&[0, 0, 0, 0]);
    bench.feed(&wire).expect("legal");
    let answer = bench.one().is::<DataOut>();
    assert_eq!((answer.lun, answer.ttt), (Lun(0x4007 << 48), Ttt(0)));
}

// check: r2t-unknown-task
#[test]
fn an_r2t_for_what_is_no_write_under_way_sends_nothing() {
    for which in ["never was", "reads", "has finished", "has retired"] {
        let mut bench = Bench::new(solicited());
        let (read, write) = (bench.read(512), bench.write(vec![1; 512]));
        bench.sent();
        let itt = match which {
            "never was" => Itt(0x0001_0007),
            "reads" => read,
            _ => write,
        };
        if itt == write {
            let response = bench.good(write);
            bench.feed(&response).expect("legal");
            bench.done();
        }
        if which == "has retired" {
            bench.session.retire(write).expect("finished");
        }
        let wire = bench.r2t(itt, 0, 0, 512);
        bench.fails_with(&wire);
        assert!(bench.sent().is_empty(), "{which}");
    }
}

// check: r2t-bounds
#[test]
fn an_r2t_whose_end_does_not_fit_32_bits_is_past_the_end() {
    let mut bench = Bench::new(solicited());
    let itt = bench.write(vec![1; 512]);
    bench.one();
    let mut wire = bench.r2t(itt, 0, 0, 512);
    wire[40..44].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
    bench.fails_with(&wire);
    assert!(bench.sent().is_empty());
}

// check: digest-padding
#[test]
fn our_digests_cover_the_padding() {
    // A task's data: the caller sends the trailer.
    let crc = SoftCrc32c::append(0, b"hello");
    let expected = SoftCrc32c::append(0, b"hello\0\0\0").to_le_bytes();
    assert_eq!(trailer::<SoftCrc32c>(5, Some(crc)).bytes(), [&[0, 0, 0][..], &expected].concat());
    assert_eq!(trailer::<SoftCrc32c>(5, None).bytes(), [0, 0, 0]);
    // The core's own.
    let mut session: Session = Session::from_handoff(
        &digests(),
        SessionConfig { depth: 1, pings: PingTimers { interval: None, timeout: None } },
        Instant::ZERO,
    )
    .expect("a handoff that makes sense");
    session.text(b"A=1\0\0".to_vec()).expect("none is under way");
    let mut head = Head::default();
    let transmit = session.poll_transmit(&mut head).expect("a text request");
    let (bhs, digest) = head.bytes().split_at(BHS_LEN);
    assert_eq!(digest, SoftCrc32c::append(0, bhs).to_le_bytes());
    let expected = SoftCrc32c::append(0, b"A=1\0\0\0\0\0").to_le_bytes();
    assert_eq!(transmit.payload, Payload::Core(&[&b"A=1\0\0\0\0\0"[..], &expected].concat()));
}

// Data in.

// check: data-in-bounds, order-offset
#[test]
fn data_in_for_a_write_or_past_every_bound_touches_nothing() {
    for (opcode, data, offset) in
        [(0x8a, Data::Out(512), 0), (0x35, Data::None, 0), (0x88, Data::In(512), 0xffff_ff00), (0x88, Data::In(512), 8)]
    {
        let mut bench = Bench::new(handoff());
        let itt = bench.submit(opcode, data, vec![7; data.len() as usize]);
        bench.sent();
        let wire = bench.data_in(itt, 0, offset, &[1; 512], true);
        bench.fails_with(&wire);
        assert!(bench.buffer(itt).iter().all(|byte| *byte == 7));
        assert_eq!(bench.session.poll_event(), None, "it has not ended");
    }
}

// check: data-in-bounds
#[test]
fn data_that_overlap_what_is_there_are_refused() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(1024);
    bench.one();
    let wire = bench.data_in(itt, 0, 0, &[1; 512], false);
    bench.feed(&wire).expect("legal");
    let again = bench.data_in(itt, 1, 256, &[2; 512], false);
    bench.fails_with(&again);
    assert_eq!(bench.buffer(itt)[..512], [1; 512]);
}

// check: data-in-unknown-task, order-task
#[test]
fn data_in_for_what_is_not_under_way_are_refused_by_the_header() {
    for which in ["never was", "another generation", "waits", "has finished", "a ping"] {
        let mut bench = Bench::new(Handoff { max_cmd_sn: 10, ..handoff() });
        let (read, waits) = (bench.read(512), bench.read(512));
        bench.sent();
        let itt = match which {
            "never was" => Itt(7),
            "another generation" => Itt(read.0 ^ 0x1_0000),
            "waits" => waits,
            "a ping" => {
                bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
                bench.one().is::<NopOut>().itt
            }
            _ => {
                let response = bench.good(read);
                bench.feed(&response).expect("legal");
                bench.done();
                read
            }
        };
        let wire = bench.data_in(itt, 0, 0, &[1; 512], true);
        assert!(is_unknown(&bench.fails_with(&wire[..BHS_LEN])), "{which}");
        assert_eq!(bench.buffer(read), [0; 512], "{which}");
    }
}

// check: datasn-gap
#[test]
fn data_that_the_target_counts_and_we_never_saw_are_no_good_end() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(1024);
    bench.one();
    let mut stream = bench.data_in(itt, 0, 0, &[1; 512], false);
    let mut response = bench.good(itt);
    response[36..40].copy_from_slice(&2_u32.to_be_bytes());
    stream.extend(response);
    assert!(matches!(bench.fails_with(&stream), PeerMisbehaved::Rule(rule) if rule.contains("ExpDataSN")));
    assert_eq!(bench.session.poll_event(), None);
}

// check: data-in-status, residual-exact
#[test]
fn a_data_in_may_bring_the_status_and_an_underflow() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(1024);
    bench.one();
    let mut wire = bench.data_in(itt, 0, 0, &[1; 512], true);
    wire[1] |= residual::UNDERFLOW;
    wire[3] = 0x08;
    wire[44..48].copy_from_slice(&512_u32.to_be_bytes());
    bench.feed(&wire).expect("legal");
    let (_, result) = bench.done();
    assert_eq!(result.outcome, Outcome::Status(ScsiStatus::Busy));
    assert_eq!((result.transferred, result.residual), (512, Residual::Underflow(512)));
}

// check: residual-exact, residual-lie
#[test]
fn residual_counts_are_told_and_never_believed() {
    for (flags, count, residual, transferred) in [
        (residual::OVERFLOW, 4096, Residual::Overflow(4096), 512),
        (residual::OVERFLOW, u32::MAX, Residual::Overflow(u32::MAX), 512),
        (residual::UNDERFLOW, 100, Residual::Underflow(100), 412),
        (residual::UNDERFLOW, 513, Residual::Underflow(513), 0),
        (residual::UNDERFLOW, u32::MAX, Residual::Underflow(u32::MAX), 0),
        (0, 77, Residual::None, 512),
    ] {
        for write in [false, true] {
            let mut bench = Bench::new(handoff());
            let itt = if write { bench.write(vec![1; 512]) } else { bench.read(512) };
            bench.one();
            if !write {
                let wire = bench.data_in(itt, 0, 0, &[1; 512], false);
                bench.feed(&wire).expect("legal");
            }
            let response = bench.respond(itt, 0, flags, count, &[]);
            bench.feed(&response).expect("legal");
            assert_eq!(bench.done(), (itt, TaskResult { outcome: GOOD, transferred, residual }));
        }
    }
}

// Ends of commands.

// check: status-target-failure
#[test]
fn a_target_failure_is_no_good_whatever_its_status() {
    for code in [1, 0x80, 0xff] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let mut response = bench.good(itt);
        response[2] = code;
        bench.feed(&response).expect("legal");
        assert_eq!(bench.done().1.outcome, Outcome::TargetFailure(code));
    }
}

// check: status-sense-bounds
#[test]
fn sense_of_every_length_is_kept_as_far_as_there_is_room() {
    for (segment, kept) in [
        (vec![], vec![]),
        (vec![0], vec![]),
        (vec![0, 0, 0x70], vec![]),
        (vec![0, 1, 0x70, 9], vec![0x70]),
        ([&[0, 252][..], &[0x72; 252]].concat(), vec![0x72; SENSE_LEN]),
        ([&[0x20, 0][..], &[0x70; 8000]].concat(), vec![0x70; SENSE_LEN]),
    ] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let mut bhs = header(&bench.respond(itt, 2, 0, 0, &[]));
        set_lengths(&mut bhs, 0, 0);
        let wire = bench.pdu(bhs, &segment);
        bench.feed(&wire).expect("legal");
        assert_eq!(bench.done().1.outcome, Outcome::Status(ScsiStatus::CheckCondition));
        assert_eq!(bench.session.sense(itt), kept);
    }
}

// check: response-once, order-task
#[test]
fn a_second_response_changes_nothing_of_the_first() {
    for retired in [false, true] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.one();
        let response = bench.respond(itt, 2, 0, 0, &[0x70, 0, 3]);
        bench.feed(&response).expect("legal");
        bench.done();
        // The next one of the slot, which has ended as well.
        let later = if retired {
            bench.session.retire(itt).expect("finished");
            let later = bench.read(512);
            assert_eq!(later.slot(), itt.slot());
            bench.one();
            let response = bench.respond(later, 2, 0, 0, &[0x70, 0, 3]);
            bench.feed(&response).expect("legal");
            bench.done();
            later
        } else {
            itt
        };
        let again = bench.respond(itt, 2, 0, 0, &[0x70, 0, 5]);
        assert!(is_unknown(&bench.fails_with(&again)));
        assert_eq!(bench.session.sense(later), [0x70, 0, 3]);
        assert_eq!(bench.session.poll_event(), None);
    }
}

// check: unknown-ahs, digest-padding, order-header-digest
#[test]
fn an_ahs_is_covered_by_the_header_digest() {
    for spoiled in [false, true] {
        let mut bench = Bench::new(digests());
        let itt = bench.read(512);
        bench.one();
        let mut bhs = header(&bench.good(itt));
        bhs[4] = 2;
        let mut wire = [&bhs[..], &[0xaa; 8]].concat();
        wire.extend(SoftCrc32c::append(0, &wire).to_le_bytes());
        wire[50] ^= u8::from(spoiled);
        if spoiled {
            assert_eq!(bench.fails_with(&wire), PeerMisbehaved::HeaderDigest);
        } else {
            bench.feed(&wire).expect("legal");
            assert_eq!(bench.done().0, itt);
        }
    }
}

// check: order-length
#[test]
fn what_carries_no_data_must_announce_none() {
    let mut bench = Bench::new(solicited());
    let itt = bench.write(vec![1; 512]);
    bench.one();
    let bhs = header(&bench.r2t(itt, 0, 0, 512));
    let wire = bench.pdu(bhs, &[0; 4]);
    let limit = PeerMisbehaved::SegmentTooLong { opcode: 0x31, length: 4, limit: 0 };
    assert_eq!(bench.fails_with(&wire[..BHS_LEN]), limit);
    assert!(bench.sent().is_empty());
}

// check: order-data-digest, digest-data
#[test]
fn what_a_wrong_data_digest_covers_has_no_effect() {
    type Say = fn(&mut Bench, Itt) -> Vec<u8>;
    let ways: [(&str, Say); 4] = [
        ("sense", |bench, itt| bench.respond(itt, 2, 0, 0, &[0x70, 0, 3])),
        ("a ping", |bench, _| bench.nop_in(Itt::RESERVED, Ttt(1), b"ping")),
        ("a unit's report", |bench, _| async_message(bench, 0, [0; 3], &[0, 3, 0x70, 0, 6])),
        ("a rejected header", |bench, itt| {
            let mut bhs = [0; BHS_LEN];
            bhs[0] = 1;
            bhs[16..20].copy_from_slice(&itt.0.to_be_bytes());
            reject(bench, 4, &bhs)
        }),
    ];
    for (what, say) in ways {
        let mut bench = Bench::new(Handoff { data_digest: 1, ..handoff() });
        let itt = bench.read(512);
        bench.one();
        let mut wire = say(&mut bench, itt);
        wire[BHS_LEN] ^= 1;
        assert_eq!(bench.fails_with(&wire), PeerMisbehaved::DataDigest, "{what}");
        assert_eq!(bench.session.poll_event(), None, "{what}");
        assert!(bench.session.sense(itt).is_empty() && bench.sent().is_empty(), "{what}");
    }
}

// Rejects.

// check: reject-nothing
#[test]
fn a_reject_that_names_nothing_of_ours_ends_nothing() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    let sent = bench.one();
    let mut other = sent.bhs;
    other[16..20].copy_from_slice(&0xffff_ffff_u32.to_be_bytes());
    for segment in [&other[..], &sent.bhs[..47], &[]] {
        let bhs = header(&reject(&mut bench, 0x09, &other));
        let wire = bench.pdu(bhs, segment);
        bench.feed(&wire).expect("legal");
        assert_eq!(bench.session.poll_event(), Some(Event::Rejected { reason: RejectReason::InvalidPduField }));
    }
    let response = bench.good(itt);
    bench.feed(&response).expect("legal");
    assert_eq!(bench.done().0, itt);
}

// check: reject-ends
#[test]
fn rejected_pings_texts_and_task_management_end() {
    let mut bench = Bench::new(handoff());
    let victim = bench.read(512);
    bench.one();
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    let text = bench.session.text(b"A=1\0".to_vec()).expect("none is under way");
    let manage = bench.session.manage(Manage::AbortTask(victim)).expect("under way");
    for pdu in bench.sent() {
        let wire = reject(&mut bench, 0x06, &pdu.bhs);
        bench.feed(&wire).expect("legal");
    }
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt: text, text: Some(Vec::new()) }));
    let response = Some(TaskFunctionResponse::Rejected);
    let ended = Event::ManageDone { itt: manage, function: TaskFunction::AbortTask, response };
    assert_eq!(bench.session.poll_event(), Some(ended));
    // A target that rejects pings is alive: the next one is due after silence, not its end.
    assert_eq!(bench.session.poll_timeout(), Some(Instant::from_millis(5000)));
    bench.session.text(b"A=1\0".to_vec()).expect("the exchange has ended");
}

// check: reject-waiting-for-logout
#[test]
fn a_target_that_waits_for_a_logout_gets_no_more_commands_and_the_rejected_one_waits() {
    let mut bench = Bench::new(handoff());
    let (first, second) = (bench.read(512), bench.read(512));
    let sent = bench.sent();
    let wire = reject(&mut bench, 0x0c, &sent[1].bhs);
    bench.feed(&wire).expect("legal");
    assert_eq!(bench.session.poll_event(), Some(Event::LogoutRequested { seconds: 0 }));
    let third = bench.read(512);
    assert!(bench.sent().is_empty());
    let response = bench.good(first);
    bench.feed(&response).expect("legal");
    assert_eq!(bench.done().0, first);
    bench.session.connection_lost();
    bench.session.reinstate(&Handoff { cmd_sn: 500, max_cmd_sn: 600, ..handoff() }, bench.now).expect("down");
    let again: Vec<Itt> = bench.sent().iter().map(|pdu| pdu.is::<ScsiCommand>().itt).collect();
    assert_eq!(again, [second, third]);
}

// check: reject-waiting-for-logout, logout-nothing-after
#[test]
fn a_target_that_waits_for_a_logout_gets_one() {
    let mut bench = Bench::new(handoff());
    let itt = bench.read(512);
    let sent = bench.one();
    let wire = reject(&mut bench, 0x0c, &sent.bhs);
    bench.feed(&wire).expect("legal");
    bench.session.poll_event();
    bench.session.logout(LogoutReason::CloseSession).expect("connected");
    assert_eq!(bench.one().is::<LogoutRequest>().reason, FINAL);
    assert_eq!(bench.done().1.outcome, Outcome::Aborted);
    bench.session.retire(itt).expect("finished");
}

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

// check: nop-flood
#[test]
fn a_flood_of_pings_ends_the_connection_before_it_fills_the_memory() {
    let mut bench = Bench::new(handoff());
    let ping = bench.nop_in(Itt::RESERVED, Ttt(3), &[0; 4096]);
    let taken = (0..1000).take_while(|_| bench.feed(&ping).is_ok()).count();
    assert!((32..=64).contains(&taken), "{taken}");
    // Whoever reads the answers may ping for ever.
    let mut bench = Bench::new(handoff());
    for _ in 0..1000 {
        let ping = bench.nop_in(Itt::RESERVED, Ttt(3), &[0; 64]);
        bench.feed(&ping).expect("legal");
        bench.one();
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
        ("a logout", |bench| {
            let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
            let itt = Itt(3);
            let (time2wait, time2retain) = (0, 0);
            let pdu = LogoutResponse {
                flags: FINAL,
                response: 0,
                itt,
                stat_sn,
                exp_cmd_sn,
                max_cmd_sn,
                time2wait,
                time2retain,
            };
            bench.pdu(pdu.encode(), &[])
        }),
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

// Text.

// check: text-continued
#[test]
fn text_that_never_ends_ends_without_an_answer() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec()).expect("none is under way");
    bench.one();
    for _ in 0..100 {
        let wire = text_response(&mut bench, itt, CONTINUE, Ttt(7), &[b'x'; 8000]);
        bench.feed(&wire).expect("legal");
        if bench.sent().is_empty() {
            break;
        }
    }
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt, text: None }));
}

// check: text-one
#[test]
fn one_text_exchange_is_under_way_at_a_time() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec()).expect("none is under way");
    assert!(bench.session.text(b"SendTargets=\0".to_vec()).is_err());
    bench.one();
    assert!(bench.session.text(b"SendTargets=\0".to_vec()).is_err());
    let wire = text_response(&mut bench, itt, FINAL, Ttt::RESERVED, b"");
    bench.feed(&wire).expect("legal");
    bench.session.text(b"SendTargets=\0".to_vec()).expect("it has ended");
}

// check: text-continued
#[test]
fn text_that_goes_on_without_a_tag_is_refused() {
    let mut bench = Bench::new(handoff());
    let itt = bench.session.text(b"SendTargets=All\0".to_vec()).expect("none is under way");
    bench.one();
    let wire = text_response(&mut bench, itt, CONTINUE, Ttt::RESERVED, b"x");
    assert!(matches!(bench.fails_with(&wire), PeerMisbehaved::Rule(rule) if rule.contains("Target Transfer Tag")));
}

// Everything at once.

// check: order-no-panic, response-once
#[test]
fn no_bytes_a_target_can_send_make_the_session_panic_or_end_a_command_twice() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..1000 {
        let mut bench = Bench::new(if round % 2 == 0 { handoff() } else { solicited() });
        let tags = [bench.read(1024), bench.write(vec![1; 9000]), bench.read(512)];
        bench.sent();
        let mut ended: Vec<Itt> = Vec::new();
        for _ in 0..20 {
            let mut bhs: Bhs = core::array::from_fn(|_| if next() % 3 == 0 { next() as u8 } else { 0 });
            let codes = [0x20, 0x21, 0x22, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f];
            bhs[0] = codes[(next() % 9) as usize];
            bhs[4] = if next() % 8 == 0 { 1 } else { 0 };
            let tag = tags[(next() % 3) as usize];
            bhs[16..20].copy_from_slice(&tag.0.to_be_bytes());
            // StatSN as it is due, mostly, or nothing would ever get beyond it.
            bhs[24..28].copy_from_slice(&bench.stat_sn.to_be_bytes());
            let data: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            let before = bench.stat_sn;
            set_lengths(&mut bhs, 0, data.len() as u32);
            let mut wire = bhs.to_vec();
            wire.extend(core::iter::repeat_n(0, usize::from(bhs[4]) * 4));
            wire.extend(&data);
            wire.resize(wire.len() + padding(data.len()), 0);
            let result = bench.feed(&wire);
            bench.stat_sn = before.wrapping_add((next() % 2) as u32);
            while let Some(event) = bench.session.poll_event() {
                if let Event::TaskDone { itt, .. } = event {
                    assert!(!ended.contains(&itt), "it has ended before");
                    ended.push(itt);
                }
            }
            if result.is_err() {
                break;
            }
            bench.sent();
        }
        bench.session.give_up();
        while let Some(event) = bench.session.poll_event() {
            if let Event::TaskDone { itt, .. } = event {
                assert!(!ended.contains(&itt), "it has ended before");
                ended.push(itt);
            }
        }
        assert_eq!(ended.len(), 3, "each has ended");
    }
}
