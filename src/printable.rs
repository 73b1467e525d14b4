//! Texts from elsewhere, made fit for terminals and logs.
//!
//! ```text
//!   "disk\u{1b}[2J"  ── clean ──►  "disk\\u{1b}[2J"       it shows what it is, and does nothing
//! ```
//! What targets, clients and files say is never trusted to be harmless: a control character in it could
//! rewrite a terminal, a line feed could forge a line of a log, and the bidirectional controls make a
//! text look like another one.

use std::fmt::Display;
use std::io::{Write, stderr};

/// The text with every harmful character escaped as Rust does.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A line on standard error. Where nobody can take it, as on a full disk or after the reader has gone, nobody hears it: that is
/// no reason to end otherwise than is to be said.
pub(crate) fn complain(line: impl Display) {
    drop(writeln!(stderr(), "{line}"));
}

/// C0, DEL, C1; the line and paragraph separators; and the bidirectional controls.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_the_rest_stays() {
        assert_eq!(clean("größe \u{1b}[2J\r\n\u{7f}\u{9b}\u{202e}\u{2028}€"), {
            "größe \\u{1b}[2J\\u{d}\\u{a}\\u{7f}\\u{9b}\\u{202e}\\u{2028}€"
        });
    }
}
