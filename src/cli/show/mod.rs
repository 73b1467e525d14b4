//! Answers for people (tables), and for programs (property lists and JSON).
//!
//! What targets and daemons send is never trusted to be harmless: no control character of theirs
//! reaches a terminal.

mod table;
mod tree;

use self::tree::Content;
use super::args::Format;
use crate::ipc::{Failure, Reply};
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

/// A text from elsewhere, fit for a terminal: control characters, and those that turn the direction
/// of writing, are escaped as Rust does.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// C0, DEL, C1; and the bidirectional controls, which make a text look like another one.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
