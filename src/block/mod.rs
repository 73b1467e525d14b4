//! The block device, as exports and loads see it: blocks in, completions out.
//!
//! ```text
//!   export ── Io { op, lba, blocks, buffer, completion } ──► Block::submit ──► lun, driver
//!   export ◄── Done { token, result, buffer } ── Completions ◄── Completion::finish
//! ```
//! An exporter keeps one [`Completions`] per connection and as many [`Io`]s under way as it likes;
//! batches go in by one call and come out by one.

mod claims;
mod completion;
mod name;
mod pool;
mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;

use tokio::runtime::Handle as Runtime;

pub use self::claims::{Claim, Use};
pub(crate) use self::completion::Finished;
pub use self::completion::{Completion, Completions, Done};
pub use self::name::UnitName;
pub use self::pool::{Buffer, MAX_BUFFER, Pool};
pub use self::registry::Registry;

/// What an exporter must know of a unit. Lengths are in bytes unless they say blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Logical block: 512 or 4096 (any power of two from 512 to 64 KiB).
    pub block_size: u32,
    /// How many logical blocks there are.
    pub blocks: u64,
    /// Physical block: a multiple of the logical one.
    pub physical_block_size: u32,
    /// The longest read or write of one [`Io`], a multiple of the block, at most [`MAX_BUFFER`].
    pub max_transfer: u32,
    /// What the unit likes best, a multiple of the block; `max_transfer` where it does not say.
    pub optimal_transfer: u32,
    /// The longest [`Op::Unmap`] or [`Op::WriteZeroes`] of one [`Io`], in blocks; 0 where the unit
    /// cannot do either (then zeroes are written).
    pub max_unmap_blocks: u32,
    /// As above, for [`Op::WriteZeroes`].
    pub max_zero_blocks: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// The unit has a volatile write cache: a flush means something.
    pub write_cache: bool,
    /// It is a spinning disk.
    pub rotational: bool,
}

impl Geometry {
    /// Size of the unit, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size as u64)
    }
}

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

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoError {
    /// The request is outside the unit.
    OutOfRange,
    /// The unit is read-only.
    ReadOnly,
    /// The unit cannot do that.
    Unsupported,
    /// The request does not fit the geometry: a bug of the exporter.
    Invalid,
    /// The unit has no space left (thin provisioning).
    NoSpace,
    /// Another initiator has reserved the unit.
    ReservationConflict,
    /// The target answered with an error: sense key, ASC, ASCQ (0, 0, 0 where it gave none).
    Target {
        /// Sense key.
        key: u8,
        /// Additional sense code.
        asc: u8,
        /// Its qualifier.
        ascq: u8,
    },
    /// The unit is not there, or was away for too long.
    Offline,
    /// The unit did not answer, although everything was tried.
    TimedOut,
    /// The operation was dropped without an answer.
    Aborted,
}

impl IoError {
    /// The errno for the operating system and for NBD.
    pub const fn errno(self) -> i32 {
        use nix::libc;
        match self {
            IoError::OutOfRange | IoError::Invalid => libc::EINVAL,
            IoError::ReadOnly => libc::EPERM,
            IoError::Unsupported => libc::EOPNOTSUPP,
            IoError::NoSpace => libc::ENOSPC,
            IoError::ReservationConflict
            | IoError::Target { .. }
            | IoError::Offline
            | IoError::TimedOut
            | IoError::Aborted => libc::EIO,
        }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IoError::OutOfRange => f.write_str("beyond the end of the unit"),
            IoError::ReadOnly => f.write_str("the unit is read-only"),
            IoError::Unsupported => f.write_str("the unit cannot do that"),
            IoError::Invalid => f.write_str("the request does not fit the unit's block size or limits"),
            IoError::NoSpace => f.write_str("the unit has no space left"),
            IoError::ReservationConflict => f.write_str("another initiator has reserved the unit"),
            IoError::Target { key, asc, ascq } => {
                write!(f, "the target answered with sense {key:x}/{asc:02x}/{ascq:02x}")
            }
            IoError::Offline => f.write_str("the unit is offline"),
            IoError::TimedOut => f.write_str("the unit did not answer in time"),
            IoError::Aborted => f.write_str("the operation was aborted"),
        }
    }
}

impl std::error::Error for IoError {}

/// A unit that takes operations.
pub trait Block: Send + Sync + 'static {
    /// What it is like. May change when the target says so; a changed size holds for later requests.
    fn geometry(&self) -> Geometry;

    /// Takes all of `batch`, in order. Each is answered through its completion, in any order; what
    /// cannot be done is answered with an error, never dropped silently. Does not block.
    fn submit(&self, batch: &mut Vec<Io>);

    /// The pool to take buffers from.
    fn pool(&self) -> &Pool;

    /// The thread on which the unit's operations are driven, if it is always the same: a task that uses the
    /// unit much runs best there, too. It must not block.
    fn lane(&self) -> Option<Runtime> {
        None
    }
}

/// Runs a single operation and waits for it, for callers that do one thing at a time.
pub async fn run(
    unit: &dyn Block,
    op: Op,
    lba: u64,
    blocks: u32,
    buffer: Option<Buffer>,
) -> Result<Option<Buffer>, IoError> {
    let completions = Completions::new();
    unit.submit(&mut vec![Io { op, lba, blocks, buffer, completion: completions.completion(0) }]);
    let mut done = Vec::with_capacity(1);
    completions.wait(&mut done).await;
    match done.pop() {
        Some(Done { result, buffer, .. }) => result.map(|()| buffer),
        None => Err(IoError::Aborted),
    }
}
