//! A unit as bytes: reads and writes of any offset and length, for exports that look like a file.
//!
//! ```text
//!   read, write, zero, flush ──► pieces ──► Block::submit
//!        (any thread)              │ a piece waits for earlier ones that it would disturb
//!   Answer ◄── last piece done ◄── pump (a task) ◄── Completions
//! ```
//! A request is cut into pieces that one operation can do each: runs of whole blocks, and single
//! blocks of which only a part is written, which are read, patched and written. A piece that shares
//! a block with an earlier one waits for it if either of them writes. So overlapping requests take
//! effect in the order in which they came, and a patch never loses a neighbour's bytes. Pieces that
//! share nothing run in parallel and end in any order.
//!
//! Buffers are taken before a piece is admitted, at most one per piece, and no piece needs a second
//! one to end: exports that share a pool cannot block each other for ever.
//!
//! A thread of its own calls `read` and `write`, which wait for buffers; a task calls `read_soon` and
//! `begin_write`. A write that comes by `begin_write` is received straight into its buffers.

mod requests;
mod writing;

use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::split::BlockRange;
use crate::block::{Block, Buffer, Completions, Done, Geometry, Io, IoError, Op};

/// How many operations of one long zeroing are under way at a time.
const ZEROES_AT_ONCE: u32 = 8;

/// Who asked, and gets exactly one answer.
pub(crate) trait Answer: Send + 'static {
    /// What was read, in full.
    fn data(self, data: &[u8]);
    /// What was read, in full, where it was read to.
    fn buffer(self, buffer: Buffer, range: Range<usize>)
    where
        Self: Sized,
    {
        match buffer.get(range) {
            Some(data) => self.data(data),
            None => self.failed(IoError::Invalid),
        }
    }
    /// A write, zeroing or flush is done.
    fn done(self);
    /// It could not be done, or only a part of it.
    fn failed(self, error: IoError);
}

/// A unit as bytes. When dropped, requests that still wait are answered [`IoError::Offline`].
pub(crate) struct Bytes<A: Answer> {
    shared: Arc<Shared<A>>,
}

struct Shared<A> {
    unit: Arc<dyn Block>,
    completions: Arc<Completions>,
    queue: Mutex<Queue<A>>,
    stopped: CancellationToken,
    runtime: Handle,
}

/// What is under way.
struct Queue<A> {
    requests: Slots<Request<A>>,
    pieces: Slots<Piece>,
    /// Pieces that are blocked by earlier ones, by token.
    waiting: Vec<usize>,
    arrivals: u64,
    /// On its way to the unit; empty whenever the lock is free.
    batch: Vec<Io>,
    stopped: bool,
}

/// A request that has not been answered, or whose pieces have not all come back.
struct Request<A> {
    answer: Option<A>,
    /// Pieces not done, and one more as long as pieces are still being cut.
    left: u32,
    error: Option<IoError>,
    read: Gathered,
}

/// What a read has brought so far.
enum Gathered {
    /// Nothing, or it is no read.
    Nothing,
    /// All of it: so many bytes from there on in the only piece's buffer.
    Whole { buffer: Buffer, skip: usize, length: usize },
    /// Of several pieces.
    Parts(Vec<u8>),
}

/// A part of a request that keeps others off its blocks.
struct Piece {
    request: usize,
    arrival: u64,
    blocks: BlockRange,
    /// How many earlier pieces must end first.
    blockers: u32,
    work: Work,
}

enum Work {
    /// `length` bytes of the blocks, from `skip` on, belong at `to` in the request's data.
    Read {
        buffer: Option<Buffer>,
        skip: usize,
        length: usize,
        to: usize,
    },
    Write {
        buffer: Option<Buffer>,
        fua: bool,
    },
    /// `bytes` belong at `at` in the one block.
    Patch {
        buffer: Option<Buffer>,
        at: usize,
        bytes: Box<[u8]>,
        patched: bool,
        fua: bool,
    },
    Zero {
        rest: BlockRange,
        under_way: u32,
        unmap: bool,
    },
    Flush,
}

