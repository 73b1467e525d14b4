//! What is counted while a load runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::memory::Damage;

/// Sentences beyond this many are counted, not kept.
const MOST_SENTENCES: usize = 20;

/// Counters of a load; all of one run may share it.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) flushes: AtomicU64,
    /// Requests issued again because the daemon had gone.
    pub(crate) issued_again: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) corrupted: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// The longest that a request has waited, in nanoseconds.
    longest_wait: AtomicU64,
    sentences: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn waited(&self, since: Instant) {
        self.longest_wait.fetch_max(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        Duration::from_nanos(self.longest_wait.load(Relaxed))
    }

    pub(crate) fn damage(&self, unit: &str, damage: &[Damage]) {
        for damage in damage {
            let counter = match damage {
                Damage::Lost { .. } => &self.lost,
                Damage::Corrupted { .. } => &self.corrupted,
            };
            counter.fetch_add(1, Relaxed);
            self.say(format!("{unit}: {damage:?}"));
        }
    }

    pub(crate) fn error(&self, what: String) {
        self.errors.fetch_add(1, Relaxed);
        self.say(what);
    }

    fn say(&self, what: String) {
        let mut sentences = self.sentences.lock().unwrap_or_else(PoisonError::into_inner);
        if sentences.len() < MOST_SENTENCES {
            eprintln!("!! {what}");
            sentences.push(what);
        }
    }

    /// What must be zero: acknowledged writes lost, blocks corrupted, errors surfaced.
    pub(crate) fn must_be_zero(&self) -> [(&'static str, u64); 3] {
        [
            ("acknowledged writes lost", self.lost.load(Relaxed)),
            ("blocks corrupted", self.corrupted.load(Relaxed)),
            ("I/O errors surfaced", self.errors.load(Relaxed)),
        ]
    }
}

/// A count that can be waited for.
#[derive(Clone)]
pub(crate) struct Progress(watch::Sender<u64>);

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress(watch::Sender::new(0))
    }

    pub(crate) fn step(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(crate) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits for that many more.
    pub(crate) async fn more(&self, steps: u64) {
        let goal = self.count() + steps;
        // We hold the sender: it is not gone.
        let _ = self.0.subscribe().wait_for(|count| *count >= goal).await;
    }
}
