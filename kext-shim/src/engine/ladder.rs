//! A command that takes too long, and what is done about it (RFC 7143 §11.5, SAM-5 §7).
//!
//! ```text
//!   overdue ──► ABORT TASK ──► LOGICAL UNIT RESET ──► TARGET WARM RESET ──► the connection is given up
//!                   each with its timer, each only where the one before did not help
//! ```
//! One command at a time: another that is overdue meanwhile waits for its turn.

use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::TaskFunctionResponse;
use iscsi_proto::time::{Duration, Instant};
use iscsi_proto::tmf::Manage;

/// A step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    AbortTask,
    LogicalUnitReset,
    TargetReset,
    GiveUp,
}

impl Step {
    fn next(self) -> Step {
        match self {
            Step::AbortTask => Step::LogicalUnitReset,
            Step::LogicalUnitReset => Step::TargetReset,
            Step::TargetReset | Step::GiveUp => Step::GiveUp,
        }
    }

    /// The function to request for a command; `None` where no function is left.
    pub(crate) fn function(self, itt: Itt, lun: Lun) -> Option<Manage> {
        match self {
            Step::AbortTask => Some(Manage::AbortTask(itt)),
            Step::LogicalUnitReset => Some(Manage::LogicalUnitReset(lun)),
            Step::TargetReset => Some(Manage::TargetWarmReset),
            Step::GiveUp => None,
        }
    }
}

/// What is asked of the target, and for whom.
#[derive(Debug, Clone, Copy)]
struct Asked {
    tag: u64,
    step: Step,
    /// The function's own tag, until it is answered.
    function: Option<Itt>,
    deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Ladder {
    asked: Option<Asked>,
    limit: Duration,
}

impl Ladder {
    /// Each function may take `limit` to be answered.
    pub(crate) fn new(limit: Duration) -> Ladder {
        Ladder { asked: None, limit }
    }

    /// The command that it is about.
    pub(crate) fn about(&self) -> Option<u64> {
        self.asked.map(|asked| asked.tag)
    }

    /// Begins for that command, with the step to do now.
    pub(crate) fn begin(&mut self, tag: u64, now: Instant) -> Step {
        self.asked = Some(Asked { tag, step: Step::AbortTask, function: None, deadline: now + self.limit });
        Step::AbortTask
    }

    /// The function of the present step was requested under that tag; `None` if it could not be.
    pub(crate) fn requested(&mut self, function: Option<Itt>) {
        if let Some(asked) = &mut self.asked {
            asked.function = function;
            if function.is_none() {
                asked.deadline = Instant::ZERO;
            }
        }
    }

    /// A function was answered: says whether it was one of these. Where it was refused, the next step is due
    /// at once; after "task does not exist" the task's own answer may still be on its way (§11.6.1).
    pub(crate) fn answered(&mut self, function: Itt, response: Option<TaskFunctionResponse>) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.function == Some(function)) else { return false };
        match response {
            Some(TaskFunctionResponse::Complete) => self.asked = None,
            Some(TaskFunctionResponse::TaskDoesNotExist) => asked.function = None,
            _ => asked.deadline = Instant::ZERO,
        }
        true
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.asked.map(|asked| asked.deadline)
    }

    /// The step that is due now, for the command it is about.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(u64, Step)> {
        let limit = self.limit;
        let asked = self.asked.as_mut().filter(|asked| asked.deadline <= now)?;
        asked.step = asked.step.next();
        asked.function = None;
        asked.deadline = now + limit;
        Some((asked.tag, asked.step))
    }

    /// The command has ended, or there is no connection any more.
    pub(crate) fn forget(&mut self) {
        self.asked = None;
    }
}
