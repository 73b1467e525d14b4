//! A request to the driver of a session, and the queue it waits in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::ScsiStatus;
use iscsi_proto::reissue::{Access, Arrival, Extent};
use iscsi_proto::scsi::{Sense, cdb};
use iscsi_proto::session::{Data, Outcome, TaskResult};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::features::Unmap;
use super::habits::{Habits, Lesson};
use super::logical_unit::{Shape, Unit};
use super::refusal::{Instead, Refusal};
use super::step::Step;
use crate::block::{Buffer, Completion, Io, IoError, MAX_BUFFER, Op};

/// The bytes a command moves.
#[derive(Debug)]
pub(crate) enum Payload {
    None,
    /// Of a pool: the data of reads and writes.
    Buffer(Buffer),
    /// Parameter lists and answers of everything else.
    Bytes(Vec<u8>),
    /// As many zeroes as are wanted. They are always the same ones: a command that has to send them waits for no
    /// buffer, while others wait for it with theirs.
    Zeroes,
}

/// A buffer's worth. Memory that was never written to takes none.
static ZEROES: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; MAX_BUFFER].into_boxed_slice());

impl Payload {
    fn bytes(&self) -> &[u8] {
        match self {
            Payload::None => &[],
            Payload::Buffer(buffer) => buffer,
            Payload::Bytes(bytes) => bytes,
            Payload::Zeroes => &ZEROES,
        }
    }

    /// How long it is. A buffer without memory need not take any to answer.
    pub(crate) fn len(&self) -> usize {
        match self {
            Payload::None | Payload::Zeroes => 0,
            Payload::Buffer(buffer) => buffer.len(),
            Payload::Bytes(bytes) => bytes.len(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Payload::None | Payload::Zeroes => &mut [],
            Payload::Buffer(buffer) => buffer,
            Payload::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn into_buffer(self) -> Option<Buffer> {
        match self {
            Payload::Buffer(buffer) => Some(buffer),
            Payload::None | Payload::Bytes(_) | Payload::Zeroes => None,
        }
    }
}

/// Who waits for it.
#[derive(Debug)]
pub(crate) enum Work {
    /// An export: one operation on a unit.
    Block { unit: Arc<Unit>, op: Op, lba: u64, blocks: u32, progress: Progress, completion: Completion },
    /// The scan: one command, answered as it is.
    Raw { reply: oneshot::Sender<Result<RawDone, IoError>> },
}

/// How far an operation is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Blocks done by earlier commands.
    done: u32,
    /// Blocks of the command that is under way.
    step: u32,
    /// A flush follows: FUA was asked for and the commands do not have it.
    then_flush: bool,
    /// What the command was built for.
    habits: Habits,
    /// What is tried with it: if it works, the unit is known to be so.
    lesson: Option<Lesson>,
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
                    Payload::None | Payload::Buffer(_) | Payload::Zeroes => Vec::new(),
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
    /// Where the data of this command begin in the payload.
    skip: usize,
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
            skip: 0,
            work,
            arrival: Arrival::default(),
            losses: 0,
            first_loss: None,
            overdue: 0,
            attempts: 0,
        }
    }

