//! `key=value` pairs on the wire, each ended by a zero byte (RFC 7143 §6.1).
//!
//! The zero byte of the last pair may be missing: the length of the PDU ends it as well, and there are targets that leave it out.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::table::lookup;
use crate::error::PeerMisbehaved;

/// The longest key, in bytes (§6.1).
pub const MAX_KEY: usize = 63;

/// The longest value of a key that is not in the table, in bytes (§6.1).
const MAX_VALUE: usize = 255;

/// The longest text of a login, put together from all its PDUs of a run of C bits, in bytes.
pub const MAX_TEXT: usize = 16_384;

/// The most keys a peer may send in a login.
pub const MAX_KEYS: usize = 128;

/// One pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Its key, 1 to [`MAX_KEY`] bytes.
    pub key: &'a str,
    /// Its value, without control characters.
    pub value: &'a str,
}

/// One pair whose key and value may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPair<'a> {
    /// What stands before the first `=`.
    pub raw_key: &'a [u8],
    /// What stands behind it, without zero bytes.
    pub raw: &'a [u8],
}

impl<'a> RawPair<'a> {
    /// The key, if it is one: 1 to [`MAX_KEY`] bytes.
    ///
    /// # Errors
    /// It is too long, or of a wrong form.
    pub fn key(&self) -> Result<&'a str, PeerMisbehaved> {
        const WRONG: PeerMisbehaved =
            PeerMisbehaved::Rule("a text key of a wrong form, or longer than 63 bytes (RFC 7143 §6.1)");
        let key = str::from_utf8(self.raw_key).map_err(|_| WRONG)?;
        let named = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+' | b'@' | b'_' | b'#');
        match key.len() <= MAX_KEY && key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(named) {
            true => Ok(key),
            false => Err(WRONG),
        }
    }

    /// The value, if it is one of `key`.
    ///
    /// # Errors
    /// It is not UTF-8, too long for its key, or has control characters.
    pub fn value_of(&self, key: &str) -> Result<&'a str, PeerMisbehaved> {
        let wrong = |wrong| PeerMisbehaved::key(key, wrong);
        let value = str::from_utf8(self.raw).map_err(|_| wrong("its value is not UTF-8 (RFC 7143 §6.1)"))?;
        if value.len() > lookup(key).map_or(MAX_VALUE, |row| row.max_value) {
            return Err(wrong("its value is too long (RFC 7143 §6.1)"));
        }
        if value.contains(char::is_control) {
            return Err(wrong("its value has a control character (RFC 7143 §6.1)"));
        }
        Ok(value)
    }
}

/// Whether a complete text ends as it should: with the zero byte of its last pair.
pub fn is_terminated(text: &[u8]) -> bool {
    matches!(text, [] | [.., 0])
}

/// Reads the pairs of a complete text and leaves keys and values as they are, for a text of which one bad pair does not spoil
/// the rest. What is no pair ends it.
#[derive(Debug, Clone)]
pub struct RawReader<'a> {
    rest: &'a [u8],
}

impl<'a> RawReader<'a> {
    /// Reads `text`, put together where C bits had split it.
    pub const fn new(text: &'a [u8]) -> RawReader<'a> {
        RawReader { rest: text }
    }
}

impl<'a> Iterator for RawReader<'a> {
    type Item = Result<RawPair<'a>, PeerMisbehaved>;

    fn next(&mut self) -> Option<Self::Item> {
        // Zero bytes between pairs mean nothing; there are targets that count padding as text.
        while let Some(rest) = self.rest.strip_prefix(&[0]) {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut halves = self.rest.splitn(2, |&byte| byte == 0);
        let (pair, rest) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        let (Some(raw_key), Some(raw)) = (halves.next(), halves.next()) else {
            self.rest = &[];
            return Some(Err(PeerMisbehaved::Rule("a text without '=' (RFC 7143 §6.1)")));
        };
        self.rest = rest;
        Some(Ok(RawPair { raw_key, raw }))
    }
}

/// Reads the pairs of a complete text. The first error ends it.
#[derive(Debug, Clone)]
pub struct TextReader<'a>(RawReader<'a>);

impl<'a> TextReader<'a> {
    /// Reads `text`, put together where C bits had split it.
    pub const fn new(text: &'a [u8]) -> TextReader<'a> {
        TextReader(RawReader::new(text))
    }
}

impl<'a> Iterator for TextReader<'a> {
    type Item = Result<Pair<'a>, PeerMisbehaved>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.0.next()?.and_then(|raw| {
            let key = raw.key()?;
            Ok(Pair { key, value: raw.value_of(key)? })
        });
        if pair.is_err() {
            self.0.rest = &[];
        }
        Some(pair)
    }
}

/// The keys that a peer has sent in a login: none may come twice, and no more than [`MAX_KEYS`].
#[derive(Debug, Clone, Default)]
pub struct SeenKeys(BTreeSet<String>);

impl SeenKeys {
    /// Notes a key.
    ///
    /// # Errors
    /// It has come before (RFC 7143 §6.2), or there are too many.
    pub fn note(&mut self, key: &str) -> Result<(), PeerMisbehaved> {
        if self.0.len() >= MAX_KEYS {
            return Err(PeerMisbehaved::Rule("too many text keys in one login"));
        }
        match self.0.insert(key.to_string()) {
            true => Ok(()),
            false => Err(PeerMisbehaved::key(key, "it was sent twice (RFC 7143 §6.2)")),
        }
    }
}

