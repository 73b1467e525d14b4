//! What an initiator sends (RFC 7143 §11).

use super::wire::{BHS_LEN, Bhs, Field, Wire, wire};
use crate::ids::{Cid, Isid, Itt, Lun, Tsih, Ttt};
use crate::sn::{CmdSn, DataSn, StatSn};

wire! {
    /// SCSI Command (§11.3). `cdb` holds the first 16 bytes, the rest is in an AHS.
    0x01 ScsiCommand {
        /// F, R, W and ATTR: see [`command_flags`](super::command_flags).
        1 => flags: u8,
        /// The unit.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// How many bytes the command transfers, both ways.
        20 => expected_data_transfer_length: u32,
        /// Its place in the session's order.
        24 => cmd_sn: CmdSn,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
        /// Command descriptor block, zero-padded.
        32 => cdb: [u8; 16],
    }

    /// Task Management Function Request (§11.5).
    0x02 TaskManagementRequest {
        /// [`FINAL`](super::FINAL) and the function in the low seven bits.
        1 => function: u8,
        /// The unit, for functions of a unit's scope.
        8 => lun: Lun,
        /// The function's own tag.
        16 => itt: Itt,
        /// The task to act on; [`Itt::RESERVED`] unless the function names one.
        20 => referenced_task_tag: Itt,
        /// Its place in the session's order.
        24 => cmd_sn: CmdSn,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
        /// CmdSN of the task to act on (ABORT TASK), else 0.
        32 => ref_cmd_sn: CmdSn,
        /// For TASK REASSIGN only.
        36 => exp_data_sn: DataSn,
    }

    /// SCSI Data-Out (§11.7).
    0x05 DataOut {
        /// [`FINAL`](super::FINAL) on the last PDU of a sequence.
        1 => flags: u8,
        /// The R2T's LUN; reserved for unsolicited data.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// The R2T's tag; [`Ttt::RESERVED`] for unsolicited data.
        20 => ttt: Ttt,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
        /// Number of the PDU within its sequence, from 0.
        36 => data_sn: DataSn,
        /// Where the payload belongs in the command's data, in bytes.
        40 => buffer_offset: u32,
    }

    /// Text Request (§11.10).
    0x04 TextRequest {
        /// [`FINAL`](super::FINAL) and [`CONTINUE`](super::CONTINUE).
        1 => flags: u8,
        /// Echoed from the response this one goes on from, else reserved.
        8 => lun: Lun,
        /// The task's tag.
        16 => itt: Itt,
        /// Echoed from the response this one goes on from, else [`Ttt::RESERVED`].
        20 => ttt: Ttt,
        /// Its place in the session's order.
        24 => cmd_sn: CmdSn,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
    }

    /// Login Request (§11.12): always immediate.
    0x43 LoginRequest {
        /// T, C, CSG and NSG: see [`LoginFlags`](super::LoginFlags).
        1 => flags: u8,
        /// The highest protocol version the initiator speaks: 0.
        2 => version_max: u8,
        /// The lowest: 0.
        3 => version_min: u8,
        /// Initiator's part of the session id.
        8 => isid: Isid,
        /// 0 for a new session.
        14 => tsih: Tsih,
        /// The login's tag, constant throughout.
        16 => itt: Itt,
        /// The connection.
        20 => cid: Cid,
        /// The session's first CmdSN, constant throughout a leading login.
        24 => cmd_sn: CmdSn,
        /// The next status expected; 0 in the first request of a new connection.
        28 => exp_stat_sn: StatSn,
    }

    /// Logout Request (§11.14).
    0x06 LogoutRequest {
        /// [`FINAL`](super::FINAL) and the reason in the low seven bits.
        1 => reason: u8,
        /// The logout's tag.
        16 => itt: Itt,
        /// The connection to close, where the reason names one.
        20 => cid: Cid,
        /// Its place in the session's order.
        24 => cmd_sn: CmdSn,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
    }

    /// SNACK Request (§11.16). Not sent at ErrorRecoveryLevel 0.
    0x10 SnackRequest {
        /// [`FINAL`](super::FINAL) and the type in the low four bits.
        1 => kind: u8,
        /// The unit, for a Data or R2T SNACK.
        8 => lun: Lun,
        /// The task, or [`Itt::RESERVED`].
        16 => itt: Itt,
        /// The target's tag, or the SNACK tag.
        20 => ttt: Ttt,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
        /// First number of the run asked for.
        40 => beg_run: u32,
        /// How many; 0 means all from there on.
        44 => run_length: u32,
    }

    /// NOP-Out (§11.18).
    0x00 NopOut {
        /// Always [`FINAL`](super::FINAL).
        1 => flags: u8,
        /// Echoed from the NOP-In this one answers.
        8 => lun: Lun,
        /// Ours where an answer is wanted; [`Itt::RESERVED`] in an answer.
        16 => itt: Itt,
        /// The NOP-In's, in an answer; [`Ttt::RESERVED`] in a ping.
        20 => ttt: Ttt,
        /// Its place in the session's order.
        24 => cmd_sn: CmdSn,
        /// The next status expected on this connection.
        28 => exp_stat_sn: StatSn,
    }
}
