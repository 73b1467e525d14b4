//! Command descriptor blocks.
//!
//! ```text
//!         6 bytes              10 bytes             12 bytes             16 bytes
//!   0| opcode 00–1f      | opcode 20–5f      | opcode a0–bf      | opcode 80–9f      |
//!    | LBA (21 bits)     | LBA (32 bits)     | LBA (32 bits)     | LBA (64 bits)     |
//!    | length (8 bits)   | length (16 bits)  | length (32 bits)  | length (32 bits)  |
//!    | control           | control           | control           | control           |
//! ```
//! (SPC-5 §4.2.) All numbers are big-endian. `blocks` counts logical blocks, allocation and
//! parameter list lengths count bytes. The control byte is always 0.

use core::fmt;
use core::ops::Deref;

/// Operation codes of the commands built here (SPC-5 annex E, SBC-4 §5.1).
pub mod opcode {
    /// TEST UNIT READY.
    pub const TEST_UNIT_READY: u8 = 0x00;
    /// REQUEST SENSE.
    pub const REQUEST_SENSE: u8 = 0x03;
    /// INQUIRY.
    pub const INQUIRY: u8 = 0x12;
    /// MODE SENSE (6).
    pub const MODE_SENSE_6: u8 = 0x1a;
    /// START STOP UNIT.
    pub const START_STOP_UNIT: u8 = 0x1b;
    /// READ CAPACITY (10).
    pub const READ_CAPACITY_10: u8 = 0x25;
    /// READ (10).
    pub const READ_10: u8 = 0x28;
    /// WRITE (10).
    pub const WRITE_10: u8 = 0x2a;
    /// SYNCHRONIZE CACHE (10).
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    /// UNMAP.
    pub const UNMAP: u8 = 0x42;
    /// MODE SENSE (10).
    pub const MODE_SENSE_10: u8 = 0x5a;
    /// READ (16).
    pub const READ_16: u8 = 0x88;
    /// WRITE (16).
    pub const WRITE_16: u8 = 0x8a;
    /// SYNCHRONIZE CACHE (16).
    pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    /// WRITE SAME (16).
    pub const WRITE_SAME_16: u8 = 0x93;
    /// SERVICE ACTION IN (16); READ CAPACITY (16) is its service action 10h.
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    /// REPORT LUNS.
    pub const REPORT_LUNS: u8 = 0xa0;
}

/// Force Unit Access, in byte 1 of reads and writes (SBC-4 §5.15).
const FUA: u8 = 0x08;

/// A command descriptor block of 6 to 16 bytes; it derefs to them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cdb {
    bytes: [u8; 16],
    len: u8,
}

impl Cdb {
    /// The sixteen bytes for a SCSI Command PDU, zero-padded (RFC 7143 §11.3.5).
    pub const fn padded(&self) -> [u8; 16] {
        self.bytes
    }

    /// A CDB as long as its opcode says.
    const fn new(bytes: [u8; 16]) -> Cdb {
        // The group code, the top three bits of the opcode, gives the length (SPC-5 §4.2.5.1).
        let len = match bytes[0] >> 5 {
            0 => 6,
            1 | 2 => 10,
            5 => 12,
            _ => 16,
        };
        Cdb { bytes, len }
    }
}

