//! A command that takes too long, and what is asked of the target about it (RFC 7143 §11.5, SAM-5 §7).
//!
//! ```text
//!   begin ──► ABORT TASK ──► LOGICAL UNIT RESET ──► TARGET WARM RESET ──► new connection
//!                each with its timer, each only where the one before did not help
//!
//!   a step:   Chosen ── requested ──► Asked ── complete ──────────────► over
//!                │                      ├───── task does not exist ──► Unknown ── timer ──► next step
//!                │ could not be         ├───── no answer, timer ──────────────────────────► next step
//!                └──► Failed ◄──────────┘ refused;  Failed ── at once ────────────────────► next step
//! ```
//! One command at a time: another one that is late meanwhile waits for its turn. The caller says which command is
//! late, by a tag of its own, and what becomes of a command that was ended.

use crate::ids::{Itt, Lun};
use crate::pdu::TaskFunctionResponse;
use crate::time::{Duration, Instant};
use crate::tmf::Manage;

/// What is done about a command that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// ABORT TASK.
    AbortTask,
    /// LOGICAL UNIT RESET of the command's unit.
    LogicalUnitReset,
    /// TARGET WARM RESET.
    TargetReset,
    /// The connection is given up. Nothing follows.
    NewConnection,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Step; 4] = [Step::AbortTask, Step::LogicalUnitReset, Step::TargetReset, Step::NewConnection];

    /// Where a command begins that has been late `times` times before: one step further for each of them.
    pub fn first(times: u8) -> Step {
        Step::ALL.get(usize::from(times)).copied().unwrap_or(Step::NewConnection)
    }

    const fn next(self) -> Step {
        match self {
            Step::AbortTask => Step::LogicalUnitReset,
            Step::LogicalUnitReset => Step::TargetReset,
            Step::TargetReset | Step::NewConnection => Step::NewConnection,
        }
    }

    /// The function to request for the command of that tag at that unit; `None` where no function is left.
    pub const fn function(self, itt: Itt, lun: Lun) -> Option<Manage> {
        match self {
            Step::AbortTask => Some(Manage::AbortTask(itt)),
            Step::LogicalUnitReset => Some(Manage::LogicalUnitReset(lun)),
            Step::TargetReset => Some(Manage::TargetWarmReset),
            Step::NewConnection => None,
        }
    }
}

/// How far the present step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The caller knows the step and has not requested its function.
    Chosen { until: Instant },
    /// The function is under way, under that tag.
    Asked { function: Itt, until: Instant },
    /// The target does not know the task: its answer may still be on its way (RFC 7143 §11.6.1).
    Unknown { until: Instant },
    /// The function was refused, or could not be requested.
    Failed,
}

impl Phase {
    /// When the next step is due.
    const fn deadline(self) -> Instant {
        match self {
            Phase::Chosen { until } | Phase::Asked { until, .. } | Phase::Unknown { until } => until,
            Phase::Failed => Instant::ZERO,
        }
    }
}

/// The command that is late, and what is being done about it.
#[derive(Debug, Clone, Copy)]
struct Late<T> {
    tag: T,
    step: Step,
    phase: Phase,
}

/// The steps that are done about one command at a time. `T` is the caller's name for the command.
#[derive(Debug)]
pub struct Escalation<T> {
    late: Option<Late<T>>,
    limit: Duration,
}

impl<T: Copy> Escalation<T> {
    /// Nothing is late. The answer to each function may take `limit`.
    pub const fn new(limit: Duration) -> Escalation<T> {
        Escalation { late: None, limit }
    }

    /// The command that it is about.
    pub fn about(&self) -> Option<T> {
        self.late.map(|late| late.tag)
    }

    /// Begins with `step` for the command of that tag; what it was about before is forgotten. The caller does the
    /// step now, and says [`requested`](Self::requested) where that is a function.
    pub fn begin(&mut self, tag: T, step: Step, now: Instant) {
        self.late = Some(Late { tag, step, phase: Phase::Chosen { until: now + self.limit } });
    }

    /// The function of the present step was requested under that tag; `None` if it could not be: then the next step is
    /// due at once.
    pub fn requested(&mut self, function: Option<Itt>) {
        let Some(late) = &mut self.late else { return };
        late.phase = match function {
            Some(function) => Phase::Asked { function, until: late.phase.deadline() },
            None => Phase::Failed,
        };
    }

    /// A function was answered (`None`: the connection was lost first). Says whether it was the one requested here.
    pub fn answered(&mut self, function: Itt, response: Option<TaskFunctionResponse>) -> bool {
        let Some(Late { phase, .. }) = &mut self.late else { return false };
        let Phase::Asked { function: asked, until } = *phase else { return false };
        if asked != function {
            return false;
        }
        match response {
            Some(TaskFunctionResponse::Complete) => self.late = None,
            Some(TaskFunctionResponse::TaskDoesNotExist) => *phase = Phase::Unknown { until },
            _ => *phase = Phase::Failed,
        }
        true
    }

