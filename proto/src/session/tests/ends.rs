//! How commands end, and connections.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::bench::*;
use super::{LIMIT, async_message, handoff, lost, reject};
use crate::error::PeerMisbehaved;
use crate::ids::Ttt;
use crate::pdu::*;

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
    let text = bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("none is under way");
    let manage = bench.session.manage(Manage::AbortTask(victim)).expect("under way");
    for pdu in bench.sent() {
        let wire = reject(&mut bench, 0x06, &pdu.bhs);
        bench.feed(&wire).expect("legal");
    }
    let answer = Err(Unanswered::Rejected(RejectReason::TooManyImmediateCommands));
    assert_eq!(bench.session.poll_event(), Some(Event::TextDone { itt: text, answer }));
    let response = Some(TaskFunctionResponse::Rejected);
    let ended = Event::ManageDone { itt: manage, function: TaskFunction::AbortTask, response };
    assert_eq!(bench.session.poll_event(), Some(ended));
    // A target that rejects pings is alive: the next one is due after silence, not its end.
    assert_eq!(bench.session.poll_timeout(), Some(Instant::from_millis(5000)));
    bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("the exchange has ended");
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
    assert_eq!([bench.done(), bench.done()], [(second, lost(true)), (third, lost(true))]);
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
    assert_eq!(bench.done(), (itt, lost(true)));
    bench.session.retire(itt).expect("finished");
}

// check: async-logout-holds
#[test]
fn after_the_target_has_asked_for_an_end_nothing_goes_to_it_but_what_is_under_way_and_the_logout() {
    for event in 1..=4 {
        let mut bench = Bench::new(handoff());
        let written = bench.write(vec![1; 9000]);
        bench.sent();
        let wire = async_message(&mut bench, event, [0, 2, 30], &[]);
        bench.feed(&wire).expect("legal");
        assert!(bench.session.poll_event().is_some());
        let waiting = bench.read(512);
        assert!(bench.sent().is_empty() && !bench.session.wants_to_transmit(), "event {event}");
        assert_eq!((bench.session.in_flight(), bench.session.gone_out(), bench.session.is_held()), (2, 1, true));
        let response = bench.good(written);
        bench.feed(&response).expect("legal");
        assert_eq!(bench.done().0, written);
        bench.session.logout(LogoutReason::CloseSession).expect("connected");
        assert_eq!(bench.one().is::<LogoutRequest>().reason, FINAL);
        assert_eq!(bench.done(), (waiting, lost(true)));
        bench.session.connection_lost();
        bench.session.reinstate(&handoff(), Instant::ZERO).expect("another connection");
        assert!(!bench.session.is_held(), "the next connection is another matter");
    }
}

// check: async-logout-refused
#[test]
fn what_is_refused_because_the_target_wants_a_logout_is_issued_again_and_what_is_refused_otherwise_is_not() {
    let not_supported = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0];
    let medium_error = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
    let refused = Outcome::Status(ScsiStatus::CheckCondition);
    for (asked, sense, due) in [
        (true, &not_supported, Outcome::Lost { again: true }),
        (true, &medium_error, refused),
        (false, &not_supported, refused),
    ] {
        let mut bench = Bench::new(handoff());
        let itt = bench.read(512);
        bench.sent();
        if asked {
            let wire = async_message(&mut bench, 1, [0, 0, 30], &[]);
            bench.feed(&wire).expect("legal");
            bench.session.poll_event();
        }
        let response = bench.respond(itt, 0x02, 0, 0, sense);
        bench.feed(&response).expect("legal");
        assert_eq!(bench.done().1.outcome, due, "asked: {asked}");
    }
}

// check: async-flood
#[test]
fn how_often_a_target_repeats_that_it_wants_an_end_is_not_told() {
    let mut bench = Bench::new(handoff());
    for _ in 0..500 {
        for event in 1..=4 {
            let wire = async_message(&mut bench, event, [0, 2, 30], &[]);
            bench.feed(&wire).expect("legal");
        }
    }
    let told = [Event::LogoutRequested { seconds: 30 }, Event::DropAnnounced { time2wait: 2, time2retain: 30 }];
    assert_eq!([bench.session.poll_event(), bench.session.poll_event()], told.map(Some));
    assert_eq!(bench.session.poll_event(), None);
}

// check: async-flood
#[test]
fn a_flood_of_messages_that_nobody_asked_for_ends_the_connection_and_many_of_them_do_not() {
    for rejects in [false, true] {
        let mut bench = Bench::new(handoff());
        let unasked = |bench: &mut Bench| match rejects {
            true => reject(bench, 0x09, &[0; BHS_LEN]),
            false => async_message(bench, 255, [0; 3], &[]),
        };
        for second in 0..10 {
            bench.now = Instant::from_millis(1000 * second);
            for _ in 0..2000 {
                let wire = unasked(&mut bench);
                bench.feed(&wire).expect("legal");
                while bench.session.poll_event().is_some() {}
            }
        }
        let wires: Vec<Vec<u8>> = (0..100).map(|_| unasked(&mut bench)).collect();
        let taken = wires.iter().take_while(|wire| bench.feed(wire).is_ok()).count();
        assert_eq!(taken, 48, "2048 in a second");
        assert_eq!(bench.session.rx_plan(), RxPlan::Stop);
    }
}

// Ends of connections.

// check: stream-segments, logout-nothing-after
#[test]
fn what_follows_the_answer_to_a_logout_is_not_looked_at() {
    let mut bench = Bench::new(handoff());
    bench.session.logout(LogoutReason::CloseSession).expect("connected");
    let itt = bench.one().is::<LogoutRequest>().itt;
    let mut stream = logout_response(&mut bench, itt);
    stream.extend([0xff; 100]);
    bench.feed(&stream).expect("it has ended well");
    assert_eq!(bench.session.poll_event(), Some(Event::LoggedOut { outcome: LogoutOutcome::Closed }));
    assert_eq!((bench.session.poll_event(), bench.session.rx_plan()), (None, RxPlan::Stop));
}

// check: stream-segments, response-once
#[test]
fn what_comes_before_an_error_counts_and_what_comes_behind_does_not() {
    let mut bench = Bench::new(handoff());
    let (first, second) = (bench.read(512), bench.read(512));
    bench.sent();
    let mut stream = bench.data_in(first, 0, 0, &[7; 512], true);
    stream.extend([0x3e; BHS_LEN]);
    stream.extend(bench.data_in(second, 0, 0, &[8; 512], true));
    assert_eq!(bench.fails_with(&stream), PeerMisbehaved::UnexpectedOpcode(0x3e));
    assert_eq!(bench.done().0, first);
    assert_eq!(bench.session.poll_event(), None);
    assert_eq!(bench.buffer(second), [0; 512]);
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
