//! What of a unit's I/O has failed: of that which was answered with an error to whoever asked for it.
//!
//! What asks for the impossible fails for itself, and says nothing about the unit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::block::IoError;

/// I/O that has failed since the unit was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedIo {
    /// How many operations.
    pub count: u64,
    /// How the last one did.
    pub last: IoError,
    /// When it did.
    pub at: Instant,
    /// Nothing has worked since.
    pub now: bool,
}

/// The count of a unit.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The last operation has failed. Where it has not, an operation that works costs no lock and no write.
    now: AtomicBool,
    told: Mutex<Option<(u64, IoError, Instant)>>,
}

impl Failures {
    /// An operation was answered so.
    pub(crate) fn note(&self, done: Result<(), IoError>) {
        match done {
            Ok(()) if self.now.load(Ordering::Relaxed) => self.now.store(false, Ordering::Relaxed),
            Ok(()) | Err(IoError::OutOfRange | IoError::ReadOnly | IoError::Unsupported | IoError::Invalid) => {}
            Err(error) => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                let before = told.as_ref().map_or(0, |(count, ..)| *count);
                *told = Some((before.saturating_add(1), error, Instant::now()));
                self.now.store(true, Ordering::Relaxed);
            }
        }
    }

    /// What has failed, if anything has.
    pub(crate) fn told(&self) -> Option<FailedIo> {
        let (count, last, at) = (*self.told.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(FailedIo { count, last, at, now: self.now.load(Ordering::Relaxed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_counted_until_something_works_and_remembered_after() {
        let failures = Failures::default();
        failures.note(Ok(()));
        failures.note(Err(IoError::Unsupported));
        assert_eq!(failures.told(), None);
        failures.note(Err(IoError::TimedOut));
        failures.note(Err(IoError::Offline));
        let told = failures.told().expect("failures");
        assert_eq!((told.count, told.last, told.now), (2, IoError::Offline, true));
        failures.note(Ok(()));
        assert_eq!(failures.told().map(|told| (told.count, told.now)), Some((2, false)));
    }
}
