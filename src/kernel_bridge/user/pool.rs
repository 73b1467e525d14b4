//! Buffers for I/O: a fixed budget, page-aligned, given back and used again.
//!
//! A buffer comes from the smallest of five size classes that holds it. Classes fill lazily up to
//! the pool's budget; in steady state nothing is allocated. When the budget is spent, [`Pool::get`]
//! waits for a buffer to come back: a disk that is served by a process must not grow under pressure.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Largest buffer, in bytes: no single I/O is longer.
pub const MAX_BUFFER: usize = 1 << 20;

const CLASSES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, MAX_BUFFER];

/// One page, for its alignment.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// The pool; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    returned: Notify,
    budget: usize,
}

struct State {
    free: [Vec<Box<[Page]>>; CLASSES.len()],
    allocated: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} of {} bytes)", self.allocated(), self.shared.budget)
    }
}

impl Pool {
    /// A pool that never holds more than `budget` bytes, at least one buffer of the largest class.
    pub fn new(budget: usize) -> Pool {
        Pool {
            shared: Arc::new(Shared {
                state: Mutex::new(State { free: Default::default(), allocated: 0 }),
                returned: Notify::new(),
                budget: budget.max(MAX_BUFFER),
            }),
        }
    }

    /// A buffer of `len` bytes, 1 to [`MAX_BUFFER`], whose content is whatever was in it last.
    /// `None` if the budget is spent.
    ///
    /// # Panics
    /// If `len` is above [`MAX_BUFFER`]: callers split their I/O by the unit's geometry, which is
    /// never above it.
    pub fn try_get(&self, len: usize) -> Option<Buffer> {
        let class = CLASSES.iter().position(|&size| len <= size).expect("I/O is split at MAX_BUFFER");
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = match state.free[class].pop() {
            Some(pages) => pages,
            None => {
                let size = CLASSES[class];
                while state.allocated + size > self.shared.budget {
                    let spare = (0..CLASSES.len()).rev().find(|&other| !state.free[other].is_empty())?;
                    state.free[spare].pop();
                    state.allocated -= CLASSES[spare];
                }
                state.allocated += size;
                bytemuck::allocation::zeroed_slice_box(size / size_of::<Page>())
            }
        };
        Some(Buffer { pages, len, class, pool: self.clone() })
    }

    /// A buffer of `len` bytes, as soon as there is one.
    pub async fn get(&self, len: usize) -> Buffer {
        loop {
            let returned = self.shared.returned.notified();
            tokio::pin!(returned);
            returned.as_mut().enable();
            if let Some(buffer) = self.try_get(len) {
                return buffer;
            }
            returned.await;
        }
    }

    /// What it may hold, in bytes.
    pub fn budget(&self) -> usize {
        self.shared.budget
    }

    /// What a buffer of `len` bytes takes of the budget: more than that, unless it is the size of a class.
    pub fn footprint(len: usize) -> usize {
        CLASSES.into_iter().find(|&size| len <= size).unwrap_or(MAX_BUFFER)
    }

    /// Bytes allocated so far, in use or waiting for use.
    pub fn allocated(&self) -> usize {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).allocated
    }
}

/// A buffer of a pool; goes back to it when dropped.
pub struct Buffer {
    pages: Box<[Page]>,
    len: usize,
    class: usize,
    pool: Pool,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.pages)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.pages)[..self.len]
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let pages = std::mem::take(&mut self.pages);
        let shared = &self.pool.shared;
        shared.state.lock().unwrap_or_else(PoisonError::into_inner).free[self.class].push(pages);
        shared.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_page_aligned_and_comes_back() {
        let pool = Pool::new(4 << 20);
        let first = pool.try_get(5000).expect("budget");
        assert_eq!((first.len(), first.as_ptr() as usize % 4096), (5000, 0));
        let address = first.as_ptr();
        drop(first);
        let second = pool.try_get(16_384).expect("budget");
        assert_eq!(second.as_ptr(), address);
        assert_eq!(pool.allocated(), 16_384);
    }

    #[tokio::test]
    async fn a_spent_budget_makes_the_next_one_wait() {
        let pool = Pool::new(MAX_BUFFER);
        let only = pool.try_get(MAX_BUFFER).expect("budget");
        assert!(pool.try_get(1).is_none());
        let waiter = tokio::spawn({
            let pool = pool.clone();
            async move { pool.get(1).await.len() }
        });
        tokio::task::yield_now().await;
        drop(only);
        assert_eq!(waiter.await.expect("waiter"), 1);
        assert!(pool.allocated() <= MAX_BUFFER);
    }
}
