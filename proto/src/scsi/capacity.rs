//! How large a unit is: READ CAPACITY (SBC-4 §5.20, §5.21).
//!
//! ```text
//!         READ CAPACITY (10)              READ CAPACITY (16)
//!    0| last LBA (4)         |       0| last LBA (8)                       |
//!    4| block length (4)     |       8| block length (4)                   |
//!                                   12| P_TYPE | PROT_EN                   |
//!                                   13| P_I exponent | physical exponent   |
//!                                   14| LBPME | LBPRZ | lowest aligned LBA |
//! ```

use super::{Malformed, be16, be32, be64};

/// The size of a unit and of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many logical blocks, at least 1. A unit of 2^64 blocks counts one less.
    pub blocks: u64,
    /// Bytes of a logical block: a power of two, 512 to 65536.
    pub block_size: u32,
    /// Two to this power logical blocks are a physical one, 0 to 15.
    pub physical_exponent: u8,
    /// The first logical block that begins a physical one, 0 to 16383.
    pub lowest_aligned_lba: u16,
    /// LBPME: blocks can be unmapped.
    pub provisioning: bool,
    /// LBPRZ: unmapped blocks read as zero.
    pub unmapped_reads_zero: bool,
    /// PROT_EN: the unit is formatted with protection information.
    pub protected: bool,
}

/// What READ CAPACITY (10) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity10 {
    /// The size.
    Known(Capacity),
    /// It does not fit 32 bits: READ CAPACITY (16) must be asked.
    TooLarge,
}

impl Capacity {
    /// Reads the answer to READ CAPACITY (16). What follows the block length may be missing, as on
    /// units of SBC-2.
    pub fn parse_16(data: &[u8]) -> Result<Capacity, Malformed> {
        const SHORT: Malformed = Malformed("READ CAPACITY (16) answered fewer than 12 bytes");
        let last = be64(data, 0).ok_or(SHORT)?;
        let block_size = valid_block_size(be32(data, 8).ok_or(SHORT)?)?;
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        Ok(Capacity {
            blocks: last.saturating_add(1),
            block_size,
            physical_exponent: byte(13) & 0x0f,
            lowest_aligned_lba: be16(data, 14).unwrap_or(0) & 0x3fff,
            provisioning: byte(14) & 0x80 != 0,
            unmapped_reads_zero: byte(14) & 0x40 != 0,
            protected: byte(12) & 0x01 != 0,
        })
    }

    /// Reads the answer to READ CAPACITY (10).
    pub fn parse_10(data: &[u8]) -> Result<Capacity10, Malformed> {
        const SHORT: Malformed = Malformed("READ CAPACITY (10) answered fewer than 8 bytes");
        let last = be32(data, 0).ok_or(SHORT)?;
        let block_size = be32(data, 4).ok_or(SHORT)?;
        if last == u32::MAX {
            return Ok(Capacity10::TooLarge);
        }
        Ok(Capacity10::Known(Capacity {
            blocks: u64::from(last) + 1,
            block_size: valid_block_size(block_size)?,
            physical_exponent: 0,
            lowest_aligned_lba: 0,
            provisioning: false,
            unmapped_reads_zero: false,
            protected: false,
        }))
    }

    /// Bytes of a physical block, 512 to 2^31.
    pub const fn physical_block_size(&self) -> u32 {
        self.block_size << self.physical_exponent
    }

    /// Bytes of the unit, or `u64::MAX` if there are more.
    pub const fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size as u64)
    }
}

fn valid_block_size(bytes: u32) -> Result<u32, Malformed> {
    if bytes.is_power_of_two() && (512..=65_536).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(Malformed("its block size is not a power of two from 512 to 65536"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::every_prefix;
    use super::*;

    /// LIO: 1 GiB of 512-byte blocks on 4096-byte physical ones, thin, zeroes after unmap.
    const LIO: [u8; 32] = {
        let mut data = [0; 32];
        data[5] = 0x1f;
        data[6] = 0xff;
        data[7] = 0xff;
        data[10] = 2;
        data[13] = 3;
        data[14] = 0xc0;
        data
    };

    fn answer_16(last: u64, block_size: u32) -> [u8; 32] {
        let mut data = [0; 32];
        data[..8].copy_from_slice(&last.to_be_bytes());
        data[8..12].copy_from_slice(&block_size.to_be_bytes());
        data
    }

    #[test]
    fn the_long_form_is_read() {
        let capacity = Capacity::parse_16(&LIO).unwrap();
        assert_eq!((capacity.blocks, capacity.block_size, capacity.bytes()), (1 << 21, 512, 1 << 30));
        assert_eq!(capacity.physical_block_size(), 4096);
        assert!(capacity.provisioning && capacity.unmapped_reads_zero && !capacity.protected);
    }

    #[test]
    fn a_truncated_answer_is_short_or_lacks_the_flags() {
        every_prefix(&LIO, Capacity::parse_16);
        every_prefix(&[0, 0, 1, 0, 0, 0, 2, 0], Capacity::parse_10);
        assert!(Capacity::parse_16(&LIO[..11]).is_err());
        let sbc_2 = Capacity::parse_16(&LIO[..12]).unwrap();
        assert_eq!((sbc_2.blocks, sbc_2.physical_exponent, sbc_2.provisioning), (1 << 21, 0, false));
    }

    #[test]
    fn the_largest_unit_does_not_overflow() {
        let capacity = Capacity::parse_16(&answer_16(u64::MAX, 4096)).unwrap();
        assert_eq!((capacity.blocks, capacity.bytes()), (u64::MAX, u64::MAX));
        let mut data = answer_16(0, 65_536);
        data[13] = 0xff;
        assert_eq!(Capacity::parse_16(&data).unwrap().physical_block_size(), 1 << 31);
    }

    #[test]
    fn block_sizes_no_disk_has_are_refused() {
        for size in [0, 1, 256, 520, 4160, 131_072, u32::MAX] {
            assert!(Capacity::parse_16(&answer_16(99, size)).is_err(), "{size}");
        }
        for size in [512, 1024, 2048, 4096, 65_536] {
            assert_eq!(Capacity::parse_16(&answer_16(99, size)).map(|capacity| capacity.block_size), Ok(size));
        }
    }

    #[test]
    fn the_short_form_says_when_it_is_too_short() {
        assert_eq!(Capacity::parse_10(&[0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0]), Ok(Capacity10::TooLarge));
        let Ok(Capacity10::Known(capacity)) = Capacity::parse_10(&[0xff, 0xff, 0xff, 0xfe, 0, 0, 0x10, 0]) else {
            panic!("2^32 - 1 blocks fit");
        };
        assert_eq!((capacity.blocks, capacity.block_size), (0xffff_ffff, 4096));
    }
}
