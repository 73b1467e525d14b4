//! What we are configured to offer: the values of the negotiable keys, typed.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::codec::number;
use super::table::{Key, KeyRow, Rule, TABLE, lookup};

/// Which digests to offer, in order of preference (RFC 7143 §13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestOffer {
    /// `None`: no digest.
    #[default]
    None,
    /// `CRC32C`: a target without digests is not for us.
    Crc32c,
    /// `None,CRC32C`: only if the target insists.
    NoneOrCrc32c,
    /// `CRC32C,None`: if the target can.
    Crc32cOrNone,
}

impl DigestOffer {
    const ALL: [DigestOffer; 4] =
        [DigestOffer::None, DigestOffer::Crc32c, DigestOffer::NoneOrCrc32c, DigestOffer::Crc32cOrNone];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            DigestOffer::None => "None",
            DigestOffer::Crc32c => "CRC32C",
            DigestOffer::NoneOrCrc32c => "None,CRC32C",
            DigestOffer::Crc32cOrNone => "CRC32C,None",
        }
    }

    /// Whether a connection with (`true`) or without a digest is among the offered.
    pub const fn includes(self, digest: bool) -> bool {
        match self {
            DigestOffer::None => !digest,
            DigestOffer::Crc32c => digest,
            DigestOffer::NoneOrCrc32c | DigestOffer::Crc32cOrNone => true,
        }
    }
}

/// What to offer, and what to declare. Lengths in bytes, times in seconds.
///
/// [`Offer::default`] is made for speed: data leaves with the command, bursts are long, several R2Ts
/// may be outstanding. [`Offer::set`] keeps every value in its key's range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// HeaderDigest.
    pub header_digest: DigestOffer,
    /// DataDigest.
    pub data_digest: DigestOffer,
    /// MaxConnections, at least 1.
    pub max_connections: u16,
    /// InitialR2T.
    pub initial_r2t: bool,
    /// ImmediateData.
    pub immediate_data: bool,
    /// MaxRecvDataSegmentLength that we declare, 512 to 2^24-1.
    pub max_recv_data_segment_length: u32,
    /// MaxBurstLength, 512 to 2^24-1.
    pub max_burst_length: u32,
    /// FirstBurstLength, 512 to 2^24-1; what is sent is at most `max_burst_length`.
    pub first_burst_length: u32,
    /// DefaultTime2Wait, up to 3600.
    pub default_time2wait: u16,
    /// DefaultTime2Retain, up to 3600.
    pub default_time2retain: u16,
    /// MaxOutstandingR2T, at least 1.
    pub max_outstanding_r2t: u16,
    /// DataPDUInOrder.
    pub data_pdu_in_order: bool,
    /// DataSequenceInOrder.
    pub data_sequence_in_order: bool,
    /// ErrorRecoveryLevel, 0 to 2.
    pub error_recovery_level: u8,
}

impl Default for Offer {
    fn default() -> Offer {
        Offer {
            header_digest: DigestOffer::None,
            data_digest: DigestOffer::None,
            max_connections: 1,
            initial_r2t: false,
            immediate_data: true,
            max_recv_data_segment_length: 262_144,
            max_burst_length: 1 << 20,
            first_burst_length: 262_144,
            default_time2wait: 2,
            default_time2retain: 20,
            max_outstanding_r2t: 16,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            error_recovery_level: 0,
        }
    }
}

/// A value of a negotiable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Digests(DigestOffer),
    Flag(bool),
    Number(u32),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Digests(digests) => f.write_str(digests.as_str()),
            Value::Flag(true) => f.write_str("Yes"),
            Value::Flag(false) => f.write_str("No"),
            Value::Number(n) => write!(f, "{n}"),
        }
    }
}

