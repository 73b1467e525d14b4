//! Whether to look for an answer for a moment before going to sleep.
//!
//! To sleep and to be woken takes longer than a fast target takes to answer. So where a command or two are under
//! way, the driver looks at the socket again and again for some microseconds, between the turns of the other
//! tasks of its thread. Where that does not help, it does so less and less often: a target that takes its time
//! costs next to nothing, and where nothing is under way nothing is done.
//!
//! ```text
//!   helped ──► look every time      in vain ──► leave out 1, 2, 4 … 256 times
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How long the driver looks: beyond that, sleeping costs less.
const LIMIT: Duration = Duration::from_micros(50);

/// How often it looks at most, even with a slow clock.
const TURNS: u32 = 256;

/// How many times in a row looking is left out at most.
const MOST_LEFT_OUT: u32 = 256;

/// With more commands under way than that, answers come while others are dealt with, and waiting for many of them
/// is better than for each.
pub(super) const FEW: usize = 2;

/// What experience says.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// How many times looking was left out after it had last been in vain.
    left_out: u32,
    /// How many times it is to be left out from now on.
    leave_out: u32,
}

impl Spin {
    /// Whether it is worth it this time.
    pub(super) fn is_due(&mut self) -> bool {
        match self.leave_out.checked_sub(1) {
            Some(less) => {
                self.leave_out = less;
                false
            }
            None => true,
        }
    }

    /// It was worth it, or was not.
    pub(super) fn learn(&mut self, helped: bool) {
        self.left_out = if helped { 0 } else { (2 * self.left_out).clamp(1, MOST_LEFT_OUT) };
        self.leave_out = self.left_out;
    }
}

/// Takes turns with the other tasks until `ready`; whether it was within the limit.
pub(super) async fn spin(since: Instant, mut ready: impl FnMut() -> bool) -> bool {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        if ready() {
            return true;
        }
        if since.elapsed() > LIMIT {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(spin: &mut Spin) -> u32 {
        (0..).take_while(|_| !spin.is_due()).count() as u32
    }

    #[test]
    fn what_is_in_vain_is_left_out_for_longer_and_longer_and_taken_up_again_when_it_helps() {
        let mut spin = Spin::default();
        for expected in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            assert_eq!(left_out(&mut spin), expected);
            spin.learn(false);
        }
        assert_eq!(left_out(&mut spin), 256);
        spin.learn(true);
        assert_eq!((left_out(&mut spin), left_out(&mut spin)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_even_if_no_time_passes() {
        assert!(!spin(Instant::now(), || false).await);
        let mut turns = 0;
        assert!(
            spin(Instant::now(), || {
                turns += 1;
                turns == 3
            })
            .await
        );
    }
}
