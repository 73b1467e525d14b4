//! Mode parameters: whether a unit may be written and whether it has a volatile cache
//! (SPC-5 §7.5, SBC-4 §6.5).
//!
//! ```text
//!        MODE SENSE (6)                     MODE SENSE (10)
//!    0| mode data length (1)    |      0| mode data length (2)    |
//!    1| medium type             |      2| medium type             |
//!    2| WP | DPOFUA             |      3| WP | DPOFUA             |
//!    3| block descriptor length |      6| block descriptor length |
//!    4| block descriptors       |      8| block descriptors       |
//!     | pages: PS | SPF | code, length, …                         |
//! ```

use super::{at_most, be16};

/// The caching page (SBC-4 §6.5.5).
pub const CACHING_PAGE: u8 = 0x08;

/// What MODE SENSE says of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModeParameters {
    /// WP: writes are refused.
    pub write_protected: bool,
    /// DPOFUA: the FUA bit of reads and writes is obeyed.
    pub fua: bool,
    /// The caching page, if it is there.
    pub caching: Option<Caching>,
}

/// The caching page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caching {
    /// WCE: a write may complete before it is on stable storage.
    pub write_cache: bool,
    /// RCD: nothing is read from the cache.
    pub read_cache_disabled: bool,
}

impl ModeParameters {
    /// Reads the answer to MODE SENSE (6). `None` if the header has not arrived.
    pub fn parse_6(data: &[u8]) -> Option<ModeParameters> {
        let &[length, _, device_specific, descriptors] = data.first_chunk::<4>()?;
        // MODE DATA LENGTH does not count itself.
        let data = at_most(data, usize::from(length) + 1);
        Some(parameters(device_specific, data.get(4 + usize::from(descriptors)..)))
    }

    /// Reads the answer to MODE SENSE (10).
    pub fn parse_10(data: &[u8]) -> Option<ModeParameters> {
        let &[high, low, _, device_specific, ..] = data.first_chunk::<8>()?;
        let descriptors = be16(data, 6)?;
        let data = at_most(data, usize::from(u16::from_be_bytes([high, low])) + 2);
        Some(parameters(device_specific, data.get(8 + usize::from(descriptors)..)))
    }
}

fn parameters(device_specific: u8, pages: Option<&[u8]>) -> ModeParameters {
    ModeParameters {
        write_protected: device_specific & 0x80 != 0,
        fua: device_specific & 0x10 != 0,
        caching: pages.and_then(caching),
    }
}

/// Walks over the pages to the caching page.
fn caching(mut pages: &[u8]) -> Option<Caching> {
    loop {
        let &[first, second] = pages.first_chunk::<2>()?;
        let has_subpage = first & 0x40 != 0;
        if first & 0x3f == CACHING_PAGE && !has_subpage {
            let flags = *pages.get(2)?;
            return (second >= 1)
                .then_some(Caching { write_cache: flags & 0x04 != 0, read_cache_disabled: flags & 0x01 != 0 });
        }
        let length = if has_subpage { 4 + usize::from(be16(pages, 2)?) } else { 2 + usize::from(second) };
        pages = pages.get(length..)?;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::every_prefix;
    use super::*;

    /// A caching page of 20 bytes with write cache, as tgt has it.
    const CACHING: [u8; 20] =
        [0x08, 0x12, 0x14, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 0x14, 0, 0, 0, 0, 0, 0];
    const BLOCK_DESCRIPTOR: [u8; 8] = [0, 0, 8, 0, 0, 0, 2, 0];

    #[test]
    fn the_short_form_of_tgt_is_read() {
        let data = [[31, 0, 0x10, 8].as_slice(), &BLOCK_DESCRIPTOR, &CACHING].concat();
        let mode = ModeParameters::parse_6(&data).unwrap();
        assert!(mode.fua && !mode.write_protected);
        assert_eq!(mode.caching, Some(Caching { write_cache: true, read_cache_disabled: false }));
        every_prefix(&data, ModeParameters::parse_6);
    }

    #[test]
    fn the_long_form_finds_the_page_behind_others() {
        let recovery = [0x81, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let subpage = [0x4a, 1, 0, 4, 0, 0, 0, 0];
        let mut data =
            [[0, 0, 0, 0x80, 0, 0, 0, 8].as_slice(), &BLOCK_DESCRIPTOR, &recovery, &subpage, &CACHING].concat();
        data[1] = data.len() as u8 - 2;
        let mode = ModeParameters::parse_10(&data).unwrap();
        assert!(mode.write_protected && !mode.fua);
        assert!(mode.caching.is_some_and(|caching| caching.write_cache));
        every_prefix(&data, ModeParameters::parse_10);
    }

    #[test]
    fn a_unit_without_the_page_says_nothing_of_its_cache() {
        let mode = ModeParameters::parse_6(&[3, 0, 0x80, 0]).unwrap();
        assert_eq!(mode, ModeParameters { write_protected: true, fua: false, caching: None });
    }

    #[test]
    fn bytes_past_the_mode_data_length_do_not_count() {
        let data: Vec<u8> = [[3, 0, 0, 0].as_slice(), &CACHING].concat();
        assert_eq!(ModeParameters::parse_6(&data).unwrap().caching, None);
        let past = [11, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ModeParameters::parse_6(&past).unwrap().caching, None, "descriptors longer than the data");
    }
}
