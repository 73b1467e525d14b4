//! Values of keys, read from the text of a file or a command line.

use alloc::string::{String, ToString};
use core::fmt;

use super::codec::number;
use super::table::{Key, KeyRow, Offer, Rule, lookup};
use super::value::{DigestOffer, Value};

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
        check(row, text).map_err(|problem| fail(only(row).map_or(problem, KeyProblem::Only)))
    }
}

/// The only value of a key that has an effect; `None` where there are more.
fn only(row: &KeyRow) -> Option<Value> {
    row.offered?.only?;
    Offer::default().value(row.key)
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
    Range {
        min: u32,
        max: u32,
    },
    /// The key has values that we do not do anything for: the one that is left.
    Only(Value),
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
            KeyProblem::Only(left) => {
                write!(f, "'{value}' is not a value of {key}, use {left}, the only one that has an effect")
            }
            KeyProblem::Range { min, max } => {
                write!(f, "'{value}' is not a value of {key}, use a number from {min} to {max}")
            }
        }
    }
}

impl core::error::Error for KeyError {}
