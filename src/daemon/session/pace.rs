//! How soon units are looked for again where a target says, again and again, that they have changed: some say so at each
//! command, also at those of the look itself.

use std::time::Duration;

use tokio::time::Instant;

/// The rest after the first look that was followed by news at once; doubled up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);

/// The longest rest.
const LONGEST: Duration = Duration::from_secs(60);

/// The pace of the looks.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last look was over, and the rest that is due after it.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// The units may have changed: when they are to be looked for. At once, but for the rest after the last look.
    pub(crate) fn due(&self) -> Instant {
        let now = Instant::now();
        self.last.map_or(now, |(over, rest)| now.max(over + rest))
    }

    /// A look is over, that was asked for at `asked`. Whether the rest after it is the longest.
    pub(crate) fn looked(&mut self, asked: Instant) -> bool {
        let rest = match self.last {
            Some((over, rest)) if asked < over + rest * 2 => (rest * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some((Instant::now(), rest));
        rest == LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn news_without_end_is_looked_into_less_and_less_often_and_news_after_a_rest_at_once() {
        let mut pace = Pace::default();
        let mut rests = Vec::new();
        for _ in 0..9 {
            let asked = Instant::now();
            let due = pace.due();
            rests.push((due - asked).as_secs());
            tokio::time::sleep_until(due).await;
            pace.looked(asked);
        }
        assert_eq!(rests, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        tokio::time::sleep(Duration::from_secs(121)).await;
        let asked = Instant::now();
        assert_eq!(pace.due(), asked);
        pace.looked(asked);
        assert_eq!(pace.due() - asked, FIRST);
    }
}
