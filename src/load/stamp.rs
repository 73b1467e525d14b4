//! What a written block carries: where it belongs, which run wrote it, and which write of that run it was.
//!
//! ```text
//!   0         8         16        20                          block size
//!   │ LBA     │ run     │ number  │ bytes made from all three │     integers are big-endian
//! ```

use std::fmt;

use fastrand::Rng;

const HEADER: usize = 20;

/// The stamps of a run.
pub(super) struct Stamp {
    run: u64,
    block_size: usize,
    /// A block as it should be.
    model: Vec<u8>,
}

impl Stamp {
    /// Of that run, for blocks of at least 512 bytes.
    pub(super) fn new(run: u64, block_size: usize) -> Stamp {
        Stamp { run, block_size, model: vec![0; block_size] }
    }

    /// Stamps every block of `buffer`, which goes to `lba` and the blocks after it.
    pub(super) fn put(&self, buffer: &mut [u8], lba: u64, number: u32) {
        for (lba, block) in (lba..).zip(buffer.chunks_exact_mut(self.block_size)) {
            stamp(block, self.run, lba, number);
        }
    }

    /// Compares every block of `buffer`, which was read from `lba` and the blocks after it.
    ///
    /// # Errors
    /// The first block that differs, and what it holds.
    pub(super) fn check(&mut self, buffer: &[u8], lba: u64, number: u32) -> Result<(), (u64, Found)> {
        for (lba, block) in (lba..).zip(buffer.chunks_exact(self.block_size)) {
            stamp(&mut self.model, self.run, lba, number);
            if block != self.model {
                return Err((lba, self.judge(block, lba, number)));
            }
        }
        Ok(())
    }

    /// What a block holds that is not as it should be.
    fn judge(&self, block: &[u8], lba: u64, number: u32) -> Found {
        let Some((there, rest)) = block.split_first_chunk() else { return Found::Strange };
        let Some((run, rest)) = rest.split_first_chunk() else { return Found::Strange };
        let Some(written) = rest.first_chunk() else { return Found::Strange };
        let (there, run, written) =
            (u64::from_be_bytes(*there), u64::from_be_bytes(*run), u32::from_be_bytes(*written));
        if run != self.run {
            Found::Strange
        } else if there != lba {
            Found::OtherBlock(there)
        } else if written != number {
            Found::OtherWrite { found: written, expected: number }
        } else {
            Found::Damaged(block.iter().zip(&self.model).position(|(a, b)| a != b).unwrap_or_default())
        }
    }
}

/// What a block holds instead of what was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing of this run.
    Strange,
    /// What was written to another block.
    OtherBlock(u64),
    /// What an earlier (or later) write of this run left there: its number, and the number it should have.
    OtherWrite {
        /// What is there.
        found: u32,
        /// What should be.
        expected: u32,
    },
    /// The right write, but not all of it: the offset of the first wrong byte.
    Damaged(usize),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Strange => f.write_str("it holds nothing that this run wrote"),
            Found::OtherBlock(lba) => write!(f, "it holds what was written to block {lba}"),
            Found::OtherWrite { found, expected } => {
                write!(f, "it holds write number {found} of this run to it, not number {expected}")
            }
            Found::Damaged(offset) => write!(f, "byte {offset} of it differs"),
        }
    }
}

fn stamp(block: &mut [u8], run: u64, lba: u64, number: u32) {
    let Some((header, rest)) = block.split_at_mut_checked(HEADER) else { return };
    header[..8].copy_from_slice(&lba.to_be_bytes());
    header[8..16].copy_from_slice(&run.to_be_bytes());
    header[16..].copy_from_slice(&number.to_be_bytes());
    Rng::with_seed(run ^ lba.rotate_left(32) ^ u64::from(number)).fill(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_blocks(stamp: &Stamp) -> Vec<u8> {
        let mut buffer = vec![0; 1024];
        stamp.put(&mut buffer, 7, 3);
        buffer
    }

    #[test]
    fn what_was_put_is_what_is_expected() {
        let mut stamp = Stamp::new(9, 512);
        let buffer = two_blocks(&stamp);
        assert_eq!(stamp.check(&buffer, 7, 3), Ok(()));
        assert_ne!(buffer[HEADER..512], buffer[512 + HEADER..], "no two blocks are alike");
    }

    #[test]
    fn every_way_to_be_wrong_has_its_name() {
        let mut stamp = Stamp::new(9, 512);
        let buffer = two_blocks(&stamp);
        assert_eq!(stamp.check(&buffer, 8, 3), Err((8, Found::OtherBlock(7))));
        assert_eq!(stamp.check(&buffer, 7, 4), Err((7, Found::OtherWrite { found: 3, expected: 4 })));
        assert_eq!(Stamp::new(10, 512).check(&buffer, 7, 3), Err((7, Found::Strange)));
        assert_eq!(stamp.check(&[0; 512], 7, 3), Err((7, Found::Strange)));
        let mut damaged = buffer;
        damaged[1023] ^= 1;
        assert_eq!(stamp.check(&damaged, 7, 3), Err((8, Found::Damaged(511))));
    }
}
