//! A session in its full-feature phase: commands in, bytes out, bytes in, results out.
//!
//! ```text
//!   submit, manage, text, logout ──► waiting ─┐                         ┌─► poll_event
//!                                  urgent, bursts ─► poll_transmit ──►  wire
//!                                                                       │
//!              tasks ◄── dispatch ◄── rx_scratch, rx_placed ◄── rx_plan ┘
//! ```
//! # The order of calls
//! 1. [`rx_plan`](Session::rx_plan) says where the next bytes belong; after reading, call
//!    [`rx_scratch`](Session::rx_scratch) or [`rx_placed`](Session::rx_placed).
//! 2. [`poll_event`](Session::poll_event) until `None`; [`retire`](Session::retire) each finished task
//!    once its buffer is taken back.
//! 3. [`submit`](Session::submit) what is to be done.
//! 4. [`poll_transmit`](Session::poll_transmit) until `None`; send all of it, in order.
//! 5. Wait for bytes, for room to send, for new work, or for [`poll_timeout`](Session::poll_timeout), at
//!    which [`handle_timeout`](Session::handle_timeout) is due.
//!
//! An error from any of them ends the connection: close it, call
//! [`connection_lost`](Session::connection_lost), log in again, call [`reinstate`](Session::reinstate), submit again
//! what the loss has ended and may be ([`Outcome::Lost`]).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::connection::{Connection, Due, Phase, Urgent};
use crate::digest::{Crc32c, SoftCrc32c};
use crate::error::Error;
use crate::handoff::{ConnectionParams, Handoff, SessionParams};
use crate::ids::{Itt, Lun};
use crate::pdu::{LogoutOutcome, LogoutReason, RejectReason, TaskFunction, TaskFunctionResponse};
use crate::reissue::{Replay, replay};
use crate::task::{Kind, State, Tasks, Transfer};
use crate::time::Instant;
use crate::tmf::Manage;
use crate::window::Window;

pub use crate::connection::PingTimers;
pub use crate::rx::RxPlan;
pub use crate::task::{Command, Data, Outcome, Residual, SENSE_LEN, TaskResult};
pub use crate::tx::{HEAD_LEN, Head, Payload, Trailer, Transmit, trailer};

/// Slots beyond the caller's depth, for pings, task management, text and logout.
const CONTROL_SLOTS: u16 = 16;

/// Something the driver should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A command has ended. Take its buffer back, then [`retire`](Session::retire) it.
    TaskDone {
        /// The task.
        itt: Itt,
        /// How.
        result: TaskResult,
    },
    /// A task management function was answered; the tasks it ended have been reported before.
    ManageDone {
        /// The request.
        itt: Itt,
        /// What was asked.
        function: TaskFunction,
        /// The answer; `None` if the connection was lost first.
        response: Option<TaskFunctionResponse>,
    },
    /// A text exchange has ended.
    TextDone {
        /// The text request.
        itt: Itt,
        /// All that the target answered, or why it did not.
        answer: Result<Vec<u8>, Unanswered>,
    },
    /// The target answered our logout: close the connection.
    LoggedOut {
        /// What became of it.
        outcome: LogoutOutcome,
    },
    /// The target wants us to log out within that many seconds (event 1, 4 or Reject 0x0c). Told once a second
    /// at most; the connection [is held](Session::is_held) from then on.
    LogoutRequested {
        /// Parameter3.
        seconds: u16,
    },
    /// The target will drop this connection or the session (events 2 and 3). Told once a second at most; the
    /// connection [is held](Session::is_held) from then on.
    DropAnnounced {
        /// Parameter2: seconds before a login may follow.
        time2wait: u16,
        /// Parameter3: seconds after that until the tasks are gone.
        time2retain: u16,
    },
    /// A unit reports asynchronously (event 0): sense data.
    UnitReport {
        /// The unit.
        lun: Lun,
        /// Sense bytes, as they arrived.
        sense: Vec<u8>,
    },
    /// The target rejected a PDU that belongs to no command.
    Rejected {
        /// Why.
        reason: RejectReason,
    },
    /// Any other asynchronous event, to be logged.
    Notice {
        /// AsyncEvent.
        event: u8,
        /// The vendor's code.
        vendor_code: u8,
    },
}

/// Why a text exchange ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The answer is longer than was allowed for.
    TooLong,
    /// The target rejected the request.
    Rejected(RejectReason),
    /// The connection was lost.
    Lost,
}

/// How a session is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Commands under way at most, 1 to 65000. The target's window may allow fewer.
    pub depth: u16,
    /// Our pings.
    pub pings: PingTimers,
}

