//! The values that keys are offered with.

use core::fmt;

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
    pub(super) const ALL: [DigestOffer; 4] =
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

/// A value of a key that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Of HeaderDigest and DataDigest.
    Digests(DigestOffer),
    /// Yes or No.
    Flag(bool),
    /// A number, in the key's unit and range.
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

impl From<DigestOffer> for Value {
    fn from(digests: DigestOffer) -> Value {
        Value::Digests(digests)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl TryFrom<Value> for DigestOffer {
    type Error = OtherKind;

    fn try_from(value: Value) -> Result<DigestOffer, OtherKind> {
        match value {
            Value::Digests(digests) => Ok(digests),
            _ => Err(OtherKind),
        }
    }
}

impl TryFrom<Value> for bool {
    type Error = OtherKind;

    fn try_from(value: Value) -> Result<bool, OtherKind> {
        match value {
            Value::Flag(flag) => Ok(flag),
            _ => Err(OtherKind),
        }
    }
}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl From<$type> for Value {
            fn from(number: $type) -> Value {
                Value::Number(number.into())
            }
        }

        impl TryFrom<Value> for $type {
            type Error = OtherKind;

            fn try_from(value: Value) -> Result<$type, OtherKind> {
                match value {
                    Value::Number(number) => number.try_into().map_err(|_| OtherKind),
                    _ => Err(OtherKind),
                }
            }
        }
    )* };
}

numbers! { u8 u16 u32 }

/// A [`Value`] is of another kind than the field it was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherKind;

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is of another kind than the key's")
    }
}

impl core::error::Error for OtherKind {}
