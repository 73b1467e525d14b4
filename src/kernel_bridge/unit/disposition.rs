//! What a unit's answer means for a request: one place for all of it.
//!
//! | the unit says | we |
//! |---|---|
//! | GOOD, RECOVERED ERROR | done, if all bytes moved |
//! | unit attention (6) | issue it again: the condition is cleared by having been told (SAM-5 §5.14) |
//! | BUSY, TASK SET FULL | wait, issue it again (SAM-5 §5.3.1) |
//! | becoming ready, an operation in progress, ALUA transition (2/04/01, 2/04/04–0a, 2/04/14) | wait, issue it again |
//! | a deferred error: of an earlier command; this one was not executed | it fails, so that somebody hears; a recovered one: issue it again |
//! | ABORTED COMMAND (b), TASK ABORTED | issue it again, a few times |
//! | the same for its data or for want of room (b/47/xx, b/55/xx) | as well; from the third time on, in shorter commands |
//! | a refusal of the command's form (5/20/00, 5/24/00, 5/26/xx, 5/1a/00, 5/55/xx) | what `refusal.rs` knows instead |
//! | LBA out of range (5/21/00) | it fails; where its own capacity says otherwise, that is read again |
//! | nothing: task management ended it | issue it again |
//! | nothing: the connection was lost | issue it again, unless the core says that it must not be |
//! | RESERVATION CONFLICT and everything else | it fails |

use std::time::Duration;

use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::scsi::{Sense, SenseKey};
use iscsi_proto::session::{Outcome, Residual, TaskResult};

use super::refusal::Refusal;
use super::request::{Request, Work};
use crate::block::IoError;

/// Issued again at once at most so often.
const PROMPT_ATTEMPTS: u16 = 8;

/// Issued again after a wait at most so often: with waits up to a second, two minutes, as long as I/O waits
/// for a lost connection by default.
const PATIENT_ATTEMPTS: u16 = 125;

/// Issued again as it is so often, before it is taken to be too long.
const AS_IT_IS: u16 = 2;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Done(Result<(), IoError>),
    Again,
    AgainAfter(Duration),
}

/// Decides. May change the request, where it is to be issued in another way.
pub(crate) fn decide(request: &mut Request, result: &TaskResult, sense: Option<Sense>) -> Disposition {
    match result.outcome {
        Outcome::Status(status) => decide_status(request, status, result, sense),
        Outcome::TargetFailure(_) | Outcome::Rejected(_) => prompt(request, target_error(sense)),
        // It has its turn again.
        Outcome::Aborted | Outcome::Lost { again: true } => Disposition::Again,
        // It was under way and must not be issued twice, or the session is over.
        Outcome::Lost { again: false } => Disposition::Done(Err(IoError::Offline)),
    }
}

fn decide_status(request: &mut Request, status: ScsiStatus, result: &TaskResult, sense: Option<Sense>) -> Disposition {
    match status {
        ScsiStatus::Good | ScsiStatus::ConditionMet => whole(request, result),
        ScsiStatus::CheckCondition => match sense {
            Some(sense) => decide_sense(request, result, sense),
            None => Disposition::Done(Err(target_error(None))),
        },
        ScsiStatus::Busy | ScsiStatus::TaskSetFull => patient(request, target_error(None)),
        ScsiStatus::TaskAborted | ScsiStatus::AcaActive => prompt(request, target_error(None)),
        ScsiStatus::ReservationConflict => Disposition::Done(Err(IoError::ReservationConflict)),
        ScsiStatus::Unknown(_) => Disposition::Done(Err(target_error(None))),
    }
}

fn whole(request: &mut Request, result: &TaskResult) -> Disposition {
    let is_block = matches!(request.work, Work::Block { .. });
    if is_block && !is_whole(request.data.len(), result) {
        return Disposition::Done(Err(target_error(None)));
    }
    request.confirm();
    Disposition::Done(Ok(()))
}

/// GOOD counts only if every byte moved, and there were no more: a short read must not deliver stale
/// bytes, and a unit that had more to say has other blocks than we think.
fn is_whole(expected: u32, result: &TaskResult) -> bool {
    result.transferred == expected && !matches!(result.residual, Residual::Overflow(1..))
}

