//! How long to wait before the next attempt.

use std::time::Duration;

use crate::login::failure::Again;

/// The longest wait between two attempts where things may pass by themselves.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The longest wait where somebody must set something right.
const MAX_WAIT_REFUSED: Duration = Duration::from_secs(300);

/// How long to wait after so many failures, at least one: twice as long each time, up to a bound, and
/// a quarter more or less, so that many initiators do not come back at the same moment.
pub(crate) fn back_off(failures: u32, again: Again) -> Duration {
    let bound = match again {
        Again::Later => MAX_WAIT,
        Again::Elsewhere | Again::Never => MAX_WAIT_REFUSED,
    };
    let first = match again {
        Again::Later | Again::Elsewhere => 1,
        // A wrong secret, sent again and again, can lock an account.
        Again::Never => 60,
    };
    let wait = Duration::from_secs(first << failures.saturating_sub(1).min(16)).min(bound);
    // Without randomness the initiators come back at the same moment; that is better than an error.
    let jitter = getrandom::u32().map_or(50, |random| random % 101);
    wait * (75 + jitter / 2) / 100
}
