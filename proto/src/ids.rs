//! Identifiers: of tasks, units, sessions and connections.

use core::fmt;

/// Initiator Task Tag (RFC 7143 §11.2.1.8): which task a PDU belongs to.
///
/// The low half is the task's slot, the high half the slot's generation, so that an answer to a task
/// that has retired is recognised even when the slot has a new one. It is never [`Itt::RESERVED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Itt(pub u32);

impl Itt {
    /// The value that names no task.
    pub const RESERVED: Itt = Itt(0xffff_ffff);

    /// The tag of slot `slot` in its generation `generation`. Slot 0xffff is not used, so the result
    /// is never [`Itt::RESERVED`].
    pub const fn new(slot: u16, generation: u16) -> Itt {
        Itt((generation as u32) << 16 | slot as u32)
    }

    /// The slot, 0 to 0xfffe for a tag of ours; anything for a tag from the wire.
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// The generation of the slot.
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// Target Transfer Tag (RFC 7143 §11.7.4, §11.18.2): the target's name for a transfer or a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Ttt(pub u32);

impl Ttt {
    /// The value that names nothing.
    pub const RESERVED: Ttt = Ttt(0xffff_ffff);
}

/// Logical Unit Number: the eight bytes of SAM-5 §4.7, big-endian as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Lun(pub u64);

impl Lun {
    /// The REPORT LUNS well-known unit (SPC-4 §8.2): a target without unit 0 has it (SAM-5 §4.7.4).
    pub const REPORT_LUNS: Lun = Lun(0xc101_0000_0000_0000);

    /// The unit that a person calls `number`, encoded as targets report it: peripheral device
    /// addressing up to 255, flat space up to 16383, extended flat space (24 bits) above
    /// (SAM-5 §4.7.5–4.7.9). `None` above 2^24 - 1.
    pub const fn from_number(number: u32) -> Option<Lun> {
        let top = match number {
            0..=0xff => (number as u64) << 48,
            0x100..=0x3fff => (0x4000 | number as u64) << 48,
            0x4000..=0xff_ffff => (0xd2u64 << 56) | (number as u64) << 32,
            _ => return None,
        };
        Some(Lun(top))
    }

    /// The number a person knows the unit by, if its address is of a single level: peripheral
    /// device, flat space or extended flat space; `None` for well-known and multi-level addresses.
    /// A bus number counts in: LIO writes the units from 256 on as peripheral devices of bus 1 and up.
    pub const fn number(self) -> Option<u32> {
        let first = (self.0 >> 48) as u16;
        match first >> 14 {
            0b00 if self.0 << 16 == 0 => Some(first as u32),
            0b01 if self.0 << 16 == 0 => Some((first & 0x3fff) as u32),
            0b11 if first >> 8 == 0xd2 && self.0 << 32 == 0 => Some(((self.0 >> 32) & 0xff_ffff) as u32),
            _ => None,
        }
    }

    /// Whether it is the address of a well-known unit, which is for questions and has no medium (SAM-5 §4.7.7.5).
    pub const fn is_well_known(self) -> bool {
        self.0 >> 56 == 0xc1
    }

    /// Whether both are addresses of one unit, which may be written in several ways (SAM-5 §4.7).
    pub fn is_same_unit(self, other: Lun) -> bool {
        self == other || (self.number().is_some() && self.number() == other.number())
    }
}

impl fmt::Display for Lun {
    /// The number where there is one, else the eight bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "{:#018x}", self.0),
        }
    }
}

/// Initiator's part of the session identifier (RFC 7143 §10.1.1, §11.12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Isid(pub [u8; 6]);

impl Isid {
    /// An ISID of the "random" format, type 10b (RFC 7143 §11.12.5): 24 random bits that tell
    /// initiators apart and a 16-bit qualifier that tells this one's sessions apart.
    pub const fn random(random: u32, qualifier: u16) -> Isid {
        Isid([0x80, (random >> 16) as u8, (random >> 8) as u8, random as u8, (qualifier >> 8) as u8, qualifier as u8])
    }
}

/// Target's part of the session identifier (RFC 7143 §11.12.6): 0 for a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Tsih(pub u16);

/// Connection identifier within a session (RFC 7143 §11.12.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Cid(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    // check: itt-unique
    #[test]
    fn a_tag_is_its_slot_and_generation() {
        let itt = Itt::new(0xfffe, 0xffff);
        assert_ne!(itt, Itt::RESERVED);
        assert_eq!((itt.slot(), itt.generation()), (0xfffe, 0xffff));
    }

    #[test]
    fn unit_numbers_survive_each_address_method() {
        for number in [0, 1, 255, 256, 16_383, 16_384, 0xff_ffff] {
            assert_eq!(Lun::from_number(number).and_then(Lun::number), Some(number), "{number}");
        }
        assert_eq!(Lun::from_number(0x100_0000), None);
        assert_eq!(Lun(0x4001_0000_0000_0000).number(), Some(1), "flat space below 256 is legal");
        assert_eq!(Lun(0x0101_0000_0000_0000).number(), Some(257), "as LIO writes it");
    }

    #[test]
    fn a_unit_is_the_same_however_its_address_is_written() {
        assert!(Lun(0x0003_0000_0000_0000).is_same_unit(Lun(0x4003_0000_0000_0000)));
        assert!(!Lun(0x0003_0000_0000_0000).is_same_unit(Lun(0x0004_0000_0000_0000)));
        let (a, b) = (Lun(0xc101_0000_0000_0000), Lun(0xc102_0000_0000_0000));
        assert!(a.is_same_unit(a) && !a.is_same_unit(b), "without numbers");
    }

    #[test]
    fn multi_level_and_well_known_addresses_have_no_number() {
        for raw in [0x0001_0002_0000_0000, 0xc101_0000_0000_0000, 0x8001_0000_0000_0000] {
            assert_eq!(Lun(raw).number(), None, "{raw:#x}");
        }
        assert!(Lun::REPORT_LUNS.is_well_known() && !Lun(0xd200_4000_0000_0000).is_well_known());
    }
}
