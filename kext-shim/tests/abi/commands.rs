//! Commands, there and back.

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::pdu::*;

use crate::rig::{LUN, Rig};

#[test]
fn a_read_fills_the_buffer_of_its_token_however_the_stream_is_cut() {
    for cut in [1, 7, 47, 48, 53, 1000, usize::MAX] {
        let mut rig = Rig::new();
        rig.cut = cut;
        let (token, tag) = rig.read(700);
        let sent = rig.sent();
        assert_eq!(sent.len(), 1);
        let command = sent[0].is::<ScsiCommand>();
        assert_eq!(command.lun.0.to_be_bytes(), LUN);
        let data: Vec<u8> = (0..700).map(|n| n as u8).collect();
        assert_eq!(rig.delivers(command.itt, &data), ISCSI_OK);
        let event = rig.event().expect("it is done");
        assert_eq!((event.kind, event.token, event.tag), (ISCSI_EVENT_TASK_DONE, token, tag));
        assert_eq!((event.outcome, event.status, event.transferred), (ISCSI_OUTCOME_STATUS, 0, 700));
        assert_eq!(event.lun, LUN);
        assert_eq!(rig.buffers[&token], data, "cut {cut}");
        assert_eq!(rig.event(), None);
    }
}

#[test]
fn a_write_leaves_with_immediate_and_unsolicited_data() {
    let mut rig = Rig::new();
    let data: Vec<u8> = (0..6001).map(|n| (n % 253) as u8).collect();
    let (token, _) = rig.write(&data);
    let sent = rig.sent();
    assert_eq!(sent.iter().flat_map(|pdu| pdu.data.clone()).collect::<Vec<_>>(), data);
    assert_eq!(opcode(&sent[1].bhs), DataOut::OPCODE);
    let itt = sent[0].is::<ScsiCommand>().itt;
    assert_eq!(rig.responds(itt, 0, &[]), ISCSI_OK);
    let event = rig.event().expect("it is done");
    assert_eq!((event.token, event.transferred), (token, 6001));
    let state = rig.state();
    assert_eq!((state.commands, state.errors, state.bytes_written, state.pdus_out), (1, 0, 6001, 2));
}

#[test]
fn sense_data_and_residuals_come_with_the_event() {
    let mut rig = Rig::new();
    let (token, _) = rig.read(512);
    let itt = rig.sent()[0].is::<ScsiCommand>().itt;
    let sense = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0];
    assert_eq!(rig.responds(itt, 2, &sense), ISCSI_OK);
    let event = rig.event().expect("it is done");
    assert_eq!((event.token, event.status, event.sense_length), (token, 2, 18));
    assert_eq!(event.sense[..18], sense);
    assert_eq!(rig.state().errors, 1);
}

#[test]
fn more_commands_than_the_depth_wait_here_and_more_than_the_table_are_refused() {
    let mut rig = Rig::new();
    for _ in 0..8 {
        rig.read(512);
    }
    assert_eq!(rig.ask(), Err(ISCSI_FULL));
    let sent = rig.sent();
    assert_eq!(sent.len(), 4, "the depth");
    assert_eq!((rig.state().in_flight, rig.state().waiting), (4, 4));
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_wants_transmit(rig.session) }, 0);
    assert_eq!(rig.delivers(sent[0].is::<ScsiCommand>().itt, &[1; 512]), ISCSI_OK);
    assert_eq!(rig.events().len(), 1);
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_wants_transmit(rig.session) }, 1);
    assert_eq!(rig.sent().len(), 1, "the next one's turn");
}

#[test]
fn a_ping_of_the_target_is_answered_with_its_data() {
    let mut rig = Rig::new();
    rig.cut = 11;
    let stat_sn = rig.next_stat_sn();
    let ping = NopIn {
        flags: FINAL,
        lun: iscsi_proto::ids::Lun(0),
        itt: iscsi_proto::ids::Itt::RESERVED,
        ttt: iscsi_proto::ids::Ttt(77),
        stat_sn,
        exp_cmd_sn: iscsi_proto::sn::CmdSn(10),
        max_cmd_sn: iscsi_proto::sn::CmdSn(41),
    };
    assert_eq!(rig.arrives(ping.encode(), b"hello"), ISCSI_OK);
    let sent = rig.sent();
    assert_eq!(sent[0].is::<NopOut>().ttt.0, 77);
    assert_eq!(sent[0].data[..5], *b"hello");
    assert_eq!(sent[0].data.len(), 12, "padding and digest");
}

#[test]
fn after_a_logout_nothing_is_sent_and_its_answer_is_told() {
    let mut rig = Rig::new();
    // SAFETY: it is a session.
    assert_eq!(unsafe { iscsi_session_logout(rig.session, 0) }, ISCSI_OK);
    let request = rig.sent().remove(0).is::<LogoutRequest>();
    rig.read(512);
    assert!(rig.sent().is_empty());
    let stat_sn = rig.next_stat_sn();
    let response = LogoutResponse {
        flags: FINAL,
        response: 0,
        itt: request.itt,
        stat_sn,
        exp_cmd_sn: iscsi_proto::sn::CmdSn(10),
        max_cmd_sn: iscsi_proto::sn::CmdSn(41),
        time2wait: 0,
        time2retain: 0,
    };
    assert_eq!(rig.arrives(response.encode(), &[]), ISCSI_OK);
    assert_eq!(rig.event().map(|event| (event.kind, event.code)), Some((ISCSI_EVENT_LOGGED_OUT, 0)));
    let mut plan = iscsi_receive_plan::default();
    // SAFETY: all of it is there.
    unsafe { iscsi_session_receive_plan(rig.session, &mut plan) };
    assert_eq!(plan.kind, ISCSI_RECEIVE_STOP);
    assert_eq!(rig.state().link, ISCSI_LINK_LEAVING);
}
