//! A request to the driver of a session, and the queue it waits in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::reissue::{Access, Arrival, Extent};
use iscsi_proto::scsi::Sense;
use iscsi_proto::session::{Data, Outcome, TaskResult};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::logical_unit::{Unit, flush};
use crate::block::{Buffer, Completion, IoError, Op};

/// The bytes a command moves.
#[derive(Debug)]
pub(crate) enum Payload {
    None,
    /// Of a pool: the data of reads and writes.
    Buffer(Buffer),
    /// Parameter lists and answers of everything else.
    Bytes(Vec<u8>),
}

impl Payload {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Payload::None => &[],
            Payload::Buffer(buffer) => buffer,
            Payload::Bytes(bytes) => bytes,
        }
    }

    /// How long it is. A buffer without memory need not take any to answer.
    pub(crate) fn len(&self) -> usize {
        match self {
            Payload::None => 0,
            Payload::Buffer(buffer) => buffer.len(),
            Payload::Bytes(bytes) => bytes.len(),
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Payload::None => &mut [],
            Payload::Buffer(buffer) => buffer,
            Payload::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn into_buffer(self) -> Option<Buffer> {
        match self {
            Payload::Buffer(buffer) => Some(buffer),
            Payload::None | Payload::Bytes(_) => None,
        }
    }
}

/// Who waits for it.
#[derive(Debug)]
pub(crate) enum Work {
    /// An export: one operation on a unit.
    Block {
        unit: Arc<Unit>,
        op: Op,
        lba: u64,
        blocks: u32,
        /// A flush follows: FUA was asked for and the unit does not have it.
        then_flush: bool,
        completion: Completion,
    },
    /// The scan: one command, answered as it is.
    Raw { reply: oneshot::Sender<Result<RawDone, IoError>> },
}

/// What a unit answered to a command of the scan.
#[derive(Debug)]
pub(crate) struct RawDone {
    pub(crate) status: ScsiStatus,
    pub(crate) sense: Option<Sense>,
    /// What arrived, for commands that read.
    pub(crate) data: Vec<u8>,
}

impl RawDone {
    /// The answer to a command of the scan that ended so; where the unit did not answer it, why it failed.
    pub(crate) fn of(
        payload: Payload,
        result: &TaskResult,
        sense: Option<Sense>,
        done: Result<(), IoError>,
    ) -> Result<RawDone, IoError> {
        match (result.outcome, done) {
            (Outcome::Status(status), _) => {
                let mut data = match payload {
                    Payload::Bytes(bytes) => bytes,
                    Payload::None | Payload::Buffer(_) => Vec::new(),
                };
                data.truncate(result.transferred as usize);
                Ok(RawDone { status, sense, data })
            }
            (_, Err(error)) => Err(error),
            (_, Ok(())) => Err(IoError::Aborted),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) lun: Lun,
    pub(crate) cdb: [u8; 16],
    pub(crate) data: Data,
    pub(crate) payload: Payload,
    pub(crate) work: Work,
    /// Its place among all requests of the session, given by the driver.
    pub(crate) arrival: Arrival,
    /// How often it was under way when the connection was lost, and when first.
    pub(crate) losses: u8,
    pub(crate) first_loss: Option<Instant>,
    /// How often it took too long.
    pub(crate) overdue: u8,
    /// How often it was issued again after an answer that asks for it.
    pub(crate) attempts: u16,
}

impl Request {
    /// One that was not issued yet.
    pub(crate) fn new(lun: Lun, cdb: [u8; 16], data: Data, payload: Payload, work: Work) -> Request {
        Request {
            lun,
            cdb,
            data,
            payload,
            work,
            arrival: Arrival::default(),
            losses: 0,
            first_loss: None,
            overdue: 0,
            attempts: 0,
        }
    }

    /// The blocks it reads or changes, also of UNMAP, whose CDB does not name them; `None` for what has none.
    pub(crate) fn extent(&self) -> Option<Extent> {
        let Work::Block { op, lba, blocks, .. } = &self.work else { return None };
        let access = match op {
            Op::Flush => return None,
            Op::Read => Access::Reads,
            Op::Write { .. } | Op::WriteZeroes { .. } | Op::Unmap => Access::Changes,
        };
        Some(Extent::new(self.lun, access, *lba, (*blocks).into()))
    }

    /// Makes a write that was done the flush that is to follow it. Whether one is: then it is not to be answered yet.
    pub(crate) fn becomes_flush(&mut self) -> bool {
        let Work::Block { then_flush, .. } = &mut self.work else { return false };
        let follows = std::mem::take(then_flush);
        if follows {
            (self.cdb, self.data) = (flush(), Data::None);
        }
        follows
    }

    /// Answers it with an error.
    pub(crate) fn fail(self, error: IoError) {
        match self.work {
            Work::Block { completion, .. } => completion.finish(Err(error), self.payload.into_buffer()),
            // The scan may have stopped waiting: then nobody needs the answer.
            Work::Raw { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// Requests that wait for the driver to look.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    requests: Mutex<Vec<Request>>,
    wake: Notify,
    closed: AtomicBool,
}

impl Inbox {
    /// Puts in all of `batch`, in order, and wakes the driver once. A closed inbox answers them with
    /// [`IoError::Offline`].
    pub(crate) fn put(&self, batch: impl IntoIterator<Item = Request>) {
        if self.closed.load(Ordering::Acquire) {
            batch.into_iter().for_each(|request| request.fail(IoError::Offline));
            return;
        }
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        self.wake.notify_one();
        // The driver may have closed it in between and not look again.
        if self.closed.load(Ordering::Acquire) {
            self.close();
        }
    }

    /// Moves everything to `out`, which is empty and whose room is used again.
    pub(crate) fn take(&self, out: &mut Vec<Request>) {
        std::mem::swap(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner), out);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) async fn arrived(&self) {
        self.wake.notified().await;
    }

    /// Takes no more requests; those inside are answered with [`IoError::Offline`].
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let left = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        left.into_iter().for_each(|request| request.fail(IoError::Offline));
    }
}
