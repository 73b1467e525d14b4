//! What a block contains: enough to know whose it is and how old, and to notice every wrong bit.
//!
//! ```text
//!   0       8       16      24                                  4092   4096
//!   | unit  | block | write | noise made of all three           | CRC32C |
//! ```
//! A block that was never written is all zeroes.

/// Bytes of a block.
pub(crate) const BLOCK: usize = 4096;

const CHECKED: usize = BLOCK - 4;

/// What a block turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// What that write put there; 0 if nothing was ever written.
    Written(u64),
    /// The right checksum, but of another unit or block.
    Elsewhere { unit: u64, block: u64 },
    /// Nothing that was ever written.
    Garbage,
}

/// Fills in what the write with that number puts into the block.
pub(crate) fn fill(bytes: &mut [u8], unit: u64, block: u64, write: u64) {
    let (checked, sum) = bytes.split_at_mut(CHECKED);
    let mut noise = Noise::new(unit ^ block.rotate_left(20) ^ write.rotate_left(40));
    for piece in checked.chunks_mut(8) {
        piece.copy_from_slice(&noise.next().to_le_bytes()[..piece.len()]);
    }
    for (at, number) in [unit, block, write].into_iter().enumerate() {
        checked[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
    }
    sum.copy_from_slice(&crc32c::crc32c(checked).to_le_bytes());
}

/// Says what is in a block that ought to be that one.
pub(crate) fn look(bytes: &[u8], unit: u64, block: u64) -> Content {
    let (checked, sum) = bytes.split_at(CHECKED);
    if crc32c::crc32c(checked).to_le_bytes() != sum {
        return if bytes.iter().all(|byte| *byte == 0) { Content::Written(0) } else { Content::Garbage };
    }
    let mut numbers = checked.chunks(8).map(|piece| u64::from_le_bytes(piece.try_into().expect("eight bytes")));
    let mut number = || numbers.next().expect("three numbers");
    match (number(), number(), number()) {
        (its_unit, its_block, write) if (its_unit, its_block) == (unit, block) => Content::Written(write),
        (unit, block, _) => Content::Elsewhere { unit, block },
    }
}

/// SplitMix64: numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Noise {
        Noise(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[test]
fn a_block_says_whose_it_is_and_every_bit_counts() {
    let mut bytes = [0; BLOCK];
    assert_eq!(look(&bytes, 1, 2), Content::Written(0));
    fill(&mut bytes, 1, 2, 3);
    assert_eq!(look(&bytes, 1, 2), Content::Written(3));
    assert_eq!(look(&bytes, 1, 7), Content::Elsewhere { unit: 1, block: 2 });
    for bit in [0, 70, 8 * 2000 + 3, 8 * BLOCK - 1] {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(look(&bytes, 1, 2), Content::Garbage, "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}
