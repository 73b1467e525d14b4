//! Buffers for I/O: a fixed budget, page-aligned, given back and used again.
//!
//! ```text
//!   get ──► Buffer: its share of the budget ── first byte ──► and its memory ── drop ──► both come back
//!                                                               ▲ the one that came back last
//! ```
//! A buffer comes from the smallest of five size classes that holds it. When the budget is spent,
//! [`Pool::get`] waits for a buffer to come back: a disk that is served by a process must not grow under
//! pressure. In steady state nothing is allocated.
//!
//! A buffer has its memory from the moment that somebody looks at it. A read waits most of its time for the
//! first byte to arrive; thirty-two of 256 KiB that hold memory all the while go through eight megabytes in
//! turn, which is beyond the cache: each byte would be fetched from memory to be overwritten. So only
//! the buffers that are being filled have memory, and that memory stays in the cache.

use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::memory::Memory;

/// Largest buffer, in bytes: no single I/O is longer.
pub const MAX_BUFFER: usize = 1 << 20;

const CLASSES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, MAX_BUFFER];

/// How many buffers of each class are there from the start where disks are made of the units: a quarter of the writes that
/// macOS sends at once, where it sends them all at that length (`NFS_DEFMAXASYNCWRITES`, 128, of bsd/nfs/nfs.h). There are
/// more once there has been more to write.
const READY: [usize; CLASSES.len()] = [32, 32, 32, 32, 4];

/// No more than that part of the budget is there from the start.
const READY_PART: usize = 4;

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

#[derive(Default)]
struct State {
    free: [Vec<Memory>; CLASSES.len()],
    /// Bytes of memory, in use or free.
    allocated: usize,
    /// Bytes that the buffers outside have, or may come to have.
    promised: usize,
    /// How many wait for some of them to come back.
    waiting: usize,
    /// Its memory is kept.
    keeps: bool,
}

/// Someone who waits for a buffer.
struct Waiting<'a>(&'a Shared);

impl Waiting<'_> {
    fn new(shared: &Shared) -> Waiting<'_> {
        shared.lock().waiting += 1;
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for a buffer of that class, which has its share of the budget.
    fn memory(&self, class: usize) -> Memory {
        let mut state = self.lock();
        if let Some(memory) = state.free[class].pop() {
            return memory;
        }
        let size = CLASSES[class];
        // Memory in use is part of the promised bytes, so this ends below the budget.
        while state.allocated + size > self.budget
            && let Some(spare) = state.free.iter_mut().rev().find_map(Vec::pop)
        {
            state.allocated -= spare.len();
        }
        let memory = if state.keeps { Memory::kept(size) } else { Memory::new(size) };
        state.allocated += memory.len();
        memory
    }

    /// The first buffers, before anybody needs them.
    fn keep_ready(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.keeps, true) {
            return;
        }
        for (class, count) in READY.into_iter().enumerate() {
            let more = count.saturating_sub(state.free[class].len());
            for _ in 0..more {
                if state.allocated + CLASSES[class] > self.budget / READY_PART {
                    return;
                }
                // Many sessions share what may be kept.
                let Some(memory) = Memory::try_kept(CLASSES[class]) else { return };
                state.allocated += memory.len();
                state.free[class].push(memory);
            }
        }
    }
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
                state: Mutex::default(),
                returned: Notify::new(),
                budget: budget.max(MAX_BUFFER),
            }),
        }
    }

    /// A buffer of `len` bytes, 1 to [`MAX_BUFFER`]. It holds what its last user left in it.
    /// `None` if the budget is spent.
    ///
    /// # Panics
    /// If `len` is above [`MAX_BUFFER`]: callers split their I/O by the unit's geometry, which is
    /// never above it.
    pub fn try_get(&self, len: usize) -> Option<Buffer> {
        let class = CLASSES.iter().position(|&size| len <= size).expect("I/O is split at MAX_BUFFER");
        let mut state = self.shared.lock();
        let promised = state.promised + CLASSES[class];
        if promised > self.shared.budget {
            return None;
        }
        state.promised = promised;
        drop(state);
        Some(Buffer { pages: OnceCell::new(), len, class, pool: self.clone() })
    }

    /// A buffer of `len` bytes, as soon as there is one.
    pub async fn get(&self, len: usize) -> Buffer {
        if let Some(buffer) = self.try_get(len) {
            return buffer;
        }
        let _waiting = Waiting::new(&self.shared);
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

    /// The system will write back through it: from now on its memory is there before it is used, some of it at once, and
    /// stays (`memory`).
    pub fn keep_ready(&self) {
        self.shared.keep_ready();
    }

    /// What it may hold, in bytes.
    pub fn budget(&self) -> usize {
        self.shared.budget
    }

    /// What a buffer of `len` bytes takes of the budget: more than that, unless it is the size of a class.
    pub fn footprint(len: usize) -> usize {
        CLASSES.into_iter().find(|&size| len <= size).unwrap_or(MAX_BUFFER)
    }

    /// Bytes of memory, in use or waiting for use.
    pub fn allocated(&self) -> usize {
        self.shared.lock().allocated
    }
}

