//! The values that keys are offered with, read from the text of a file or a command line.

use alloc::string::{String, ToString};
use core::fmt;

use super::codec::number;
use super::table::{Key, KeyRow, Rule, lookup};

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

impl Key {
    /// The key called `name`, in the standard's spelling, if it can be configured.
    ///
    /// # Errors
    /// [`KeyError`]: there is no such key, or it is not for configuration.
    pub fn configurable(name: &str) -> Result<Key, KeyError> {
        let fail = |problem| KeyError { key: name.to_string(), value: String::new(), problem };
        let row = lookup(name).ok_or_else(|| fail(KeyProblem::Unknown))?;
        row.offered.map(|_| row.key).ok_or_else(|| fail(KeyProblem::NotOffered))
    }
}

impl Value {
    /// A value for `key`, as the standard writes it; the names of digests, `Yes` and `No` are taken in any case.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong and what would be right.
    pub fn parse(key: Key, text: &str) -> Result<Value, KeyError> {
        let fail = |problem| KeyError { key: key.name().to_string(), value: text.to_string(), problem };
        let row = key.row().filter(|row| row.offered.is_some()).ok_or_else(|| fail(KeyProblem::NotOffered))?;
        check(row, text).map_err(fail)
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

impl KeyError {
    pub(super) fn not_offered(key: Key) -> KeyError {
        KeyError { key: key.name().to_string(), value: String::new(), problem: KeyProblem::NotOffered }
    }
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
