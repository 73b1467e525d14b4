//! Sense data: why a command ended with CHECK CONDITION (SPC-5 §4.4).
//!
//! ```text
//!          fixed format                            descriptor format
//!    0| valid | 70h now, 71h deferred |      0| 72h now, 73h deferred       |
//!    2| filemark … | sense key        |      1| sense key                   |
//!    3| information (4 bytes)         |      2| additional sense code       |
//!    7| additional length             |      3| qualifier                   |
//!   12| additional sense code         |      7| additional length           |
//!   13| qualifier                     |      8| descriptors: type, length … |
//! ```

use core::fmt;

use super::{at_most, be16, be32, be64};

macro_rules! sense_keys {
    ($( $(#[$doc:meta])* $code:literal $variant:ident $text:literal )*) => {
        /// What kind of trouble (SPC-5 §4.4.8).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum SenseKey {
            $( $(#[$doc])* $variant = $code, )*
        }

        impl SenseKey {
            /// The key in the low four bits of `code`; each of the sixteen has a meaning.
            pub const fn from_code(code: u8) -> SenseKey {
                match code & 0x0f {
                    $( $code => SenseKey::$variant, )*
                    _ => SenseKey::Reserved,
                }
            }

            /// Its name, as it stands in a sentence.
            pub const fn name(self) -> &'static str {
                match self {
                    $( SenseKey::$variant => $text, )*
                }
            }
        }
    };
}

sense_keys! {
    /// Nothing to report.
    0x0 NoSense "no sense"
    /// The command succeeded after some recovery.
    0x1 RecoveredError "recovered error"
    /// The unit cannot be accessed now.
    0x2 NotReady "not ready"
    /// The medium has a flaw.
    0x3 MediumError "medium error"
    /// The hardware has failed.
    0x4 HardwareError "hardware error"
    /// The command is wrong for this unit.
    0x5 IllegalRequest "illegal request"
    /// Something happened to the unit; the command was not done.
    0x6 UnitAttention "unit attention"
    /// A protected area.
    0x7 DataProtect "data protect"
    /// A blank or non-blank medium where the other was due.
    0x8 BlankCheck "blank check"
    /// The vendor's own.
    0x9 VendorSpecific "vendor specific"
    /// A third-party copy was aborted.
    0xa CopyAborted "copy aborted"
    /// The unit aborted the command; it may be tried again.
    0xb AbortedCommand "aborted command"
    /// Reserved.
    0xc Reserved "reserved"
    /// Data were left over at the end of the medium.
    0xd VolumeOverflow "volume overflow"
    /// The data do not match.
    0xe Miscompare "miscompare"
    /// The command completed; there is something to tell.
    0xf Completed "completed"
}

/// Decoded sense data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// What kind of trouble.
    pub key: SenseKey,
    /// Additional sense code; 0 where the unit gave none.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
    /// What the command makes of it; for a medium error the LBA of the first bad block.
    pub information: Option<u64>,
    /// Sense-key specific bytes (SPC-5 §4.4.2.4), valid ones only: for an illegal request which
    /// field, for "not ready" how far the unit is.
    pub key_specific: Option<[u8; 3]>,
    /// It belongs to an earlier command (SPC-5 §4.4.5); the one it came with was not done.
    pub deferred: bool,
}

impl Sense {
    /// Reads sense data of either format. `None` if the response code is another or not even a sense
    /// key has arrived.
    pub fn parse(data: &[u8]) -> Option<Sense> {
        let code = data.first()? & 0x7f;
        match code {
            0x70 | 0x71 => fixed(data, code == 0x71),
            0x72 | 0x73 => descriptors(data, code == 0x73),
            _ => None,
        }
    }

    /// Sense data of that key and codes, and nothing else.
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Sense {
        Sense { key, asc, ascq, information: None, key_specific: None, deferred: false }
    }

    /// Something happened to the unit; the command that was told of it may be sent again.
    pub const fn is_unit_attention(&self) -> bool {
        matches!(self.key, SenseKey::UnitAttention)
    }

    /// REPORTED LUNS DATA HAS CHANGED: ask for the list of units again.
    pub const fn reported_luns_changed(&self) -> bool {
        self.has_code(0x3f, 0x0e)
    }

    /// CAPACITY DATA HAS CHANGED: ask for the capacity again.
    pub const fn capacity_changed(&self) -> bool {
        self.has_code(0x2a, 0x09)
    }

    /// MODE PARAMETERS CHANGED: the write cache or the write protection may be others now.
    pub const fn mode_parameters_changed(&self) -> bool {
        self.has_code(0x2a, 0x01)
    }

    /// INQUIRY DATA HAS CHANGED: ask for the identity again.
    pub const fn inquiry_data_changed(&self) -> bool {
        self.has_code(0x3f, 0x03) || self.has_code(0x3f, 0x05)
    }

    /// The unit is write-protected, for any reason but a lack of space (ASC 27h without 27/07).
    pub const fn write_protected(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect) && self.asc == 0x27 && self.ascq != 0x07
    }

    /// A thinly provisioned unit has no space left.
    pub const fn space_exhausted(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect) && self.has_code(0x27, 0x07)
    }

    /// INVALID COMMAND OPERATION CODE: the unit does not know the command.
    pub const fn invalid_opcode(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && self.has_code(0x20, 0x00)
    }

    /// INVALID FIELD IN CDB, or in the parameter list (26h).
    pub const fn invalid_field(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && (self.has_code(0x24, 0x00) || self.has_code(0x26, 0x00))
    }

    /// LOGICAL UNIT NOT SUPPORTED: there is no such unit (any more).
    pub const fn unit_not_supported(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && self.has_code(0x25, 0x00)
    }

    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const fn out_of_range(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && self.has_code(0x21, 0x00)
    }

    /// What the additional sense code says, for the common ones (SPC-5 annex F).
    pub const fn text(&self) -> Option<&'static str> {
        code_text(self.asc, self.ascq)
    }

    const fn has_code(&self, asc: u8, ascq: u8) -> bool {
        self.asc == asc && self.ascq == ascq
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sense { key, asc, ascq, .. } = *self;
        write!(f, "{}", key.name())?;
        if let Some(text) = self.text() {
            write!(f, ", {text}")?;
        }
        write!(f, " ({:x}/{asc:02x}/{ascq:02x})", key as u8)?;
        if let Some(information) = self.information {
            write!(f, ", information {information:#x}")?;
        }
        Ok(())
    }
}

