//! Data of commands, both ways.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::bench::*;
use super::{GOOD, LIMIT, LUN, handoff};
use crate::error::PeerMisbehaved;
use crate::ids::Ttt;
use crate::pdu::*;
use crate::sn::DataSn;

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
    session.text(b"A=1\0\0".to_vec(), LIMIT).expect("none is under way");
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