fn decide_sense(request: &mut Request, result: &TaskResult, sense: Sense) -> Disposition {
    let failed = Disposition::Done(Err(target_error(Some(sense))));
    if sense.deferred {
        // It is about an earlier command, and this one was not executed (SPC-5 §4.4.5).
        tracing::error!(%sense, lun = %request.lun, "a unit reports an error of an earlier command");
        return match sense.key {
            SenseKey::RecoveredError => prompt(request, target_error(Some(sense))),
            _ => failed,
        };
    }
    if matches!(request.work, Work::Block { .. })
        && let Some(refusal) = Refusal::of(&sense)
    {
        return match request.refused(refusal) {
            None => Disposition::Again,
            Some(Ok(())) => Disposition::Done(Ok(())),
            Some(Err(error)) if refusal == Refusal::Opcode || (request.is_fast() && refusal != Refusal::Resources) => {
                Disposition::Done(Err(error))
            }
            Some(Err(_)) => failed,
        };
    }
    match sense.key {
        SenseKey::RecoveredError => whole(request, result),
        SenseKey::UnitAttention => prompt(request, target_error(Some(sense))),
        // Noise passes; what comes back may be for the length.
        SenseKey::AbortedCommand
            if request.attempts >= AS_IT_IS
                && Refusal::of_aborted(&sense).is_some_and(|refusal| request.refused(refusal).is_none()) =>
        {
            Disposition::Again
        }
        SenseKey::AbortedCommand => prompt(request, target_error(Some(sense))),
        SenseKey::NotReady if sense.asc == 0x04 && matches!(sense.ascq, 0x01 | 0x04..=0x0a | 0x14) => {
            patient(request, target_error(Some(sense)))
        }
        SenseKey::IllegalRequest if sense.out_of_range() => match &request.work {
            // The unit contradicts itself: what was asked is not wrong.
            Work::Block { unit, lba, blocks, .. } if unit.has(*lba, *blocks) => failed,
            Work::Block { .. } | Work::Raw { .. } => Disposition::Done(Err(IoError::OutOfRange)),
        },
        SenseKey::DataProtect if sense.space_exhausted() => Disposition::Done(Err(IoError::NoSpace)),
        SenseKey::DataProtect if sense.write_protected() => Disposition::Done(Err(IoError::ReadOnly)),
        _ => failed,
    }
}

fn target_error(sense: Option<Sense>) -> IoError {
    match sense {
        Some(sense) => IoError::Target { key: sense.key as u8, asc: sense.asc, ascq: sense.ascq },
        None => IoError::Target { key: 0, asc: 0, ascq: 0 },
    }
}

fn prompt(request: &mut Request, otherwise: IoError) -> Disposition {
    request.attempts += 1;
    if request.attempts > PROMPT_ATTEMPTS { Disposition::Done(Err(otherwise)) } else { Disposition::Again }
}

fn patient(request: &mut Request, otherwise: IoError) -> Disposition {
    request.attempts += 1;
    if request.attempts > PATIENT_ATTEMPTS {
        return Disposition::Done(Err(otherwise));
    }
    let wait = Duration::from_millis(20 << request.attempts.min(6));
    Disposition::AgainAfter(wait.min(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use iscsi_proto::ids::Lun;
    use iscsi_proto::session::Data;
    use tokio::sync::oneshot;

    use super::*;
    use crate::kernel_bridge::unit::request::Payload;

    fn decided(sense: Sense) -> Disposition {
        let (reply, _answer) = oneshot::channel();
        let data = Data::Out(512);
        let mut request = Request::new(Lun(0), [0x8a; 16], data, Payload::None, Work::Raw { reply });
        let outcome = Outcome::Status(ScsiStatus::CheckCondition);
        let result = TaskResult { outcome, transferred: 512, residual: Residual::None };
        decide(&mut request, &result, Some(sense))
    }

    #[test]
    fn a_deferred_error_is_no_answer_to_the_command_that_carries_it() {
        let deferred = |key| Sense { deferred: true, ..Sense::new(key, 0x0c, 0x02) };
        assert_eq!(decided(deferred(SenseKey::RecoveredError)), Disposition::Again, "it was not executed");
        for key in [SenseKey::MediumError, SenseKey::AbortedCommand, SenseKey::UnitAttention] {
            assert!(matches!(decided(deferred(key)), Disposition::Done(Err(_))), "{key:?}: somebody must hear of it");
        }
        assert_eq!(decided(Sense::new(SenseKey::RecoveredError, 0x0c, 0x00)), Disposition::Done(Ok(())));
    }

    #[test]
    fn good_with_more_data_than_expected_is_no_success() {
        let result = |residual| TaskResult { outcome: Outcome::Status(ScsiStatus::Good), transferred: 4096, residual };
        assert!(is_whole(4096, &result(Residual::None)));
        assert!(is_whole(4096, &result(Residual::Overflow(0))));
        assert!(!is_whole(4096, &result(Residual::Overflow(28_672))));
        assert!(!is_whole(8192, &result(Residual::None)));
    }
}