impl Work {
    fn writes(&self) -> bool {
        matches!(self, Work::Write { .. } | Work::Patch { .. } | Work::Zero { .. })
    }
}

impl Piece {
    fn disturbs(&self, other: &Piece) -> bool {
        let overlap = self.blocks.lba < other.blocks.lba.saturating_add(other.blocks.blocks)
            && other.blocks.lba < self.blocks.lba.saturating_add(self.blocks.blocks);
        overlap && (self.work.writes() || other.work.writes())
    }
}

impl<A: Answer> Bytes<A> {
    /// Serves `unit`; a task of `runtime` brings the answers.
    pub(crate) fn new(unit: Arc<dyn Block>, runtime: &Handle) -> Bytes<A> {
        let shared = Arc::new(Shared {
            unit,
            completions: Completions::new(),
            queue: Mutex::new(Queue {
                requests: Slots::default(),
                pieces: Slots::default(),
                waiting: Vec::new(),
                arrivals: 0,
                batch: Vec::new(),
                stopped: false,
            }),
            stopped: CancellationToken::new(),
            runtime: runtime.clone(),
        });
        shared.unit.lane().unwrap_or_else(|| runtime.clone()).spawn(pump(shared.clone()));
        Bytes { shared }
    }

    /// What the unit is like now.
    pub(crate) fn geometry(&self) -> Geometry {
        self.shared.unit.geometry()
    }

    /// Answers everyone [`IoError::Offline`], now and from now on. What the unit does with
    /// operations that it has already is its own.
    pub(crate) fn stop(&self) {
        self.shared.stopped.cancel();
        let mut queue = self.shared.lock();
        queue.stopped = true;
        let answers: Vec<A> = queue.requests.iter_mut().filter_map(|request| request.answer.take()).collect();
        drop(queue);
        for answer in answers {
            answer.failed(IoError::Offline);
        }
    }

    /// Answers those of whom `which` says so with `error`, now, and says whether there were any. What the unit does with
    /// their operations is its own, and what comes after waits for them as before.
    pub(crate) fn answer_early(&self, error: IoError, mut which: impl FnMut(&A) -> bool) -> bool {
        let mut queue = self.shared.lock();
        let picked = queue.requests.iter_mut().filter_map(|request| request.answer.take_if(|answer| which(answer)));
        let answers: Vec<A> = picked.collect();
        drop(queue);
        let any = !answers.is_empty();
        answers.into_iter().for_each(|answer| answer.failed(error));
        any
    }

    fn check(&self, offset: u64, length: u64) -> Result<Geometry, IoError> {
        if self.shared.stopped.is_cancelled() {
            return Err(IoError::Offline);
        }
        let geometry = self.geometry();
        match offset.checked_add(length) {
            Some(end) if end <= geometry.bytes() && geometry.block_size > 0 => Ok(geometry),
            _ => Err(IoError::OutOfRange),
        }
    }

    fn check_write(&self, offset: u64, length: u64) -> Result<Geometry, IoError> {
        let geometry = self.check(offset, length)?;
        if geometry.read_only { Err(IoError::ReadOnly) } else { Ok(geometry) }
    }

    /// A buffer, as soon as there is one; none if the unit's export is stopped meanwhile.
    async fn buffer(&self, length: usize) -> Option<Buffer> {
        let pool = self.shared.unit.pool();
        match pool.try_get(length) {
            Some(buffer) => Some(buffer),
            None => self.shared.stopped.run_until_cancelled(pool.get(length)).await,
        }
    }

