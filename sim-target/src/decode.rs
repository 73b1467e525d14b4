//! CDBs taken apart and judged, written without the initiator's builders: an independent check of
//! them.

use iscsi_proto::scsi::{Sense, SenseKey};

use crate::disk::Unit;
use crate::script::Command;

/// What a command does to the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Flush,
    Unmap,
    WriteSame,
    /// It does not touch the medium.
    Other,
}

pub(crate) const INVALID_OPCODE: Sense = Sense::new(SenseKey::IllegalRequest, 0x20, 0);
pub(crate) const INVALID_FIELD: Sense = Sense::new(SenseKey::IllegalRequest, 0x24, 0);
pub(crate) const INVALID_PARAMETER: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0);
pub(crate) const NO_UNIT: Sense = Sense::new(SenseKey::IllegalRequest, 0x25, 0);
const OUT_OF_RANGE: Sense = Sense::new(SenseKey::IllegalRequest, 0x21, 0);
const WRITE_PROTECTED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0);

/// A number of up to eight bytes, most significant first.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Fills in what the CDB says of blocks.
pub(crate) fn decode(command: &mut Command) -> Kind {
    let cdb = command.cdb;
    let (kind, (lba, blocks)) = match cdb[0] {
        0x08 | 0x0a => {
            let blocks = if cdb[4] == 0 { 256 } else { u64::from(cdb[4]) };
            let kind = if cdb[0] == 0x08 { Kind::Read } else { Kind::Write };
            (kind, (number(&cdb[1..4]) & 0x1f_ffff, blocks))
        }
        0x28 => (Kind::Read, ten(&cdb)),
        0x2a => (Kind::Write, ten(&cdb)),
        0xa8 => (Kind::Read, (number(&cdb[2..6]), number(&cdb[6..10]))),
        0xaa => (Kind::Write, (number(&cdb[2..6]), number(&cdb[6..10]))),
        0x88 => (Kind::Read, sixteen(&cdb)),
        0x8a => (Kind::Write, sixteen(&cdb)),
        0x35 => (Kind::Flush, ten(&cdb)),
        0x91 => (Kind::Flush, sixteen(&cdb)),
        0x93 => (Kind::WriteSame, sixteen(&cdb)),
        0x41 => (Kind::WriteSame, ten(&cdb)),
        0x42 => (Kind::Unmap, (0, 0)),
        _ => (Kind::Other, (0, 0)),
    };
    command.lba = lba;
    command.blocks = blocks as u32;
    command.fua = matches!(cdb[0], 0x28 | 0x2a | 0xa8 | 0xaa | 0x88 | 0x8a) && cdb[1] & 0x08 != 0;
    kind
}

fn ten(cdb: &[u8; 16]) -> (u64, u64) {
    (number(&cdb[2..6]), number(&cdb[7..9]))
}

fn sixteen(cdb: &[u8; 16]) -> (u64, u64) {
    (number(&cdb[2..10]), number(&cdb[10..14]))
}

/// How long the CDB of that opcode is (SPC-5 §4.2.5.1).
pub(crate) fn cdb_length(opcode: u8) -> usize {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

/// Whether the unit does the command, and how many bytes of data it takes, before any limit that the
/// expected length sets.
pub(crate) fn data_wanted(command: &Command, kind: Kind, unit: Option<&Unit>) -> Result<u64, Sense> {
    let opcode = command.opcode();
    let Some(unit) = unit else {
        return if matches!(opcode, 0x12 | 0xa0 | 0x03) { Ok(0) } else { Err(NO_UNIT) };
    };
    let disk = &unit.disk;
    let has_medium = disk.device_type == 0 && !disk.administrative;
    if !has_medium && !matches!(opcode, 0x00 | 0x03 | 0x12 | 0xa0) {
        return Err(INVALID_OPCODE);
    }
    if disk.only_short_commands && (0x80..0xa0).contains(&opcode) {
        return Err(INVALID_OPCODE);
    }
    if let Some((_, sense)) = disk.refused.iter().find(|(refused, _)| *refused == opcode) {
        return Err(*sense);
    }
    if kind == Kind::Other {
        return Ok(0);
    }
    let limits = disk.effective_limits();
    let blocks = u64::from(command.blocks);
    if command.lba.checked_add(blocks).is_none_or(|end| end > unit.blocks()) {
        return Err(OUT_OF_RANGE);
    }
    let changes = matches!(kind, Kind::Write | Kind::Unmap | Kind::WriteSame);
    if changes && unit.is_write_protected() {
        return Err(WRITE_PROTECTED);
    }
    match kind {
        Kind::Read | Kind::Write => {
            // RDPROTECT and WRPROTECT ask for protection information, of which there is none.
            let protects = !matches!(opcode, 0x08 | 0x0a) && command.cdb[1] & 0xe0 != 0;
            if protects || command.fua && !disk.fua {
                return Err(INVALID_FIELD);
            }
            let told = limits.max_transfer != 0 && command.blocks > limits.max_transfer;
            if told || disk.longest.is_some_and(|longest| command.blocks > longest) {
                return Err(INVALID_FIELD);
            }
            Ok(if kind == Kind::Write { blocks * unit.block_size() } else { 0 })
        }
        Kind::Unmap if !disk.thin => Err(INVALID_OPCODE),
        Kind::Unmap => Ok(number(&command.cdb[7..9])),
        Kind::WriteSame => {
            if !disk.thin && limits.max_write_same == 0 {
                return Err(INVALID_OPCODE);
            }
            let unmaps = command.cdb[1] & 0x08 != 0;
            if let Some(sense) = disk.refused_unmap_bit.filter(|_| unmaps) {
                return Err(sense);
            }
            // WRPROTECT, ANCHOR.
            let is_unknown = command.cdb[1] & 0xf0 != 0;
            let to_the_end = blocks == 0;
            if is_unknown
                || unmaps && !disk.thin
                || to_the_end && limits.write_same_non_zero
                || limits.max_write_same != 0 && blocks > limits.max_write_same
            {
                return Err(INVALID_FIELD);
            }
            let has_no_data = opcode == 0x93 && command.cdb[1] & 0x01 != 0;
            Ok(if has_no_data { 0 } else { unit.block_size() })
        }
        Kind::Flush | Kind::Other => Ok(0),
    }
}
