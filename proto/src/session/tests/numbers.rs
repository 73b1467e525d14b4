//! Sequence numbers, tags and the window.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::bench::*;
use super::{LIMIT, LUN, async_message, handoff, reject};
use crate::ids::Ttt;
use crate::pdu::*;
use crate::sn::StatSn;

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
    bench.session.handle_timeout(Instant::from_millis(5000)).expect("a ping is due");
    let ping = bench.nop_in(Itt::RESERVED, Ttt(1), &[]);
    bench.feed(&ping).expect("legal");
    bench.read(512);
    let sent = bench.sent();
    assert_eq!(numbers(&sent), [11; 4]);
    assert_eq!(sent.iter().filter(|pdu| is_immediate(&pdu.bhs)).count(), 3);
    bench.read(512);
    assert_eq!(numbers(&bench.sent()), [12]);
}

// check: cmdsn-immediate, window-closed
#[test]
fn text_takes_a_command_number_unless_the_window_is_closed() {
    let mut bench = Bench::new(Handoff { max_cmd_sn: 10, ..handoff() });
    for immediate in [false, true] {
        let itt = bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("none is under way");
        let sent = bench.one();
        assert_eq!(
            (sent.is::<TextRequest>().cmd_sn.0, is_immediate(&sent.bhs)),
            (10 + u32::from(immediate), immediate)
        );
        let wire = text_response(&mut bench, itt, FINAL, Ttt::RESERVED, b"");
        bench.feed(&wire).expect("legal");
        bench.session.poll_event().expect("its answer");
    }
    bench.read(512);
    assert!(bench.sent().is_empty());
    bench.max_cmd_sn = 11;
    let nop = bench.nop_in(Itt::RESERVED, Ttt::RESERVED, &[]);
    bench.feed(&nop).expect("legal");
    assert_eq!(numbers(&bench.sent()), [11]);
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
            let itt = bench.session.text(b"A=1\0".to_vec(), LIMIT).expect("none is under way");
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

// check: window-huge
#[test]
fn there_is_room_for_what_there_is_a_slot_for() {
    let mut bench = Bench::new(handoff());
    let command = Command { lun: LUN, cdb: [0; 16], attribute: TaskAttribute::Simple, data: Data::None };
    let functions = (0..).take_while(|_| bench.session.manage(Manage::TargetWarmReset).is_ok()).count();
    assert_eq!((functions, bench.session.room()), (24, 0));
    assert!(bench.session.try_submit(command).is_err());
}