/// A buffer of a pool; goes back to it when dropped.
pub struct Buffer {
    pages: OnceCell<Memory>,
    len: usize,
    class: usize,
    pool: Pool,
}

impl Buffer {
    /// How long it is, in bytes; asking gives it no memory.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives its memory back, with the data in it, but keeps its share of the budget.
    pub fn release(&mut self) {
        if let Some(pages) = self.pages.take() {
            self.pool.shared.lock().free[self.class].push(pages);
        }
    }

    fn pages(&self) -> &Memory {
        self.pages.get_or_init(|| self.pool.shared.memory(self.class))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages()[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.pages();
        match self.pages.get_mut() {
            Some(pages) => &mut pages[..self.len],
            None => &mut [],
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let shared = &self.pool.shared;
        let mut state = shared.lock();
        state.promised -= CLASSES[self.class];
        if let Some(pages) = self.pages.take() {
            state.free[self.class].push(pages);
        }
        let waited_for = state.waiting > 0;
        drop(state);
        if waited_for {
            shared.returned.notify_waiters();
        }
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

    #[test]
    fn a_buffer_that_nobody_looks_at_takes_of_the_budget_but_no_memory() {
        let pool = Pool::new(2 * MAX_BUFFER);
        let mut held: Vec<Buffer> = std::iter::from_fn(|| pool.try_get(MAX_BUFFER)).collect();
        assert_eq!((held.len(), held[0].len(), pool.allocated()), (2, MAX_BUFFER, 0));
        held[1][0] = 1;
        assert_eq!(pool.allocated(), MAX_BUFFER);
        let address = held[1].as_ptr();
        held[1].release();
        assert_eq!(held[0].as_ptr(), address, "the memory that came back last");
        assert!(pool.try_get(1).is_none(), "the share of the budget is still taken");
    }

    #[test]
    fn memory_of_one_size_makes_room_for_another() {
        let pool = Pool::new(MAX_BUFFER);
        let small: Vec<Buffer> =
            std::iter::from_fn(|| pool.try_get(4096)).inspect(|small| assert_eq!(small[0], 0)).collect();
        assert_eq!((small.len(), pool.allocated()), (256, MAX_BUFFER));
        drop(small);
        let large = pool.try_get(MAX_BUFFER).expect("budget");
        assert_eq!((large[0], pool.allocated()), (0, MAX_BUFFER));
    }

    #[test]
    fn what_the_system_writes_back_through_has_its_memory_before_it_is_needed() {
        let pool = Pool::new(64 << 20);
        pool.keep_ready();
        let there = pool.allocated();
        let expected: usize = READY.iter().zip(CLASSES).map(|(count, size)| count * size).sum();
        assert_eq!(there, expected);
        pool.keep_ready();
        let mut held = Vec::new();
        for (count, size) in READY.into_iter().zip(CLASSES) {
            held.extend((0..count).filter_map(|_| pool.try_get(size)).map(|mut buffer| {
                buffer[0] = 1;
                buffer
            }));
        }
        assert_eq!((held.len(), pool.allocated()), (READY.iter().sum(), there), "nothing was allocated");
        let mut more = pool.try_get(1).expect("budget");
        more[0] = 1;
        assert_eq!(pool.allocated(), there + CLASSES[0]);
    }

    #[test]
    fn a_small_pool_keeps_most_of_its_budget_for_what_comes() {
        let pool = Pool::new(MAX_BUFFER);
        pool.keep_ready();
        assert!((1..=MAX_BUFFER / READY_PART).contains(&pool.allocated()), "{pool:?}");
        let large = pool.try_get(MAX_BUFFER).expect("budget");
        assert_eq!((large[0], pool.allocated()), (0, MAX_BUFFER));
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
