//! Tasks: what is under way, by slot.
//!
//! ```text
//!            submit             poll_transmit                response, Reject, abort, loss
//!   Free ──────────► Waiting ─────────────────► Active ──────────────────────────────► Settled
//!    ▲                  └─────────── cancel, logout, loss ────────────────────────────►   │
//!    └──────────────────────────────── retire ────────────────────────────────────────────┘
//! ```
//! A slot is not used again before [`retire`](crate::session::Session::retire): until then the
//! caller's buffer may still be named by it.

use alloc::vec::Vec;

use crate::ids::{Itt, Lun};
use crate::pdu::{RejectReason, ScsiStatus, TaskAttribute, TaskFunction};
use crate::sn::{CmdSn, DataSn};

/// Sense bytes kept of a response; SPC-5 §4.4 allows 252, nobody sends more than these.
pub const SENSE_LEN: usize = 96;

/// Data of a command, in bytes of the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// None.
    None,
    /// The target sends up to that many.
    In(u32),
    /// We send exactly that many.
    Out(u32),
}

impl Data {
    /// Expected Data Transfer Length (RFC 7143 §11.3.4).
    pub const fn len(self) -> u32 {
        match self {
            Data::None => 0,
            Data::In(len) | Data::Out(len) => len,
        }
    }

    /// Whether nothing is transferred.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A SCSI command to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// The unit.
    pub lun: Lun,
    /// Command descriptor block, zero-padded to 16 bytes.
    pub cdb: [u8; 16],
    /// Its order among others.
    pub attribute: TaskAttribute,
    /// Its data.
    pub data: Data,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The unit answered.
    Status(ScsiStatus),
    /// The target could not run it: iSCSI service response (RFC 7143 §11.4.3).
    TargetFailure(u8),
    /// The target rejected a PDU of it (§11.17).
    Rejected(RejectReason),
    /// We wanted it ended: a task management function did it, or it was taken back before it was sent.
    Aborted,
    /// The connection ended before the command did.
    Lost {
        /// Another connection may be given it again: it was not sent, or twice is the same as once
        /// ([`reissue`](crate::reissue)).
        again: bool,
    },
}

/// Bytes that were not transferred, or would have been too many (§11.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// As expected.
    #[default]
    None,
    /// Fewer bytes than expected, by this number.
    Underflow(u32),
    /// More bytes than expected, by this number; they were dropped.
    Overflow(u32),
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of the buffer that are valid (in) or that the target took (out).
    pub transferred: u32,
    /// What the target said of the difference.
    pub residual: Residual,
}

/// What a slot is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scsi(Transfer),
    Manage { function: TaskFunction, referenced: Option<Itt>, lun: Lun },
    Ping,
    Text,
    Logout,
}

/// Where a SCSI command's data stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) command: Command,
    /// In: bytes received. Out: bytes handed to the transport.
    pub(crate) moved: u32,
    /// In: DataSN due next. Out: R2TSN due next.
    pub(crate) sn: DataSn,
    /// Out: where the next R2T must start.
    pub(crate) solicited: u32,
    /// Out: R2Ts not yet answered in full.
    pub(crate) open_r2ts: u16,
}

impl Transfer {
    pub(crate) fn new(command: Command) -> Transfer {
        Transfer { command, moved: 0, sn: DataSn(0), solicited: 0, open_r2ts: 0 }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free { next: u16 },
    Waiting,
    Active,
    Settled,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) state: State,
    pub(crate) generation: u16,
    pub(crate) kind: Kind,
    pub(crate) cmd_sn: CmdSn,
    pub(crate) sense_len: u8,
}

const NONE: u16 = u16::MAX;

/// All tasks of a session: a fixed number of slots, allocated once.
#[derive(Debug)]
pub(crate) struct Tasks {
    slots: Vec<Task>,
    sense: Vec<[u8; SENSE_LEN]>,
    free: u16,
    used: usize,
}

