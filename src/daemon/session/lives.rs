//! How long the connections of a session last: one that ends soon after its login is as good as a login that failed.
//!
//! ```text
//!   reborn ──► over: shorter than a short life ── once ──► no wait
//!      ▲                                       └─ again ──► 1 s, 2 s, … 30 s before the next login
//!      │             at least a minute: all is forgotten
//!      └──────────────────────────┘
//! ```
//! Else a target that lets us in and sends us away at once gets a login each second, and one that two machines with the
//! same name log in to throws each of them out by the other's login, for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::back_off::back_off;
use crate::login::failure::Again;

/// A connection that lasted less has had a short life.
pub(crate) const SHORT_LIFE: Duration = Duration::from_secs(10);

/// After one that lasted so long, those before it do not count.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// So many short lives in a row are a pattern.
pub(crate) const PATTERN: u32 = 3;

/// The lives of a session's connections.
#[derive(Debug)]
pub(crate) struct Lives {
    short_life: Duration,
    began: Instant,
    /// Short lives since the last long one.
    short: u32,
}

impl Lives {
    /// The first has begun. One shorter than `short_life` is a short one.
    pub(crate) fn begin(short_life: Duration) -> Lives {
        Lives { short_life, began: Instant::now(), short: 0 }
    }

    /// Another connection.
    pub(crate) fn reborn(&mut self) {
        self.began = Instant::now();
    }

    /// It is over: how many short ones there were in a row, this one included; 0 if it was none.
    pub(crate) fn over(&mut self) -> u32 {
        let lived = self.began.elapsed();
        if lived >= LONG_LIFE {
            self.short = 0;
        }
        if lived >= self.short_life {
            return 0;
        }
        self.short = self.short.saturating_add(1);
        self.short
    }

    /// How long to wait before the next login. The first short life may be an accident.
    pub(crate) fn wait(&self) -> Duration {
        match self.short {
            0 | 1 => Duration::ZERO,
            more => back_off(more - 1, Again::Later),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn live(lives: &mut Lives, seconds: u64) -> u32 {
        lives.reborn();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        lives.over()
    }

    #[tokio::test(start_paused = true)]
    async fn one_short_life_is_an_accident_and_more_are_waited_for_longer_and_longer() {
        let mut lives = Lives::begin(SHORT_LIFE);
        assert_eq!((live(&mut lives, 0).await, lives.wait()), (1, Duration::ZERO));
        for (count, seconds) in [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30)] {
            assert_eq!(live(&mut lives, 9).await, count);
            let middle = Duration::from_secs(seconds);
            assert!(lives.wait() >= middle * 3 / 4 && lives.wait() <= middle * 5 / 4, "{count}: {:?}", lives.wait());
        }
        assert_eq!(live(&mut lives, 30).await, 0, "neither short nor long");
        assert!(lives.wait() > Duration::from_secs(20), "it makes nothing good");
        assert_eq!((live(&mut lives, 60).await, lives.wait()), (0, Duration::ZERO));
        assert_eq!(live(&mut lives, 1).await, 1, "it begins anew");
    }
}
