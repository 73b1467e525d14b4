//! Memory that is there: each page of it has been touched, and the system is asked to keep it where it is.
//!
//! ```text
//!   out of memory ──► write back ──► the disk ──► iscsid ── needs a page ──► out of memory
//! ```
//! A machine that is short of memory writes dirty pages back, and some of these through this process. Where it then has to
//! wait for a page of its own, both wait for ever (mount_nfs(8) of macOS, CAVEATS). So what the way of a write touches is
//! touched and locked before: `mlock` region by region, since macOS has no `mlockall` (ENOSYS).
//!
//! What is locked is nobody else's, so there is a bound to it: [`MOST_KEPT`]. Beyond it memory is as any other; where the
//! system refuses, it is touched and not locked.

use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use region::LockGuard;

/// The most bytes that are kept, in all. `LimitMEMLOCK=` of the systemd unit is above it.
const MOST_KEPT: usize = 128 << 20;

/// Bytes of stack that a thread of the data path may use. Its frames are small; nothing in it recurses.
const STACK: usize = 128 << 10;

static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Pages are locked, and let go of, as wholes: two pieces of memory must not share one.
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
const PAGE: usize = 16 << 10;
#[cfg(not(all(target_os = "macos", target_arch = "aarch64")))]
const PAGE: usize = 4 << 10;

/// The smallest page that any of these machines has.
const SMALLEST: usize = 4 << 10;

/// One page, for its alignment.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[cfg_attr(all(target_os = "macos", target_arch = "aarch64"), repr(C, align(16384)))]
#[cfg_attr(not(all(target_os = "macos", target_arch = "aarch64")), repr(C, align(4096)))]
struct Page([[u8; SMALLEST]; PAGE / SMALLEST]);

/// Pages, at first zero.
pub(crate) struct Memory {
    // Before the pages, which go back unlocked.
    kept: Option<Kept>,
    pages: Box<[Page]>,
}

impl Memory {
    /// At least so many bytes.
    pub(crate) fn new(bytes: usize) -> Memory {
        let pages = bytemuck::allocation::zeroed_slice_box(bytes.div_ceil(PAGE));
        Memory { kept: None, pages }
    }

    /// At least so many bytes, all touched, and locked where the system lets us; none where as much is kept as may be.
    pub(crate) fn try_kept(bytes: usize) -> Option<Memory> {
        let bytes = bytes.next_multiple_of(PAGE);
        let mut share = Kept::share(bytes)?;
        let mut memory = Memory::new(bytes);
        for page in &mut memory.pages {
            page.0[0][0] = black_box(0);
        }
        share.lock(&memory);
        memory.kept = Some(share);
        Some(memory)
    }

    /// At least so many bytes, kept where that may be.
    pub(crate) fn kept(bytes: usize) -> Memory {
        Memory::try_kept(bytes).unwrap_or_else(|| Memory::new(bytes))
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.pages)
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.pages)
    }
}

/// Touches and locks what this thread will use of its stack, for as long as it lives.
pub(crate) fn keep_stack() {
    let mut room = [0_u8; STACK];
    black_box(&mut room);
    let Some(mut share) = Kept::share(STACK) else { return };
    share.lock(&room);
    // The system lets go of it together with the stack; threads of the data path are there as long as the daemon is.
    std::mem::forget(share);
}

/// A share of what may be kept.
struct Kept {
    bytes: usize,
    locked: Option<LockGuard>,
}

impl Kept {
    fn share(bytes: usize) -> Option<Kept> {
        let more = |kept: usize| kept.checked_add(bytes).filter(|sum| *sum <= MOST_KEPT);
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Kept { bytes, locked: None })
    }

    fn lock(&mut self, memory: &[u8]) {
        static REFUSED: Once = Once::new();
        match region::lock(memory.as_ptr(), memory.len()) {
            Ok(guard) => self.locked = Some(guard),
            Err(error) => REFUSED.call_once(|| {
                tracing::warn!(
                    "the system does not let iscsid lock its buffers ({error}): where it runs out of memory, disks may come to \
                     a halt; let it lock {MOST_KEPT} bytes (LimitMEMLOCK=, `ulimit -l`)"
                );
            }),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of a piece of memory that are in RAM and locked, in bytes: `Locked:` of /proc/self/smaps.
    #[cfg(target_os = "linux")]
    fn locked_at(address: usize) -> Option<usize> {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("the process's maps");
        let mut within = false;
        for line in maps.lines() {
            let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (number(start), number(end))) {
                within = (start..end).contains(&address);
            } else if within && let Some(rest) = line.strip_prefix("Locked:") {
                return rest.split_whitespace().next()?.parse::<usize>().ok().map(|kib| kib << 10);
            }
        }
        None
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_kept_is_locked_until_it_goes() {
        let mut memory = Memory::kept(1 << 20);
        if memory.kept.as_ref().is_none_or(|kept| kept.locked.is_none()) {
            crate::testing::cannot("RLIMIT_MEMLOCK lets a process lock no memory");
            return;
        }
        assert!(locked_at(memory.as_ptr().addr()).is_some_and(|bytes| bytes >= 1 << 20));
        assert!(KEPT.load(Ordering::Relaxed) >= 1 << 20);
        memory[(1 << 20) - 1] = 1;
        let other = Memory::new(1 << 20);
        assert_eq!(locked_at(other.as_ptr().addr()), Some(0));
        let address = memory.as_ptr().addr();
        drop(memory);
        assert!(locked_at(address).is_none_or(|bytes| bytes == 0), "it went back unlocked");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stack_is_there_before_it_is_used() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/thread-self/smaps_rollup").expect("the process's memory");
            let line = status.lines().find_map(|line| line.strip_prefix("Locked:")).expect("how much is locked");
            line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
        };
        let before = resident();
        let kept = std::thread::spawn(move || {
            keep_stack();
            resident()
        });
        let after = kept.join().expect("it has ended");
        if after == before {
            crate::testing::cannot("RLIMIT_MEMLOCK lets a process lock no memory");
            return;
        }
        assert!(after >= before + STACK, "{before} {after}");
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        assert!(Memory::try_kept(MOST_KEPT + 1).is_none());
        assert_eq!(Memory::kept(MOST_KEPT + 1).len(), MOST_KEPT + PAGE, "it is memory all the same");
    }

    #[test]
    fn memory_begins_with_a_page_and_is_zero() {
        for bytes in [1, 4096, 5000, 1 << 20] {
            let memory = Memory::kept(bytes);
            assert!(memory.len() >= bytes && memory.as_ptr().addr().is_multiple_of(PAGE));
            assert!(memory.iter().all(|byte| *byte == 0));
        }
    }
}
