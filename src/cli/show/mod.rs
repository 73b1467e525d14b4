//! Answers for people (tables), and for programs (property lists and JSON).
//!
//! What targets and daemons send is never trusted to be harmless: no control character of theirs
//! reaches a terminal.

mod table;
mod tree;

use self::tree::Content;
use super::args::Format;
use crate::doctor::Report;
use crate::ipc::{Failure, Reply};
use crate::printable::{clean, is_harmful};
use crate::selftest::Step;

/// A reply as it is printed.
///
/// # Errors
/// Only a bug: a reply that cannot be written in that format.
pub(super) fn reply(reply: &Reply, format: Format) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(table::reply(reply)),
        Format::Plist => tree::plist(&Content::from(reply)),
        Format::Json => tree::json(&Content::from(reply)),
    }
}

/// The steps of the self-test as they are printed once all are done; for people, each has been already.
///
/// # Errors
/// As [`reply`].
pub(super) fn steps(steps: &[Step], format: Format) -> Result<String, Failure> {
    match format {
        Format::Table => Ok("ok: the whole way works on this machine\n".to_owned()),
        Format::Plist => tree::plist(&steps),
        Format::Json => tree::json(&steps),
    }
}

/// What an examination has found.
///
/// # Errors
/// As [`reply`].
pub(super) fn report(report: &Report, format: Format) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(table::report(report)),
        Format::Plist => tree::plist(report),
        Format::Json => tree::json(report),
    }
}

#[cfg(test)]
mod tests;
