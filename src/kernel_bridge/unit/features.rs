//! What a unit can do, as its scan found it.

/// What commands for a unit may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    /// It has FUA (DPOFUA of its mode parameters).
    pub(crate) fua: bool,
    /// Freed blocks read as zero (LBPRZ).
    pub(crate) unmapped_reads_zero: bool,
    /// WRITE SAME may free blocks (LBPWS).
    pub(crate) write_same_frees: bool,
    /// How to free blocks.
    pub(crate) unmap: Unmap,
    /// What is freed together.
    pub(crate) granule: Granule,
}

/// How a unit frees blocks (SBC-4 §4.7.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unmap {
    /// It does not.
    #[default]
    None,
    /// UNMAP (LBPU).
    Command,
    /// WRITE SAME (16) with the UNMAP bit (LBPWS).
    WriteSame,
}

/// The blocks that a unit frees together (OPTIMAL UNMAP GRANULARITY and UNMAP GRANULARITY ALIGNMENT, SBC-4 §6.6.4).
/// A unit may leave what is no whole granule as it was (SBC-4 §4.7.3.4), and some do so even where zeroes are what
/// they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Granule {
    blocks: u32,
    /// The first block of the first whole one.
    first: u32,
}

impl Granule {
    /// Granules of `blocks`, 0 or 1 where each block is one, of which the first begins at block `alignment`.
    pub(crate) fn new(blocks: u32, alignment: u32) -> Granule {
        let blocks = blocks.max(1);
        Granule { blocks, first: alignment % blocks }
    }

    /// How many of the `blocks` from `lba` on one command does, at least one of them and at most `most`, and whether
    /// they are whole granules.
    pub(crate) fn next(&self, lba: u64, blocks: u32, most: u32) -> (u32, bool) {
        let size = u64::from(self.blocks.max(1));
        let some = blocks.min(most);
        // Blocks since the beginning of the granule that `lba` is in: all numbers are below 2^33.
        let into = (lba % size + size - u64::from(self.first)) % size;
        if into > 0 {
            let head = u32::try_from(size - into).unwrap_or(u32::MAX);
            return (some.min(head), false);
        }
        match some - some % self.blocks.max(1) {
            0 => (some, false),
            whole => (whole, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each command does of `blocks` from `lba` on.
    fn cut(granule: Granule, mut lba: u64, mut blocks: u32, most: u32) -> Vec<(u64, u32, bool)> {
        let mut cut = Vec::new();
        while blocks > 0 {
            let (now, whole) = granule.next(lba, blocks, most);
            assert!((1..=blocks.min(most)).contains(&now), "{now} blocks at {lba}");
            cut.push((lba, now, whole));
            (lba, blocks) = (lba + u64::from(now), blocks - now);
        }
        cut
    }

    #[test]
    fn only_whole_granules_are_whole() {
        let granule = Granule::new(128, 0);
        assert_eq!(cut(granule, 0, 127, 0x8000), [(0, 127, false)]);
        assert_eq!(cut(granule, 0, 128, 0x8000), [(0, 128, true)]);
        assert_eq!(cut(granule, 1, 300, 0x8000), [(1, 127, false), (128, 128, true), (256, 45, false)]);
        assert_eq!(cut(granule, 0, 512, 200), [(0, 128, true), (128, 128, true), (256, 128, true), (384, 128, true)]);
        assert_eq!(cut(granule, 0, 256, 100), [(0, 100, false), (100, 28, false), (128, 100, false), (228, 28, false)]);
    }

    #[test]
    fn granules_begin_where_the_unit_says() {
        assert_eq!(cut(Granule::new(8, 3), 0, 20, 100), [(0, 3, false), (3, 16, true), (19, 1, false)]);
        assert_eq!(cut(Granule::new(8, 11), 0, 20, 100), [(0, 3, false), (3, 16, true), (19, 1, false)]);
        assert!(!Granule::new(u32::MAX, u32::MAX - 1).next(u64::MAX, u32::MAX, u32::MAX).1);
    }

    #[test]
    fn without_granules_every_block_is_whole() {
        for granule in [Granule::default(), Granule::new(0, 7), Granule::new(1, 0)] {
            assert_eq!(cut(granule, 5, 100, 64), [(5, 64, true), (69, 36, true)]);
        }
    }
}