impl Deref for Cdb {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Cdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cdb(")?;
        for byte in self.iter() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// TEST UNIT READY (SPC-5 §6.47): no data.
pub const fn test_unit_ready() -> Cdb {
    six(opcode::TEST_UNIT_READY, [0; 4])
}

/// REQUEST SENSE (SPC-5 §6.39) for fixed-format sense data.
pub const fn request_sense(allocation_length: u8) -> Cdb {
    six(opcode::REQUEST_SENSE, [0, 0, 0, allocation_length])
}

/// INQUIRY for the standard data (SPC-5 §6.6).
pub const fn inquiry(allocation_length: u16) -> Cdb {
    let [high, low] = allocation_length.to_be_bytes();
    six(opcode::INQUIRY, [0, 0, high, low])
}

/// INQUIRY for a page of vital product data (SPC-5 §6.6, §7.7).
pub const fn inquiry_vpd(page: u8, allocation_length: u16) -> Cdb {
    let [high, low] = allocation_length.to_be_bytes();
    six(opcode::INQUIRY, [1, page, high, low])
}

/// MODE SENSE (6) for the current values of `page` (SPC-5 §6.14); 3fh asks for all pages.
pub const fn mode_sense_6(page: u8, allocation_length: u8) -> Cdb {
    six(opcode::MODE_SENSE_6, [0, page & 0x3f, 0, allocation_length])
}

/// MODE SENSE (10), as [`mode_sense_6`] (SPC-5 §6.15).
pub const fn mode_sense_10(page: u8, allocation_length: u16) -> Cdb {
    ten(opcode::MODE_SENSE_10, 0, (page as u32 & 0x3f) << 24, allocation_length)
}

/// START STOP UNIT (SBC-4 §5.31): spins the medium up or down, and answers when it is done.
pub const fn start_stop_unit(start: bool) -> Cdb {
    six(opcode::START_STOP_UNIT, [0, 0, 0, start as u8])
}

/// Which units REPORT LUNS reports (SPC-5 §6.34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SelectReport {
    /// Units with an ordinary address.
    Logical = 0,
    /// Ordinary and well-known ones.
    All = 2,
}

/// REPORT LUNS (SPC-5 §6.34), always to LUN 0. The standard wants at least 16 bytes allocated.
pub const fn report_luns(select: SelectReport, allocation_length: u32) -> Cdb {
    let [a, b, c, d] = allocation_length.to_be_bytes();
    Cdb::new([opcode::REPORT_LUNS, 0, select as u8, 0, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0])
}

/// READ CAPACITY (10) (SBC-4 §5.20): answers 8 bytes.
pub const fn read_capacity_10() -> Cdb {
    ten(opcode::READ_CAPACITY_10, 0, 0, 0)
}

/// READ CAPACITY (16) (SBC-4 §5.21): answers 32 bytes.
pub const fn read_capacity_16(allocation_length: u32) -> Cdb {
    sixteen(opcode::SERVICE_ACTION_IN_16, 0x10, 0, allocation_length)
}

/// READ (10) (SBC-4 §5.16); `None` where `lba` or `blocks` is too large for it. 0 blocks read nothing.
pub const fn read_10(lba: u64, blocks: u32, fua: bool) -> Option<Cdb> {
    ranged_ten(opcode::READ_10, lba, blocks, fua)
}

/// READ (16) (SBC-4 §5.18). 0 blocks read nothing.
pub const fn read_16(lba: u64, blocks: u32, fua: bool) -> Cdb {
    sixteen(opcode::READ_16, if fua { FUA } else { 0 }, lba, blocks)
}

/// WRITE (10) (SBC-4 §5.40); `None` where `lba` or `blocks` is too large for it.
pub const fn write_10(lba: u64, blocks: u32, fua: bool) -> Option<Cdb> {
    ranged_ten(opcode::WRITE_10, lba, blocks, fua)
}

/// WRITE (16) (SBC-4 §5.42).
pub const fn write_16(lba: u64, blocks: u32, fua: bool) -> Cdb {
    sixteen(opcode::WRITE_16, if fua { FUA } else { 0 }, lba, blocks)
}

/// SYNCHRONIZE CACHE (10) (SBC-4 §5.33), answered when done. 0 blocks mean all from `lba` on.
/// `None` where `lba` or `blocks` is too large for it.
pub const fn synchronize_cache_10(lba: u64, blocks: u32) -> Option<Cdb> {
    ranged_ten(opcode::SYNCHRONIZE_CACHE_10, lba, blocks, false)
}

/// SYNCHRONIZE CACHE (16) (SBC-4 §5.34), as [`synchronize_cache_10`].
pub const fn synchronize_cache_16(lba: u64, blocks: u32) -> Cdb {
    sixteen(opcode::SYNCHRONIZE_CACHE_16, 0, lba, blocks)
}

/// WRITE SAME (16) (SBC-4 §5.51): every block becomes the one in the data-out buffer, or zero where
/// there is none (`no_data`, the NDOB bit). `unmap` lets the unit free them. 0 blocks mean all from
/// `lba` on, where the unit allows it.
pub const fn write_same_16(lba: u64, blocks: u32, unmap: bool, no_data: bool) -> Cdb {
    sixteen(opcode::WRITE_SAME_16, (unmap as u8) << 3 | no_data as u8, lba, blocks)
}

/// UNMAP (SBC-4 §5.35), whose data are an [`unmap_list`].
pub const fn unmap(parameter_list_length: u16) -> Cdb {
    ten(opcode::UNMAP, 0, 0, parameter_list_length)
}

/// Length of the header of an UNMAP parameter list, in bytes.
pub const UNMAP_HEADER: usize = 8;

/// Length of each block descriptor of an UNMAP parameter list, in bytes.
pub const UNMAP_DESCRIPTOR: usize = 16;

/// The parameter list of an UNMAP of one run of blocks (SBC-4 §5.35.2).
pub const fn unmap_one(lba: u64, blocks: u32) -> [u8; UNMAP_HEADER + UNMAP_DESCRIPTOR] {
    let [a, b, c, d, e, f, g, h] = lba.to_be_bytes();
    let [w, x, y, z] = blocks.to_be_bytes();
    [0, 22, 0, 16, 0, 0, 0, 0, a, b, c, d, e, f, g, h, w, x, y, z, 0, 0, 0, 0]
}

/// Writes the parameter list of an UNMAP of several runs `(lba, blocks)` into `out` and says how
/// long it is, in bytes: 8 + 16 for each run. `None`, and `out` is untouched, if `out` is shorter
/// than that or the length does not fit 16 bits.
pub fn unmap_list(runs: &[(u64, u32)], out: &mut [u8]) -> Option<u16> {
    let descriptors = runs.len().checked_mul(UNMAP_DESCRIPTOR)?;
    let total = u16::try_from(descriptors.checked_add(UNMAP_HEADER)?).ok()?;
    let out = out.get_mut(..usize::from(total))?;
    let (header, rest) = out.split_first_chunk_mut::<UNMAP_HEADER>()?;
    // UNMAP DATA LENGTH does not count itself, and neither counts the other.
    let [a, b] = (total - 2).to_be_bytes();
    let [c, d] = (total - UNMAP_HEADER as u16).to_be_bytes();
    *header = [a, b, c, d, 0, 0, 0, 0];
    for (descriptor, &(lba, blocks)) in rest.as_chunks_mut::<UNMAP_DESCRIPTOR>().0.iter_mut().zip(runs) {
        *descriptor = (u128::from(lba) << 64 | u128::from(blocks) << 32).to_be_bytes();
    }
    Some(total)
}

const fn six(opcode: u8, middle: [u8; 4]) -> Cdb {
    let [a, b, c, d] = middle;
    Cdb::new([opcode, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

const fn ten(opcode: u8, flags: u8, lba: u32, length: u16) -> Cdb {
    let [a, b, c, d] = lba.to_be_bytes();
    let [y, z] = length.to_be_bytes();
    Cdb::new([opcode, flags, a, b, c, d, 0, y, z, 0, 0, 0, 0, 0, 0, 0])
}

const fn ranged_ten(opcode: u8, lba: u64, blocks: u32, fua: bool) -> Option<Cdb> {
    if lba > u32::MAX as u64 || blocks > u16::MAX as u32 {
        return None;
    }
    Some(ten(opcode, if fua { FUA } else { 0 }, lba as u32, blocks as u16))
}

const fn sixteen(opcode: u8, flags: u8, lba: u64, length: u32) -> Cdb {
    let [a, b, c, d, e, f, g, h] = lba.to_be_bytes();
    let [w, x, y, z] = length.to_be_bytes();
    Cdb::new([opcode, flags, a, b, c, d, e, f, g, h, w, x, y, z, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_as_long_as_its_group_says() {
        for (cdb, len) in [
            (test_unit_ready(), 6),
            (inquiry(36), 6),
            (read_capacity_10(), 10),
            (unmap(24), 10),
            (report_luns(SelectReport::Logical, 16), 12),
            (read_capacity_16(32), 16),
        ] {
            assert_eq!(cdb.len(), len, "{cdb:?}");
            assert!(cdb.padded()[len..].iter().all(|&byte| byte == 0), "{cdb:?}");
        }
    }

    #[test]
    fn inquiry_and_mode_sense_stand_as_in_spc() {
        assert_eq!(*inquiry(0x1ff), [0x12, 0, 0, 1, 0xff, 0]);
        assert_eq!(*inquiry_vpd(0x83, 252), [0x12, 1, 0x83, 0, 252, 0]);
        assert_eq!(*mode_sense_6(0x08, 192), [0x1a, 0, 8, 0, 192, 0]);
        assert_eq!(*mode_sense_10(0x3f, 0x102), [0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(*request_sense(18), [3, 0, 0, 0, 18, 0]);
        assert_eq!(*start_stop_unit(true), [0x1b, 0, 0, 0, 1, 0]);
        assert_eq!(*report_luns(SelectReport::All, 0x1_0203), [0xa0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 0, 0]);
    }

    #[test]
    fn reads_and_writes_stand_as_in_sbc() {
        let (lba, blocks) = (0x0102_0304_0506_0708, 0x090a_0b0c);
        assert_eq!(*read_16(lba, blocks, false), [0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]);
        assert_eq!(*write_16(lba, blocks, true), [0x8a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0]);
        assert_eq!(read_10(0x0102_0304, 0x506, true).as_deref(), Some([0x28, 8, 1, 2, 3, 4, 0, 5, 6, 0].as_slice()));
        assert_eq!(write_10(1, 1, false).as_deref(), Some([0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0].as_slice()));
        assert_eq!(synchronize_cache_10(0, 0).as_deref(), Some([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_slice()));
        assert_eq!(*write_same_16(1, 2, true, true), [0x93, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
        assert_eq!(*read_capacity_16(32), [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]);
    }

    #[test]
    fn ten_bytes_are_refused_what_does_not_fit_them() {
        assert!(read_10(u32::MAX.into(), 0xffff, false).is_some());
        assert_eq!(read_10(1 << 32, 1, false), None);
        assert_eq!(write_10(0, 0x1_0000, false), None);
    }

    #[test]
    fn an_unmap_list_counts_as_the_standard_does() {
        let mut out = [0xaa; 41];
        assert_eq!(unmap_list(&[(0x0102_0304_0506_0708, 9), (10, 11)], &mut out), Some(40));
        assert_eq!(out[..8], [0, 38, 0, 32, 0, 0, 0, 0]);
        assert_eq!(out[8..24], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 0]);
        assert_eq!(out[24..], [0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0, 0, 0xaa]);

        let mut one = [0; 24];
        assert_eq!(unmap_list(&[(7, 8)], &mut one), Some(24));
        assert_eq!(one, unmap_one(7, 8));
        assert_eq!(unmap_list(&[(0, 1); 2], &mut one), None, "too short");
    }
}
