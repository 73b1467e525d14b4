//! The receive ring: bytes that arrived and are not parsed yet, always in one piece.
//!
//! ```text
//!   ┌──────────┬───────────────────────┬─────────────┐
//!   │ consumed │ filled: to be parsed  │ spare       │
//!   └──────────┴───────────────────────┴─────────────┘
//! ```
//! Small PDUs are parsed many per system call out of it. The rest of a PDU that was cut by the end of a read
//! moves to the front.
//!
//! An empty ring has no memory: the sessions of a thread use the same again and again, one after the other, so
//! that it stays in the cache however many they are. That of the first ones is there before it is needed.

use std::cell::RefCell;

use crate::block::Memory;

/// Bytes of room, in all.
const CAPACITY: usize = 256 << 10;

/// Below this much room behind the filled part, it moves to the front.
const COMFORT: usize = 128 << 10;

/// Memory that a thread keeps for the next ring that needs some.
const KEPT: usize = 16;

/// Memory that a thread has from the start: one ring has the rest of a PDU, the next one receives.
const READY: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
pub(super) struct Ring {
    /// [`CAPACITY`] bytes, where it has memory.
    memory: Option<Memory>,
    start: usize,
    end: usize,
}

impl Ring {
    /// Has this thread's memory ready, for whichever ring comes first.
    pub(super) fn keep_ready() {
        SPARE.with_borrow_mut(|spare| {
            spare.reserve(KEPT);
            while spare.len() < READY {
                spare.push(Memory::kept(CAPACITY));
            }
        });
    }

    /// Gives its memory to the next ring of the thread that needs some, if it is empty.
    pub(super) fn rest(&mut self) {
        if self.start == self.end
            && let Some(memory) = self.memory.take()
        {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < KEPT {
                    spare.push(memory);
                }
            });
        }
    }

    pub(super) fn filled(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[self.start..self.end])
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
        let memory = self.memory.get_or_insert_with(|| {
            let kept = SPARE.with_borrow_mut(Vec::pop);
            kept.unwrap_or_else(|| Memory::kept(CAPACITY))
        });
        if memory.len() - self.end < COMFORT {
            memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut memory[self.end..]
    }

    /// `n` bytes of the spare part have arrived.
    pub(super) fn arrived(&mut self, n: usize) {
        self.end = (self.end + n).min(CAPACITY);
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
        let mut ring = Ring::default();
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

    #[test]
    fn what_is_ready_is_used_and_what_comes_beyond_is_kept_as_well() {
        Ring::keep_ready();
        let waiting = || SPARE.with_borrow(Vec::len);
        assert_eq!(waiting(), READY);
        let mut rings: Vec<Ring> = (0..=READY).map(|_| Ring::default()).collect();
        rings.iter_mut().for_each(|ring| assert_eq!(ring.spare().len(), CAPACITY));
        assert_eq!(waiting(), 0);
        rings.iter_mut().for_each(Ring::rest);
        Ring::keep_ready();
        assert_eq!(waiting(), READY + 1);
    }

    #[test]
    fn memory_goes_from_an_empty_ring_to_the_next_and_never_from_one_that_holds_something() {
        let (mut first, mut second) = (Ring::default(), Ring::default());
        let address = first.spare().as_ptr();
        first.arrived(5);
        first.rest();
        assert_ne!(second.spare().as_ptr(), address);
        assert_eq!(first.filled().len(), 5);
        second.rest();
        first.consume(5);
        first.rest();
        assert_eq!(second.spare().as_ptr(), address, "what was put down last");
    }
}
