//! How much memory is held: every allocation of a fuzz target is counted.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What was held at some time.
#[derive(Debug)]
pub struct Mark(usize);

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// What is held now.
pub fn mark() -> Mark {
    Mark(held())
}

impl Mark {
    /// Panics if more than `limit` bytes are held beyond what was held then.
    pub fn at_most(&self, limit: usize, what: &str) {
        let grown = held().saturating_sub(self.0);
        assert!(grown <= limit, "{what} holds {grown} bytes, at most {limit} expected");
    }
}
