//! How fast one user may ask: a leaky bucket, as the generic cell rate algorithm has it (ITU-T I.371).

use std::time::Duration;

use tokio::time::Instant;

/// Requests in one go before any waits.
const BURST: u32 = 40;

/// One more after each such time.
const APART: Duration = Duration::from_millis(50);

/// The longest that any request waits. Whoever asks for more must not lock his user out for the time after: he cannot
/// take back what programs that have hung up asked for.
const LONGEST: Duration = Duration::from_secs(5);

/// When the next request of a user is due, if he kept to the pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    due: Instant,
}

impl Pace {
    /// Of a user who has asked nothing.
    pub(super) fn new(now: Instant) -> Pace {
        Pace { due: now }
    }

    /// Counts a request; when it may be carried out.
    pub(super) fn request(&mut self, now: Instant) -> Instant {
        let due = self.due.max(now);
        self.due = (due + APART).min(now + APART * BURST + LONGEST);
        due.checked_sub(APART * BURST).map_or(now, |earliest| earliest.max(now))
    }

    /// Whether the user is as good as one who has asked nothing.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: strangers-keep-a-pace
    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_through_and_what_follows_keeps_the_pace() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::new(now);
        for _ in 0..=BURST {
            assert_eq!(pace.request(now), now);
        }
        for n in 1..10 {
            assert_eq!(pace.request(now), now + APART * n);
        }
        let later = now + APART * 100;
        assert!(pace.is_over(later) && !pace.is_over(now));
        assert_eq!(pace.request(later), later);
    }

    // check: strangers-keep-a-pace
    #[tokio::test(start_paused = true)]
    async fn however_much_was_asked_nobody_is_locked_out() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::new(now);
        let last = (0..100_000).map(|_| pace.request(now)).max();
        assert_eq!(last, Some(now + LONGEST));
        assert_eq!(pace.request(now + LONGEST + APART), now + LONGEST + APART, "the debt is paid");
        assert!(pace.is_over(now + LONGEST + APART * (BURST + 2)));
    }
}
