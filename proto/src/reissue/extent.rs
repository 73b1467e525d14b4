//! Which blocks of a unit a command reads or changes, as far as its CDB tells (SBC-4 §5).
//!
//! | command | blocks |
//! |---|---|
//! | TEST UNIT READY, INQUIRY and others about the unit | none |
//! | READ, VERIFY | those it names, read |
//! | WRITE, WRITE AND VERIFY, WRITE SAME | those it names, changed |
//! | SYNCHRONIZE CACHE | none: it is about writes that were answered before, and changes no block's content |
//! | UNMAP, which names its blocks in its data; everything else | all of the unit, changed |

use crate::ids::Lun;

/// What a command does with its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Their content stays.
    Reads,
    /// Their content may be another one afterwards.
    Changes,
}

/// Blocks of a unit that a command reads or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    lun: Lun,
    /// First block, and the one behind the last.
    start: u64,
    end: u64,
    access: Access,
}

impl Extent {
    /// `blocks` logical blocks from `lba` on. 0 blocks touch nothing.
    pub const fn new(lun: Lun, access: Access, lba: u64, blocks: u64) -> Extent {
        Extent { lun, start: lba, end: lba.saturating_add(blocks), access }
    }

    /// All blocks of the unit, any of which may be changed.
    pub const fn everything(lun: Lun) -> Extent {
        Extent::new(lun, Access::Changes, 0, u64::MAX)
    }

    /// The blocks that a command to the unit `lun` with that CDB, zero-padded, reads or changes; `None` where it has
    /// none. What the CDB does not tell counts as [`everything`](Self::everything).
    pub fn of(lun: Lun, cdb: &[u8; 16]) -> Option<Extent> {
        let &[opcode, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, _, _] = cdb;
        let six = || {
            let lba = u32::from_be_bytes([0, b1 & 0x1f, b2, b3]);
            // 0 stands for 256 (SBC-4 §5.15, READ (6)).
            (u64::from(lba), if b4 == 0 { 256 } else { b4.into() })
        };
        let lba_32 = u32::from_be_bytes([b2, b3, b4, b5]);
        let ten = || (u64::from(lba_32), u64::from(u16::from_be_bytes([b7, b8])));
        let twelve = || (u64::from(lba_32), u64::from(u32::from_be_bytes([b6, b7, b8, b9])));
        let sixteen = || {
            let lba = u64::from_be_bytes([b2, b3, b4, b5, b6, b7, b8, b9]);
            (lba, u64::from(u32::from_be_bytes([b10, b11, b12, b13])))
        };
        // 0 blocks stand for all from there on (SBC-4 §5.50, WRITE SAME).
        let to_the_end = |(lba, blocks)| (lba, if blocks == 0 { u64::MAX } else { blocks });
        let (access, (lba, blocks)) = match opcode {
            // TEST UNIT READY, REQUEST SENSE, INQUIRY, MODE SENSE, READ CAPACITY (10), REPORT LUNS.
            0x00 | 0x03 | 0x12 | 0x1a | 0x5a | 0x25 | 0xa0 => return None,
            // READ CAPACITY (16), one of the commands with that opcode.
            0x9e if b1 & 0x1f == 0x10 => return None,
            // SYNCHRONIZE CACHE.
            0x35 | 0x91 => return None,
            // READ, VERIFY.
            0x08 => (Access::Reads, six()),
            0x28 | 0x2f => (Access::Reads, ten()),
            0xa8 | 0xaf => (Access::Reads, twelve()),
            0x88 | 0x8f => (Access::Reads, sixteen()),
            // WRITE, WRITE AND VERIFY.
            0x0a => (Access::Changes, six()),
            0x2a | 0x2e => (Access::Changes, ten()),
            0xaa | 0xae => (Access::Changes, twelve()),
            0x8a | 0x8e => (Access::Changes, sixteen()),
            // WRITE SAME.
            0x41 => (Access::Changes, to_the_end(ten())),
            0x93 => (Access::Changes, to_the_end(sixteen())),
            _ => return Some(Extent::everything(lun)),
        };
        Some(Extent::new(lun, access, lba, blocks))
    }

