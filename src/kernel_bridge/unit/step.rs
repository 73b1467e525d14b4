//! The commands that an operation takes, one after another: most often one.
//!
//! ```text
//!   op, first block, blocks left ──► Step ── done ──► Step ── done ──► … ──► a flush, if one must follow
//! ```
//! What the exports know of a unit may be older than what its answers have taught since, and what was cut for them
//! before stays in one piece here: it goes out in as many commands as the unit needs.

use iscsi_proto::scsi::cdb;
use iscsi_proto::session::Data;

use super::features::Unmap;
use super::habits::{Commands, Flush, Zeroes};
use super::logical_unit::Shape;
use crate::block::{IoError, MAX_BUFFER, Op};

/// The most blocks of one WRITE SAME, whatever the unit reports. 0 blocks are all up to the end of the medium
/// (SBC-4 §5.51), and a unit that keeps only 16 bits of the number takes 65536 for that.
pub(crate) const MOST_SAME_BLOCKS: u32 = 0x8000;

/// One command of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) cdb: [u8; 16],
    pub(crate) data: Data,
    /// The blocks that it does, at least one but for a flush.
    pub(crate) blocks: u32,
    /// The operation is not done before a flush: the command does not bring its blocks to stable storage.
    pub(crate) then_flush: bool,
}

impl Shape {
    /// The next command for an operation of which `blocks` blocks from `lba` on are left.
    ///
    /// # Errors
    /// If there is no command that does it.
    pub(crate) fn step(&self, op: Op, lba: u64, blocks: u32) -> Result<Step, IoError> {
        let Shape { geometry, features, habits } = self;
        // Without a volatile cache every write is on stable storage when it completes.
        let durable = geometry.write_cache && matches!(op, Op::Write { fua: true } | Op::WriteZeroes { fua: true, .. });
        let step = |cdb: cdb::Cdb, data, blocks| Step { cdb: cdb.padded(), data, blocks, then_flush: durable };
        Ok(match op {
            Op::Flush => Step { cdb: flush(habits.flush), data: Data::None, blocks: 0, then_flush: false },
            Op::Read => self.transfer(op, lba, blocks, false)?,
            Op::Write { .. } => {
                let fua = durable && features.fua && !habits.refuses_fua;
                Step { then_flush: durable && !fua, ..self.transfer(op, lba, blocks, fua)? }
            }
            Op::Unmap if features.unmap == Unmap::Command => {
                let length = cdb::UNMAP_HEADER + cdb::UNMAP_DESCRIPTOR;
                step(cdb::unmap(length as u16), Data::Out(length as u32), blocks)
            }
            Op::WriteZeroes { fast, .. } if habits.zeroes == Zeroes::Written || geometry.max_zero_blocks == 0 => {
                if fast {
                    return Err(IoError::Unsupported);
                }
                Step { then_flush: durable, ..self.transfer(op, lba, blocks, false)? }
            }
            Op::Unmap | Op::WriteZeroes { .. } => {
                let most = geometry.max_zero_blocks.clamp(1, MOST_SAME_BLOCKS);
                let (blocks, frees) = match op {
                    Op::WriteZeroes { unmap, .. } if !(unmap && self.frees_to_zero()) => (blocks.min(most), false),
                    // What stays of a partial granule must be zero.
                    Op::WriteZeroes { .. } => features.granule.next(lba, blocks, most),
                    // What stays after a trim is the unit's choice.
                    _ => (blocks.min(most), true),
                };
                step(cdb::write_same_16(lba, blocks, frees, false), Data::Out(geometry.block_size), blocks)
            }
        })
    }

    /// Whether WRITE SAME may free blocks that are to read as zero.
    fn frees_to_zero(&self) -> bool {
        let features = &self.features;
        features.unmapped_reads_zero && features.write_same_frees && self.habits.zeroes == Zeroes::Freed
    }

    /// READ or WRITE, in the form that the unit takes.
    fn transfer(&self, op: Op, lba: u64, blocks: u32, fua: bool) -> Result<Step, IoError> {
        let block_size = self.geometry.block_size;
        let told = self.geometry.max_transfer.min(MAX_BUFFER as u32) / block_size;
        let blocks = blocks.min(told).min(self.habits.longest).max(1);
        let (sixteen, len) = (self.habits.commands == Commands::Sixteen, blocks * block_size);
        let (cdb, data) = match op {
            Op::Read if sixteen => (Some(cdb::read_16(lba, blocks, fua)), Data::In(len)),
            Op::Read => (cdb::read_10(lba, blocks, fua), Data::In(len)),
            _ if sixteen => (Some(cdb::write_16(lba, blocks, fua)), Data::Out(len)),
            _ => (cdb::write_10(lba, blocks, fua), Data::Out(len)),
        };
        // The shorter form does not reach every block.
        let cdb = cdb.ok_or(IoError::OutOfRange)?.padded();
        Ok(Step { cdb, data, blocks, then_flush: false })
    }
}

/// SYNCHRONIZE CACHE of everything: LBA 0 and 0 blocks mean the whole unit (SBC-4 §5.34). Both forms are
/// optional. The sixteen-byte one goes first, as with reads and writes.
fn flush(how: Flush) -> [u8; 16] {
    const TEN: [u8; 16] = [cdb::opcode::SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match how {
        Flush::Sixteen => cdb::synchronize_cache_16(0, 0).padded(),
        Flush::Ten { .. } | Flush::Nothing => cdb::synchronize_cache_10(0, 0).map_or(TEN, |cdb| cdb.padded()),
    }
}
