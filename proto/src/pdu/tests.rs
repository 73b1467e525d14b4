//! Every header is what the RFC's figure says and comes back as it was.

use super::*;
use crate::ids::{Cid, Isid, Itt, Lun, Tsih, Ttt};
use crate::sn::{CmdSn, DataSn, StatSn};

/// A header whose byte `n` is `n + 1`, with the opcode of `T` in byte 0.
fn ramp<T: Wire>() -> Bhs {
    let mut bhs = core::array::from_fn(|n| n as u8 + 1);
    bhs[0] = T::OPCODE;
    bhs
}

macro_rules! every_named_field_round_trips {
    ($($test:ident: $name:ident;)*) => {$(
        #[test]
        fn $test() {
            let first = $name::decode(&ramp::<$name>());
            let again = $name::decode(&first.encode());
            assert_eq!(first, again);
            assert_eq!(opcode(&first.encode()), $name::OPCODE);
        }
    )*};
}

every_named_field_round_trips! {
    scsi_command: ScsiCommand;
    scsi_response: ScsiResponse;
    task_management_request: TaskManagementRequest;
    task_management_response: TaskManagementResponse;
    data_out: DataOut;
    data_in: DataIn;
    r2t: R2t;
    async_message: AsyncMessage;
    text_request: TextRequest;
    text_response: TextResponse;
    login_request: LoginRequest;
    login_response: LoginResponse;
    logout_request: LogoutRequest;
    logout_response: LogoutResponse;
    snack_request: SnackRequest;
    reject: Reject;
    nop_out: NopOut;
    nop_in: NopIn;
}

// check: command-fields
#[test]
fn a_scsi_command_stands_as_in_figure_11_3() {
    let mut bhs = ScsiCommand {
        flags: command_flags::FINAL | command_flags::READ | TaskAttribute::Simple as u8,
        lun: Lun(0x0001_0000_0000_0000),
        itt: Itt(0x1122_3344),
        expected_data_transfer_length: 4096,
        cmd_sn: CmdSn(0x5566_7788),
        exp_stat_sn: StatSn(0x99aa_bbcc),
        cdb: core::array::from_fn(|n| 0xf0 | n as u8),
    }
    .encode();
    set_lengths(&mut bhs, 8, 0x01_0203);
    assert_eq!(
        bhs,
        [
            0x01, 0xc1, 0, 0, 2, 1, 2, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0, 0, 0x10, 0, 0x55, 0x66,
            0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb,
            0xfc, 0xfd, 0xfe, 0xff
        ]
    );
    assert_eq!((ahs_len(&bhs), data_segment_len(&bhs)), (8, 0x01_0203));
}

// check: login-first-request
#[test]
fn a_login_request_is_immediate_and_its_fields_stand_as_in_figure_11_12() {
    let bhs = LoginRequest {
        flags: LoginFlags {
            transit: true,
            more: false,
            current: LoginStage::OperationalNegotiation,
            next: LoginStage::FullFeature,
        }
        .encode(),
        version_max: 0,
        version_min: 0,
        isid: Isid::random(0x00ab_cdef, 0x0102),
        tsih: Tsih(0x0304),
        itt: Itt(1),
        cid: Cid(0x0506),
        cmd_sn: CmdSn(7),
        exp_stat_sn: StatSn(8),
    }
    .encode();
    assert!(is_immediate(&bhs));
    assert_eq!(bhs[..24], [0x43, 0x87, 0, 0, 0, 0, 0, 0, 0x80, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 0, 0, 0, 1, 5, 6, 0, 0]);
}

#[test]
fn a_data_in_is_read_where_figure_11_7_has_it() {
    let pdu = DataIn::decode(&ramp::<DataIn>());
    assert_eq!(pdu.status, 4);
    assert_eq!(pdu.ttt, Ttt(0x1516_1718));
    assert_eq!(pdu.data_sn, DataSn(0x2526_2728));
    assert_eq!((pdu.buffer_offset, pdu.residual_count), (0x292a_2b2c, 0x2d2e_2f30));
}

#[test]
fn login_stage_2_does_not_exist() {
    assert_eq!(LoginFlags::decode(0x08), None);
    assert_eq!(LoginFlags::decode(0x82), None);
    assert!(LoginFlags::decode(0x02).is_some_and(|flags| !flags.transit), "NSG is reserved without T");
}

#[test]
fn unknown_code_points_survive() {
    assert_eq!(AsyncEvent::from(200), AsyncEvent::Unknown(200));
    assert_eq!(u8::from(AsyncEvent::Unknown(200)), 200);
    for code in 0..=255 {
        assert_eq!(u8::from(ScsiStatus::from(code)), code);
        assert_eq!(u8::from(Opcode::from(code)), code);
    }
}

#[test]
fn padding_fills_up_to_a_word() {
    assert_eq!([0, 1, 2, 3, 4, 5].map(padding), [0, 3, 2, 1, 0, 3]);
}
