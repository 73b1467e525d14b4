//! XDR (RFC 4506): big-endian words, and bytes padded to words.

/// What a message holds that has not been read yet. Every read fails at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// The message ends too early, or says something that it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbage;

impl<'a> Reader<'a> {
    pub(super) fn u32(&mut self) -> Result<u32, Garbage> {
        let (word, rest) = self.0.split_first_chunk().ok_or(Garbage)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Garbage> {
        let (word, rest) = self.0.split_first_chunk().ok_or(Garbage)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*word))
    }

    pub(super) fn bool(&mut self) -> Result<bool, Garbage> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbage),
        }
    }

    /// Opaque data of variable length, `longest` at most.
    pub(super) fn opaque(&mut self, longest: usize) -> Result<&'a [u8], Garbage> {
        let length = self.u32()? as usize;
        if length > longest {
            return Err(Garbage);
        }
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Garbage)?;
        self.0 = rest.get(padding(length)..).ok_or(Garbage)?;
        Ok(bytes)
    }

    /// Something that may be there.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbage>,
    ) -> Result<Option<T>, Garbage> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
}

/// How many bytes follow `length` bytes up to the next word.
pub(super) fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// nfstime3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NfsTime {
    pub(super) seconds: u32,
    pub(super) nanoseconds: u32,
}

/// Appends to a message.
pub(super) trait Write {
    fn u32(&mut self, word: u32);
    fn u64(&mut self, word: u64);
    fn bool(&mut self, truth: bool);
    fn fixed(&mut self, bytes: &[u8]);
    fn opaque(&mut self, bytes: &[u8]);
    fn time(&mut self, time: NfsTime);
}

impl Write for Vec<u8> {
    fn u32(&mut self, word: u32) {
        self.extend_from_slice(&word.to_be_bytes());
    }

    fn u64(&mut self, word: u64) {
        self.extend_from_slice(&word.to_be_bytes());
    }

    fn bool(&mut self, truth: bool) {
        self.u32(truth.into());
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
        self.extend(std::iter::repeat_n(0, padding(bytes.len())));
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.fixed(bytes);
    }

    fn time(&mut self, time: NfsTime) {
        self.u32(time.seconds);
        self.u32(time.nanoseconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_padded_to_words() {
        let mut message = Vec::new();
        message.u32(7);
        message.opaque(b"disk5");
        message.bool(true);
        message.u64(1 << 40);
        assert_eq!(message.len(), 4 + 4 + 8 + 4 + 8);
        let mut reader = Reader(&message);
        assert_eq!(reader.u32(), Ok(7));
        assert_eq!(reader.opaque(5), Ok(&b"disk5"[..]));
        assert_eq!(reader.optional(Reader::u64), Ok(Some(1 << 40)));
        assert_eq!(reader.u32(), Err(Garbage));
    }

    #[test]
    fn lengths_that_lie_are_garbage() {
        for bytes in [&[0, 0, 0, 5, 1, 2, 3, 4][..], &[0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7], &[0xff; 8], &[0, 0, 0]] {
            assert_eq!(Reader(bytes).opaque(64), Err(Garbage), "{bytes:?}");
        }
        assert_eq!(Reader(&[0, 0, 0, 2, 1, 1, 0, 0]).opaque(1), Err(Garbage), "longer than it may be");
        assert_eq!(Reader(&[0, 0, 0, 2]).bool(), Err(Garbage));
    }
}
