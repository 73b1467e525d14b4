//! Vital product data: pages of INQUIRY data (SPC-5 §7.7, SBC-4 §6.6).
//!
//! ```text
//!    0| qualifier | device type |     page 00h  which pages there are
//!    1| page code               |     page 80h  unit serial number
//!    2| page length (2)         |     page 83h  designators: names of unit, port, target
//!    4| the page                |     page B0h  block limits
//!                                     page B1h  block device characteristics
//!                                     page B2h  logical block provisioning
//! ```
//! Each function takes the whole answer, header included. `None` means that it is another page (some
//! targets ignore the EVPD bit) or that not even its header arrived.

use alloc::string::String;
use core::fmt::Write;

use super::{at_most, be16, be32, be64, text};

/// Page codes.
pub mod page {
    /// Supported VPD pages.
    pub const SUPPORTED: u8 = 0x00;
    /// Unit serial number.
    pub const SERIAL: u8 = 0x80;
    /// Device identification.
    pub const IDENTIFICATION: u8 = 0x83;
    /// Block limits.
    pub const BLOCK_LIMITS: u8 = 0xb0;
    /// Block device characteristics.
    pub const CHARACTERISTICS: u8 = 0xb1;
    /// Logical block provisioning.
    pub const PROVISIONING: u8 = 0xb2;
}

/// The pages a unit has (page 00h), ascending.
pub fn supported(data: &[u8]) -> Option<&[u8]> {
    contents(data, page::SUPPORTED)
}

/// The unit's serial number (page 80h), printable, trimmed; `None` also if it is empty.
pub fn serial(data: &[u8]) -> Option<String> {
    let serial = text(contents(data, page::SERIAL)?);
    (!serial.is_empty()).then_some(serial)
}

/// A name of something (SPC-5 §7.7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Designator<'a> {
    /// Code set: 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// What it names: 0 the unit, 1 the target port, 2 the target.
    pub association: u8,
    /// Its type: 1 T10 vendor, 2 EUI-64, 3 NAA, 8 SCSI name string, others exist.
    pub kind: u8,
    /// The designator.
    pub name: &'a [u8],
}

/// Walks over the designators of page 83h. One that runs past the end is left out.
pub fn designators(data: &[u8]) -> impl Iterator<Item = Designator<'_>> {
    let mut rest = contents(data, page::IDENTIFICATION).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let (&[first, second, _, length], after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(Designator { code_set: first & 0x0f, association: second >> 4 & 3, kind: second & 0x0f, name })
    })
}

/// The unit's best name out of page 83h: NAA before EUI-64 before SCSI name string before T10 vendor
/// identification; the longest of a kind. As text: `naa.6001405…`, `eui.…`, the name string itself,
/// `t10.…`.
pub fn identifier(data: &[u8]) -> Option<String> {
    let best = designators(data)
        .filter(|one| one.association == 0 && is_plausible(one))
        .max_by_key(|one| (rank(one.kind), one.name.len()))?;
    Some(match best.kind {
        0x3 => hexadecimal("naa.", best.name),
        0x2 => hexadecimal("eui.", best.name),
        0x8 => text(best.name),
        _ => {
            let mut name = String::from("t10.");
            name.push_str(&text(best.name));
            name
        }
    })
}

fn rank(kind: u8) -> u8 {
    match kind {
        0x3 => 4,
        0x2 => 3,
        0x8 => 2,
        _ => 1,
    }
}

/// Of a type we use, of a length that type may have, and not all zero as some targets send it.
fn is_plausible(one: &Designator<'_>) -> bool {
    match one.kind {
        0x1 | 0x8 => !text(one.name).is_empty(),
        0x2 => one.code_set == 1 && matches!(one.name.len(), 8 | 12 | 16) && one.name.iter().any(|&byte| byte != 0),
        0x3 => one.code_set == 1 && matches!(one.name.len(), 8 | 16) && one.name.iter().any(|&byte| byte != 0),
        _ => false,
    }
}

