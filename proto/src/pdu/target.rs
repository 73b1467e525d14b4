//! What a target sends (RFC 7143 §11).

use super::wire::{BHS_LEN, Bhs, Field, Wire, wire};
use crate::ids::{Isid, Itt, Lun, Tsih, Ttt};
use crate::sn::{CmdSn, DataSn, StatSn};

wire! {
    /// SCSI Response (§11.4).
    0x21 ScsiResponse {
        /// o, u, O, U: see [`residual`](super::residual).
        1 => flags: u8,
        /// iSCSI service response: 0 command completed at target, 1 target failure.
        2 => response: u8,
        /// SAM status, valid if `response` is 0.
        3 => status: u8,
        /// The task's tag.
        16 => itt: Itt,
        /// SNACK tag, or reserved.
        20 => snack_tag: u32,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// How many R2Ts and Data-In PDUs the target sent for the command.
        36 => exp_data_sn: DataSn,
        /// Of the read part of a bidirectional command.
        40 => bidi_read_residual_count: u32,
        /// How many bytes were not transferred, or would have been too many.
        44 => residual_count: u32,
    }

    /// Task Management Function Response (§11.6).
    0x22 TaskManagementResponse {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// What became of it.
        2 => response: u8,
        /// The function's tag.
        16 => itt: Itt,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
    }

    /// SCSI Data-In (§11.7).
    0x25 DataIn {
        /// F, A, O, U, S: see [`data_in_flags`](super::data_in_flags).
        1 => flags: u8,
        /// SAM status, valid with S.
        3 => status: u8,
        /// The unit, valid with A.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// Valid with A, else [`Ttt::RESERVED`].
        20 => ttt: Ttt,
        /// This status' number, valid with S.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// Number of the PDU within the command, from 0.
        36 => data_sn: DataSn,
        /// Where the payload belongs in the command's data, in bytes.
        40 => buffer_offset: u32,
        /// Valid with S.
        44 => residual_count: u32,
    }

    /// Ready To Transfer (§11.8).
    0x31 R2t {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// The unit, echoed in the answer.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// The target's tag, echoed in the answer.
        20 => ttt: Ttt,
        /// The number the next status will have.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// Number of the R2T within the command, from 0.
        36 => r2t_sn: DataSn,
        /// First byte wanted.
        40 => buffer_offset: u32,
        /// How many; not 0, at most MaxBurstLength.
        44 => desired_data_transfer_length: u32,
    }

    /// Asynchronous Message (§11.9).
    0x32 AsyncMessage {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// The unit, for a SCSI event.
        8 => lun: Lun,
        /// Always [`Itt::RESERVED`].
        16 => itt: Itt,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// What happened.
        36 => event: u8,
        /// The vendor's code, with event 255.
        37 => vendor_code: u8,
        /// Depends on the event.
        38 => parameter1: u16,
        /// Depends on the event.
        40 => parameter2: u16,
        /// Depends on the event.
        42 => parameter3: u16,
    }

    /// Text Response (§11.11).
    0x24 TextResponse {
        /// [`FINAL`](super::FINAL) and [`CONTINUE`](super::CONTINUE).
        1 => flags: u8,
        /// To be echoed.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// To be echoed; [`Ttt::RESERVED`] ends the exchange.
        20 => ttt: Ttt,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
    }

    /// Login Response (§11.13).
    0x23 LoginResponse {
        /// T, C, CSG and NSG: see [`LoginFlags`](super::LoginFlags).
        1 => flags: u8,
        /// The highest protocol version the target speaks.
        2 => version_max: u8,
        /// The one chosen.
        3 => version_active: u8,
        /// As in the request.
        8 => isid: Isid,
        /// The target's handle of the session, in the final response.
        14 => tsih: Tsih,
        /// The login's tag.
        16 => itt: Itt,
        /// This status' number; the first one may be any.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// 0 success, 1 redirection, 2 initiator error, 3 target error.
        36 => status_class: u8,
        /// Within the class.
        37 => status_detail: u8,
    }

    /// Logout Response (§11.15).
    0x26 LogoutResponse {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// What became of it.
        2 => response: u8,
        /// The logout's tag.
        16 => itt: Itt,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// Seconds before a login may follow.
        40 => time2wait: u16,
        /// Seconds after `time2wait` until the tasks are gone.
        42 => time2retain: u16,
    }

    /// Reject (§11.17). Its data segment is the header that was rejected.
    0x3f Reject {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// Why.
        2 => reason: u8,
        /// Always [`Itt::RESERVED`].
        16 => itt: Itt,
        /// This status' number.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
        /// Valid for a rejected Data or R2T SNACK.
        36 => data_sn: DataSn,
    }

    /// NOP-In (§11.19).
    0x20 NopIn {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// To be echoed, if `ttt` is valid.
        8 => lun: Lun,
        /// Of the NOP-Out it answers, or [`Itt::RESERVED`].
        16 => itt: Itt,
        /// Valid where an answer is wanted, else [`Ttt::RESERVED`].
        20 => ttt: Ttt,
        /// This status' number, or the next one's where `itt` is reserved.
        24 => stat_sn: StatSn,
        /// The next CmdSN the target expects.
        28 => exp_cmd_sn: CmdSn,
        /// The last CmdSN it will take.
        32 => max_cmd_sn: CmdSn,
    }
}
