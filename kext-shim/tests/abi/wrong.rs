//! What C must not pass, and what a target must not send.

use std::ptr::{null, null_mut};

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::pdu::*;

use crate::rig::{Rig, config, handoff};

#[test]
fn null_is_refused_everywhere() {
    let rig = Rig::new();
    let (none, one) = (null_mut(), rig.session);
    let mut used = 0;
    // SAFETY: null or valid, all of it.
    unsafe {
        let mut made = null_mut();
        assert_eq!(iscsi_session_create(null(), &handoff(), 0, &mut made), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_create(&config(), null(), 0, &mut made), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_create(&config(), &handoff(), 0, null_mut()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_destroy(none), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_submit(one, null(), null_mut()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_manage(none, 6, null(), 0, 0, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_manage(one, 5, null(), 0, 0, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_overdue(none, 1, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_logout(none, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_hold(none), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_resume(none), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_fence(none, &[0; 8], 1), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_fence(one, null(), 1), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_fence(one, &[0; 8], 2), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_receive_plan(one, null_mut()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_received(one, 0, null(), 4, &mut used), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_received(one, 0, [0].as_ptr(), usize::MAX, &mut used), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_placed(one, 0, null(), 4), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_transmit(one, null_mut()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_wants_transmit(null()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_crc32c(5, null(), 4), 5);
        assert_eq!(iscsi_trailer(5, 1, 0, null_mut()), 0);
        assert_eq!(iscsi_session_event(one, null_mut()), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_deadline(null()), ISCSI_NEVER);
        assert_eq!(iscsi_session_tick(none, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_lost(none, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_reinstate(one, null(), 0, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_give_up(none, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_reason(one, null_mut(), 4), 0);
        assert_eq!(iscsi_session_state(one, null_mut()), ISCSI_BAD_ARGUMENT);
    }
}

#[test]
fn what_is_no_session_is_refused() {
    let mut zeroes = [0u64; 1 << 12];
    let odd = (&raw mut zeroes).cast::<u8>().wrapping_add(1).cast();
    let session: *mut iscsi_session = (&raw mut zeroes).cast();
    // SAFETY: as large as a session, and refused by its first bytes; or misaligned.
    unsafe {
        assert_eq!(iscsi_session_tick(session, 0), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_destroy(session), ISCSI_BAD_ARGUMENT);
        assert_eq!(iscsi_session_tick(odd, 0), ISCSI_BAD_ARGUMENT);
    }
}

#[test]
fn configurations_and_handoffs_out_of_range_are_refused() {
    let good = config();
    let configs = [
        iscsi_config { version: ISCSI_ABI_VERSION + 1, ..good },
        iscsi_config { depth: 0, ..good },
        iscsi_config { commands: 3, ..good },
        iscsi_config { commands: 65_001, ..good },
        iscsi_config { function_timeout: 0, ..good },
    ];
    let mut made = null_mut();
    for config in configs {
        // SAFETY: all of it is there.
        assert_eq!(unsafe { iscsi_session_create(&config, &handoff(), 0, &mut made) }, ISCSI_BAD_ARGUMENT);
    }
    let handoffs = [
        IscsiHandoff { version: 9, ..handoff() },
        IscsiHandoff { tsih: 0, ..handoff() },
        IscsiHandoff { max_recv_data_segment_length: 1 << 24, ..handoff() },
        IscsiHandoff { data_digest: 2, ..handoff() },
    ];
    for handoff in handoffs {
        // SAFETY: all of it is there.
        assert_eq!(unsafe { iscsi_session_create(&good, &handoff, 0, &mut made) }, ISCSI_BAD_ARGUMENT);
    }
    assert!(made.is_null());
}

#[test]
fn every_enumeration_is_checked() {
    let mut rig = Rig::new();
    let good = iscsi_command {
        token: 1,
        lun: [0; 8],
        cdb: [0; 16],
        data_length: 0,
        direction: ISCSI_DATA_NONE,
        attribute: 0,
        origin: ISCSI_ORIGIN_STACK,
        reserved: 0,
    };
    for wrong in [
        iscsi_command { direction: 3, ..good },
        iscsi_command { data_length: 1, ..good },
        iscsi_command { attribute: 5, ..good },
        iscsi_command { origin: 2, ..good },
    ] {
        assert_eq!(rig.submit(&wrong), Err(ISCSI_BAD_ARGUMENT));
    }
    for function in [0, 3, 4, 8, 256, u32::MAX] {
        assert_eq!(rig.manage(function, 1, 0), ISCSI_BAD_ARGUMENT, "{function}");
    }
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_logout(rig.session, 2) }, ISCSI_BAD_ARGUMENT);
}

#[test]
fn tags_that_never_were_or_are_no_more_are_not_found() {
    let mut rig = Rig::new();
    let (_, tag) = rig.read(512);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    assert_eq!(rig.delivers(itt, &[0; 512]), ISCSI_OK);
    rig.events();
    for wrong in [0, tag, u64::MAX, tag + 1, tag ^ 1 << 40] {
        assert_eq!(rig.overdue(wrong), ISCSI_NOT_FOUND, "{wrong:#x}");
        assert_eq!(rig.manage(1, wrong, 0), ISCSI_NOT_FOUND, "{wrong:#x}");
    }
}

#[test]
fn a_session_with_commands_is_not_freed() {
    let mut rig = Rig::new();
    rig.read(512);
    // SAFETY: it is a session, and stays one.
    assert_eq!(unsafe { iscsi_session_destroy(rig.session) }, ISCSI_WRONG_STATE);
    assert_eq!(rig.reinstate(0), ISCSI_WRONG_STATE, "it has a connection");
    assert_eq!(rig.sent().len(), 1, "it works on");
}

#[test]
fn a_target_that_breaks_the_protocol_is_named_in_a_sentence() {
    let mut rig = Rig::new();
    rig.read(512);
    rig.sent();
    assert_eq!(rig.responds(iscsi_proto::ids::Itt(0x4444), 0, &[]), ISCSI_BROKEN);
    assert_eq!(rig.reason(), "the target broke the protocol: a PDU for task 0x00004444, which does not exist");
    let mut wrong = [0xff; 48];
    wrong[4] = 0;
    let mut other = Rig::new();
    assert_eq!(other.feed(&wrong), ISCSI_BROKEN);
    let mut plan = iscsi_receive_plan::default();
    // SAFETY: all of it is there.
    unsafe { iscsi_session_receive_plan(other.session, &mut plan) };
    assert_eq!(plan.kind, ISCSI_RECEIVE_STOP);
}

#[test]
fn a_flipped_bit_in_the_data_is_found_before_anybody_hears_of_them() {
    let mut rig = Rig::new();
    let (token, _) = rig.read(4);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    let stat_sn = rig.next_stat_sn();
    let mut bhs = DataIn {
        flags: FINAL | data_in_flags::STATUS,
        status: 0,
        lun: iscsi_proto::ids::Lun(0),
        itt,
        ttt: iscsi_proto::ids::Ttt::RESERVED,
        stat_sn,
        exp_cmd_sn: iscsi_proto::sn::CmdSn(10),
        max_cmd_sn: iscsi_proto::sn::CmdSn(41),
        data_sn: iscsi_proto::sn::DataSn(0),
        buffer_offset: 0,
        residual_count: 0,
    }
    .encode();
    set_lengths(&mut bhs, 0, 4);
    let mut bytes = bhs.to_vec();
    // SAFETY: all of it is there.
    bytes.extend(unsafe { iscsi_crc32c(0, bhs.as_ptr(), 48) }.to_le_bytes());
    bytes.extend(*b"data\0\0\0\0");
    assert_eq!(rig.feed(&bytes), ISCSI_BROKEN);
    assert_eq!(rig.reason(), "the target broke the protocol: data digest mismatch");
    assert_eq!(rig.event(), None);
    assert_eq!(rig.buffers[&token], b"data", "placed, but not told");
}
