//! How much macOS moves at a time between its memory and the file.
//!
//! ```text
//!   READ, WRITE ◄── block: rsize, wsize ──► the unit in which the file is cached
//!   a file that is read on and on: readahead blocks are asked for before they are wanted
//! ```
//! The block is more than the longest READ: Apple's client caches files by the larger of both sizes (NFS,
//! kext/nfs_vfsops.c, nm_biosize). Who reads 4 KiB of a block that is not there waits for all of it, also without a
//! cache (nfs_bio.c, "read the whole block"); who writes to a part of one may have to read the rest first, and a second
//! range in it sends out the first at once (nfs_vnops.c, nfs_vnop_write). So a long block makes small I/O slow: of
//! 1 MiB, a line of 1 Gbit/s moves a hundred a second.
//!
//! A short one makes writes slow: each is on stable storage before it is answered, so that a flush of the target is
//! paid for by no more than a block. 16 KiB, which EdenFS has found best, is a file system of many small files that
//! flushes nothing. 128 KiB is also where a READ begins to go from the socket into its buffer without being copied.
//! What is under way of a file that is read on and on (4 MiB) is three times what a line of 10 Gbit/s holds for 1 ms,
//! whatever the block.

use crate::block::Geometry;

/// How much is asked for before it is wanted, in bytes.
const AHEAD: u32 = 4 << 20;

/// The most blocks that Apple's client reads ahead (xnu, bsd/nfs/nfs.h: NFS_MAXRAHEAD).
const MOST_AHEAD: u32 = 128;

/// How much a mount moves at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfers {
    /// The length of a block in bytes, a power of two: at least a page of the Mac, at most what works (more than 1 MiB
    /// does not, whatever mount_nfs(8) says).
    pub block: u32,
    /// How many blocks are read ahead; what makes 4 MiB, if it is not said.
    pub read_ahead: Option<u32>,
}

impl Default for Transfers {
    fn default() -> Transfers {
        Transfers { block: 128 << 10, read_ahead: None }
    }
}

impl Transfers {
    /// Those of a mount of that unit's file, as options of mount_nfs.
    pub(super) fn options(&self, geometry: &Geometry) -> String {
        let longest = 1u32 << geometry.max_transfer.clamp(4096, 1 << 20).ilog2();
        let block = self.block.min(longest);
        let read_ahead = self.read_ahead.unwrap_or(AHEAD / block).min(MOST_AHEAD);
        format!("rsize={block},wsize={block},readahead={read_ahead}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_stays_the_same_and_no_block_is_longer_than_the_unit_takes() {
        let options = |transfers: Transfers, max_transfer| {
            let mut geometry = crate::block::testing::Plan::of_bytes(1 << 20).geometry;
            geometry.max_transfer = max_transfer;
            transfers.options(&geometry)
        };
        assert_eq!(options(Transfers::default(), 8 << 20), "rsize=131072,wsize=131072,readahead=32");
        assert_eq!(options(Transfers::default(), 100_000), "rsize=65536,wsize=65536,readahead=64");
        assert_eq!(options(Transfers::default(), 8192), "rsize=8192,wsize=8192,readahead=128");
        let asked = Transfers { block: 1 << 20, read_ahead: Some(2) };
        assert_eq!(options(asked, 8 << 20), "rsize=1048576,wsize=1048576,readahead=2");
    }
}