/// Writes pairs.
#[derive(Debug, Clone, Default)]
pub struct TextWriter(Vec<u8>);

impl TextWriter {
    /// Nothing yet.
    pub const fn new() -> TextWriter {
        TextWriter(Vec::new())
    }

    /// Appends `key=value` and the zero byte. Control characters of `value` are left out, so that no
    /// value can smuggle in another key.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        let value = value.to_string();
        self.0.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
        self.0.push(0);
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A numerical value: decimal, or hexadecimal after `0x` or `0X` (§6.1). `None` for anything else,
/// signs, spaces and an empty text included, or from 2^64 on.
pub fn number(value: &str) -> Option<u64> {
    let (digits, radix) = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (value, 10),
    };
    match digits.starts_with('+') {
        true => None,
        false => u64::from_str_radix(digits, radix).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn read(text: &[u8]) -> Vec<Result<Pair<'_>, PeerMisbehaved>> {
        TextReader::new(text).collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut text = TextWriter::new();
        text.push("TargetAlias", "größe = 3");
        text.push("X-com.example.Empty", "");
        text.push("MaxBurstLength", 4096);
        assert_eq!(
            read(&text.into_bytes()),
            [
                Ok(Pair { key: "TargetAlias", value: "größe = 3" }),
                Ok(Pair { key: "X-com.example.Empty", value: "" }),
                Ok(Pair { key: "MaxBurstLength", value: "4096" }),
            ]
        );
    }

    // check: text-no-smuggling
    #[test]
    fn a_value_of_ours_cannot_smuggle_in_a_key() {
        let mut text = TextWriter::new();
        text.push("InitiatorAlias", "a\0AuthMethod=None\n");
        assert_eq!(text.into_bytes(), b"InitiatorAlias=aAuthMethod=None\0");
    }

    #[test]
    fn zero_bytes_between_and_after_pairs_mean_nothing() {
        assert_eq!(read(b"\0A=1\0\0\0B=2\0\0").len(), 2);
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\0\0\0"), []);
    }

    // check: text-last-zero
    #[test]
    fn the_length_of_a_text_ends_it_as_the_last_zero_byte_does() {
        for (text, pairs) in [(&b"A=1\0B=2"[..], 2), (b"TargetAlias=x", 1), (b"A=1\0\0\0B=", 2)] {
            assert!(!is_terminated(text));
            let with_it = [text, &[0]].concat();
            assert!(is_terminated(&with_it));
            assert_eq!(read(text).iter().filter(|pair| pair.is_ok()).count(), pairs);
            assert_eq!(read(text), read(&with_it));
        }
        assert!(is_terminated(b"") && is_terminated(b"\0"));
    }

    // check: text-key-form, text-value-length, text-characters
    #[test]
    fn a_malformed_text_is_an_error_and_ends_the_reading() {
        let long_key = format!("{}=1\0", "K".repeat(MAX_KEY + 1));
        let long_value = format!("TargetAlias={}\0", "v".repeat(256));
        let long_challenge = format!("CHAP_C=0x{}\0", "0".repeat(2049));
        for text in [
            b"TargetAlias\0".as_slice(),
            b"TargetAlias",
            b"=x\0",
            b"Target\xffAlias=x\0",
            b"Target Alias=x\0",
            b"1Key=x\0",
            b"TargetAlias=\xff\xfe\0",
            b"TargetAlias=a\nb\0",
            "TargetAlias=a\u{85}b\0".as_bytes(),
            long_key.as_bytes(),
            long_value.as_bytes(),
            long_challenge.as_bytes(),
        ] {
            let mut followed = text.to_vec();
            followed.extend_from_slice(if text.ends_with(b"\0") { b"Next=1\0" } else { b"" });
            let got = read(&followed);
            assert!(matches!(got.as_slice(), [Err(_)]), "{:?}", text.escape_ascii());
        }
    }

    // check: text-key-form, text-value-length
    #[test]
    fn keys_of_63_and_values_of_255_bytes_are_the_longest_but_for_chap() {
        let key = format!("{}={}\0", "K".repeat(MAX_KEY), "v".repeat(255));
        let challenge = format!("CHAP_C=0x{}\0", "0".repeat(2048));
        for text in [key, challenge] {
            assert!(read(text.as_bytes()).iter().all(Result::is_ok));
        }
    }

    // check: text-total, login-key-twice
    #[test]
    fn a_key_may_come_once_and_their_number_is_bounded() {
        let mut seen = SeenKeys::default();
        assert_eq!(seen.note("A"), Ok(()));
        assert!(seen.note("A").is_err());
        let accepted = (0..1000).filter(|n| seen.note(&format!("K{n}")).is_ok()).count();
        assert_eq!(accepted, MAX_KEYS - 1);
    }

    // check: text-numbers
    #[test]
    fn numbers_are_decimal_or_hexadecimal_and_nothing_else() {
        for (text, value) in [("0", 0), ("0x1000", 4096), ("0XfF", 255), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(text), Some(value));
        }
        for text in vec!["", "-1", "+1", " 1", "1 ", "0x", "0x+1", "1k", "18446744073709551616", "0b1", "1~2"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
