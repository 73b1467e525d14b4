//! Task management (RFC 7143 §11.5, §11.6): which tasks a function ends.

use crate::ids::{Itt, Lun};
use crate::pdu::TaskFunction;
use crate::sn::CmdSn;
use crate::task::{Kind, State, Task};

/// A task management function to request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manage {
    /// ABORT TASK of that tag.
    AbortTask(Itt),
    /// ABORT TASK SET of this session on the unit.
    AbortTaskSet(Lun),
    /// LOGICAL UNIT RESET.
    LogicalUnitReset(Lun),
    /// TARGET WARM RESET.
    TargetWarmReset,
    /// TARGET COLD RESET.
    TargetColdReset,
}

impl Manage {
    /// The function's code.
    pub const fn function(self) -> TaskFunction {
        match self {
            Manage::AbortTask(_) => TaskFunction::AbortTask,
            Manage::AbortTaskSet(_) => TaskFunction::AbortTaskSet,
            Manage::LogicalUnitReset(_) => TaskFunction::LogicalUnitReset,
            Manage::TargetWarmReset => TaskFunction::TargetWarmReset,
            Manage::TargetColdReset => TaskFunction::TargetColdReset,
        }
    }
}

/// Whether a completed function, sent as number `sent`, has ended `task`: those sent before it, within
/// its scope (§11.5.1: later ones are not affected).
pub(crate) fn covers(
    function: TaskFunction,
    referenced: Option<Itt>,
    lun: Lun,
    sent: CmdSn,
    itt: Itt,
    task: &Task,
) -> bool {
    let Kind::Scsi(transfer) = &task.kind else { return false };
    if task.state != State::Active || !task.cmd_sn.is_before(sent) {
        return false;
    }
    match function {
        TaskFunction::AbortTask => referenced == Some(itt),
        TaskFunction::AbortTaskSet | TaskFunction::ClearTaskSet | TaskFunction::LogicalUnitReset => {
            transfer.command.lun == lun
        }
        TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset => true,
        TaskFunction::ClearAca | TaskFunction::TaskReassign | TaskFunction::Unknown(_) => false,
    }
}