    /// When the next step is due; a time that is past means at once.
    pub fn deadline(&self) -> Option<Instant> {
        self.late.map(|late| late.phase.deadline())
    }

    /// The step that is due now, and the command it is for. The caller does it, as after [`begin`](Self::begin), or
    /// calls [`forget`](Self::forget) if the command has ended.
    pub fn due(&mut self, now: Instant) -> Option<(T, Step)> {
        let late = self.late.as_mut().filter(|late| late.phase.deadline() <= now)?;
        late.step = late.step.next();
        late.phase = Phase::Chosen { until: now + self.limit };
        Some((late.tag, late.step))
    }

    /// The command has ended, or there is no connection any more.
    pub fn forget(&mut self) {
        self.late = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const START: Instant = Instant::from_millis(1000);
    const TAG: &str = "the late one";
    const FUNCTION: Itt = Itt(9);

    /// Begun at [`START`] with that step, whose function is [`FUNCTION`].
    fn asked(step: Step) -> Escalation<&'static str> {
        let mut escalation = Escalation::new(LIMIT);
        assert_eq!((escalation.about(), escalation.deadline()), (None, None));
        escalation.begin(TAG, step, START);
        escalation.requested(Some(FUNCTION));
        escalation
    }

    #[test]
    fn a_target_that_ignores_every_function_is_left_in_the_end() {
        let (mut escalation, mut now) = (asked(Step::AbortTask), START);
        for step in [Step::LogicalUnitReset, Step::TargetReset, Step::NewConnection] {
            assert_eq!(escalation.due(now + LIMIT / 2), None, "the function has time");
            now = now + LIMIT;
            assert_eq!(escalation.deadline(), Some(now));
            assert_eq!(escalation.due(now), Some((TAG, step)));
            escalation.requested(Some(FUNCTION));
        }
        assert_eq!(escalation.due(now + LIMIT), Some((TAG, Step::NewConnection)), "nothing follows");
    }

    #[test]
    fn a_function_that_is_refused_or_cannot_be_requested_is_followed_by_the_next_at_once() {
        for response in [Some(TaskFunctionResponse::NotSupported), Some(TaskFunctionResponse::Rejected), None] {
            let mut escalation = asked(Step::AbortTask);
            assert!(escalation.answered(FUNCTION, response));
            assert_eq!(escalation.due(START), Some((TAG, Step::LogicalUnitReset)), "{response:?}");
            escalation.requested(None);
            assert_eq!(escalation.due(START), Some((TAG, Step::TargetReset)), "{response:?}");
        }
    }

    #[test]
    fn a_function_that_helped_ends_the_matter() {
        let mut escalation = asked(Step::AbortTask);
        assert!(escalation.answered(FUNCTION, Some(TaskFunctionResponse::Complete)));
        assert_eq!((escalation.about(), escalation.deadline(), escalation.due(START + LIMIT)), (None, None, None));
    }

    #[test]
    fn a_task_that_does_not_exist_may_still_be_answered() {
        let mut escalation = asked(Step::AbortTask);
        assert!(escalation.answered(FUNCTION, Some(TaskFunctionResponse::TaskDoesNotExist)));
        assert_eq!(escalation.due(START + LIMIT / 2), None);
        assert_eq!(escalation.due(START + LIMIT), Some((TAG, Step::LogicalUnitReset)));
    }

    #[test]
    fn functions_of_others_change_nothing() {
        let mut escalation = asked(Step::AbortTask);
        assert!(!escalation.answered(Itt(10), Some(TaskFunctionResponse::Complete)));
        assert!(escalation.answered(FUNCTION, Some(TaskFunctionResponse::TaskDoesNotExist)));
        assert!(!escalation.answered(FUNCTION, Some(TaskFunctionResponse::Complete)), "it was answered before");
        assert_eq!(escalation.about(), Some(TAG));
        escalation.forget();
        assert!(!escalation.answered(FUNCTION, Some(TaskFunctionResponse::Complete)));
        assert_eq!(escalation.due(START + LIMIT), None);
    }

    #[test]
    fn who_is_late_again_begins_further_on() {
        for (times, step) in (0..).zip(Step::ALL) {
            assert_eq!(Step::first(times), step);
        }
        assert_eq!(Step::first(u8::MAX), Step::NewConnection);
        let mut escalation = asked(Step::first(2));
        assert_eq!(escalation.due(START + LIMIT), Some((TAG, Step::NewConnection)));
    }

    #[test]
    fn each_step_but_the_last_is_a_function() {
        let functions = Step::ALL.map(|step| step.function(Itt(7), Lun(3)));
        let (abort, unit) = (Manage::AbortTask(Itt(7)), Manage::LogicalUnitReset(Lun(3)));
        assert_eq!(functions, [Some(abort), Some(unit), Some(Manage::TargetWarmReset), None]);
    }
}
