//! What is allocated when: alone in its process, so that nobody else's allocations are counted.

use std::alloc::System;

use iscsi_kext::abi::*;
use iscsi_proto::pdu::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "abi/rig.rs"]
#[allow(dead_code, reason = "the other scenarios use the rest")]
mod rig;

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Waits until the thread that started this test, which has things to note down after that, has come to rest.
fn settle() {
    loop {
        let region = Region::new(COUNTING);
        std::thread::sleep(std::time::Duration::from_millis(50));
        if region.change() == stats_alloc::Stats::default() {
            return;
        }
    }
}

/// Allocations of the session itself: the rig's own are made before.
#[test]
fn commands_allocate_nothing_whether_they_succeed_or_fail() {
    let mut rig = rig::Rig::new();
    let data = [7; 4096];
    let sense = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
    let mut within = 0;
    settle();
    for round in 0..64 {
        rig.read(4096);
        let itt = rig.sent()[0].is::<ScsiCommand>().itt;
        let arriving = match round % 2 {
            0 => rig.delivers_as_bytes(itt, &data),
            _ => rig.responds_as_bytes(itt, 2, &sense),
        };
        let region = Region::new(COUNTING);
        assert_eq!(rig.feed(&arriving), ISCSI_OK);
        let event = rig.event().expect("it is done");
        within += region.change().allocations;
        assert_eq!(usize::from(event.sense_length), if round % 2 == 0 { 0 } else { 18 });
    }
    assert_eq!(within, 0);
    let region = Region::new(COUNTING);
    let command = iscsi_command {
        token: 4711,
        lun: rig::LUN,
        cdb: [0; 16],
        data_length: 0,
        direction: ISCSI_DATA_NONE,
        attribute: 1,
        origin: ISCSI_ORIGIN_STACK,
        reserved: 0,
    };
    rig.submit(&command).expect("room");
    assert_eq!(region.change().allocations, 0);

    assert_eq!(rig.fence(rig::LUN, 1), ISCSI_OK);
    rig.event().expect("the one that waited");
    let region = Region::new(COUNTING);
    rig.submit(&command).expect("room");
    let event = rig.event().expect("it is done");
    assert_eq!((event.status, event.sense_length, region.change().allocations), (2, 18, 0));

    issued_again();
}

/// Commands that are issued again allocate nothing either, nor do those that wait for them. What a lost connection
/// itself takes is another matter.
fn issued_again() {
    let mut rig = rig::Rig::new();
    rig.write_at(100, 8);
    rig.write_at(104, 8);
    assert_eq!(rig.sent().len(), 2);
    rig.lost();
    rig.write_at(100, 8);
    assert_eq!(rig.reinstate(0), ISCSI_OK);
    let region = Region::new(COUNTING);
    assert_eq!([transmits(&rig), transmits(&rig), rig.wants_transmit()], [true, false, false]);
    assert_eq!(region.change().allocations, 0);
}

/// Whether a PDU leaves now.
fn transmits(rig: &rig::Rig) -> bool {
    let mut out = std::mem::MaybeUninit::uninit();
    // SAFETY: it is a session.
    unsafe { iscsi_kext::calls::iscsi_session_transmit(rig.session, out.as_mut_ptr()) == 1 }
}