/// A session. `D` computes CRC32C.
#[derive(Debug)]
pub struct Session<D = SoftCrc32c> {
    pub(crate) params: SessionParams,
    pub(crate) connection: Connection,
    pub(crate) window: Window,
    pub(crate) tasks: Tasks,
    depth: usize,
    commands: usize,
    pub(crate) waiting: VecDeque<Itt>,
    events: VecDeque<Event>,
    pub(crate) pdus_received: u64,
    digest: PhantomData<D>,
}

impl<D: Crc32c> Session<D> {
    /// A session over a connection that has just logged in.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the handoff or the depth make no sense.
    pub fn from_handoff(handoff: &Handoff, config: SessionConfig, now: Instant) -> Result<Session<D>, Error> {
        let (params, connection) = handoff.params()?;
        if config.depth == 0 || config.depth > 65_000 {
            return Err(Error::Misuse("a depth outside 1 to 65000"));
        }
        let slots = config.depth.saturating_add(CONTROL_SLOTS);
        let room = usize::from(slots);
        Ok(Session {
            params,
            connection: Connection::new(connection, config.pings, usize::from(CONTROL_SLOTS), room, now),
            window: Window::new(params.cmd_sn, params.max_cmd_sn),
            tasks: Tasks::new(slots),
            depth: usize::from(config.depth),
            commands: 0,
            waiting: VecDeque::with_capacity(room),
            events: VecDeque::with_capacity(room),
            pdus_received: 0,
            digest: PhantomData,
        })
    }

    /// What was negotiated for the session.
    pub fn params(&self) -> &SessionParams {
        &self.params
    }

    /// What was negotiated for the present or the last connection.
    pub fn connection_params(&self) -> &ConnectionParams {
        &self.connection.params
    }

    /// How many more commands [`submit`](Self::submit) takes now.
    pub fn room(&self) -> usize {
        // Many control PDUs may have taken the slots.
        (self.depth - self.commands).min(self.tasks.free())
    }

    /// PDUs that have arrived, over all connections.
    pub fn pdus_received(&self) -> u64 {
        self.pdus_received
    }

    /// Commands that have not retired.
    pub fn in_flight(&self) -> usize {
        self.commands
    }

    /// Those of them that have gone out.
    pub fn gone_out(&self) -> usize {
        let waits = |itt: &&Itt| self.tasks.get(**itt).is_some_and(|task| task.state == State::Waiting);
        self.commands - self.waiting.iter().filter(waits).count()
    }

    /// Whether no more commands go out over the connection: the target wants a logout, or will drop it (RFC 7143
    /// §11.9.1, §11.17.1). Those that are submitted wait for the next one.
    pub fn is_held(&self) -> bool {
        self.connection.is_held()
    }

    /// Takes a command. Its buffer stays with the caller under the tag, untouched until the task has
    /// retired. Without a connection it waits for the next one.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no [`room`](Self::room).
    pub fn submit(&mut self, command: Command) -> Result<Itt, Error> {
        if self.room() == 0 {
            return Err(Error::Misuse("more commands than the session's depth"));
        }
        let itt = self.tasks.insert(Kind::Scsi(Transfer::new(command))).ok_or(Error::Misuse("no task slot is free"))?;
        self.commands += 1;
        self.waiting.push_back(itt);
        Ok(itt)
    }

    /// Takes back a command that has not been sent yet: it ends as aborted, and no CmdSN is spent. Says
    /// whether it could; one that was sent needs [`Manage::AbortTask`].
    pub fn cancel(&mut self, itt: Itt) -> bool {
        let unsent =
            self.tasks.get(itt).is_some_and(|task| task.state == State::Waiting && matches!(task.kind, Kind::Scsi(_)));
        if unsent {
            self.waiting.retain(|waiting| *waiting != itt);
            self.settle(itt, Outcome::Aborted, 0, Residual::None);
        }
        unsent
    }

    /// Requests a task management function, ahead of all waiting commands.
    ///
    /// # Errors
    /// [`Error::Misuse`] if too many are under way, or the task to abort is not under way.
    pub fn manage(&mut self, what: Manage) -> Result<Itt, Error> {
        let (referenced, lun) = match what {
            Manage::AbortTask(itt) => match self.tasks.get(itt).map(|task| (task.kind, task.state)) {
                Some((Kind::Scsi(transfer), State::Active)) => (Some(itt), transfer.command.lun),
                _ => return Err(Error::Misuse("abort of a task that is not under way")),
            },
            Manage::AbortTaskSet(lun) | Manage::LogicalUnitReset(lun) => (None, lun),
            Manage::TargetWarmReset | Manage::TargetColdReset => (None, Lun(0)),
        };
        let itt = self.control(Kind::Manage { function: what.function(), referenced, lun })?;
        self.connection.urgent.push_back(Urgent::Manage(itt));
        Ok(itt)
    }

