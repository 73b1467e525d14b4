//! What is done to a unit, from its beginning to its end.

use iscsid::load::{Job, Mix};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) write: bool,
    /// A multiple of the unit's block.
    pub(crate) bytes: usize,
    pub(crate) depth: usize,
}

impl Shape {
    pub(crate) fn job(self) -> Job {
        let mix = if self.write { Mix::Writes } else { Mix::Reads };
        Job { mix, random: false, length: self.bytes as u32, depth: self.depth, verify: false, seed: 1 }
    }
}