/// The keys of an offer and the fields they stand for; everything else here walks over it.
macro_rules! offered {
    ($($key:ident $field:ident $kind:ident;)*) => {
        impl Offer {
            /// The value to offer for `key`; `None` for a key that is never offered.
            pub(crate) fn value(&self, key: Key) -> Option<Value> {
                match key {
                    $( Key::$key => Some(offered!(@get $kind self.$field)), )*
                    _ => None,
                }
            }

            /// Stores a checked value; `None` for a key that is never offered, or a value of another kind.
            fn put(&mut self, key: Key, value: Value) -> Option<()> {
                match (key, value) {
                    $( (Key::$key, offered!(@pattern $kind value)) => self.$field = offered!(@put $kind value), )*
                    _ => return None,
                }
                Some(())
            }
        }
    };
    (@get digests $field:expr) => { Value::Digests($field) };
    (@get flag $field:expr) => { Value::Flag($field) };
    (@get number $field:expr) => { Value::Number($field.into()) };
    (@pattern digests $value:ident) => { Value::Digests($value) };
    (@pattern flag $value:ident) => { Value::Flag($value) };
    (@pattern number $value:ident) => { Value::Number($value) };
    (@put number $value:ident) => { $value.try_into().ok()? };
    (@put $kind:ident $value:ident) => { $value };
}

offered! {
    HeaderDigest header_digest digests;
    DataDigest data_digest digests;
    MaxConnections max_connections number;
    InitialR2T initial_r2t flag;
    ImmediateData immediate_data flag;
    MaxRecvDataSegmentLength max_recv_data_segment_length number;
    MaxBurstLength max_burst_length number;
    FirstBurstLength first_burst_length number;
    DefaultTime2Wait default_time2wait number;
    DefaultTime2Retain default_time2retain number;
    MaxOutstandingR2T max_outstanding_r2t number;
    DataPDUInOrder data_pdu_in_order flag;
    DataSequenceInOrder data_sequence_in_order flag;
    ErrorRecoveryLevel error_recovery_level number;
}

impl Offer {
    /// Sets the value to offer for a key, both as the standard writes them; the names of digests, `Yes`
    /// and `No` are taken in any case.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong and what would be right; nothing has changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), KeyError> {
        let fail = |problem| KeyError { key: key.to_string(), value: value.to_string(), problem };
        let row = lookup(key).ok_or_else(|| fail(KeyProblem::Unknown))?;
        if self.value(row.key).is_none() {
            return Err(fail(KeyProblem::NotOffered));
        }
        let value = check(row, value).map_err(fail)?;
        self.put(row.key, value).ok_or_else(|| fail(KeyProblem::NotOffered))
    }

    /// All keys and their values, as the standard writes them and in its order.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let entry = |row: &KeyRow| Some((row.name, self.value(row.key)?.to_string()));
        TABLE.iter().filter_map(entry).collect()
    }
}

fn check(row: &KeyRow, value: &str) -> Result<Value, KeyProblem> {
    match row.rule {
        Rule::List(_) => {
            let digests = DigestOffer::ALL.into_iter().find(|d| d.as_str().eq_ignore_ascii_case(value));
            digests.map(Value::Digests).ok_or(KeyProblem::Digest)
        }
        Rule::And | Rule::Or if value.eq_ignore_ascii_case("Yes") => Ok(Value::Flag(true)),
        Rule::And | Rule::Or if value.eq_ignore_ascii_case("No") => Ok(Value::Flag(false)),
        Rule::And | Rule::Or => Err(KeyProblem::Flag),
        Rule::DeclareNumber { min, max } | Rule::Minimum { min, max } | Rule::Maximum { min, max } => number(value)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (min..=max).contains(n))
            .map(Value::Number)
            .ok_or(KeyProblem::Range { min, max }),
        Rule::DeclareText | Rule::Obsolete(_) | Rule::Private | Rule::Security => Err(KeyProblem::NotOffered),
    }
}

