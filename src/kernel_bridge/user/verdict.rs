//! What a unit's answer means for a request: one place for all of it.
//!
//! | the unit says | we |
//! |---|---|
//! | GOOD, RECOVERED ERROR | done, if all bytes moved |
//! | unit attention (6) | issue it again: the condition is cleared by having been told (SAM-5 §5.14) |
//! | BUSY, TASK SET FULL | wait, issue it again (SAM-5 §5.3.1) |
//! | becoming ready, ALUA transition (2/04/01, 2/04/0a) | wait, issue it again |
//! | ABORTED COMMAND (b), TASK ABORTED | issue it again, a few times |
//! | invalid opcode (5/20/00) for a 16-byte command | issue it again with ten bytes |
//! | nothing: it was taken back, or ended by task management | issue it again |
//! | RESERVATION CONFLICT and everything else | it fails |

use std::time::Duration;

use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::scsi::{Sense, SenseKey, cdb};
use iscsi_proto::session::{Outcome, TaskResult};

use super::block::IoError;
use super::request::{Request, Work};

/// Issued again at once at most so often.
const PROMPT_ATTEMPTS: u16 = 8;

/// Issued again after a wait at most so often: with waits up to a second, two minutes, as long as I/O waits
/// for a lost connection by default.
const PATIENT_ATTEMPTS: u16 = 125;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done(Result<(), IoError>),
    Again,
    AgainAfter(Duration),
}

/// Decides. May change the request, where it is to be issued in another way.
pub(super) fn judge(request: &mut Request, result: &TaskResult, sense: Option<Sense>) -> Verdict {
    match result.outcome {
        Outcome::Status(status) => judge_status(request, status, result, sense),
        Outcome::TargetFailure(_) | Outcome::Rejected(_) => prompt(request, target_error(sense)),
        // Taken back by us, unsent or by task management: it has its turn again.
        Outcome::Aborted => Verdict::Again,
        // It was under way and must not be issued twice, or the session is over.
        Outcome::ConnectionLost => Verdict::Done(Err(IoError::Offline)),
    }
}

fn judge_status(request: &mut Request, status: ScsiStatus, result: &TaskResult, sense: Option<Sense>) -> Verdict {
    match status {
        ScsiStatus::Good | ScsiStatus::ConditionMet => whole(request, result),
        ScsiStatus::CheckCondition => match sense {
            Some(sense) => judge_sense(request, result, sense),
            None => Verdict::Done(Err(target_error(None))),
        },
        ScsiStatus::Busy | ScsiStatus::TaskSetFull => patient(request, target_error(None)),
        ScsiStatus::TaskAborted | ScsiStatus::AcaActive => prompt(request, target_error(None)),
        ScsiStatus::ReservationConflict => Verdict::Done(Err(IoError::ReservationConflict)),
        ScsiStatus::Unknown(_) => Verdict::Done(Err(target_error(None))),
    }
}

/// GOOD counts only if every byte moved: a short read must not deliver stale bytes.
fn whole(request: &Request, result: &TaskResult) -> Verdict {
    let is_block = matches!(request.work, Work::Block { .. });
    if is_block && result.transferred != request.data.len() {
        return Verdict::Done(Err(target_error(None)));
    }
    Verdict::Done(Ok(()))
}

fn judge_sense(request: &mut Request, result: &TaskResult, sense: Sense) -> Verdict {
    let failed = Verdict::Done(Err(target_error(Some(sense))));
    match sense.key {
        SenseKey::RecoveredError => whole(request, result),
        SenseKey::UnitAttention => prompt(request, target_error(Some(sense))),
        SenseKey::AbortedCommand => prompt(request, target_error(Some(sense))),
        SenseKey::NotReady if (sense.asc, sense.ascq) == (0x04, 0x01) || (sense.asc, sense.ascq) == (0x04, 0x0a) => {
            patient(request, target_error(Some(sense)))
        }
        SenseKey::IllegalRequest if sense.invalid_opcode() => match &mut request.work {
            // A unit that knows no SYNCHRONIZE CACHE has nothing to synchronize.
            Work::Block { .. } if request.cdb[0] == cdb::opcode::SYNCHRONIZE_CACHE_10 => Verdict::Done(Ok(())),
            Work::Block { unit, op, lba, blocks, .. } => match unit.without_16(&request.cdb, *op, *lba, *blocks) {
                Some(cdb) => {
                    request.cdb = cdb;
                    Verdict::Again
                }
                None => Verdict::Done(Err(IoError::Unsupported)),
            },
            Work::Raw { .. } => failed,
        },
        SenseKey::IllegalRequest if (sense.asc, sense.ascq) == (0x21, 0x00) => Verdict::Done(Err(IoError::OutOfRange)),
        SenseKey::DataProtect if sense.space_exhausted() => Verdict::Done(Err(IoError::NoSpace)),
        SenseKey::DataProtect if sense.write_protected() => Verdict::Done(Err(IoError::ReadOnly)),
        _ => failed,
    }
}

fn target_error(sense: Option<Sense>) -> IoError {
    match sense {
        Some(sense) => IoError::Target { key: sense.key as u8, asc: sense.asc, ascq: sense.ascq },
        None => IoError::Target { key: 0, asc: 0, ascq: 0 },
    }
}

fn prompt(request: &mut Request, otherwise: IoError) -> Verdict {
    request.attempts += 1;
    if request.attempts > PROMPT_ATTEMPTS { Verdict::Done(Err(otherwise)) } else { Verdict::Again }
}

fn patient(request: &mut Request, otherwise: IoError) -> Verdict {
    request.attempts += 1;
    if request.attempts > PATIENT_ATTEMPTS {
        return Verdict::Done(Err(otherwise));
    }
    let wait = Duration::from_millis(20 << request.attempts.min(6));
    Verdict::AgainAfter(wait.min(Duration::from_secs(1)))
}
