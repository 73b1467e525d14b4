//! What has happened, on its way to the other side.

use iscsi_proto::ids::Itt;
use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::session::{Data, Event, Outcome, Residual, TaskResult};

use super::Engine;
use super::commands::{Entry, Origin, State};
use super::pending::Pending;
use crate::abi::*;

/// The sense data of a fenced unit's CHECK CONDITION, fixed format (SPC-5 §4.4.3): ILLEGAL REQUEST, LOGICAL UNIT NOT
/// SUPPORTED. `fenced` says why these.
const NOT_SUPPORTED: [u8; 18] = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0];

impl Engine {
    /// What happened next; `None` if there is nothing new. A command it tells of is forgotten.
    pub(crate) fn event(&mut self) -> Option<iscsi_event> {
        self.gather();
        while let Some(pending) = self.events.pop_front() {
            let event = match pending {
                Pending::Core(event) => self.translate(event),
                Pending::Ended { tag } => {
                    self.end(tag, iscsi_event { outcome: ISCSI_OUTCOME_ABORTED, ..iscsi_event::EMPTY })
                }
                Pending::Lost { tag } => {
                    self.end(tag, iscsi_event { outcome: ISCSI_OUTCOME_LOST, ..iscsi_event::EMPTY })
                }
                Pending::Fenced { tag } => self.end(tag, not_supported()),
                Pending::Function { token, response } => {
                    Some(iscsi_event { kind: ISCSI_EVENT_FUNCTION_DONE, code: response, token, ..iscsi_event::EMPTY })
                }
                Pending::Escalated { function } => {
                    Some(iscsi_event { kind: ISCSI_EVENT_ESCALATED, code: function.into(), ..iscsi_event::EMPTY })
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Ends a command that is parked; `None` if it is not any more.
    fn end(&mut self, tag: u64, event: iscsi_event) -> Option<iscsi_event> {
        let index = self.commands.find(tag)?;
        let entry = *self.commands.get(index).filter(|entry| entry.state == State::Parked)?;
        Some(self.conclude(index, &entry, event))
    }

    fn conclude(&mut self, index: u16, entry: &Entry, event: iscsi_event) -> iscsi_event {
        let tag = self.commands.tag(index);
        if self.escalation.about() == Some(tag) {
            self.escalation.forget();
        }
        self.commands.remove(index);
        let outcome = match event.outcome {
            ISCSI_OUTCOME_ABORTED if entry.overdue => ISCSI_OUTCOME_TIMED_OUT,
            other => other,
        };
        self.counters.commands += 1;
        if outcome != ISCSI_OUTCOME_STATUS || event.status != u8::from(ScsiStatus::Good) {
            self.counters.errors += 1;
        }
        match entry.command.data {
            Data::In(_) => self.counters.bytes_read += u64::from(event.transferred),
            Data::Out(_) => self.counters.bytes_written += u64::from(event.transferred),
            Data::None => {}
        }
        let lun = entry.command.lun.0.to_be_bytes();
        iscsi_event { kind: ISCSI_EVENT_TASK_DONE, token: entry.token, tag, outcome, lun, ..event }
    }

    fn task_done(&mut self, itt: Itt, result: &TaskResult) -> Option<iscsi_event> {
        let index = self.commands.owner(itt)?;
        let entry = *self.commands.get(index)?;
        let mut event = iscsi_event { transferred: result.transferred, ..iscsi_event::EMPTY };
        set_sense(&mut event, self.session.sense(itt));
        // It has settled, as the core says.
        drop(self.session.retire(itt));
        (event.residual_kind, event.residual) = match result.residual {
            Residual::None => (ISCSI_RESIDUAL_NONE, 0),
            Residual::Underflow(bytes) => (ISCSI_RESIDUAL_UNDERFLOW, bytes),
            Residual::Overflow(bytes) => (ISCSI_RESIDUAL_OVERFLOW, bytes),
        };
        match result.outcome {
            Outcome::Status(status) => event.status = status.into(),
            Outcome::TargetFailure(response) => {
                (event.outcome, event.code) = (ISCSI_OUTCOME_TARGET_FAILURE, response.into());
            }
            Outcome::Rejected(reason) => {
                (event.outcome, event.code) = (ISCSI_OUTCOME_REJECTED, u8::from(reason).into());
            }
            Outcome::Aborted => event.outcome = ISCSI_OUTCOME_ABORTED,
            // One that the stack wants ended is not issued again, though it could be.
            Outcome::Lost { again: true } if entry.origin == Origin::Stack => event.outcome = ISCSI_OUTCOME_ABORTED,
            // It must not be issued again; or it is the daemon's, which end with their connection.
            Outcome::Lost { .. } => event.outcome = ISCSI_OUTCOME_LOST,
        }
        Some(self.conclude(index, &entry, event))
    }

    /// What an event of the core is for the other side; `None` if it is none of its business.
    fn translate(&mut self, event: Event) -> Option<iscsi_event> {
        let blank = iscsi_event::EMPTY;
        Some(match event {
            Event::TaskDone { itt, result } => return self.task_done(itt, &result),
            Event::ManageDone { itt, response, .. } => {
                if self.escalation.answered(itt, response) {
                    return None;
                }
                let token = self.functions.ended(itt)?;
                let code = response.map_or(ISCSI_NO_ANSWER, |response| u8::from(response).into());
                iscsi_event { kind: ISCSI_EVENT_FUNCTION_DONE, code, token, ..blank }
            }
            Event::LoggedOut { outcome } => {
                iscsi_event { kind: ISCSI_EVENT_LOGGED_OUT, code: u8::from(outcome).into(), ..blank }
            }
            Event::LogoutRequested { seconds } => {
                iscsi_event { kind: ISCSI_EVENT_LOGOUT_REQUESTED, parameter: [seconds, 0], ..blank }
            }
            Event::DropAnnounced { time2wait, time2retain } => {
                iscsi_event { kind: ISCSI_EVENT_DROP_ANNOUNCED, parameter: [time2wait, time2retain], ..blank }
            }
            Event::UnitReport { lun, sense } => {
                let mut report = iscsi_event { kind: ISCSI_EVENT_UNIT_REPORT, lun: lun.0.to_be_bytes(), ..blank };
                set_sense(&mut report, &sense);
                report
            }
            Event::Rejected { reason } => {
                iscsi_event { kind: ISCSI_EVENT_REJECTED, code: u8::from(reason).into(), ..blank }
            }
            Event::Notice { event, vendor_code } => iscsi_event {
                kind: ISCSI_EVENT_NOTICE,
                code: event.into(),
                parameter: [vendor_code.into(), 0],
                ..blank
            },
            // Text, because this side sends none; or a kind of event that it does not know yet.
            _ => return None,
        })
    }
}

/// What a unit that is not there answers.
fn not_supported() -> iscsi_event {
    let status = u8::from(ScsiStatus::CheckCondition);
    let mut event = iscsi_event { outcome: ISCSI_OUTCOME_STATUS, status, ..iscsi_event::EMPTY };
    set_sense(&mut event, &NOT_SUPPORTED);
    event
}

fn set_sense(event: &mut iscsi_event, sense: &[u8]) {
    let mut length = 0;
    for (to, from) in event.sense.iter_mut().zip(sense) {
        *to = *from;
        length += 1;
    }
    event.sense_length = length;
}
