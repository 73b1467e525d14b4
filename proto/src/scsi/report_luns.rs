//! Which units a target has: REPORT LUNS (SPC-5 §6.34).
//!
//! ```text
//!    0| LUN list length: 8 × units (4) |
//!    4| reserved (4)                   |
//!    8| LUN (8)                        |
//!   16| …                              |
//! ```

use super::be32;
use crate::ids::Lun;

/// Length of what precedes the list, in bytes.
const HEADER: usize = 8;

/// The answer to REPORT LUNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportLuns<'a> {
    list: &'a [[u8; 8]],
    beyond: &'a [[u8; 8]],
    list_length: u32,
}

impl<'a> ReportLuns<'a> {
    /// Reads it. `None` if not even the header has arrived.
    pub fn parse(data: &'a [u8]) -> Option<ReportLuns<'a>> {
        let list_length = be32(data, 0)?;
        let arrived = data.get(HEADER..)?.as_chunks().0;
        let announced = usize::try_from(list_length / 8).unwrap_or(usize::MAX);
        let (list, beyond) = arrived.split_at(announced.min(arrived.len()));
        // Zeroes at the end are padding.
        let padding = beyond.iter().rev().take_while(|address| **address == [0; 8]).count();
        let beyond = beyond.get(..beyond.len() - padding).unwrap_or(beyond);
        Some(ReportLuns { list, beyond, list_length })
    }

    /// The units whose addresses have arrived, in the target's order, of any address method
    /// (SAM-5 §4.7): see [`Lun::number`].
    pub fn luns(&self) -> impl Iterator<Item = Lun> + 'a {
        self.list.iter().map(|bytes| Lun(u64::from_be_bytes(*bytes)))
    }

    /// What has arrived behind the announced list, padding aside: nothing, if the target counts right.
    pub fn beyond(&self) -> impl Iterator<Item = Lun> + 'a {
        self.beyond.iter().map(|bytes| Lun(u64::from_be_bytes(*bytes)))
    }

    /// Whether the announced length is one that a list of addresses can have, and nothing but padding is behind it.
    pub fn is_well_formed(&self) -> bool {
        self.list_length.is_multiple_of(8) && self.beyond.is_empty()
    }

    /// Whether all units that the target has are among them.
    pub fn is_complete(&self) -> bool {
        self.list.len() as u64 == u64::from(self.list_length / 8)
    }

    /// The allocation length that would bring all of them, in bytes. It is the target's claim:
    /// a caller that asks again sets a limit.
    pub const fn needed(&self) -> u32 {
        self.list_length.saturating_add(HEADER as u32)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::every_prefix;
    use super::*;

    fn answer(length: u32, luns: &[u64]) -> Vec<u8> {
        let mut data = Vec::from(length.to_be_bytes());
        data.extend([0; 4]);
        data.extend(luns.iter().flat_map(|lun| lun.to_be_bytes()));
        data
    }

    #[test]
    fn units_of_every_address_method_are_read() {
        let raw = [
            0,
            0x0001_0000_0000_0000,
            0x4100_0000_0000_0000,
            0xd200_4000_0000_0000,
            0xc101_0000_0000_0000,
            0x0102 << 48,
        ];
        let data = answer(48, &raw);
        let report = ReportLuns::parse(&data).unwrap();
        let numbers: Vec<_> = report.luns().map(Lun::number).collect();
        // The last is a peripheral device of bus 1, as LIO writes unit 258.
        assert_eq!(numbers, [Some(0), Some(1), Some(256), Some(16_384), None, Some(258)]);
        assert!(report.is_complete());
        assert_eq!(report.needed(), 56);
        every_prefix(&data, |data| ReportLuns::parse(data).map(|report| report.luns().count()));
    }

    #[test]
    fn a_list_that_did_not_fit_says_how_much_is_needed() {
        let data = answer(256 * 8, &[0, 1 << 48]);
        let report = ReportLuns::parse(&data).unwrap();
        assert_eq!(report.luns().count(), 2);
        assert!(!report.is_complete());
        assert_eq!(report.needed(), 2056);
    }

    #[test]
    fn only_what_arrived_and_what_was_announced_counts() {
        let claims_all = answer(u32::MAX, &[0]);
        let report = ReportLuns::parse(&claims_all).unwrap();
        assert_eq!((report.luns().count(), report.needed()), (1, u32::MAX));

        let announces_one = answer(8, &[0, 1 << 48]);
        assert_eq!(ReportLuns::parse(&announces_one).unwrap().luns().count(), 1);

        let odd = answer(12, &[0, 1 << 48]);
        assert_eq!(ReportLuns::parse(&odd).unwrap().luns().count(), 1);
        assert!(ReportLuns::parse(&answer(0, &[])).unwrap().is_complete());
    }

    #[test]
    fn a_wrong_length_shows_and_hides_nothing() {
        let counts_units = answer(2, &[0, 1 << 48, 0]);
        let report = ReportLuns::parse(&counts_units).unwrap();
        assert!(!report.is_well_formed() && report.luns().next().is_none());
        assert_eq!(report.beyond().collect::<Vec<_>>(), [Lun(0), Lun(1 << 48)], "zeroes at the end are padding");
        let padded = answer(8, &[1 << 48, 0, 0]);
        assert!(ReportLuns::parse(&padded).unwrap().is_well_formed());
        assert!(!ReportLuns::parse(&answer(12, &[0])).unwrap().is_well_formed());
    }
}
