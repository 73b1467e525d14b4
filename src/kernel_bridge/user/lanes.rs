//! Threads for data: a session's driver and the exports of its units run on the same one.
//!
//! ```text
//!   lane 0   driver of session 0 ◄─► its exports      driver of session 2 ◄─► its exports
//!   lane 1   driver of session 1 ◄─► its exports      …
//! ```
//! Two tasks on one thread wake each other without a system call, and what the one has read is in the cache
//! of the processor on which the other one writes it. Sessions take turns at lanes, of which there are as
//! many as processors, so that two sessions use two of them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::block::keep_stack;

/// The threads. They end when this is dropped, and so do the tasks on them.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Handle>,
    next: AtomicUsize,
    _end: DropGuard,
}

impl Lanes {
    /// One for each processor.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptor for what it waits by.
    pub fn start() -> io::Result<Lanes> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let end = CancellationToken::new();
        let lanes = (0..count).map(|number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, end) = (runtime.handle().clone(), end.clone());
            thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
                keep_stack();
                runtime.block_on(end.cancelled());
            })?;
            Ok(handle)
        });
        Ok(Lanes { lanes: lanes.collect::<io::Result<_>>()?, next: AtomicUsize::new(0), _end: end.drop_guard() })
    }

    /// The lane of the next session.
    pub(crate) fn next(&self) -> Option<Handle> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.lanes.get(next.checked_rem(self.lanes.len())?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_take_turns_and_the_threads_end_with_it() {
        let lanes = Lanes::start().expect("threads");
        let count = lanes.lanes.len();
        let ids: Vec<_> = (0..2 * count).map(|_| lanes.next().expect("a lane").id()).collect();
        assert_eq!(ids[..count], ids[count..]);
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), count);
        let (held, gone) = std::sync::mpsc::channel::<()>();
        lanes.next().expect("a lane").spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        drop(lanes);
        assert!(gone.recv().is_err(), "its task was dropped");
    }
}
