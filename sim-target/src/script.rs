//! What a test may make the target do.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::{AsyncEvent, RejectReason, ScsiCommand, ScsiStatus, TaskFunction};
use iscsi_proto::scsi::Sense;
use tokio::sync::{Notify, mpsc};

use crate::event::Event;

/// What to do with a command.
#[derive(Debug, Clone, Default)]
pub enum Action {
    /// What a target does.
    #[default]
    Proceed,
    /// End it with CHECK CONDITION and that sense data, before any data move.
    CheckCondition(Sense),
    /// End it with that status and no sense data, before any data move.
    Status(ScsiStatus),
    /// Answer with iSCSI response 01h, target failure.
    TargetFailure,
    /// Take all its data, and execute and answer it when the handle is released.
    Hold(Hold),
    /// Never answer it. Task management still finds it.
    Ignore,
    /// Answer with a Reject PDU that has its header, and forget it.
    Reject(RejectReason),
    /// Ask for an end of the connection by that asynchronous event, within 3 s, and refuse this command because of that:
    /// no unit is there any more (LOGICAL UNIT NOT SUPPORTED).
    AskForEnd(AsyncEvent),
    /// Answer with these bytes and GOOD, whatever was asked.
    Answer(Arc<[u8]>),
    /// Close the connection, all earlier answers sent.
    Disconnect,
    /// Proceed, but answer in another way.
    Twist(Twist),
}

/// How an answer differs from the usual one; the default does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Twist {
    /// At most that many bytes in each Data-In (0 as negotiated); may be odd.
    pub pieces: u32,
    /// Status in a SCSI Response, also where the last Data-In could carry it.
    pub status_apart: bool,
    /// Leave out that many bytes at the end of the data and tell so as underflow.
    pub short_by: u32,
    /// As `short_by`, but do not tell.
    pub silently_short_by: u32,
    /// Add to the StatSN of this answer only.
    pub stat_sn_ahead: u32,
    /// Add to the DataSN of every Data-In but the first.
    pub data_sn_ahead: u32,
    /// Add to the buffer offset of every Data-In.
    pub offset_ahead: u32,
    /// Send this many bytes too many, past what the initiator expects.
    pub long_by: u32,
    /// A wrong header digest on the first PDU of the answer.
    pub bad_header_digest: bool,
    /// A wrong data digest on the first PDU of the answer that has data.
    pub bad_data_digest: bool,
    /// Change this to the tag before sending: an answer to a task that is not there.
    pub itt_xor: u32,
    /// Send the SCSI Response twice.
    pub answer_twice: bool,
    /// Close the connection after that many bytes of the answer (0: do not).
    pub cut_after: u32,
    /// End with this status (0 is GOOD) after all data have moved.
    pub status: u8,
}

/// Keeps commands waiting until it is released. Clones are the same hold.
#[derive(Clone, Default)]
pub struct Hold {
    inner: Arc<HoldState>,
}

#[derive(Default)]
struct HoldState {
    queue: Mutex<HoldQueue>,
    changed: Notify,
}

#[derive(Default)]
struct HoldQueue {
    released: bool,
    waiting: Vec<(u32, mpsc::UnboundedSender<Event>)>,
}

impl Hold {
    /// A hold that nothing waits for yet.
    pub fn new() -> Hold {
        Hold::default()
    }