/// The sense data in the data segment of a SCSI Response: SenseLength, then as many bytes
/// (RFC 7143 §11.4.7.2). A length past the end of the segment is cut; `None` if there are none.
pub fn sense_of_response(segment: &[u8]) -> Option<&[u8]> {
    let length = be16(segment, 0)?;
    let sense = at_most(segment.get(2..)?, usize::from(length));
    (!sense.is_empty()).then_some(sense)
}

fn fixed(data: &[u8], deferred: bool) -> Option<Sense> {
    let key = SenseKey::from_code(*data.get(2)?);
    // Some targets leave ADDITIONAL SENSE LENGTH at 0 although more follows, hence it is not asked
    // for the codes; what did not arrive reads as 0.
    let valid = data.first().is_some_and(|byte| byte & 0x80 != 0);
    let information = if valid { be32(data, 3).map(u64::from) } else { None };
    Some(Sense {
        key,
        asc: data.get(12).copied().unwrap_or(0),
        ascq: data.get(13).copied().unwrap_or(0),
        information,
        key_specific: key_specific(data, 15),
        deferred,
    })
}

fn descriptors(data: &[u8], deferred: bool) -> Option<Sense> {
    let key = SenseKey::from_code(*data.get(1)?);
    let mut sense = Sense::new(key, data.get(2).copied().unwrap_or(0), data.get(3).copied().unwrap_or(0));
    sense.deferred = deferred;
    let length = usize::from(data.get(7).copied().unwrap_or(0));
    let mut rest = at_most(data.get(8..).unwrap_or(&[]), length);
    while let Some(&[kind, length]) = rest.first_chunk::<2>() {
        let (descriptor, after) = match rest.split_at_checked(2 + usize::from(length)) {
            Some(cut) => cut,
            None => (rest, [].as_slice()),
        };
        match kind {
            // Information (SPC-5 §4.4.3.2.2): VALID, then eight bytes.
            0x00 if descriptor.get(2).is_some_and(|byte| byte & 0x80 != 0) => {
                sense.information = be64(descriptor, 4);
            }
            // Sense-key specific (SPC-5 §4.4.3.2.4).
            0x02 => sense.key_specific = key_specific(descriptor, 4),
            _ => {}
        }
        rest = after;
    }
    Some(sense)
}

