//! Commands that are not answered, and what is done about it (RFC 7143 §11.5, SAM-5 §7).
//!
//! ```text
//!   a command takes too long ──► escalation: ABORT TASK … a new connection ──► issued again, or failed
//!                ▲                                                                │
//!                └────────────── again: begins one step further ──────────────────┘
//! ```
//! A command that was ended this way is issued again; one that takes too long again begins a step further on, and
//! fails in the end.

use std::time::Duration;

use iscsi_proto::escalation::{Escalation, Step};
use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::TaskFunctionResponse;
use iscsi_proto::tmf::Manage;
use tokio::time::Instant;

use super::clock::Clock;

/// How often a request may take too long before it fails: once for each step.
pub(super) const PATIENCE: u8 = Step::ALL.len() as u8;

/// A command that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) itt: Itt,
    pub(super) lun: Lun,
    /// How often it took too long before.
    pub(super) times: u8,
}

/// The commands under way.
pub(super) trait UnderWay {
    /// The one that is under way for the longest, since `before` or earlier; that counts against it.
    fn blame_oldest(&mut self, before: Instant) -> Option<Overdue>;

    /// Whether that one still is.
    fn has(&self, itt: Itt) -> bool;
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Request this function and tell [`Watchdog::asked`] its tag.
    Manage(Manage),
    /// Nothing has helped.
    NewConnection,
}

/// Who looks for commands that take too long.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// How long a command may take; zero for ever.
    task_limit: Duration,
    escalation: Escalation<Overdue>,
    clock: Clock,
    look: Instant,
}

impl Watchdog {
    pub(super) fn new(task_limit: Duration, function_limit: Duration, clock: Clock, now: Instant) -> Watchdog {
        Watchdog { task_limit, escalation: Escalation::new(function_limit), clock, look: now + task_limit }
    }

    /// When [`act`](Watchdog::act) is due.
    pub(super) fn deadline(&self, anything_under_way: bool) -> Option<Instant> {
        match self.escalation.deadline() {
            Some(deadline) => Some(self.clock.timer(deadline)),
            None => (anything_under_way && !self.task_limit.is_zero()).then_some(self.look),
        }
    }

    /// Decides what is due.
    pub(super) fn act(&mut self, now: Instant, commands: &mut (impl UnderWay + ?Sized)) -> Act {
        if self.escalation.about().is_none() {
            return self.look(now, commands);
        }
        match self.escalation.due(self.clock.core(now)) {
            None => Act::Nothing,
            Some((late, step)) if commands.has(late.itt) => act(late, step),
            Some(_) => {
                self.escalation.forget();
                Act::Nothing
            }
        }
    }

    /// Looks for a command that takes too long, once in a while.
    fn look(&mut self, now: Instant, commands: &mut (impl UnderWay + ?Sized)) -> Act {
        if now < self.look {
            return Act::Nothing;
        }
        self.look = now + self.task_limit / 4;
        let late = now.checked_sub(self.task_limit).and_then(|before| commands.blame_oldest(before));
        let Some(late) = late else { return Act::Nothing };
        let step = Step::first(late.times);
        self.escalation.begin(late, step, self.clock.core(now));
        act(late, step)
    }

    /// The function was requested under that tag; `None` if it could not be: then the next step is due.
    pub(super) fn asked(&mut self, itt: Option<Itt>) {
        self.escalation.requested(itt);
    }

    /// A function was answered.
    pub(super) fn answered(&mut self, itt: Itt, response: Option<TaskFunctionResponse>) {
        self.escalation.answered(itt, response);
    }

    /// There is a new connection, or none: nothing is asked of the target any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.escalation.forget();
        self.look = now + self.task_limit / 4;
    }
}

fn act(late: Overdue, step: Step) -> Act {
    step.function(late.itt, late.lun).map_or(Act::NewConnection, Act::Manage)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Duration = Duration::from_secs(30);
    const FUNCTION: Duration = Duration::from_secs(10);
    const LATE: Overdue = Overdue { itt: Itt(7), lun: Lun(3), times: 0 };

    /// One command, as long as it is not answered.
    struct One(Option<Overdue>);

    impl UnderWay for One {
        fn blame_oldest(&mut self, _before: Instant) -> Option<Overdue> {
            self.0
        }

        fn has(&self, itt: Itt) -> bool {
            self.0.is_some_and(|late| late.itt == itt)
        }
    }

    /// A watchdog, the command it watches, and the moment from which on that takes too long.
    fn late(times: u8) -> (Watchdog, One, Instant) {
        let start = Instant::now();
        (Watchdog::new(TASK, FUNCTION, Clock::new(start), start), One(Some(Overdue { times, ..LATE })), start + TASK)
    }

    #[test]
    fn a_target_that_ignores_every_function_is_left_in_the_end() {
        let (mut dog, mut command, mut now) = late(0);
        assert_eq!(dog.act(now - TASK / 2, &mut command), Act::Nothing, "it has time");
        for (n, function) in [Manage::AbortTask(LATE.itt), Manage::LogicalUnitReset(LATE.lun), Manage::TargetWarmReset]
            .into_iter()
            .enumerate()
        {
            assert_eq!(dog.act(now, &mut command), Act::Manage(function));
            dog.asked(Some(Itt(100 + n as u32)));
            assert_eq!(dog.act(now + FUNCTION / 2, &mut command), Act::Nothing, "so has the function");
            now += FUNCTION;
            assert_eq!(dog.deadline(true), Some(now));
        }
        assert_eq!(dog.act(now, &mut command), Act::NewConnection);
    }

    #[test]
    fn a_function_that_cannot_be_requested_is_followed_by_the_next_at_once() {
        let (mut dog, mut command, now) = late(1);
        assert_eq!(dog.act(now, &mut command), Act::Manage(Manage::LogicalUnitReset(LATE.lun)));
        dog.asked(None);
        assert!(dog.deadline(true).is_some_and(|at| at <= now));
        assert_eq!(dog.act(now, &mut command), Act::Manage(Manage::TargetWarmReset));
    }

    #[test]
    fn a_command_that_has_ended_meanwhile_needs_no_further_step() {
        let (mut dog, mut command, now) = late(0);
        dog.act(now, &mut command);
        dog.asked(Some(Itt(9)));
        dog.answered(Itt(9), Some(TaskFunctionResponse::TaskDoesNotExist));
        assert_eq!(dog.act(now + FUNCTION, &mut One(None)), Act::Nothing);
        assert_eq!(dog.deadline(true), Some(now + TASK / 4), "it looks for others");
    }

    #[test]
    fn who_is_late_again_begins_further_up() {
        for (times, act) in [
            (1, Act::Manage(Manage::LogicalUnitReset(LATE.lun))),
            (2, Act::Manage(Manage::TargetWarmReset)),
            (3, Act::NewConnection),
        ] {
            let (mut dog, mut command, now) = late(times);
            assert_eq!(dog.act(now, &mut command), act);
        }
    }

    #[test]
    fn without_a_limit_nobody_looks() {
        let start = Instant::now();
        let dog = Watchdog::new(Duration::ZERO, FUNCTION, Clock::new(start), start);
        assert_eq!(dog.deadline(true), None);
    }
}