fn hexadecimal(prefix: &str, name: &[u8]) -> String {
    let mut out = String::from(prefix);
    for byte in name {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// How much a unit takes at once (page B0h, SBC-4 §6.6.4). Lengths count logical blocks; 0 means
/// that the unit does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockLimits {
    /// WSNZ: a WRITE SAME of 0 blocks is refused.
    pub write_same_non_zero: bool,
    /// The longest COMPARE AND WRITE; 0: none.
    pub max_compare_and_write: u8,
    /// Transfers are best a multiple of this.
    pub optimal_transfer_granularity: u16,
    /// The longest read or write.
    pub max_transfer: u32,
    /// The longest read or write that does not slow down.
    pub optimal_transfer: u32,
    /// The most blocks of one UNMAP; 0 with `max_unmap_descriptors` 0: no UNMAP.
    /// `u32::MAX`: no limit.
    pub max_unmap_blocks: u32,
    /// The most descriptors of one UNMAP. `u32::MAX`: no limit.
    pub max_unmap_descriptors: u32,
    /// Unmapping is best done in multiples of this.
    pub unmap_granularity: u32,
    /// The first block of such a multiple, if the unit says.
    pub unmap_alignment: Option<u32>,
    /// The longest WRITE SAME.
    pub max_write_same: u64,
}

impl BlockLimits {
    /// Reads it. Units of SBC-2 end after `optimal_transfer`; the rest is 0.
    pub fn parse(data: &[u8]) -> Option<BlockLimits> {
        let data = clipped(data, page::BLOCK_LIMITS)?;
        let long = |at| be32(data, at).unwrap_or(0);
        let alignment = long(32);
        Some(BlockLimits {
            write_same_non_zero: data.get(4).is_some_and(|byte| byte & 1 != 0),
            max_compare_and_write: data.get(5).copied().unwrap_or(0),
            optimal_transfer_granularity: be16(data, 6).unwrap_or(0),
            max_transfer: long(8),
            optimal_transfer: long(12),
            max_unmap_blocks: long(20),
            max_unmap_descriptors: long(24),
            unmap_granularity: long(28),
            unmap_alignment: (alignment & 0x8000_0000 != 0).then_some(alignment & 0x7fff_ffff),
            max_write_same: be64(data, 36).unwrap_or(0),
        })
    }
}

/// How fast the medium turns (page B1h, SBC-4 §6.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationRate {
    /// The unit does not say.
    Unknown,
    /// There is nothing that turns.
    SolidState,
    /// Revolutions per minute.
    Rpm(u16),
}

/// Reads the rotation rate out of page B1h.
pub fn rotation_rate(data: &[u8]) -> Option<RotationRate> {
    Some(match be16(clipped(data, page::CHARACTERISTICS)?, 4) {
        Some(1) => RotationRate::SolidState,
        Some(rpm @ 0x0401..=0xfffe) => RotationRate::Rpm(rpm),
        _ => RotationRate::Unknown,
    })
}

/// How a unit provides its blocks (page B2h, SBC-4 §6.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Provisioning {
    /// LBPU: it does UNMAP.
    pub unmap: bool,
    /// LBPWS: WRITE SAME (16) can unmap.
    pub write_same_16: bool,
    /// LBPWS10: WRITE SAME (10) can unmap.
    pub write_same_10: bool,
    /// LBPRZ = 001b: unmapped blocks read as zero.
    pub unmapped_reads_zero: bool,
    /// Two to this power blocks are the unit of thresholds; 0: no thresholds.
    pub threshold_exponent: u8,
    /// What it is.
    pub kind: ProvisioningType,
}

/// PROVISIONING TYPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProvisioningType {
    /// Fully provisioned, or it does not say.
    #[default]
    Full,
    /// Blocks have room but may lose it.
    Resource,
    /// More blocks than room.
    Thin,
    /// A reserved code.
    Other(u8),
}

impl Provisioning {
    /// Reads it.
    pub fn parse(data: &[u8]) -> Option<Provisioning> {
        let data = clipped(data, page::PROVISIONING)?;
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        Some(Provisioning {
            unmap: byte(5) & 0x80 != 0,
            write_same_16: byte(5) & 0x40 != 0,
            write_same_10: byte(5) & 0x20 != 0,
            unmapped_reads_zero: byte(5) >> 2 & 7 == 1,
            threshold_exponent: byte(4),
            kind: match byte(6) & 7 {
                0 => ProvisioningType::Full,
                1 => ProvisioningType::Resource,
                2 => ProvisioningType::Thin,
                other => ProvisioningType::Other(other),
            },
        })
    }
}

/// The answer up to the end of its page, if it is page `code`.
fn clipped(data: &[u8], code: u8) -> Option<&[u8]> {
    let &[_, actual, high, low] = data.first_chunk::<4>()?;
    let length = 4 + usize::from(u16::from_be_bytes([high, low]));
    (actual == code).then(|| at_most(data, length))
}

