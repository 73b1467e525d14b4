//! From a range of bytes, as clients speak of it, to runs of blocks that one operation may cover.
//!
//! ```text
//!   offset, length ──► BlockRange ──► Run Run Run …   each at most a limit of the geometry
//! ```

use crate::block::{Geometry, MAX_BUFFER};

/// Why a range of bytes is not a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeError {
    /// It does not start or end at a block.
    Unaligned,
    /// It ends behind the unit.
    BeyondTheEnd,
}

/// Whole blocks of a unit, all within it; may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRange {
    /// The first.
    pub(crate) lba: u64,
    /// How many.
    pub(crate) blocks: u64,
}

/// A part of a [`BlockRange`] that one operation covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first block.
    pub(crate) lba: u64,
    /// How many, at least 1.
    pub(crate) blocks: u32,
}

impl BlockRange {
    /// The blocks of `length` bytes from `offset`.
    ///
    /// # Errors
    /// If the range is not made of whole blocks, or is not within the unit.
    pub(crate) fn of_bytes(geometry: &Geometry, offset: u64, length: u64) -> Result<BlockRange, RangeError> {
        let size = u64::from(geometry.block_size.max(1));
        let end = offset.checked_add(length).ok_or(RangeError::BeyondTheEnd)?;
        if end > geometry.bytes() {
            return Err(RangeError::BeyondTheEnd);
        }
        if !offset.is_multiple_of(size) || !length.is_multiple_of(size) {
            return Err(RangeError::Unaligned);
        }
        Ok(BlockRange { lba: offset / size, blocks: length / size })
    }

    /// Takes a run of at most `limit` blocks off the front; `None` when nothing is left. A limit of
    /// zero counts as one: what a unit says must not keep a caller in a loop.
    pub(crate) fn take(&mut self, limit: u32) -> Option<Run> {
        let blocks = u32::try_from(self.blocks).unwrap_or(u32::MAX).min(limit.max(1));
        if blocks == 0 {
            return None;
        }
        let run = Run { lba: self.lba, blocks };
        self.lba += u64::from(blocks);
        self.blocks -= u64::from(blocks);
        Some(run)
    }
}

/// How many blocks one read or write may move, at least 1; never more than a buffer holds.
pub(crate) fn transfer_limit(geometry: &Geometry) -> u32 {
    (geometry.max_transfer.min(MAX_BUFFER as u32) / geometry.block_size.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        block_size: 512,
        blocks: 1000,
        physical_block_size: 4096,
        max_transfer: 64 << 10,
        optimal_transfer: 64 << 10,
        max_unmap_blocks: 0,
        max_zero_blocks: 0,
        read_only: false,
        write_cache: true,
        rotational: false,
        slow_zeroes: false,
    };

    #[test]
    fn a_long_range_is_split_at_the_limit_without_gap_or_overlap() {
        let mut range = BlockRange::of_bytes(&GEOMETRY, 512, 300 * 512).expect("inside");
        let runs: Vec<Run> = std::iter::from_fn(|| range.take(transfer_limit(&GEOMETRY))).collect();
        let expected = [(1, 128), (129, 128), (257, 44)].map(|(lba, blocks)| Run { lba, blocks });
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_range_that_ends_at_the_last_block_fits_and_one_byte_more_does_not() {
        assert_eq!(BlockRange::of_bytes(&GEOMETRY, 0, 512_000), Ok(BlockRange { lba: 0, blocks: 1000 }));
        assert_eq!(BlockRange::of_bytes(&GEOMETRY, 512, 512_000), Err(RangeError::BeyondTheEnd));
        assert_eq!(BlockRange::of_bytes(&GEOMETRY, u64::MAX - 511, 512), Err(RangeError::BeyondTheEnd));
    }

    #[test]
    fn half_blocks_are_refused_at_either_end() {
        assert_eq!(BlockRange::of_bytes(&GEOMETRY, 256, 512), Err(RangeError::Unaligned));
        assert_eq!(BlockRange::of_bytes(&GEOMETRY, 512, 100), Err(RangeError::Unaligned));
    }

    #[test]
    fn a_limit_of_zero_still_makes_progress() {
        let mut range = BlockRange { lba: 7, blocks: 2 };
        assert_eq!(range.take(0), Some(Run { lba: 7, blocks: 1 }));
        assert_eq!(range.take(0), Some(Run { lba: 8, blocks: 1 }));
        assert_eq!(range.take(0), None);
    }
}
