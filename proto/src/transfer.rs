//! The data of SCSI commands: Data-In as it comes, Data-Out as it is wanted (RFC 7143 §4.2.5, §11.7, §11.8).
//!
//! ```text
//!   write of n bytes                                        offset
//!   ├─ immediate ─┼─ unsolicited Data-Out ─┼─ R2T ─┼─ R2T ─┤
//!   with the command    up to FirstBurstLength   up to MaxBurstLength each
//! ```

use crate::error::{Error, PeerMisbehaved};
use crate::handoff::{ConnectionParams, SessionParams};
use crate::ids::{Itt, Lun, Ttt};
use crate::pdu::{DataIn, DataOut, FINAL, R2t};
use crate::sn::DataSn;
use crate::task::{Data, Transfer};

/// A sequence of Data-Out PDUs that is due: unsolicited, or the answer to an R2T.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    pub(crate) itt: Itt,
    ttt: Ttt,
    lun: Lun,
    offset: u32,
    end: u32,
    data_sn: DataSn,
}

/// What goes with a write command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsolicited {
    /// Bytes in the command's own data segment.
    pub(crate) immediate: u32,
    /// Data-Out that follows without an R2T.
    pub(crate) burst: Option<Burst>,
}

/// Splits off what may be sent unasked: immediate data if ImmediateData, as much as the target takes
/// in a segment; more if not InitialR2T; FirstBurstLength in all (§13.10, §13.11, §13.14).
pub(crate) fn unsolicited(
    session: &SessionParams,
    connection: &ConnectionParams,
    itt: Itt,
    transfer: &mut Transfer,
) -> Unsolicited {
    let Data::Out(len) = transfer.command.data else {
        return Unsolicited { immediate: 0, burst: None };
    };
    let first = len.min(session.first_burst_length);
    let immediate = if session.immediate_data { first.min(connection.max_send_data_segment_length) } else { 0 };
    let end = if session.initial_r2t { immediate } else { first };
    transfer.moved = immediate;
    transfer.solicited = end;
    let burst = (immediate < end).then_some(Burst {
        itt,
        ttt: Ttt::RESERVED,
        lun: transfer.command.lun,
        offset: immediate,
        end,
        data_sn: DataSn(0),
    });
    Unsolicited { immediate, burst }
}

/// Checks an R2T against its command and makes the sequence it asks for.
///
/// # Errors
/// Each way an R2T can ask for what is not due: R2Ts are contiguous and in order, because we always
/// negotiate DataSequenceInOrder=Yes (§11.8, §13.19).
pub(crate) fn solicited(params: &SessionParams, transfer: &mut Transfer, r2t: &R2t) -> Result<Burst, Error> {
    let rule = |rule| Err(PeerMisbehaved::Rule(rule).into());
    let Data::Out(len) = transfer.command.data else {
        return rule("R2T for a command that sends nothing (RFC 7143 §11.8)");
    };
    if r2t.r2t_sn != transfer.sn {
        return rule("R2TSN out of order (RFC 7143 §11.8.3)");
    }
    if r2t.ttt == Ttt::RESERVED {
        return rule("R2T with the reserved Target Transfer Tag (RFC 7143 §11.8.5)");
    }
    let wanted = r2t.desired_data_transfer_length;
    if wanted == 0 || wanted > params.max_burst_length {
        return rule("R2T for no data or more than MaxBurstLength (RFC 7143 §11.8.4)");
    }
    if r2t.buffer_offset != transfer.solicited {
        return rule("R2T that does not go on where the last one ended (RFC 7143 §13.19)");
    }
    let end = match r2t.buffer_offset.checked_add(wanted) {
        Some(end) if end <= len => end,
        _ => return rule("R2T past the end of the command's data (RFC 7143 §11.8.4)"),
    };
    if transfer.open_r2ts >= params.max_outstanding_r2t {
        return rule("more R2Ts than MaxOutstandingR2T (RFC 7143 §13.17)");
    }
    transfer.sn = transfer.sn.next();
    transfer.solicited = end;
    transfer.open_r2ts += 1;
    Ok(Burst { itt: r2t.itt, ttt: r2t.ttt, lun: r2t.lun, offset: r2t.buffer_offset, end, data_sn: DataSn(0) })
}

/// One Data-Out of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) header: DataOut,
    pub(crate) len: u32,
    pub(crate) last: bool,
}

impl Burst {
    pub(crate) fn is_solicited(&self) -> bool {
        self.ttt != Ttt::RESERVED
    }

    /// The next Data-Out: as much as the target takes in a segment, F on the last one (§11.7.1).
    pub(crate) fn next_piece(&mut self, params: &ConnectionParams, exp_stat_sn: crate::sn::StatSn) -> Piece {
        let left = self.end.saturating_sub(self.offset);
        let len = left.min(params.max_send_data_segment_length);
        let last = len == left;
        let header = DataOut {
            flags: if last { FINAL } else { 0 },
            // §11.7.4: the LUN goes with a valid TTT, else the field is reserved.
            lun: if self.is_solicited() { self.lun } else { Lun(0) },
            itt: self.itt,
            ttt: self.ttt,
            exp_stat_sn,
            data_sn: self.data_sn,
            buffer_offset: self.offset,
        };
        self.offset += len;
        self.data_sn = self.data_sn.next();
        Piece { header, len, last }
    }
}

/// Checks a Data-In of `len` bytes against its command before any of it is placed. They come in
/// order and without overlap, because we always negotiate DataPDUInOrder and DataSequenceInOrder
/// = Yes (§13.18, §13.19).
///
/// # Errors
/// Each way a Data-In can miss its place.
pub(crate) fn expect(transfer: &mut Transfer, pdu: &DataIn, len: u32) -> Result<(), Error> {
    let rule = |rule| Err(PeerMisbehaved::Rule(rule).into());
    let Data::In(expected) = transfer.command.data else {
        return if len == 0 { Ok(()) } else { rule("Data-In for a command that reads nothing (RFC 7143 §11.7)") };
    };
    if pdu.data_sn != transfer.sn {
        return rule("DataSN out of order (RFC 7143 §11.7.5)");
    }
    if len > 0 && pdu.buffer_offset != transfer.moved {
        return rule("Data-In that does not go on where the last one ended (RFC 7143 §13.18)");
    }
    if u64::from(transfer.moved) + u64::from(len) > u64::from(expected) {
        return rule("Data-In past the expected data transfer length (RFC 7143 §11.3.4)");
    }
    transfer.sn = transfer.sn.next();
    Ok(())
}
