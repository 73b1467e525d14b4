//! Commands that are not answered, and what is done about it (RFC 7143 §11.5, SAM-5 §7).
//!
//! ```text
//!   a command takes too long ──► ABORT TASK ──► LOGICAL UNIT RESET ──► TARGET WARM RESET ──► new connection
//!                                    each with its timer, each only where the one before did not help
//! ```
//! A command that was ended this way is issued again; one that takes too long again begins further to
//! the right, and fails in the end.

use std::time::Duration;

use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::TaskFunctionResponse;
use iscsi_proto::tmf::Manage;
use tokio::time::Instant;

/// How often a request may take too long before it fails: once for each step of the ladder.
pub(super) const PATIENCE: u8 = 4;

/// A step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    AbortTask,
    LogicalUnitReset,
    TargetReset,
    NewConnection,
}

impl Step {
    /// Where a request begins that has taken too long so often before.
    fn first(overdue: u8) -> Step {
        match overdue {
            0 => Step::AbortTask,
            1 => Step::LogicalUnitReset,
            2 => Step::TargetReset,
            _ => Step::NewConnection,
        }
    }

    fn next(self) -> Step {
        match self {
            Step::AbortTask => Step::LogicalUnitReset,
            Step::LogicalUnitReset => Step::TargetReset,
            Step::TargetReset | Step::NewConnection => Step::NewConnection,
        }
    }
}

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

/// What is asked of the target.
#[derive(Debug)]
struct Asked {
    about: Overdue,
    step: Step,
    /// The function's tag, until it is answered.
    itt: Option<Itt>,
    deadline: Instant,
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
    /// How long the answer to a function may take.
    function_limit: Duration,
    asked: Option<Asked>,
    look: Instant,
}

impl Watchdog {
    pub(super) fn new(task_limit: Duration, function_limit: Duration, now: Instant) -> Watchdog {
        Watchdog { task_limit, function_limit, asked: None, look: now + task_limit }
    }

    /// When [`act`](Watchdog::act) is due.
    pub(super) fn deadline(&self, anything_under_way: bool) -> Option<Instant> {
        match &self.asked {
            Some(asked) => Some(asked.deadline),
            None => (anything_under_way && !self.task_limit.is_zero()).then_some(self.look),
        }
    }

    /// Decides what is due.
    pub(super) fn act(&mut self, now: Instant, commands: &mut (impl UnderWay + ?Sized)) -> Act {
        let (about, step) = match &self.asked {
            Some(asked) if now < asked.deadline => return Act::Nothing,
            Some(asked) if !commands.has(asked.about.itt) => {
                self.asked = None;
                return Act::Nothing;
            }
            Some(asked) => (asked.about, asked.step.next()),
            None if now < self.look => return Act::Nothing,
            None => {
                self.look = now + self.task_limit / 4;
                let Some(about) = now.checked_sub(self.task_limit).and_then(|before| commands.blame_oldest(before))
                else {
                    return Act::Nothing;
                };
                (about, Step::first(about.times))
            }
        };
        self.asked = Some(Asked { about, step, itt: None, deadline: now + self.function_limit });
        match step {
            Step::AbortTask => Act::Manage(Manage::AbortTask(about.itt)),
            Step::LogicalUnitReset => Act::Manage(Manage::LogicalUnitReset(about.lun)),
            Step::TargetReset => Act::Manage(Manage::TargetWarmReset),
            Step::NewConnection => Act::NewConnection,
        }
    }

    /// The function was requested under that tag; `None` if it could not be: then the next step is due.
    pub(super) fn asked(&mut self, itt: Option<Itt>, now: Instant) {
        if let Some(asked) = &mut self.asked {
            asked.itt = itt;
            if itt.is_none() {
                asked.deadline = now;
            }
        }
    }

    /// A function was answered. One that was refused leaves the next step due at once; after "task does
    /// not exist" the answer to the task may still be on its way (§11.6.1), so that is waited for.
    pub(super) fn answered(&mut self, itt: Itt, response: Option<TaskFunctionResponse>, now: Instant) {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.itt == Some(itt)) else { return };
        match response {
            Some(TaskFunctionResponse::Complete) => self.asked = None,
            Some(TaskFunctionResponse::TaskDoesNotExist) => asked.itt = None,
            _ => asked.deadline = now,
        }
    }

    /// There is a new connection, or none: nothing is asked of the target any more.
    pub(super) fn forget(&mut self, now: Instant) {
        self.asked = None;
        self.look = now + self.task_limit / 4;
    }
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
        (Watchdog::new(TASK, FUNCTION, start), One(Some(Overdue { times, ..LATE })), start + TASK)
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
            dog.asked(Some(Itt(100 + n as u32)), now);
            assert_eq!(dog.act(now + FUNCTION / 2, &mut command), Act::Nothing, "so has the function");
            now += FUNCTION;
        }
        assert_eq!(dog.act(now, &mut command), Act::NewConnection);
    }

    #[test]
    fn a_function_that_is_refused_is_followed_by_the_next_at_once() {
        let (mut dog, mut command, now) = late(0);
        assert_eq!(dog.act(now, &mut command), Act::Manage(Manage::AbortTask(LATE.itt)));
        dog.asked(Some(Itt(9)), now);
        dog.answered(Itt(9), Some(TaskFunctionResponse::NotSupported), now);
        assert_eq!(dog.act(now, &mut command), Act::Manage(Manage::LogicalUnitReset(LATE.lun)));
    }

    #[test]
    fn a_function_that_helped_ends_the_matter() {
        let (mut dog, mut command, now) = late(0);
        dog.act(now, &mut command);
        dog.asked(Some(Itt(9)), now);
        dog.answered(Itt(9), Some(TaskFunctionResponse::Complete), now);
        assert_eq!(dog.act(now + FUNCTION, &mut One(None)), Act::Nothing);
    }

    #[test]
    fn a_task_that_does_not_exist_may_still_be_answered() {
        for (answered, then) in [(true, Act::Nothing), (false, Act::Manage(Manage::LogicalUnitReset(LATE.lun)))] {
            let (mut dog, mut command, now) = late(0);
            dog.act(now, &mut command);
            dog.asked(Some(Itt(9)), now);
            dog.answered(Itt(9), Some(TaskFunctionResponse::TaskDoesNotExist), now);
            assert_eq!(dog.act(now + FUNCTION / 2, &mut command), Act::Nothing);
            if answered {
                command = One(None);
            }
            assert_eq!(dog.act(now + FUNCTION, &mut command), then);
        }
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
        let dog = Watchdog::new(Duration::ZERO, FUNCTION, Instant::now());
        assert_eq!(dog.deadline(true), None);
    }
}