    /// Waits for a task's work on a thread of one's own; most often there is nothing to wait for.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        work.as_mut().now_or_never().unwrap_or_else(|| self.shared.runtime.block_on(work))
    }

    fn put(&self, request: usize, blocks: BlockRange, work: Work) {
        let mut queue = self.shared.lock();
        let queue = &mut *queue;
        queue.arrivals += 1;
        let mut piece = Piece { request, arrival: queue.arrivals, blocks, blockers: 0, work };
        piece.blockers = queue.pieces.iter_mut().filter(|other| piece.disturbs(other)).count() as u32;
        let blocked = piece.blockers > 0;
        let token = queue.pieces.insert(piece);
        if let Some(request) = queue.requests.get_mut(request) {
            request.left += 1;
        }
        if blocked {
            queue.waiting.push(token);
        } else {
            queue.start(token, &self.shared);
            self.shared.unit.submit(&mut queue.batch);
        }
    }

    fn all_cut(&self, request: usize, failed: Option<IoError>) {
        let mut finished = Vec::new();
        let mut queue = self.shared.lock();
        let stopped = queue.stopped;
        let failed = if stopped { Some(IoError::Offline) } else { failed };
        if let (Some(error), Some(request)) = (failed, queue.requests.get_mut(request)) {
            request.error.get_or_insert(error);
            if stopped {
                // It came after stop() had told everyone.
                finished.extend(request.answer.take().map(|answer| (answer, Err(error))));
            }
        }
        finished.extend(queue.piece_ended(request, Ok(())));
        drop(queue);
        tell(&mut finished);
    }
}

impl<A: Answer> Drop for Bytes<A> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The end of a request, to be told when the lock is free.
type Finished<A> = (A, Result<Gathered, IoError>);

fn tell<A: Answer>(finished: &mut Vec<Finished<A>>) {
    for (answer, result) in finished.drain(..) {
        match result {
            Ok(Gathered::Nothing) => answer.done(),
            Ok(Gathered::Whole { buffer, skip, length }) => answer.buffer(buffer, skip..skip + length),
            Ok(Gathered::Parts(data)) => answer.data(&data),
            Err(error) => answer.failed(error),
        }
    }
}

async fn pump<A: Answer>(shared: Arc<Shared<A>>) {
    let (mut done, mut finished) = (Vec::new(), Vec::new());
    while shared.stopped.run_until_cancelled(shared.completions.wait(&mut done)).await.is_some() {
        {
            let mut queue = shared.lock();
            let queue = &mut *queue;
            for done in done.drain(..) {
                finished.extend(queue.operation_ended(done, &shared));
            }
            if !queue.batch.is_empty() {
                shared.unit.submit(&mut queue.batch);
            }
        }
        tell(&mut finished);
    }
}

impl<A> Shared<A> {
    fn lock(&self) -> MutexGuard<'_, Queue<A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Answer> Queue<A> {
    /// Puts the piece's (next) operation into the batch.
    fn start(&mut self, token: usize, shared: &Shared<A>) {
        let Some(piece) = self.pieces.get_mut(token) else { return };
        let io = |op, BlockRange { lba, blocks }, buffer| Io {
            op,
            lba,
            blocks: blocks as u32,
            buffer,
            completion: shared.completions.completion(token as u64),
        };
        match &mut piece.work {
            Work::Read { buffer, .. } => self.batch.push(io(Op::Read, piece.blocks, buffer.take())),
            Work::Write { buffer, fua } => self.batch.push(io(Op::Write { fua: *fua }, piece.blocks, buffer.take())),
            Work::Patch { buffer, patched: false, .. } => self.batch.push(io(Op::Read, piece.blocks, buffer.take())),
            Work::Patch { buffer, fua, .. } => {
                self.batch.push(io(Op::Write { fua: *fua }, piece.blocks, buffer.take()));
            }
            Work::Flush => self.batch.push(io(Op::Flush, BlockRange { lba: 0, blocks: 0 }, None)),
            Work::Zero { rest, under_way, unmap } => {
                let limit = shared.unit.geometry().max_zero_blocks;
                while *under_way < ZEROES_AT_ONCE
                    && let Some(run) = rest.take(limit)
                {
                    *under_way += 1;
                    let run = BlockRange { lba: run.lba, blocks: u64::from(run.blocks) };
                    self.batch.push(io(Op::WriteZeroes { fua: false, unmap: *unmap, fast: false }, run, None));
                }
            }
        }
    }

