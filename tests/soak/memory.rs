//! What was acknowledged, kept outside of the daemon: the witness against it.
//!
//! ```text
//!   reserve ──► nobody else touches these blocks ──► acknowledged | read ──► free again
//! ```
//! Of two operations on one block, at most one is under way unless both read. So a block that nobody
//! writes has exactly the content of the last write that was acknowledged.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::pattern::{self, BLOCK, Content, Noise};

/// How long operations are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lengths {
    /// Up to 16 blocks, and now and then so many that a target asks for them in several R2T.
    Mixed,
    /// One of two, in blocks.
    Either(u64, u64),
}

/// What is known of a unit's blocks.
pub(crate) struct Memory {
    unit: u64,
    lengths: Lengths,
    state: Mutex<State>,
}

struct State {
    last_write: u64,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Default)]
struct Block {
    /// The last write that was acknowledged; 0 for none.
    acknowledged: u64,
    /// Operations under way.
    users: u16,
    writing: bool,
}

/// What a read may bring to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The content of an earlier write than the last one acknowledged, or of one that never was.
    Lost { block: u64, acknowledged: u64, found: u64 },
    /// No content that block ever had.
    Corrupted { block: u64, found: Content },
}

impl Memory {
    pub(crate) fn new(unit: u64, blocks: usize, lengths: Lengths) -> Memory {
        let state = State { last_write: 0, blocks: vec![Block::default(); blocks] };
        Memory { unit, lengths, state: Mutex::new(state) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.lock().blocks.len() * BLOCK) as u64
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some blocks to write, and the number of the write; `None` if the dice name busy ones.
    pub(crate) fn reserve_write(&self, dice: &mut Noise) -> Option<(Range<u64>, u64)> {
        let mut state = self.lock();
        let range = self.extent(dice, state.blocks.len());
        let blocks = &mut state.blocks[range.start as usize..range.end as usize];
        if blocks.iter().any(|block| block.users > 0) {
            return None;
        }
        blocks.iter_mut().for_each(|block| (block.users, block.writing) = (1, true));
        state.last_write += 1;
        Some((range, state.last_write))
    }

    /// Some blocks to read; `None` if the dice name some that are written.
    pub(crate) fn reserve_read(&self, dice: &mut Noise) -> Option<Range<u64>> {
        let mut state = self.lock();
        let range = self.extent(dice, state.blocks.len());
        let blocks = &mut state.blocks[range.start as usize..range.end as usize];
        if blocks.iter().any(|block| block.writing) {
            return None;
        }
        blocks.iter_mut().for_each(|block| block.users += 1);
        Some(range)
    }

    fn extent(&self, dice: &mut Noise, blocks: usize) -> Range<u64> {
        let length = match (self.lengths, dice.below(50)) {
            (Lengths::Mixed, 0) => 64 + dice.below(65),
            (Lengths::Mixed, _) => 1 + dice.below(16),
            (Lengths::Either(one, _), 0..25) => one,
            (Lengths::Either(_, other), _) => other,
        };
        let start = dice.below(blocks as u64 - length + 1);
        start..start + length
    }

    /// The bytes of that write.
    pub(crate) fn content(&self, range: &Range<u64>, write: u64) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize * BLOCK];
        for (block, bytes) in range.clone().zip(bytes.chunks_mut(BLOCK)) {
            pattern::fill(bytes, self.unit, block, write);
        }
        bytes
    }

    /// That write was acknowledged.
    pub(crate) fn acknowledged(&self, range: &Range<u64>, write: u64) {
        let mut state = self.lock();
        for block in &mut state.blocks[range.start as usize..range.end as usize] {
            *block = Block { acknowledged: write, users: 0, writing: false };
        }
    }

    /// That read brought these bytes.
    pub(crate) fn read(&self, range: &Range<u64>, bytes: &[u8]) -> Vec<Damage> {
        let damage = self.compare(range, bytes);
        let mut state = self.lock();
        for block in &mut state.blocks[range.start as usize..range.end as usize] {
            block.users -= 1;
        }
        damage
    }

    /// What is wrong with these bytes, but for blocks that are just being written.
    pub(crate) fn compare(&self, range: &Range<u64>, bytes: &[u8]) -> Vec<Damage> {
        let state = self.lock();
        let mut damage = Vec::new();
        for (block, bytes) in range.clone().zip(bytes.chunks(BLOCK)) {
            let Block { acknowledged, writing, .. } = state.blocks[block as usize];
            if writing {
                continue;
            }
            match pattern::look(bytes, self.unit, block) {
                Content::Written(write) if write == acknowledged => {}
                Content::Written(found) => damage.push(Damage::Lost { block, acknowledged, found }),
                found => damage.push(Damage::Corrupted { block, found }),
            }
        }
        damage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_nobody_elses_until_it_is_acknowledged() {
        let memory = Memory::new(1, 200, Lengths::Mixed);
        let mut dice = Noise::new(1);
        let mut reserved = Vec::new();
        for _ in 0..1000 {
            if let Some((range, _)) = memory.reserve_write(&mut dice) {
                assert!(reserved.iter().all(|other: &Range<u64>| other.end <= range.start || range.end <= other.start));
                reserved.push(range);
            }
            if let Some(range) = memory.reserve_read(&mut dice) {
                assert!(reserved.iter().all(|other| other.end <= range.start || range.end <= other.start));
                memory.read(&range, &vec![0; (range.end - range.start) as usize * BLOCK]);
            }
        }
        assert!(reserved.len() > 3);
    }

    #[test]
    fn lost_and_corrupted_blocks_are_noticed() {
        let memory = Memory::new(1, 200, Lengths::Mixed);
        let older = memory.content(&(5..6), 3);
        memory.acknowledged(&(5..6), 4);
        assert_eq!(memory.compare(&(5..6), &memory.content(&(5..6), 4)), []);
        assert_eq!(memory.compare(&(5..6), &older), [Damage::Lost { block: 5, acknowledged: 4, found: 3 }]);
        assert_eq!(memory.compare(&(5..6), &[0; BLOCK]), [Damage::Lost { block: 5, acknowledged: 4, found: 0 }]);
        let found = Content::Elsewhere { unit: 1, block: 5 };
        assert_eq!(memory.compare(&(6..7), &older), [Damage::Corrupted { block: 6, found }]);
    }
}
