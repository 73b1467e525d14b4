//! How large a unit is, and what it can do.

/// What an exporter must know of a unit. Lengths are in bytes unless they say blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Logical block: 512 or 4096 (any power of two from 512 to 64 KiB).
    pub block_size: u32,
    /// How many logical blocks there are.
    pub blocks: u64,
    /// Physical block: a multiple of the logical one.
    pub physical_block_size: u32,
    /// The longest read or write of one [`Io`](super::Io), a multiple of the block, at most [`MAX_BUFFER`](super::MAX_BUFFER).
    pub max_transfer: u32,
    /// What the unit likes best, a multiple of the block; `max_transfer` where it does not say.
    pub optimal_transfer: u32,
    /// The longest [`Op::Unmap`](super::Op::Unmap) or [`Op::WriteZeroes`](super::Op::WriteZeroes) of one [`Io`](super::Io), in blocks; 0 where the unit
    /// cannot do either (then zeroes are written).
    pub max_unmap_blocks: u32,
    /// As above, for [`Op::WriteZeroes`](super::Op::WriteZeroes).
    pub max_zero_blocks: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// The unit has a volatile write cache: a flush means something.
    pub write_cache: bool,
    /// It is a spinning disk.
    pub rotational: bool,
    /// It is sent zeroes for [`Op::WriteZeroes`](super::Op::WriteZeroes): that is no faster than to write them.
    pub slow_zeroes: bool,
}

impl Geometry {
    /// Size of the unit, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size as u64)
    }
}
