//! Task management functions that the SCSI stack has asked for and that are not answered yet.

use alloc::vec::Vec;

use iscsi_proto::ids::Itt;
use iscsi_proto::time::Instant;

/// Functions under way at most; the core has as many slots for them, and needs some itself.
const MOST: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Function {
    itt: Itt,
    token: u64,
    deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Functions {
    asked: Vec<Function>,
}

impl Functions {
    pub(crate) fn new() -> Functions {
        Functions { asked: Vec::with_capacity(MOST) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.asked.len() >= MOST
    }

    pub(crate) fn asked(&mut self, itt: Itt, token: u64, deadline: Instant) {
        self.asked.push(Function { itt, token, deadline });
    }

    /// The caller's name for the function of that tag, which has ended.
    pub(crate) fn ended(&mut self, itt: Itt) -> Option<u64> {
        let place = self.asked.iter().position(|function| function.itt == itt)?;
        Some(self.asked.swap_remove(place).token)
    }

    /// One that was not answered in time.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<u64> {
        let place = self.asked.iter().position(|function| function.deadline <= now)?;
        Some(self.asked.swap_remove(place).token)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.asked.iter().map(|function| function.deadline).min()
    }
}
