//! The receive ring: bytes that arrived and are not parsed yet, always in one piece.
//!
//! ```text
//!   ┌──────────┬───────────────────────┬─────────────┐
//!   │ consumed │ filled: to be parsed  │ spare       │
//!   └──────────┴───────────────────────┴─────────────┘
//! ```
//! Small PDUs are parsed many per system call out of it. The rest of a header that was cut by the end
//! of a read moves to the front: at most a few hundred bytes per read.

/// Bytes of room, in all.
const CAPACITY: usize = 256 << 10;

/// Below this much room behind the filled part, it moves to the front.
const COMFORT: usize = 128 << 10;

pub(super) struct Ring {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Ring {
    pub(super) fn new() -> Ring {
        Ring { bytes: vec![0; CAPACITY].into_boxed_slice(), start: 0, end: 0 }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets the first `n` filled bytes.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for the next read, at least [`COMFORT`] bytes as long as less than half is filled.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < COMFORT {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// `n` bytes of the spare part have arrived.
    pub(super) fn arrived(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_header_moves_to_the_front_and_stays_whole() {
        let mut ring = Ring::new();
        let len = ring.spare().len();
        for (n, byte) in ring.spare().iter_mut().enumerate() {
            *byte = (n % 251) as u8;
        }
        ring.arrived(len);
        ring.consume(len - 10);
        let tail = ring.filled().to_vec();
        assert!(ring.spare().len() >= COMFORT);
        assert_eq!(ring.filled(), tail);
        ring.consume(10);
        assert_eq!((ring.filled().len(), ring.spare().len()), (0, CAPACITY));
    }
}
