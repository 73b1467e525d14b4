//! Lines for the log that strangers can cause: one in a while, with the number of those that were left out.
//!
//! The log itself bounds every line of the daemon (`daemon/log/limit`), and has to let a burst of twenty through, since it
//! does not know which of them an administrator waits for. Of these it is known: one a minute says all, and the text of the
//! others is not even put together while a stranger makes thousands a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line is written at most.
const APART: Duration = Duration::from_secs(60);

/// When a line was written last, and how often it was not since.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Whether the line may be written now: how it ends, which tells of those that were left out.
    pub(crate) fn may(&self) -> Option<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, left_out) = &mut *last;
        if when.is_some_and(|when| when.elapsed() < APART) {
            *left_out += 1;
            return None;
        }
        *when = Some(Instant::now());
        match std::mem::take(left_out) {
            0 => Some(String::new()),
            more => Some(format!(" (and {more} times since this was last said)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_said_once_and_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.may().as_deref(), Some(""));
        assert_eq!([seldom.may(), seldom.may()], [None, None]);
        tokio::time::advance(APART).await;
        assert_eq!(seldom.may().as_deref(), Some(" (and 2 times since this was last said)"));
        assert_eq!(seldom.may(), None);
    }
}
