//! Bytes of a header or trailer that has not arrived whole.

/// The longest that the core wants in one piece: BHS, AHS, digest; rounded up.
const ROOM: usize = 1088;

pub(crate) struct Partial {
    bytes: [u8; ROOM],
    len: usize,
}

impl Partial {
    pub(crate) const fn new() -> Partial {
        Partial { bytes: [0; ROOM], len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Takes off the front of `bytes` what is missing of `need`, and says how much that was.
    pub(crate) fn fill(&mut self, bytes: &[u8], need: usize) -> usize {
        let want = need.min(ROOM).saturating_sub(self.len).min(bytes.len());
        let (Some(part), Some(room)) = (bytes.get(..want), self.bytes.get_mut(self.len..self.len + want)) else {
            return 0;
        };
        room.copy_from_slice(part);
        self.len += want;
        want
    }

    /// The core has taken `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.bytes.copy_within(n..self.len, 0);
        self.len -= n;
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}