    /// Logs out. Nothing is sent afterwards: commands that still wait end with [`Outcome::Lost`] when it goes
    /// out, so let them finish first.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no connection.
    pub fn logout(&mut self, reason: LogoutReason) -> Result<Itt, Error> {
        if self.connection.phase != Phase::FullFeature {
            return Err(Error::Misuse("logout without a connection"));
        }
        let itt = self.control(Kind::Logout)?;
        self.connection.urgent.push_back(Urgent::Logout { itt, reason });
        Ok(itt)
    }

    pub(crate) fn control(&mut self, kind: Kind) -> Result<Itt, Error> {
        self.tasks.insert(kind).ok_or(Error::Misuse("no task slot is free"))
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sense bytes of a finished command, as they arrived, until it retires.
    pub fn sense(&self, itt: Itt) -> &[u8] {
        self.tasks.sense(itt)
    }

    /// Gives up the tag of a finished command; its buffer is the caller's alone from now on.
    ///
    /// # Errors
    /// [`Error::Misuse`] if it has not finished: its buffer may still be written to.
    pub fn retire(&mut self, itt: Itt) -> Result<(), Error> {
        let Some(task) = self.tasks.get_mut(itt) else { return Err(Error::Misuse("retired twice")) };
        if task.state != State::Settled {
            return Err(Error::Misuse("retired before it finished"));
        }
        self.commands -= 1;
        self.tasks.remove(itt);
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connection.deadline()
    }

    /// Does what is due: sends a ping, or finds the target dead.
    ///
    /// # Errors
    /// The target did not answer a ping in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match self.connection.due(now) {
            Due::Nothing => Ok(()),
            Due::Ping => {
                let ping = self.tasks.insert(Kind::Ping);
                if let Some(itt) = ping {
                    self.connection.urgent.push_back(Urgent::Ping(itt));
                }
                self.connection.asked(ping.unwrap_or(Itt::RESERVED), now);
                Ok(())
            }
            Due::Dead => {
                self.connection.phase = Phase::Down;
                Err(crate::error::PeerMisbehaved::Silent.into())
            }
        }
    }

    /// The connection is gone. Every command that has not finished ends with [`Outcome::Lost`], which says whether
    /// it may be issued again; the caller decides when and in which order. Nothing of a lost connection goes out
    /// over the next one.
    pub fn connection_lost(&mut self) {
        self.lose(true);
    }

    /// As [`connection_lost`](Self::connection_lost), where no other connection follows: no command may be issued
    /// again.
    pub fn give_up(&mut self) {
        self.lose(false);
    }

    fn lose(&mut self, another_follows: bool) {
        self.end_text(Err(Unanswered::Lost));
        self.connection.close();
        self.waiting.clear();
        let mut slot = 0;
        while let Some(itt) = self.tasks.tag_from(&mut slot) {
            let Some(task) = self.tasks.get(itt) else { continue };
            match (task.kind, task.state) {
                (Kind::Scsi(_), State::Settled) => {}
                (Kind::Scsi(transfer), state) => {
                    let [opcode, ..] = transfer.command.cdb;
                    let harmless = state == State::Waiting || replay(opcode) == Replay::Again;
                    self.settle(itt, Outcome::Lost { again: another_follows && harmless }, 0, Residual::None);
                }
                (Kind::Manage { function, .. }, _) => {
                    self.tasks.remove(itt);
                    self.events.push_back(Event::ManageDone { itt, function, response: None });
                }
                _ => {
                    self.tasks.remove(itt);
                }
            }
        }
    }

    /// The logout goes out: commands that wait are not sent any more.
    pub(crate) fn end_waiting(&mut self) {
        while let Some(itt) = self.waiting.pop_front() {
            if self.tasks.get(itt).is_some_and(|task| task.state == State::Waiting) {
                self.settle(itt, Outcome::Lost { again: true }, 0, Residual::None);
            }
        }
    }

    /// Goes on over another connection (session reinstatement, RFC 7143 §6.3.5). It gets the commands that were
    /// submitted since the last one was lost, and those that follow.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the handoff makes no sense or the present connection is still up.
    pub fn reinstate(&mut self, handoff: &Handoff, now: Instant) -> Result<(), Error> {
        if self.connection.phase != Phase::Down {
            return Err(Error::Misuse("reinstated while the connection is up"));
        }
        let (params, connection) = handoff.params()?;
        self.params = params;
        self.connection.reopen(connection, now);
        self.window = Window::new(params.cmd_sn, params.max_cmd_sn);
        Ok(())
    }

    pub(crate) fn settle(&mut self, itt: Itt, outcome: Outcome, transferred: u32, residual: Residual) {
        if let Some(task) = self.tasks.get_mut(itt) {
            task.state = State::Settled;
            self.events.push_back(Event::TaskDone { itt, result: TaskResult { outcome, transferred, residual } });
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