    fn operation_ended(&mut self, done: Done, shared: &Shared<A>) -> Option<Finished<A>> {
        let token = usize::try_from(done.token).ok()?;
        let piece = self.pieces.get_mut(token)?;
        let mut result = done.result;
        match &mut piece.work {
            Work::Patch { buffer, at, bytes, patched: patched @ false, .. } if result.is_ok() => {
                let mut block = done.buffer;
                match block.as_mut().and_then(|block| block.get_mut(*at..*at + bytes.len())) {
                    Some(place) => {
                        place.copy_from_slice(bytes);
                        (*patched, *buffer) = (true, block);
                        self.start(token, shared);
                        return None;
                    }
                    None => result = Err(IoError::Invalid),
                }
            }
            Work::Zero { rest, under_way, .. } => {
                *under_way = under_way.saturating_sub(1);
                if let Err(error) = result {
                    rest.blocks = 0;
                    if let Some(request) = self.requests.get_mut(piece.request) {
                        request.error.get_or_insert(error);
                    }
                }
                if rest.blocks > 0 {
                    self.start(token, shared);
                    return None;
                }
                if *under_way > 0 {
                    return None;
                }
            }
            Work::Read { skip, length, to, .. } => {
                if let (Ok(()), Some(request)) = (result, self.requests.get_mut(piece.request)) {
                    let (skip, length, to) = (*skip, *length, *to);
                    match (done.buffer, &mut request.read) {
                        (Some(buffer), Gathered::Parts(data)) => {
                            match (buffer.get(skip..skip + length), data.get_mut(to..to + length)) {
                                (Some(from), Some(place)) => place.copy_from_slice(from),
                                _ => result = Err(IoError::Invalid),
                            }
                        }
                        (Some(buffer), read) => *read = Gathered::Whole { buffer, skip, length },
                        (None, _) => result = Err(IoError::Aborted),
                    }
                }
            }
            Work::Patch { .. } | Work::Write { .. } | Work::Flush => {}
        }
        let piece = self.pieces.remove(token)?;
        self.unblock(&piece, shared);
        self.piece_ended(piece.request, result)
    }

    /// Starts the pieces that only waited for this one.
    fn unblock(&mut self, ended: &Piece, shared: &Shared<A>) {
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&token| {
            let Some(piece) = self.pieces.get_mut(token) else { return false };
            if piece.arrival > ended.arrival && piece.disturbs(ended) {
                piece.blockers = piece.blockers.saturating_sub(1);
                if piece.blockers == 0 {
                    self.start(token, shared);
                    return false;
                }
            }
            true
        });
        self.waiting = waiting;
    }

    fn piece_ended(&mut self, token: usize, result: Result<(), IoError>) -> Option<Finished<A>> {
        let request = self.requests.get_mut(token)?;
        if let Err(error) = result {
            request.error.get_or_insert(error);
        }
        request.left = request.left.saturating_sub(1);
        if request.left > 0 {
            return None;
        }
        let request = self.requests.remove(token)?;
        let answer = request.answer?;
        Some((answer, request.error.map_or(Ok(request.read), Err)))
    }
}

/// Things that are known by a small number until they are removed.
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, value: T) -> usize {
        if let Some(token) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(token)
        {
            *slot = Some(value);
            return token;
        }
        self.slots.push(Some(value));
        self.slots.len() - 1
    }

    fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        self.slots.get_mut(token)?.as_mut()
    }

    fn remove(&mut self, token: usize) -> Option<T> {
        let value = self.slots.get_mut(token)?.take()?;
        self.free.push(token);
        Some(value)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten()
    }
}