    /// An operation's, with its first command.
    ///
    /// # Errors
    /// If the unit takes no command for it; and the operation back.
    pub(crate) fn block(lun: Lun, unit: &Arc<Unit>, shape: &Shape, io: Io) -> Result<Request, (Io, IoError)> {
        let step = match shape.step(io.op, io.lba, io.blocks) {
            Ok(step) => step,
            Err(error) => return Err((io, error)),
        };
        let Io { op, lba, blocks, buffer, completion } = io;
        let payload = match (op, buffer) {
            (Op::Read | Op::Write { .. }, Some(buffer)) => Payload::Buffer(buffer),
            (Op::Unmap, _) if shape.features.unmap == Unmap::Command => {
                Payload::Bytes(cdb::unmap_one(lba, blocks).to_vec())
            }
            (Op::Unmap | Op::WriteZeroes { .. }, _) => Payload::Zeroes,
            (Op::Flush | Op::Read | Op::Write { .. }, _) => Payload::None,
        };
        let Step { cdb, data, blocks: step, then_flush } = step;
        let progress = Progress { done: 0, step, then_flush, habits: shape.habits, lesson: None };
        let work = Work::Block { unit: unit.clone(), op, lba, blocks, progress, completion };
        Ok(Request::new(lun, cdb, data, payload, work))
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

    /// Makes a command that was done the next one of its operation, or the flush that is to follow. Whether there is
    /// one: then the operation is not to be answered yet.
    ///
    /// # Errors
    /// If the unit takes no command for what is left.
    pub(crate) fn goes_on(&mut self) -> Result<bool, IoError> {
        let Work::Block { unit, op, lba, blocks, progress, .. } = &mut self.work else { return Ok(false) };
        progress.done += std::mem::take(&mut progress.step);
        let left = blocks.saturating_sub(progress.done);
        if left == 0 && !progress.then_flush {
            return Ok(false);
        }
        let (op, from) = match left {
            0 => (Op::Flush, 0),
            _ => (*op, *lba + u64::from(progress.done)),
        };
        if left == 0 {
            progress.then_flush = false;
        }
        let shape = unit.shape();
        // The patience is with each command, not with all of a long operation together.
        (self.attempts, self.overdue, self.losses, self.first_loss) = (0, 0, 0, None);
        self.take(&shape, shape.step(op, from, left)?);
        Ok(true)
    }

    /// Makes it the command for the next part of its operation.
    fn take(&mut self, shape: &Shape, step: Step) {
        let Work::Block { progress, .. } = &mut self.work else { return };
        (progress.step, progress.habits) = (step.blocks, shape.habits);
        progress.then_flush |= step.then_flush;
        (self.cdb, self.data) = (step.cdb, step.data);
        self.skip = match self.payload {
            Payload::Buffer(_) => progress.done as usize * shape.geometry.block_size as usize,
            Payload::None | Payload::Bytes(_) | Payload::Zeroes => 0,
        };
    }

    /// The unit refuses it for its form: changes it into what is to be tried instead. `None` if it is to be issued so.
    pub(crate) fn refused(&mut self, refusal: Refusal) -> Option<Result<(), IoError>> {
        let Work::Block { unit, op, lba, blocks, progress, .. } = &mut self.work else {
            return Some(Err(IoError::Invalid));
        };
        match refusal.instead(*op, &self.cdb, progress.step, &progress.habits) {
            Instead::Try(lesson) => {
                progress.lesson = Some(lesson);
                let shape = Shape { habits: progress.habits.with(lesson), ..unit.shape() };
                let flushes = matches!(lesson, Lesson::Flush(_));
                let (op, done) = if flushes { (Op::Flush, 0) } else { (*op, progress.done) };
                match shape.step(op, *lba + u64::from(done), *blocks - done) {
                    Ok(step) => self.take(&shape, step),
                    Err(_) => return Some(Err(IoError::Unsupported)),
                }
                None
            }
            Instead::Done(lesson) => {
                unit.learn(lesson);
                progress.step = blocks.saturating_sub(progress.done);
                Some(Ok(()))
            }
            Instead::FailKnowing(lesson) => {
                unit.learn(lesson);
                Some(Err(IoError::Unsupported))
            }
            Instead::Fail => Some(Err(IoError::Unsupported)),
        }
    }

    /// Whether it was asked for only if it costs little.
    pub(crate) fn is_fast(&self) -> bool {
        matches!(self.work, Work::Block { op: Op::WriteZeroes { fast: true, .. }, .. })
    }

    /// It worked: what was tried with it is how the unit wants it.
    pub(crate) fn confirm(&mut self) {
        if let Work::Block { unit, progress, .. } = &mut self.work
            && let Some(lesson) = progress.lesson.take()
        {
            unit.learn(lesson);
        }
    }

    /// The data of the command, for commands that send them.
    pub(crate) fn bytes(&self) -> &[u8] {
        let end = self.skip + self.data.len() as usize;
        self.payload.bytes().get(self.skip..end).unwrap_or_default()
    }

    /// Where the data of the command belong, for commands that receive them.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let end = self.skip + self.data.len() as usize;
        self.payload.bytes_mut().get_mut(self.skip..end).unwrap_or_default()
    }

    /// Answers it with an error.
    pub(crate) fn fail(self, error: IoError) {
        match self.work {
            Work::Block { unit, completion, .. } => {
                unit.failures().note(Err(error));
                completion.finish(Err(error), self.payload.into_buffer());
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Completions;
    use crate::block::testing::Plan;
    use crate::kernel_bridge::unit::features::Features;
    use crate::kernel_bridge::unit::info::UnitInfo;

    fn unit() -> Arc<Unit> {
        let info = UnitInfo {
            lun: Lun(0),
            device_type: 0,
            administrative: false,
            vendor: "VENDOR".to_owned(),
            product: "DISK".to_owned(),
            revision: "1".to_owned(),
            serial: Some("S".to_owned()),
            identifier: None,
            geometry: Some(Plan::of_bytes(1 << 30).geometry),
            problem: None,
            workarounds: Vec::new(),
            failed: None,
        };
        Arc::new(Unit::new("iqn.2026-11.test:disk", &info, Features::default()).expect("a disk"))
    }

    #[test]
    fn each_command_of_a_long_operation_has_all_the_patience() {
        let unit = unit();
        let shape = unit.shape();
        let most = shape.geometry.max_zero_blocks;
        let completion = Completions::new().completion(0);
        let op = Op::WriteZeroes { fua: false, unmap: false, fast: false };
        let io = Io { op, lba: 0, blocks: 3 * most, buffer: None, completion };
        let mut request = Request::block(Lun(0), &unit, &shape, io).map_err(|(_, error)| error).expect("a command");
        for _ in 0..2 {
            (request.attempts, request.overdue, request.losses) = (9, 2, 3);
            request.first_loss = Some(Instant::now());
            assert_eq!(request.goes_on(), Ok(true));
            let counted = (request.attempts, request.overdue, request.losses, request.first_loss);
            assert_eq!(counted, (0, 0, 0, None), "the command before it was done");
        }
        assert_eq!(request.goes_on(), Ok(false));
    }
}
