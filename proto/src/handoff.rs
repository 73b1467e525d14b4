//! What a logged-in connection is: everything the full-feature phase must know of the login, as one
//! value of plain integers that may cross a kernel's border.

use crate::error::Error;
use crate::ids::{Cid, Isid, Tsih};
use crate::sn::{CmdSn, StatSn};

/// The layout's version. A bridge refuses any other.
pub const HANDOFF_VERSION: u32 = 1;

/// A connection at the first moment of its full-feature phase.
///
/// Integers only, so that every bit pattern is a value: the receiving side calls
/// [`params`](Handoff::params), which checks all of it again. Native byte order; ISID as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Handoff {
    /// [`HANDOFF_VERSION`].
    pub version: u32,
    /// The first command's CmdSN.
    pub cmd_sn: u32,
    /// The status number that is due next: the final login response's plus one.
    pub exp_stat_sn: u32,
    /// The target's MaxCmdSN in the final login response.
    pub max_cmd_sn: u32,
    /// FirstBurstLength, in bytes.
    pub first_burst_length: u32,
    /// MaxBurstLength, in bytes.
    pub max_burst_length: u32,
    /// MaxRecvDataSegmentLength that we declared, in bytes.
    pub max_recv_data_segment_length: u32,
    /// MaxRecvDataSegmentLength that the target declared, in bytes.
    pub max_send_data_segment_length: u32,
    /// Target's part of the session identifier.
    pub tsih: u16,
    /// The connection.
    pub cid: u16,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait, in seconds.
    pub default_time2wait: u16,
    /// DefaultTime2Retain, in seconds.
    pub default_time2retain: u16,
    /// TargetPortalGroupTag.
    pub target_portal_group_tag: u16,
    /// Initiator's part of the session identifier.
    pub isid: [u8; 6],
    /// 0 or 1: CRC32C over headers.
    pub header_digest: u8,
    /// 0 or 1: CRC32C over data.
    pub data_digest: u8,
    /// 0 or 1: InitialR2T.
    pub initial_r2t: u8,
    /// 0 or 1: ImmediateData.
    pub immediate_data: u8,
    /// ErrorRecoveryLevel, 0 to 2.
    pub error_recovery_level: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

const _: () = assert!(size_of::<Handoff>() == 60);

/// The part of a checked [`Handoff`] that holds for all connections of the session (RFC 7143 §13: scope SW).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionParams {
    /// Initiator's part of the session identifier.
    pub isid: Isid,
    /// Target's part of the session identifier, not 0.
    pub tsih: Tsih,
    /// The first command's CmdSN.
    pub cmd_sn: CmdSn,
    /// The last CmdSN the target takes, so far.
    pub max_cmd_sn: CmdSn,
    /// No unsolicited Data-Out.
    pub initial_r2t: bool,
    /// Data may come with the command.
    pub immediate_data: bool,
    /// Unsolicited data of a command, in bytes, 512 to 2^24-1.
    pub first_burst_length: u32,
    /// A sequence of Data-In or solicited Data-Out, in bytes, 512 to 2^24-1.
    pub max_burst_length: u32,
    /// R2Ts of a task at a time, at least 1.
    pub max_outstanding_r2t: u16,
    /// Seconds to wait before a reconnect.
    pub default_time2wait: u16,
    /// Seconds the target keeps the tasks after that.
    pub default_time2retain: u16,
}

/// The part of a checked [`Handoff`] that holds for one connection (RFC 7143 §13: scope CO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionParams {
    /// The connection.
    pub cid: Cid,
    /// The status number that is due next.
    pub exp_stat_sn: StatSn,
    /// CRC32C over BHS and AHS.
    pub header_digest: bool,
    /// CRC32C over the data segment and its padding.
    pub data_digest: bool,
    /// The longest data segment that we take, in bytes, 512 to 2^24-1.
    pub max_recv_data_segment_length: u32,
    /// The longest data segment that the target takes, in bytes, 512 to 2^24-1.
    pub max_send_data_segment_length: u32,
}

impl Handoff {
    /// Checks every value, since it may come from another process, and says what was negotiated: for the session,
    /// and for its connection.
    ///
    /// # Errors
    /// [`Error::Misuse`] names the first field that is out of its range.
    pub fn params(&self) -> Result<(SessionParams, ConnectionParams), Error> {
        if self.version != HANDOFF_VERSION {
            return Err(Error::Misuse("handoff of another version"));
        }
        if self.tsih == 0 {
            return Err(Error::Misuse("handoff without a session: TSIH is 0"));
        }
        let length = |bytes: u32| match bytes {
            512..=0xff_ffff => Ok(bytes),
            _ => Err(Error::Misuse("a length of the handoff is outside 512 to 2^24-1")),
        };
        let flag = |byte: u8| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Misuse("a flag of the handoff is neither 0 nor 1")),
        };
        if self.max_outstanding_r2t == 0 {
            return Err(Error::Misuse("MaxOutstandingR2T of the handoff is 0"));
        }
        if self.error_recovery_level > 2 {
            return Err(Error::Misuse("ErrorRecoveryLevel of the handoff is above 2"));
        }
        let max_burst_length = length(self.max_burst_length)?;
        let session = SessionParams {
            isid: Isid(self.isid),
            tsih: Tsih(self.tsih),
            cmd_sn: CmdSn(self.cmd_sn),
            max_cmd_sn: CmdSn(self.max_cmd_sn),
            initial_r2t: flag(self.initial_r2t)?,
            immediate_data: flag(self.immediate_data)?,
            // RFC 7143 §13.14: FirstBurstLength never exceeds MaxBurstLength, also where the target says more.
            first_burst_length: length(self.first_burst_length)?.min(max_burst_length),
            max_burst_length,
            max_outstanding_r2t: self.max_outstanding_r2t,
            default_time2wait: self.default_time2wait,
            default_time2retain: self.default_time2retain,
        };
        let connection = ConnectionParams {
            cid: Cid(self.cid),
            exp_stat_sn: StatSn(self.exp_stat_sn),
            header_digest: flag(self.header_digest)?,
            data_digest: flag(self.data_digest)?,
            max_recv_data_segment_length: length(self.max_recv_data_segment_length)?,
            max_send_data_segment_length: length(self.max_send_data_segment_length)?,
        };
        Ok((session, connection))
    }
}
