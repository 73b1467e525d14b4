//! An operation on a unit.

use super::completion::Completion;
use super::pool::Buffer;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Fill the buffer.
    Read,
    /// Write the buffer.
    Write {
        /// It is on stable storage when it completes.
        fua: bool,
    },
    /// All completed writes are on stable storage when it completes. `lba` and `blocks` are 0.
    Flush,
    /// The blocks are not needed any more; what they read as afterwards is the unit's choice.
    Unmap,
    /// The blocks read as zero afterwards.
    WriteZeroes {
        /// It is on stable storage when it completes.
        fua: bool,
        /// The unit may free the blocks.
        unmap: bool,
        /// Only where it costs less than to send the zeroes: otherwise it is [`IoError::Unsupported`](super::IoError::Unsupported).
        fast: bool,
    },
}

/// One operation on a unit.
#[derive(Debug)]
pub struct Io {
    /// What to do.
    pub op: Op,
    /// First block.
    pub lba: u64,
    /// How many, 1 up to the geometry's limit for the operation (`max_transfer`, `max_unmap_blocks`,
    /// `max_zero_blocks`); 0 for a flush.
    pub blocks: u32,
    /// For reads and writes: exactly `blocks` × block size bytes.
    pub buffer: Option<Buffer>,
    /// Where the result goes.
    pub completion: Completion,
}