/// Why a key cannot be set to a value; displays as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    key: String,
    value: String,
    problem: KeyProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyProblem {
    Unknown,
    NotOffered,
    Digest,
    Flag,
    Range { min: u32, max: u32 },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyError { key, value, problem } = self;
        let (key, value) = (key.escape_debug(), value.escape_debug());
        match problem {
            KeyProblem::Unknown => {
                write!(f, "there is no key '{key}', write one of RFC 7143 §13 with its capitals, like MaxBurstLength")
            }
            KeyProblem::NotOffered => {
                write!(f, "key '{key}' is not for configuration: the initiator itself decides what to say of it")
            }
            KeyProblem::Digest => {
                write!(f, "'{value}' is not a value of {key}, use None, CRC32C, CRC32C,None or None,CRC32C")
            }
            KeyProblem::Flag => write!(f, "'{value}' is not a value of {key}, use Yes or No"),
            KeyProblem::Range { min, max } => {
                write!(f, "'{value}' is not a value of {key}, use a number from {min} to {max}")
            }
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_stand_in_the_standards_order_and_can_be_set_again() {
        let offer = Offer::default();
        let names: Vec<_> = offer.entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "HeaderDigest",
                "DataDigest",
                "MaxConnections",
                "InitialR2T",
                "ImmediateData",
                "MaxRecvDataSegmentLength",
                "MaxBurstLength",
                "FirstBurstLength",
                "DefaultTime2Wait",
                "DefaultTime2Retain",
                "MaxOutstandingR2T",
                "DataPDUInOrder",
                "DataSequenceInOrder",
                "ErrorRecoveryLevel",
            ]
        );
        let mut again = offer.clone();
        for (key, value) in offer.entries() {
            assert_eq!(again.set(key, &value), Ok(()), "{key}={value}");
        }
        assert_eq!(again, offer);
    }

    #[test]
    fn each_key_takes_what_its_row_allows() {
        let mut offer = Offer::default();
        for (key, value, shown) in [
            ("HeaderDigest", "CRC32C,None", "CRC32C,None"),
            ("DataDigest", "crc32c", "CRC32C"),
            ("InitialR2T", "yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("MaxRecvDataSegmentLength", "0x1000", "4096"),
            ("MaxRecvDataSegmentLength", "512", "512"),
            ("MaxBurstLength", "16777215", "16777215"),
            ("DefaultTime2Wait", "0", "0"),
            ("ErrorRecoveryLevel", "2", "2"),
            ("MaxConnections", "65535", "65535"),
        ] {
            assert_eq!(offer.set(key, value), Ok(()));
            assert!(offer.entries().contains(&(key, shown.to_string())), "{key}={value}");
        }
    }

    #[test]
    fn what_a_row_does_not_allow_is_told_and_changes_nothing() {
        let mut offer = Offer::default();
        for (key, value, says) in [
            ("Foo", "1", "there is no key 'Foo'"),
            ("maxburstlength", "512", "with its capitals"),
            ("TargetName", "x", "not for configuration"),
            ("AuthMethod", "None", "not for configuration"),
            ("IFMarker", "Yes", "not for configuration"),
            ("X-mine", "1", "not for configuration"),
            ("HeaderDigest", "MD5", "use None, CRC32C"),
            ("HeaderDigest", "None,None", "use None, CRC32C"),
            ("InitialR2T", "1", "use Yes or No"),
            ("MaxRecvDataSegmentLength", "511", "from 512 to 16777215"),
            ("MaxRecvDataSegmentLength", "16777216", "from 512 to 16777215"),
            ("MaxRecvDataSegmentLength", "4294967808", "from 512 to 16777215"),
            ("MaxBurstLength", "lots", "from 512 to 16777215"),
            ("MaxOutstandingR2T", "0", "from 1 to 65535"),
            ("ErrorRecoveryLevel", "3", "from 0 to 2"),
            ("DefaultTime2Retain", "3601", "from 0 to 3600"),
        ] {
            let error = offer.set(key, value).expect_err(key).to_string();
            assert!(error.contains(says), "{key}={value}: {error}");
        }
        assert_eq!(offer, Offer::default());
    }
}
