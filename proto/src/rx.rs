//! Framing: where the next bytes belong.
//!
//! ```text
//!            48 bytes, AHS, digest          Data-In of a live task
//!   Header ─────────────────────────┬───────────────────────────────► Place ─► Trailer ─► Header
//!      ▲                            ├─ any other data segment ─► Collect ─┐
//!      └──────────────────────────────────────────────────────────────────┘
//! ```
//! The order of trust on receive: 48 bytes → an opcode that is legal now → lengths within the limits
//! → header digest → the task the tag names → offset and length within its data → only then the bytes
//! are placed → data digest before anybody hears of them.

use alloc::vec::Vec;

use crate::digest::Crc32c;
use crate::error::{Error, PeerMisbehaved};
use crate::ids::Itt;
use crate::pdu::{BHS_LEN, Bhs, DataIn, Opcode, ahs_len, data_segment_len, opcode, padding};

/// Where the next bytes of the stream belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxPlan {
    /// To [`rx_scratch`](crate::session::Session::rx_scratch), which can go on once it gets `need`
    /// bytes at a time (1 to 1072); more are welcome.
    Scratch {
        /// Fewer than that make no progress.
        need: usize,
    },
    /// Into the buffer of a task, and then to [`rx_placed`](crate::session::Session::rx_placed).
    Place {
        /// Whose buffer.
        itt: Itt,
        /// From there, in bytes.
        offset: u32,
        /// Up to that many, at least 1.
        len: u32,
    },
    /// Nowhere: the connection is of no further use.
    Stop,
}

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) bhs: Bhs,
    /// Bytes of the header in all: BHS, AHS, digest.
    pub(crate) header_len: usize,
    /// Bytes of the data segment, without padding.
    pub(crate) segment_len: u32,
}

/// Where in the stream we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Header,
    Place { pdu: DataIn, offset: u32, left: u32, len: u32, crc: u32 },
    Trailer { pdu: DataIn, len: u32, crc: u32 },
    Collect { bhs: Bhs, segment_len: u32 },
}

/// Whether a target may send this in the full-feature phase.
fn is_expected(opcode: u8) -> bool {
    matches!(
        Opcode::from(opcode),
        Opcode::NopIn
            | Opcode::ScsiResponse
            | Opcode::TaskManagementResponse
            | Opcode::TextResponse
            | Opcode::DataIn
            | Opcode::LogoutResponse
            | Opcode::R2t
            | Opcode::AsyncMessage
            | Opcode::Reject
    )
}

/// Reads a header off the front of `bytes`; `Err(need)` in `Ok` where more bytes are needed first.
/// `limit` is what we declared for a data segment, in bytes.
///
/// # Errors
/// An opcode that may not come, a segment above the limit of its opcode, a wrong digest.
pub(crate) fn header<D: Crc32c>(
    bytes: &[u8],
    digest: bool,
    limit: u32,
) -> Result<core::result::Result<Announced, usize>, Error> {
    let Some(bhs) = bytes.first_chunk::<BHS_LEN>() else { return Ok(Err(BHS_LEN)) };
    let code = opcode(bhs);
    if !is_expected(code) {
        return Err(PeerMisbehaved::UnexpectedOpcode(code).into());
    }
    let segment_len = data_segment_len(bhs);
    // §11.6, §11.8, §11.15: these have no data segment.
    let limit = match Opcode::from(code) {
        Opcode::R2t | Opcode::TaskManagementResponse | Opcode::LogoutResponse => 0,
        _ => limit,
    };
    if segment_len > limit {
        return Err(PeerMisbehaved::SegmentTooLong { opcode: code, length: segment_len, limit }.into());
    }
    let covered = BHS_LEN + ahs_len(bhs);
    let header_len = covered + if digest { 4 } else { 0 };
    let Some(head) = bytes.get(..header_len) else { return Ok(Err(header_len)) };
    if digest {
        let (covered, sent) = head.split_at(covered);
        if D::append(0, covered).to_le_bytes() != sent {
            return Err(PeerMisbehaved::HeaderDigest.into());
        }
    }
    Ok(Ok(Announced { bhs: *bhs, header_len, segment_len }))
}

/// Bytes behind a data segment: padding and digest.
pub(crate) fn trailer_len(segment_len: u32, digest: bool) -> usize {
    padding(segment_len as usize) + if digest { 4 } else { 0 }
}

/// Checks what follows a segment whose digest so far is `crc`. `trailer` is padding and digest.
pub(crate) fn check_trailer<D: Crc32c>(crc: u32, segment_len: u32, trailer: &[u8]) -> Result<(), Error> {
    let (pad, sent) = match trailer.split_at_checked(padding(segment_len as usize)) {
        Some(parts) => parts,
        None => return Err(Error::Misuse("a trailer shorter than its padding")),
    };
    if !sent.is_empty() && D::append(crc, pad).to_le_bytes() != sent {
        return Err(PeerMisbehaved::DataDigest.into());
    }
    Ok(())
}

impl Framing {
    pub(crate) fn plan(&self, scratch_need: usize) -> RxPlan {
        match *self {
            Framing::Place { pdu, offset, left, .. } => RxPlan::Place { itt: pdu.itt, offset, len: left },
            Framing::Header | Framing::Trailer { .. } | Framing::Collect { .. } => {
                RxPlan::Scratch { need: scratch_need }
            }
        }
    }
}

/// A data segment for the core itself, gathered when it does not arrive in one piece.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    bytes: Vec<u8>,
}

impl Collected {
    /// Takes up to what is missing of `total` bytes off `bytes`; says how many were taken.
    pub(crate) fn take(&mut self, bytes: &[u8], total: usize) -> usize {
        let part = bytes.get(..total.saturating_sub(self.bytes.len())).unwrap_or(bytes);
        self.bytes.extend_from_slice(part);
        part.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of it, leaving nothing.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }
}