/// The page without its header.
fn contents(data: &[u8], code: u8) -> Option<&[u8]> {
    clipped(data, code)?.get(4..)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::every_prefix;
    use super::*;

    fn answer(code: u8, contents: &[u8]) -> Vec<u8> {
        let mut answer = Vec::from([0, code, 0, contents.len() as u8]);
        answer.extend(contents);
        answer
    }

    fn designator(code_set: u8, kind: u8, name: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from([code_set, kind, 0, name.len() as u8]);
        bytes.extend(name);
        bytes
    }

    /// LIO: NAA, T10 vendor, then names of port, group and target.
    fn lio() -> Vec<u8> {
        let naa = [0x60, 0x01, 0x40, 0x5a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12];
        answer(
            0x83,
            &[
                designator(1, 3, &naa),
                designator(2, 1, b"LIO-ORG disk0:abcdef01-2345\0"),
                designator(1, 0x94, &[0, 0, 0, 1]),
                designator(3, 0xa8, b"iqn.2003-01.org.linux-iscsi:t\0\0\0"),
            ]
            .concat(),
        )
    }

    #[test]
    fn an_naa_name_is_the_best() {
        assert_eq!(identifier(&lio()).as_deref(), Some("naa.6001405abcdef0123456789abcdef012"));
        assert_eq!(designators(&lio()).count(), 4);
        every_prefix(&lio(), identifier);
    }

    #[test]
    fn without_an_naa_name_the_next_best_is_taken() {
        let t10 = designator(2, 1, b"FreeBSD disk 0001");
        let eui = designator(1, 2, &[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]);
        let name = designator(3, 8, b"iqn.2007-09.jp.ne.peach.istgt:disk0,L,0x0000\0\0");
        let of = |parts: &[&[u8]]| identifier(&answer(0x83, &parts.concat()));
        assert_eq!(of(&[&t10, &name, &eui]).as_deref(), Some("eui.0011223344556677"));
        assert_eq!(of(&[&t10, &name]).as_deref(), Some("iqn.2007-09.jp.ne.peach.istgt:disk0,L,0x0000"));
        assert_eq!(of(&[&t10]).as_deref(), Some("t10.FreeBSD disk 0001"));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn names_of_the_port_and_empty_ones_are_not_the_units() {
        let port = designator(1, 0x13, &[0x50; 8]);
        let zero = designator(1, 3, &[0; 8]);
        assert_eq!(identifier(&answer(0x83, &[port, zero].concat())), None);
    }

    #[test]
    fn a_serial_number_of_tgt_is_trimmed() {
        let data = answer(0x80, b"          beaf11");
        assert_eq!(serial(&data).as_deref(), Some("beaf11"));
        assert_eq!(serial(&answer(0x80, b"    ")), None);
        every_prefix(&data, serial);
    }

    #[test]
    fn standard_data_in_place_of_a_page_are_not_taken_for_it() {
        let standard = [0, 0x80, 5, 2, 31, 0, 0, 2];
        assert_eq!(supported(&standard), None);
        assert_eq!(BlockLimits::parse(&standard), None);
    }

    #[test]
    fn the_list_of_pages_ends_where_it_says() {
        let mut data = answer(0, &[0, 0x80, 0x83, 0xb0]);
        data.extend([0xff; 8]);
        assert_eq!(supported(&data), Some([0, 0x80, 0x83, 0xb0].as_slice()));
        every_prefix(&data, |data| supported(data).map(<[u8]>::len));
    }

    #[test]
    fn the_block_limits_of_lio_are_read() {
        let mut contents = [0; 60];
        contents[0] = 1;
        contents[1] = 1;
        contents[2..4].copy_from_slice(&1u16.to_be_bytes());
        contents[4..8].copy_from_slice(&16_384u32.to_be_bytes());
        contents[8..12].copy_from_slice(&8192u32.to_be_bytes());
        contents[16..20].copy_from_slice(&8192u32.to_be_bytes());
        contents[20..24].copy_from_slice(&1u32.to_be_bytes());
        contents[24..28].copy_from_slice(&4u32.to_be_bytes());
        contents[28..32].copy_from_slice(&0x8000_0003u32.to_be_bytes());
        contents[32..40].copy_from_slice(&4096u64.to_be_bytes());
        let data = answer(0xb0, &contents);
        let limits = BlockLimits::parse(&data).unwrap();
        assert!(limits.write_same_non_zero);
        assert_eq!((limits.max_transfer, limits.optimal_transfer), (16_384, 8192));
        assert_eq!((limits.max_unmap_blocks, limits.max_unmap_descriptors), (8192, 1));
        assert_eq!((limits.unmap_granularity, limits.unmap_alignment), (4, Some(3)));
        assert_eq!(limits.max_write_same, 4096);
        every_prefix(&data, BlockLimits::parse);
    }

    #[test]
    fn block_limits_of_sbc_2_say_nothing_of_unmap() {
        let limits = BlockLimits::parse(&answer(0xb0, &[0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 0x20, 0])).unwrap();
        assert_eq!((limits.max_transfer, limits.max_unmap_blocks, limits.max_write_same), (0x4000, 0, 0));
        assert_eq!(limits.unmap_alignment, None);
    }

    #[test]
    fn rotation_rates_are_told_apart() {
        let of = |high, low| rotation_rate(&answer(0xb1, &[high, low, 0, 0]));
        assert_eq!(of(0, 1), Some(RotationRate::SolidState));
        assert_eq!(of(0x1c, 0x20), Some(RotationRate::Rpm(7200)));
        assert_eq!(of(0, 0), Some(RotationRate::Unknown));
        assert_eq!(of(0xff, 0xff), Some(RotationRate::Unknown));
        every_prefix(&answer(0xb1, &[0, 1]), rotation_rate);
    }

    #[test]
    fn provisioning_is_read() {
        let data = answer(0xb2, &[1, 0xe4, 2, 0]);
        let page = Provisioning::parse(&data).unwrap();
        assert!(page.unmap && page.write_same_16 && page.write_same_10 && page.unmapped_reads_zero);
        assert_eq!((page.kind, page.threshold_exponent), (ProvisioningType::Thin, 1));
        every_prefix(&data, Provisioning::parse);
    }
}
