//! What has been received and not yet understood.
//!
//! One `recv` brings many small requests; they are parsed where they lie. Before the next one the
//! few bytes that are left, the start of a header, move to the front.

use crate::block::Memory;

/// The receive buffer of a connection.
pub(crate) struct Ring {
    bytes: Memory,
    size: usize,
    start: usize,
    end: usize,
}

impl Ring {
    /// An empty one that holds `size` bytes.
    pub(crate) fn new(size: usize) -> Ring {
        Ring { bytes: Memory::new(size), size, start: 0, end: 0 }
    }

    /// The same, whose memory is there before it is used, and stays: for what the system writes back through.
    pub(crate) fn kept(size: usize) -> Ring {
        Ring { bytes: Memory::kept(size), size, start: 0, end: 0 }
    }

    /// The same with these bytes in it, as far as they fit.
    pub(crate) fn holding(mut self, parts: [&[u8]; 2]) -> Ring {
        for part in parts {
            let room = self.room();
            let n = room.len().min(part.len());
            room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            self.received(n);
        }
        self
    }

    /// How many bytes it holds.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The bytes that are there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The next `n` bytes, at most all there are, are done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Where the next bytes go.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..self.size]
    }

    /// The first `n` bytes of [`room`](Ring::room) have been filled.
    pub(crate) fn received(&mut self, n: usize) {
        self.end = (self.end + n).min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_cut_in_two_comes_out_whole() {
        let mut ring = Ring::new(8);
        ring.room()[..7].copy_from_slice(b"request");
        ring.received(7);
        ring.consume(5);
        let room = ring.room();
        assert_eq!(room.len(), 6);
        room[..3].copy_from_slice(b"ail");
        ring.received(3);
        assert_eq!(ring.filled(), b"stail");
    }
}