impl Tasks {
    pub(crate) fn new(count: u16) -> Tasks {
        let slots = (0..count)
            .map(|slot| Task {
                state: State::Free { next: if slot + 1 < count { slot + 1 } else { NONE } },
                generation: 0,
                kind: Kind::Ping,
                cmd_sn: CmdSn(0),
                sense_len: 0,
            })
            .collect();
        let sense = (0..count).map(|_| [0; SENSE_LEN]).collect();
        Tasks { slots, sense, free: if count == 0 { NONE } else { 0 }, used: 0 }
    }

    pub(crate) fn insert(&mut self, kind: Kind) -> Option<Itt> {
        let slot = self.free;
        let task = self.slots.get_mut(usize::from(slot))?;
        let State::Free { next } = task.state else { return None };
        self.free = next;
        self.used += 1;
        *task = Task { state: State::Waiting, generation: task.generation, kind, cmd_sn: CmdSn(0), sense_len: 0 };
        Some(Itt::new(slot, task.generation))
    }

    /// The task of that tag, unless it has retired.
    pub(crate) fn get(&self, itt: Itt) -> Option<&Task> {
        let task = self.slots.get(itt.slot())?;
        (task.generation == itt.generation() && !matches!(task.state, State::Free { .. })).then_some(task)
    }

    pub(crate) fn get_mut(&mut self, itt: Itt) -> Option<&mut Task> {
        let task = self.slots.get_mut(itt.slot())?;
        (task.generation == itt.generation() && !matches!(task.state, State::Free { .. })).then_some(task)
    }

    pub(crate) fn remove(&mut self, itt: Itt) -> bool {
        let free = self.free;
        let Some(task) = self.get_mut(itt) else { return false };
        task.state = State::Free { next: free };
        task.generation = task.generation.wrapping_add(1);
        self.free = itt.slot() as u16;
        self.used -= 1;
        true
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        self.slots.len() - self.used
    }

    pub(crate) fn sense(&self, itt: Itt) -> &[u8] {
        let Some(task) = self.get(itt) else { return &[] };
        self.sense.get(itt.slot()).and_then(|sense| sense.get(..usize::from(task.sense_len))).unwrap_or(&[])
    }

    pub(crate) fn set_sense(&mut self, itt: Itt, bytes: &[u8]) {
        let Some(store) = self.sense.get_mut(itt.slot()) else { return };
        let mut len = 0;
        for (to, from) in store.iter_mut().zip(bytes) {
            *to = *from;
            len += 1;
        }
        if let Some(task) = self.get_mut(itt) {
            task.sense_len = len;
        }
    }

    /// The first tag from slot `slot` on; moves `slot` behind it.
    pub(crate) fn tag_from(&self, slot: &mut usize) -> Option<Itt> {
        loop {
            let at = *slot;
            let task = self.slots.get(at)?;
            *slot += 1;
            if !matches!(task.state, State::Free { .. }) {
                return Some(Itt::new(at as u16, task.generation));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: itt-unique, order-task
    #[test]
    fn a_retired_tag_is_not_known_when_its_slot_is_used_again() {
        let mut tasks = Tasks::new(1);
        let first = tasks.insert(Kind::Ping).expect("a slot");
        assert_eq!(tasks.insert(Kind::Ping), None);
        assert!(tasks.remove(first));
        let second = tasks.insert(Kind::Ping).expect("the slot again");
        assert_eq!(first.slot(), second.slot());
        assert!(tasks.get(first).is_none() && tasks.get(second).is_some());
        assert!(!tasks.remove(first));
    }

    // check: order-task
    #[test]
    fn tags_of_the_wire_find_nothing_beyond_the_slots() {
        let tasks = Tasks::new(4);
        assert!(tasks.get(Itt::RESERVED).is_none());
        assert!(tasks.get(Itt(0)).is_none(), "a free slot is no task");
    }
}
