//! A sentence in a fixed number of bytes: for reasons, where nothing may be allocated.

use core::fmt;

/// Bytes of room.
pub(crate) const LEN: usize = 160;

/// Text, cut at a character's border where it does not fit.
pub(crate) struct Sentence {
    bytes: [u8; LEN],
    len: usize,
}

impl Sentence {
    pub(crate) const fn new() -> Sentence {
        Sentence { bytes: [0; LEN], len: 0 }
    }

    /// What that displays as.
    pub(crate) fn of(what: impl fmt::Display) -> Sentence {
        let mut sentence = Sentence::new();
        // It only fails where it is cut.
        let _cut = fmt::write(&mut sentence, format_args!("{what}"));
        sentence
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl fmt::Write for Sentence {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let Some(room) = self.bytes.get_mut(self.len..).filter(|room| room.len() >= c.len_utf8()) else {
                return Err(fmt::Error);
            };
            self.len += c.encode_utf8(room).len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_is_too_long_is_cut_at_a_character() {
        let sentence = Sentence::of("ä".repeat(LEN));
        assert_eq!(core::str::from_utf8(sentence.bytes()).map(str::len), Ok(LEN));
        let odd = Sentence::of(format!("a{}", "ä".repeat(LEN)));
        assert_eq!(core::str::from_utf8(odd.bytes()).map(str::len), Ok(LEN - 1));
    }
}