    /// Whether the order of the two matters: one of them changes blocks that the other one touches.
    pub fn collides(&self, other: &Extent) -> bool {
        let overlap = self.start.max(other.start) < self.end.min(other.end);
        let changes = self.access == Access::Changes || other.access == Access::Changes;
        overlap && changes && self.lun.is_same_unit(other.lun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::cdb;

    const LUN: Lun = Lun(0x0003_0000_0000_0000);

    fn of(cdb: [u8; 16]) -> Option<Extent> {
        Extent::of(LUN, &cdb)
    }

    fn range(cdb: &[u8]) -> (u64, u64, Access) {
        let mut padded = [0; 16];
        padded[..cdb.len()].copy_from_slice(cdb);
        let extent = of(padded).expect("it has blocks");
        (extent.start, extent.end, extent.access)
    }

    #[test]
    fn reads_and_writes_of_every_length_name_their_blocks() {
        let (reads, changes) = (Access::Reads, Access::Changes);
        assert_eq!(range(&[0x08, 0xe1, 2, 3, 4, 0]), (0x1_0203, 0x1_0207, reads), "21 bits");
        assert_eq!(range(&[0x0a, 0, 0, 9, 0, 0]), (9, 9 + 256, changes), "0 is 256 here");
        assert_eq!(range(&cdb::read_10(7, 8, true).expect("it fits")), (7, 15, reads));
        assert_eq!(range(&cdb::write_10(0xffff_ffff, 0xffff, false).expect("it fits")).1, 0x1_0000_fffe);
        assert_eq!(range(&[0x2e, 0, 0, 0, 0, 5, 0, 1, 0, 0]), (5, 261, changes), "WRITE AND VERIFY");
        assert_eq!(range(&[0xa8, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]), (256, 256 + 65_536, reads));
        assert_eq!(range(&[0xaa, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0]), (2, 5, changes));
        assert_eq!(range(&cdb::read_16(1 << 40, 1 << 20, false)), (1 << 40, (1 << 40) + (1 << 20), reads));
        assert_eq!(range(&cdb::write_16(u64::MAX, 2, true)), (u64::MAX, u64::MAX, changes), "past every end");
        assert_eq!(range(&cdb::write_16(5, 0, false)), (5, 5, changes), "0 is nothing here");
    }

    #[test]
    fn write_same_of_no_blocks_goes_on_to_the_end() {
        assert_eq!(range(&cdb::write_same_16(4, 8, true, true)), (4, 12, Access::Changes));
        assert_eq!(range(&cdb::write_same_16(4, 0, false, false)), (4, u64::MAX, Access::Changes));
        assert_eq!(range(&[0x41, 0, 0, 0, 0, 6, 0, 0, 0, 0]), (6, u64::MAX, Access::Changes));
    }

    #[test]
    fn what_is_not_about_blocks_has_none() {
        for cdb in [
            cdb::test_unit_ready(),
            cdb::inquiry_vpd(0x83, 252),
            cdb::read_capacity_10(),
            cdb::read_capacity_16(32),
            cdb::report_luns(cdb::SelectReport::All, 16),
            cdb::mode_sense_6(8, 192),
            cdb::synchronize_cache_16(0, 0),
        ] {
            assert_eq!(of(cdb.padded()), None, "{cdb:?}");
        }
    }

    #[test]
    fn what_the_cdb_does_not_tell_is_everything() {
        // UNMAP, FORMAT UNIT, COMPARE AND WRITE, PERSISTENT RESERVE OUT, GET LBA STATUS, of 32 bytes, of the vendor.
        let others = [[0x04, 0], [0x89, 0], [0x5f, 0], [0x9e, 0x12], [0x7f, 0], [0xc1, 0]];
        for [opcode, action] in others.into_iter().chain([[cdb::unmap(24)[0], 0]]) {
            let extent = of([opcode, action, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(extent, Some(Extent::everything(LUN)), "{opcode:#04x}");
        }
        let far = Extent::new(LUN, Access::Reads, u64::MAX - 2, 1);
        assert!(Extent::everything(LUN).collides(&far));
    }

    #[test]
    fn two_collide_where_one_changes_what_the_other_touches() {
        let changes = |lba, blocks| Extent::new(LUN, Access::Changes, lba, blocks);
        let reads = |lba, blocks| Extent::new(LUN, Access::Reads, lba, blocks);
        let write = changes(100, 8);
        for (other, collides) in [
            (changes(107, 1), true),
            (changes(108, 1), false),
            (changes(92, 8), false),
            (changes(92, 9), true),
            (changes(0, 1000), true),
            (reads(103, 1), true),
            (changes(103, 0), false),
        ] {
            assert_eq!((write.collides(&other), other.collides(&write)), (collides, collides), "{other:?}");
        }
        assert!(!reads(100, 8).collides(&reads(100, 8)));
    }

    #[test]
    fn units_are_told_apart_however_they_are_addressed() {
        let at = |lun| Extent::everything(Lun(lun));
        // Unit 3 as a peripheral device and by flat space addressing; unit 4.
        assert!(at(LUN.0).collides(&at(0x4003_0000_0000_0000)));
        assert!(!at(LUN.0).collides(&at(0x0004_0000_0000_0000)));
    }
}