/// The three bytes at `at`, if their SKSV bit says they are valid.
fn key_specific(data: &[u8], at: usize) -> Option<[u8; 3]> {
    super::bytes::<3>(data, at).filter(|[first, ..]| first & 0x80 != 0)
}

const fn code_text(asc: u8, ascq: u8) -> Option<&'static str> {
    Some(match (asc, ascq) {
        (0x04, 0x00) => "the unit is not ready",
        (0x04, 0x01) => "the unit is becoming ready",
        (0x04, 0x02) => "the unit needs to be started",
        (0x04, 0x03) => "the unit needs manual intervention",
        (0x04, 0x04) => "the unit is being formatted",
        (0x04, 0x0a) => "the path is changing its state",
        (0x04, 0x0b) => "the path is in standby",
        (0x04, 0x0c) => "the path is unavailable",
        (0x08, _) => "the unit does not communicate",
        (0x0c, _) => "write error",
        (0x11, _) => "unrecovered read error",
        (0x1a, 0x00) => "wrong parameter list length",
        (0x1d, 0x00) => "miscompare during verify",
        (0x20, 0x00) => "unknown operation code",
        (0x21, 0x00) => "block address out of range",
        (0x24, 0x00) => "invalid field in the CDB",
        (0x25, 0x00) => "there is no such unit",
        (0x26, 0x00) => "invalid field in the parameter list",
        (0x27, 0x07) => "no space left",
        (0x27, _) => "write-protected",
        (0x28, 0x00) => "the medium may have changed",
        (0x29, 0x07) => "the session was lost and found again",
        (0x29, _) => "power on, reset, or bus device reset",
        (0x2a, 0x01) => "mode parameters changed",
        (0x2a, 0x03) => "reservations preempted",
        (0x2a, 0x04) => "reservations released",
        (0x2a, 0x06) => "asymmetric access state changed",
        (0x2a, 0x09) => "capacity changed",
        (0x2c, 0x00) => "commands in the wrong order",
        (0x2f, _) => "commands cleared by another initiator",
        (0x31, _) => "the medium's format is corrupted",
        (0x38, 0x07) => "thin provisioning threshold reached",
        (0x39, 0x00) => "saving parameters is not supported",
        (0x3a, _) => "no medium",
        (0x3e, 0x01) => "the unit has failed",
        (0x3f, 0x01) => "microcode changed",
        (0x3f, 0x03) => "identity changed",
        (0x3f, 0x0e) => "the list of units changed",
        (0x44, _) => "internal target failure",
        (0x47, _) => "data were damaged on the way",
        (0x49, 0x00) => "invalid message",
        (0x4b, _) => "wrong amount of data",
        (0x4e, 0x00) => "overlapping commands",
        (0x55, 0x03) => "not enough resources",
        (0x5d, _) => "the unit expects to fail",
        (0x74, _) => "a security error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::super::tests::every_prefix;
    use super::*;

    /// LIO, a READ past the end of the unit.
    const LIO_OUT_OF_RANGE: [u8; 18] = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0];
    /// tgt, the first command after a login.
    const TGT_POWER_ON: [u8; 18] = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0];
    /// A descriptor-format medium error at LBA 0x1_2345_6789 with a field pointer.
    const DESCRIPTORS: [u8; 28] =
        [0x72, 3, 0x11, 0, 0, 0, 0, 20, 0, 10, 0x80, 0, 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x89, 2, 6, 0, 0, 0xc0, 0, 7, 0];

    // check: status-sense
    #[test]
    fn fixed_format_is_read() {
        let sense = Sense::parse(&LIO_OUT_OF_RANGE).unwrap();
        assert!(sense.out_of_range());
        assert_eq!(sense.to_string(), "illegal request, block address out of range (5/21/00)");
        let sense = Sense::parse(&TGT_POWER_ON).unwrap();
        assert!(sense.is_unit_attention() && !sense.capacity_changed() && !sense.deferred);
    }

    #[test]
    fn the_information_of_a_fixed_format_counts_only_when_valid() {
        let mut data = LIO_OUT_OF_RANGE;
        data[3..7].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(Sense::parse(&data).unwrap().information, None);
        data[0] |= 0x80;
        assert_eq!(Sense::parse(&data).unwrap().information, Some(0x0102_0304));
    }

    // check: status-sense
    #[test]
    fn descriptor_format_is_read() {
        let sense = Sense::parse(&DESCRIPTORS).unwrap();
        assert_eq!((sense.key, sense.asc, sense.ascq), (SenseKey::MediumError, 0x11, 0));
        assert_eq!(sense.information, Some(0x1_2345_6789));
        assert_eq!(sense.key_specific, Some([0xc0, 0, 7]));
    }

    #[test]
    fn deferred_errors_are_told_apart() {
        for (code, deferred) in [(0x70, false), (0x71, true), (0x72, false), (0x73, true)] {
            let data = [code, 3, 3, 0];
            assert_eq!(Sense::parse(&data).unwrap().deferred, deferred, "{code:#x}");
        }
        assert_eq!(Sense::parse(&[0x7f, 0, 0, 0]), None);
    }

    // check: status-sense-bounds
    #[test]
    fn truncation_leaves_what_arrived() {
        every_prefix(&LIO_OUT_OF_RANGE, Sense::parse);
        every_prefix(&DESCRIPTORS, Sense::parse);
        let sense = Sense::parse(&LIO_OUT_OF_RANGE[..8]).unwrap();
        assert_eq!((sense.key, sense.asc), (SenseKey::IllegalRequest, 0));
        assert_eq!(Sense::parse(&DESCRIPTORS[..15]).unwrap().information, None);
        assert_eq!(Sense::parse(&[0x70, 0]), None);
    }

    // check: status-sense-bounds
    #[test]
    fn a_descriptor_length_past_the_end_ends_the_walk() {
        let mut data = DESCRIPTORS;
        data[9] = 0xff;
        assert_eq!(Sense::parse(&data).unwrap().information, Some(0x1_2345_6789));
    }

    #[test]
    fn the_conditions_that_want_an_action_are_recognised() {
        let sense = |key, asc, ascq| Sense::new(SenseKey::from_code(key), asc, ascq);
        assert!(sense(6, 0x3f, 0x0e).reported_luns_changed());
        assert!(sense(6, 0x2a, 0x09).capacity_changed());
        assert!(sense(6, 0x3f, 0x03).inquiry_data_changed());
        assert!(sense(6, 0x2a, 0x01).mode_parameters_changed() && !sense(6, 0x2a, 0x09).mode_parameters_changed());
        assert!(sense(7, 0x27, 0x00).write_protected() && !sense(7, 0x27, 0x00).space_exhausted());
        assert!(sense(7, 0x27, 0x07).space_exhausted() && !sense(7, 0x27, 0x07).write_protected());
        assert!(sense(5, 0x20, 0x00).invalid_opcode() && sense(5, 0x24, 0x00).invalid_field());
        assert!(sense(5, 0x25, 0x00).unit_not_supported());
    }

    // check: status-sense-bounds
    #[test]
    fn the_segment_of_a_response_says_how_long_the_sense_is() {
        assert_eq!(sense_of_response(&[0, 2, 0x70, 0, 9, 9]), Some([0x70, 0].as_slice()));
        assert_eq!(sense_of_response(&[0, 18, 0x70, 0, 5]), Some([0x70, 0, 5].as_slice()), "cut");
        for none in [[].as_slice(), &[0], &[0, 0, 1], &[0, 9]] {
            assert_eq!(sense_of_response(none), None, "{none:?}");
        }
    }

    #[test]
    fn all_sixteen_keys_have_a_name() {
        for code in 0..16 {
            assert_eq!(SenseKey::from_code(code) as u8, code);
            assert!(!SenseKey::from_code(code).name().is_empty());
        }
    }
}
