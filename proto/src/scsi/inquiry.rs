//! Standard INQUIRY data: who a unit is (SPC-5 §6.6.2).
//!
//! ```text
//!    0| qualifier | device type        |      8| T10 vendor identification (8)   |
//!    1| RMB | LU_CONG                  |     16| product identification (16)     |
//!    2| version                        |     32| product revision level (4)      |
//!    3| HiSup | response data format   |
//!    4| additional length              |
//!    5| TPGS | 3PC | PROTECT           |
//!    7| CmdQue                         |
//! ```

use alloc::string::String;

use super::{at_most, text};

/// Shortest standard INQUIRY data, in bytes.
const STANDARD_LENGTH: usize = 36;

/// Standard INQUIRY data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardInquiry {
    /// Whether there is a unit at this address.
    pub qualifier: Qualifier,
    /// Peripheral device type, 0 to 31: 0 is a disk. See [`device_type_name`].
    pub device_type: u8,
    /// The medium can be taken out.
    pub removable: bool,
    /// LU_CONG: it is part of a conglomerate, of which one unit administers the others (SAM-5 §4.7.6). The bit is the
    /// same in both kinds: one that administers has no medium.
    pub conglomerate: bool,
    /// The version of SPC it claims (0 none, 5 SPC-3, 6 SPC-4, 7 SPC-5).
    pub version: u8,
    /// TPGS: 0 no asymmetric access, 1 implicit, 2 explicit, 3 both.
    pub target_port_groups: u8,
    /// 3PC: it does third-party copies (EXTENDED COPY).
    pub third_party_copy: bool,
    /// PROTECT: it can keep protection information.
    pub protect: bool,
    /// CmdQue: it takes more than one command at a time.
    pub command_queuing: bool,
    /// T10 vendor identification, printable, trimmed.
    pub vendor: String,
    /// Product identification, printable, trimmed.
    pub product: String,
    /// Product revision level, printable, trimmed.
    pub revision: String,
}

/// Whether there is a unit at an address (SPC-5 table 146).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// There is, as far as the target knows.
    Connected,
    /// There could be, but there is not now.
    NotConnected,
    /// There can be none.
    Incapable,
    /// Another code: 2 reserved, 4 to 7 the vendor's.
    Other(u8),
}

impl StandardInquiry {
    /// Reads it. `None` if not even the first five bytes have arrived.
    pub fn parse(data: &[u8]) -> Option<StandardInquiry> {
        let &[peripheral, removable, version, _, additional] = data.first_chunk::<5>()?;
        // A unit that says it has less than the 36 bytes every unit must have is taken to have them.
        let data = at_most(data, (usize::from(additional) + 5).max(STANDARD_LENGTH));
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        let field = |from: usize, to: usize| text(data.get(from..to.min(data.len())).unwrap_or(&[]));
        Some(StandardInquiry {
            qualifier: match peripheral >> 5 {
                0 => Qualifier::Connected,
                1 => Qualifier::NotConnected,
                3 => Qualifier::Incapable,
                other => Qualifier::Other(other),
            },
            device_type: peripheral & 0x1f,
            removable: removable & 0x80 != 0,
            conglomerate: removable & 0x40 != 0,
            version,
            target_port_groups: byte(5) >> 4 & 3,
            third_party_copy: byte(5) & 0x08 != 0,
            protect: byte(5) & 0x01 != 0,
            command_queuing: byte(7) & 0x02 != 0,
            vendor: field(8, 16),
            product: field(16, 32),
            revision: field(32, 36),
        })
    }

    /// There is a unit and it is a disk (device type 0).
    pub fn is_disk(&self) -> bool {
        self.qualifier == Qualifier::Connected && self.device_type == 0
    }
}

/// The name of a peripheral device type (SPC-5 table 147).
pub const fn device_type_name(device_type: u8) -> &'static str {
    match device_type {
        0x00 => "disk",
        0x01 => "tape",
        0x02 => "printer",
        0x03 => "processor",
        0x04 => "write-once",
        0x05 => "cd/dvd",
        0x07 => "optical memory",
        0x08 => "medium changer",
        0x0c => "storage array controller",
        0x0d => "enclosure",
        0x0e => "simplified disk",
        0x0f => "optical card",
        0x11 => "object storage",
        0x12 => "automation drive interface",
        0x14 => "zoned disk",
        0x1e => "well-known unit",
        0x1f => "no device",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::every_prefix;
    use super::*;

    fn answer(head: [u8; 8], names: &[u8; 28]) -> Vec<u8> {
        [head.as_slice(), names].concat()
    }

    #[test]
    fn a_disk_of_tgt_is_read() {
        let mut data = answer([0, 0, 5, 2, 61, 0, 0, 2], b"IET     VIRTUAL-DISK    0001");
        data.resize(66, 0);
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert!(inquiry.is_disk() && inquiry.command_queuing && !inquiry.removable);
        assert_eq!((inquiry.vendor.as_str(), inquiry.product.as_str()), ("IET", "VIRTUAL-DISK"));
        assert_eq!((inquiry.revision.as_str(), inquiry.version), ("0001", 5));
        every_prefix(&data, StandardInquiry::parse);
    }

    #[test]
    fn the_controller_that_tgt_has_at_lun_0_is_no_disk() {
        let data = answer([0x0c, 0, 5, 2, 61, 0, 0, 2], b"IET     Controller      0001");
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert!(!inquiry.is_disk());
        assert_eq!(device_type_name(inquiry.device_type), "storage array controller");
    }

    #[test]
    fn a_disk_of_lio_is_read() {
        let data = answer([0, 0, 5, 2, 31, 0x39, 0, 2], b"LIO-ORG disk0           4.0 ");
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert!(inquiry.third_party_copy && inquiry.protect);
        assert_eq!((inquiry.target_port_groups, inquiry.revision.as_str()), (3, "4.0"));
    }

    #[test]
    fn an_address_without_a_unit_is_no_disk() {
        let data = answer([0x7f, 0, 5, 2, 31, 0, 0, 0], &[b' '; 28]);
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert_eq!((inquiry.qualifier, inquiry.device_type), (Qualifier::Incapable, 0x1f));
        assert!(!inquiry.is_disk());
    }

    #[test]
    fn a_part_of_a_conglomerate_says_so() {
        let data = answer([0, 0x40, 7, 2, 31, 0, 0, 2], b"ACME    ENDPOINT        1   ");
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert!(inquiry.conglomerate && !inquiry.removable && inquiry.is_disk());
        let data = answer([0, 0x80, 7, 2, 31, 0, 0, 2], b"ACME    STICK           1   ");
        assert!(!StandardInquiry::parse(&data).unwrap().conglomerate);
    }

    #[test]
    fn a_short_answer_leaves_names_empty_or_cut() {
        let data = answer([0, 0, 5, 2, 0, 0, 0, 2], b"FreeBSD iSCSI DISK      0123");
        assert_eq!(StandardInquiry::parse(&data).unwrap().revision, "0123", "a wrong additional length");
        let cut = StandardInquiry::parse(&data[..20]).unwrap();
        assert_eq!((cut.vendor.as_str(), cut.product.as_str(), cut.revision.as_str()), ("FreeBSD", "iSCS", ""));
        assert_eq!(StandardInquiry::parse(&data[..4]), None);
    }
}
