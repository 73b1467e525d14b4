//! Commands on their way through the extension, and how they come back.
//!
//! ```text
//!   of the scan ───────────────► EXECUTE
//!   of an export, in the harness ► a task of its SCSI stack
//!   a flush before a logout ───► EXECUTE, where the operating system has the disk
//! ```

use std::sync::Arc;

use iscsi_kext_messages::harness::{FRAME_COMPLETE, FRAME_FROM_TARGET, FRAME_NO_DATA, FRAME_TO_TARGET, FrameTask};
use iscsi_kext_messages::{
    ISCSI_EXECUTE_MOST, ISCSI_OUTCOME_ABORTED, ISCSI_OUTCOME_LOST, ISCSI_OUTCOME_REJECTED, ISCSI_OUTCOME_STATUS,
    ISCSI_OUTCOME_TARGET_FAILURE, IscsiExecuteIn,
};
use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::scsi::Sense;
use iscsi_proto::session::{Data, Outcome, Residual, TaskResult};

use super::extension::Extension;
use crate::kernel_bridge::unit::request::{Request, Work};

/// How a command came back.
pub(super) enum Came {
    /// The unit, or the target, has answered.
    Back(TaskResult, Option<Sense>),
    /// There was no connection, or it was lost meanwhile.
    Unconnected,
    /// The SCSI stack has no such unit, or the extension failed its command.
    Unanswered,
    /// The session is not there any more.
    Gone,
}

/// Where commands go.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) extension: Arc<Extension>,
    pub(super) session: u32,
    /// The target's number in the SCSI domain.
    pub(super) target: u32,
    /// How long a command may take, in milliseconds, 1 to 60000.
    pub(super) limit: u32,
}

impl Way {
    /// Runs a command to its end.
    pub(super) async fn run(self, mut request: Request) -> (Request, Came) {
        let came = match request.work {
            Work::Raw { .. } => self.execute(&mut request).await,
            Work::Block { .. } => self.task(&mut request).await,
        };
        (request, came)
    }

    async fn execute(&self, request: &mut Request) -> Came {
        let length = request.data.len().min(ISCSI_EXECUTE_MOST);
        let input = IscsiExecuteIn {
            session: self.session,
            timeout: self.limit,
            lun: request.lun.0.to_be_bytes(),
            cdb: request.cdb,
            length,
            reserved: 0,
        };
        let extension = self.extension.clone();
        let executed = match tokio::task::spawn_blocking(move || extension.execute(&input)).await {
            Ok(Ok(executed)) => executed,
            Ok(Err(refused)) if refused.is_early() => return Came::Unconnected,
            Ok(Err(refused)) if refused.is_gone() => return Came::Gone,
            Ok(Err(refused)) => {
                tracing::warn!(lun = %request.lun, "a command was not taken on: {refused}");
                return Came::Unanswered;
            }
            Err(error) => {
                tracing::error!("a call of the kernel extension ended early: {error}");
                return Came::Gone;
            }
        };
        let out = executed.out;
        // One that does not fit a code is none of them.
        let outcome = u8::try_from(out.outcome).unwrap_or(ISCSI_OUTCOME_ABORTED);
        if outcome == ISCSI_OUTCOME_LOST {
            return Came::Unconnected;
        }
        copy(&executed.data, request.bytes_mut());
        let sense = out.sense.get(..out.sense_length as usize).and_then(Sense::parse);
        Came::Back(result(outcome, out.status, out.transferred), sense)
    }

    /// Where the operating system has the disks, the exports have no units: what comes is the flush before a logout.
    async fn task(&self, request: &mut Request) -> Came {
        let Some(harness) = self.extension.harness() else {
            return if request.data.is_empty() { self.execute(request).await } else { Came::Unanswered };
        };
        let (direction, sent) = match request.data {
            Data::In(_) => (FRAME_FROM_TARGET, &[][..]),
            Data::Out(_) => (FRAME_TO_TARGET, request.bytes()),
            _ => (FRAME_NO_DATA, &[][..]),
        };
        let task = FrameTask {
            target: self.target.into(),
            lun: request.lun.0.to_be_bytes(),
            cdb: request.cdb,
            direction,
            length: request.data.len(),
        };
        match harness.task(&task, sent).await {
            Ok((done, read)) if done.response == FRAME_COMPLETE => {
                if direction == FRAME_FROM_TARGET {
                    copy(&read, request.bytes_mut());
                }
                let sense = done.sense.get(..done.sense_length as usize).and_then(Sense::parse);
                let realized = u32::try_from(done.realized).unwrap_or(u32::MAX);
                Came::Back(result(ISCSI_OUTCOME_STATUS, done.status, realized), sense)
            }
            Ok(_) => Came::Unanswered,
            Err(_) => Came::Gone,
        }
    }
}

fn copy(from: &[u8], to: &mut [u8]) {
    let length = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
        to.copy_from_slice(from);
    }
}

fn result(outcome: u8, status: u32, transferred: u32) -> TaskResult {
    let outcome = match outcome {
        ISCSI_OUTCOME_STATUS => Outcome::Status(ScsiStatus::from(status as u8)),
        // What exactly it was, the extension's log says.
        ISCSI_OUTCOME_TARGET_FAILURE | ISCSI_OUTCOME_REJECTED => Outcome::TargetFailure(1),
        _ => Outcome::Aborted,
    };
    TaskResult { outcome, transferred, residual: Residual::None }
}