    /// Lets every command go that waits, and those to come.
    pub fn release(&self) {
        let mut queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.released = true;
        for (itt, connection) in queue.waiting.drain(..) {
            // A connection that is gone has nothing to release.
            let _ = connection.send(Event::Release(itt));
        }
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Waits until at least `count` commands wait.
    pub async fn reached(&self, count: usize) {
        loop {
            let changed = self.inner.changed.notified();
            if self.waiting() >= count {
                return;
            }
            changed.await;
        }
    }

    /// Registers a command; false if the hold is released already.
    pub(crate) fn wait(&self, itt: u32, connection: &mpsc::UnboundedSender<Event>) -> bool {
        let mut queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.released {
            return false;
        }
        queue.waiting.push((itt, connection.clone()));
        drop(queue);
        self.inner.changed.notify_waiters();
        true
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({} waiting)", self.waiting())
    }
}

/// A login, as far as its first request tells.
#[derive(Debug, Clone)]
pub struct LoginAttempt {
    /// How many connections came before this one.
    pub connection: u64,
    /// InitiatorName.
    pub initiator: String,
    /// TargetName; `None` in a discovery session.
    pub target: Option<String>,
    /// ISID.
    pub isid: [u8; 6],
    /// The keys of the first request, as they came.
    pub keys: Vec<(String, String)>,
}

/// What to do with a login.
#[derive(Debug, Clone, Default)]
pub enum LoginAction {
    /// What a target does.
    #[default]
    Proceed,
    /// Refuse with that Status-Class and Status-Detail (RFC 7143 §11.13.5).
    Refuse(u8, u8),
    /// Send it elsewhere (0101, or 0102 if permanent); without an address none is given.
    Redirect {
        /// TargetAddress, `host[:port][,tag]`.
        address: Option<String>,
        /// The move is permanent.
        permanent: bool,
    },
    /// Never answer.
    Silence,
    /// Close the connection.
    Disconnect,
    /// Answer with these bytes and close the connection.
    Garbage(Vec<u8>),
}

/// What to do with a task management function.
#[derive(Debug, Clone, Copy, Default)]
pub enum TmfAction {
    /// What a target does.
    #[default]
    Proceed,
    /// Never answer.
    Ignore,
    /// Do nothing but answer with that code (§11.6.1).
    Respond(u8),
}

/// A task management request.
#[derive(Debug, Clone, Copy)]
pub struct Tmf {
    /// The function.
    pub function: TaskFunction,
    /// The unit.
    pub lun: Lun,
    /// The task it names.
    pub referenced_task_tag: u32,
}

/// A command as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// The unit.
    pub lun: Lun,
    /// The CDB.
    pub cdb: [u8; 16],
    /// First block, where the command has one.
    pub lba: u64,
    /// How many blocks, where the command says.
    pub blocks: u32,
    /// The FUA bit of a read or write.
    pub fua: bool,
    /// Expected Data Transfer Length, in bytes.
    pub expected_length: u32,
    /// Byte 1 of its header.
    pub flags: u8,
    /// Its tag.
    pub itt: u32,
    /// Its CmdSN.
    pub cmd_sn: u32,
    /// It was sent for immediate delivery.
    pub immediate: bool,
    /// On which connection, counted from 0.
    pub connection: u64,
}

impl Command {
    /// What the header says. What the CDB says of blocks is filled in by `decode`.
    pub(crate) fn undecoded(request: &ScsiCommand, immediate: bool, connection: u64) -> Command {
        Command {
            lun: request.lun,
            cdb: request.cdb,
            lba: 0,
            blocks: 0,
            fua: false,
            expected_length: request.expected_data_transfer_length,
            flags: request.flags,
            itt: request.itt.0,
            cmd_sn: request.cmd_sn.0,
            immediate,
            connection,
        }
    }

    /// The operation code.
    pub const fn opcode(&self) -> u8 {
        self.cdb[0]
    }
}

/// A login that came, for tests to look at.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// On which connection, counted from 0.
    pub connection: u64,
    /// The initiator's ISID.
    pub isid: [u8; 6],
    /// Every key of every request, in order.
    pub keys: Vec<(String, String)>,
    /// Whether it reached the full-feature phase.
    pub succeeded: bool,
}

/// A hook that decides over commands.
pub(crate) type CommandHook = Arc<dyn Fn(&Command) -> Action + Send + Sync>;
/// What changes a text of a login.
pub(crate) type LoginText = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;
/// A hook that decides over logins.
pub(crate) type LoginHook = Arc<dyn Fn(&LoginAttempt) -> LoginAction + Send + Sync>;
/// A hook that decides over task management functions.
pub(crate) type TmfHook = Arc<dyn Fn(&Tmf) -> TmfAction + Send + Sync>;
