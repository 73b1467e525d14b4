//! The transmission phase without its socket: requests in, operations out; results in, replies out.
//!
//! ```text
//!             ┌────────────── header ◄─────────────┐ what the next bytes are
//!             ▼                 │                  │
//!   READ, FLUSH, TRIM …       WRITE             refused WRITE
//!   Issue: pieces, as         Payload: a piece  Skip: payload that
//!   buffers allow             at a time         nobody wants
//!             └─────────────────┴──────────────────┘        DISC ──► Closed
//! ```
//! A request is cut into pieces no longer than one operation may be. Only one request at a time is
//! still being cut, in the order of arrival; all others have every piece submitted. So a request
//! that waits for a buffer waits for operations under way and for replies that are being written, never for
//! another request that waits: the pool may be as small as one buffer.
//!
//! The exception is a read whose reply must come in one go (a simple reply, or a chunk that must not
//! be fragmented): it *gathers* its pieces before it answers, and holds their buffers meanwhile. When
//! it gets no further buffer and is the only request left, it begins its reply with what it has and
//! goes on piece by piece, *streaming*. No other reply can get in between, since nothing else is
//! taken up until it has ended. The price is that an error can then only be told by hanging up, as
//! the protocol demands.

use std::io::{self, IoSliceMut};
use std::sync::Arc;

use slab::Slab;

use super::request::{Failure, Piece, Request, Task};
use super::wire::MAX_PAYLOAD;
use super::wire::{
    REQUEST_LEN, RequestHeader, command, command_flag, put_data_chunk, put_error_chunk, put_none_chunk,
    put_simple_reply,
};
use crate::block::{Block, Buffer, Completions, Done, Geometry, Io, IoError, Op};
use crate::export::outbox::Outbox;
use crate::export::ring::Ring;

/// How many requests of one connection are under way; the client's next ones wait in its socket.
const MAX_REQUESTS: usize = 256;

/// How many pieces of them.
const MAX_PIECES: usize = 1024;

/// How many bytes of buffers a connection holds: the longest read that has to be gathered.
const MAX_HELD: usize = MAX_PAYLOAD as usize;

/// Bytes received at once, where they are not the payload of a large write.
const RING: usize = 128 << 10;

/// After a write that long, only as much as a header is received ahead: the payload of the next one
/// shall not land in the ring, from where it would have to be copied.
const LARGE: u32 = 64 << 10;

/// What [`Transmission::advance`] needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// More from the client.
    Bytes,
    /// A buffer of that length from the pool; [`Transmission::lend`] it.
    Buffer(usize),
    /// That something completes or leaves.
    Room,
    /// Nothing: no more requests will come.
    Nothing,
}

/// A connection in its transmission phase.
pub(super) struct Transmission {
    unit: Arc<dyn Block>,
    structured: bool,
    geometry: Geometry,
    completions: Arc<Completions>,
    ring: Ring,
    intake: Intake,
    /// The last request was a write of at least [`LARGE`] bytes.
    large: bool,
    requests: Slab<Request>,
    pieces: Slab<Piece>,
    /// Bytes of buffers in pieces and in the outbox.
    held: usize,
    lent: Option<Buffer>,
    batch: Vec<Io>,
    in_flight: usize,
    /// The replies.
    pub(super) outbox: Outbox,
}

/// What the next bytes of the client are.
enum Intake {
    Header,
    Payload { request: usize, filling: Option<Filling> },
    Issue { request: usize },
    Skip { left: u32 },
    Closed,
}

/// A piece of a write whose payload is arriving.
struct Filling {
    piece: usize,
    lba: u64,
    blocks: u32,
    buffer: Buffer,
    filled: usize,
}

impl Transmission {
    pub(super) fn new(unit: Arc<dyn Block>, structured: bool, completions: Arc<Completions>) -> Transmission {
        Transmission {
            geometry: unit.geometry(),
            unit,
            structured,
            completions,
            ring: Ring::new(RING),
            intake: Intake::Header,
            large: false,
            requests: Slab::new(),
            pieces: Slab::new(),
            held: 0,
            lent: None,
            batch: Vec::new(),
            in_flight: 0,
            outbox: Outbox::default(),
        }
    }

    /// Operations that the unit has not completed.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a client that is silent now is a client that has stopped in the middle of something
    /// for which a buffer is kept.
    pub(super) fn waits_for_payload(&self) -> bool {
        matches!(self.intake, Intake::Payload { filling: Some(_), .. })
    }

    /// No further request is taken up.
    pub(super) fn close(&mut self) {
        self.intake = Intake::Closed;
    }

    /// The client has said its last. Returns whether that was between two requests.
    pub(super) fn end_of_requests(&mut self) -> bool {
        let between = matches!(self.intake, Intake::Header) && self.ring.filled().is_empty();
        self.close();
        between
    }

    /// A buffer for which [`Need::Buffer`] asked.
    pub(super) fn lend(&mut self, buffer: Buffer) {
        self.lent = Some(buffer);
    }

    /// Receives by `receive`, which fills the slices in order and returns how many bytes it got.
    pub(super) fn receive(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let ahead = if self.large { REQUEST_LEN } else { RING };
        let room = self.ring.room();
        let ahead = room.len().min(ahead);
        let room = IoSliceMut::new(&mut room[..ahead]);
        match &mut self.intake {
            Intake::Payload { filling: Some(filling), .. } => {
                let payload = &mut filling.buffer[filling.filled..];
                let missing = payload.len();
                let n = receive(&mut [IoSliceMut::new(payload), room])?;
                filling.filled += n.min(missing);
                self.ring.received(n.saturating_sub(missing));
                Ok(n)
            }
            _ => {
                let n = receive(&mut [room])?;
                self.ring.received(n);
                Ok(n)
            }
        }
    }

    /// Hands all new operations to the unit. Returns whether there were any.
    pub(super) fn submit(&mut self) -> bool {
        let any = !self.batch.is_empty();
        if any {
            self.in_flight += self.batch.len();
            self.unit.submit(&mut self.batch);
        }
        any
    }

    /// Replies have been written. Their buffers are free again.
    pub(super) fn written(&mut self, bytes: usize) {
        self.held -= self.outbox.written(bytes);
    }

    /// Parses received bytes, and acts on them as far as it can without waiting.
    ///
    /// # Errors
    /// If the client cannot be understood or the unit is not what it was; the connection is lost.
    pub(super) fn advance(&mut self) -> io::Result<Need> {
        let geometry = self.unit.geometry();
        if geometry.block_size != self.geometry.block_size {
            return Err(io::Error::other("the unit's block size has changed"));
        }
        self.geometry = geometry;
        let need = loop {
            let need = match self.intake {
                Intake::Header => self.take_header()?,
                Intake::Payload { request, .. } => self.fill(request),
                Intake::Issue { request } => self.issue(request),
                Intake::Skip { left } => {
                    let here = self.ring.filled().len();
                    self.ring.consume(left as usize);
                    match left as usize {
                        left if left > here => {
                            self.intake = Intake::Skip { left: (left - here) as u32 };
                            Some(Need::Bytes)
                        }
                        _ => {
                            self.intake = Intake::Header;
                            None
                        }
                    }
                }
                Intake::Closed => Some(Need::Nothing),
            };
            if let Some(need) = need {
                break need;
            }
        };
        self.lent = None;
        Ok(need)
    }

    fn take_header(&mut self) -> io::Result<Option<Need>> {
        if self.requests.len() >= MAX_REQUESTS {
            return Ok(Some(Need::Room));
        }
        let Some(bytes) = self.ring.filled().first_chunk::<REQUEST_LEN>() else { return Ok(Some(Need::Bytes)) };
        let Some(header) = RequestHeader::parse(bytes) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it sent something that is not a request"));
        };
        self.ring.consume(REQUEST_LEN);
        self.large = header.command == command::WRITE && header.length >= LARGE;
        if header.command == command::DISC {
            self.intake = Intake::Closed;
            return Ok(None);
        }
        if header.flags & command_flag::FAST_ZERO != 0 {
            // What it takes may have shown since the client came.
            self.geometry.slow_zeroes = self.unit.geometry().slow_zeroes;
        }
        match Request::admit(&header, &self.geometry, self.structured) {
            Ok(request) => {
                let writes = matches!(request.task, Task::Write { .. });
                if request.rest.blocks == 0 && !matches!(request.task, Task::Flush) {
                    self.answer(request);
                } else {
                    let request = self.requests.insert(request);
                    self.intake =
                        if writes { Intake::Payload { request, filling: None } } else { Intake::Issue { request } };
                }
            }
            Err(failure) => {
                self.refuse(header.cookie, header.command == command::READ, &failure);
                if header.command == command::WRITE {
                    self.large = false;
                    self.intake = Intake::Skip { left: header.length };
                }
            }
        }
        Ok(None)
    }

    /// Puts received payload into buffers and submits those that are full.
    fn fill(&mut self, id: usize) -> Option<Need> {
        let Intake::Payload { filling, .. } = &mut self.intake else { return None };
        let mut filling = filling.take();
        loop {
            let mut piece = match filling.take() {
                Some(piece) => piece,
                None => {
                    match self.requests.get(id) {
                        Some(request) if request.failure.is_some() => return self.abandon_payload(id),
                        Some(request) if request.rest.blocks > 0 => {}
                        _ => {
                            self.intake = Intake::Header;
                            return None;
                        }
                    }
                    match self.next_filling(id) {
                        Ok(piece) => piece,
                        Err(need) => return Some(need),
                    }
                }
            };
            let missing = &mut piece.buffer[piece.filled..];
            let here = self.ring.filled();
            let n = here.len().min(missing.len());
            missing[..n].copy_from_slice(&here[..n]);
            self.ring.consume(n);
            piece.filled += n;
            if piece.filled < piece.buffer.len() {
                self.intake = Intake::Payload { request: id, filling: Some(piece) };
                return Some(Need::Bytes);
            }
            let fua = matches!(self.requests.get(id), Some(Request { task: Task::Write { fua: true }, .. }));
            self.enqueue(piece.piece, Op::Write { fua }, piece.lba, piece.blocks, Some(piece.buffer));
        }
    }

    fn next_filling(&mut self, id: usize) -> Result<Filling, Need> {
        let (piece, lba, blocks, buffer) = self.next_piece(id, true)?;
        let buffer = buffer.ok_or(Need::Room)?;
        Ok(Filling { piece, lba, blocks, buffer, filled: 0 })
    }

    /// A piece of the write has failed: what is left of it need not be written.
    fn abandon_payload(&mut self, id: usize) -> Option<Need> {
        let request = self.requests.get_mut(id)?;
        let left = request.rest.blocks * u64::from(self.geometry.block_size);
        request.rest.blocks = 0;
        self.large = false;
        self.intake = Intake::Skip { left: left as u32 };
        if request.outstanding == 0 {
            self.complete(id);
        }
        None
    }

    /// Submits as many pieces of a request without payload as there is room for.
    fn issue(&mut self, id: usize) -> Option<Need> {
        loop {
            let Some(request) = self.requests.get_mut(id) else {
                self.intake = Intake::Header;
                return None;
            };
            if request.failure.is_some() {
                request.rest.blocks = 0;
                if request.outstanding == 0 {
                    self.complete(id);
                    continue;
                }
            }
            let (op, buffer) = match request.task {
                Task::Read | Task::Gather { .. } => (Op::Read, true),
                Task::Write { fua } | Task::WriteZeroes { fua } => (Op::Write { fua }, true),
                Task::Zero { fua, unmap, fast } => (Op::WriteZeroes { fua, unmap, fast }, false),
                Task::Trim { .. } => (Op::Unmap, false),
                Task::Flush => {
                    self.flush(id);
                    self.intake = Intake::Header;
                    return None;
                }
            };
            if request.rest.blocks == 0 {
                if matches!(request.task, Task::Gather { streaming: true, .. }) {
                    return Some(Need::Room);
                }
                self.intake = Intake::Header;
                return None;
            }
            let (piece, lba, blocks, mut buffer) = match self.next_piece(id, buffer) {
                Ok(piece) => piece,
                Err(need) => {
                    self.start_streaming(id);
                    return Some(need);
                }
            };
            if let (Op::Write { .. }, Some(buffer)) = (op, &mut buffer) {
                buffer.fill(0);
            }
            self.enqueue(piece, op, lba, blocks, buffer);
        }
    }

    /// Makes the next piece of a request, with a buffer if it needs one.
    fn next_piece(&mut self, id: usize, buffer: bool) -> Result<(usize, u64, u32, Option<Buffer>), Need> {
        if self.pieces.len() >= MAX_PIECES {
            return Err(Need::Room);
        }
        let request = self.requests.get_mut(id).ok_or(Need::Room)?;
        let mut rest = request.rest;
        let run = rest.take(request.limit).ok_or(Need::Room)?;
        let block_size = self.geometry.block_size;
        let (length, buffer) = match buffer {
            false => (0, None),
            true => {
                let length = run.blocks as usize * block_size as usize;
                if self.held > 0 && self.held + length > MAX_HELD {
                    return Err(Need::Room);
                }
                let lent = self.lent.take().filter(|lent| lent.len() == length);
                let buffer = lent.or_else(|| self.unit.pool().try_get(length)).ok_or(Need::Buffer(length))?;
                (length, Some(buffer))
            }
        };
        self.held += length;
        request.rest = rest;
        request.outstanding += 1;
        let offset = run.lba * u64::from(block_size);
        let piece = self.pieces.insert(Piece { request: id, offset, length, next: None, filled: None });
        if let Task::Gather { list, .. } = &mut request.task {
            match list {
                Some((_, last)) => {
                    if let Some(before) = self.pieces.get_mut(*last) {
                        before.next = Some(piece);
                    }
                    *last = piece;
                }
                None => *list = Some((piece, piece)),
            }
        }
        Ok((piece, run.lba, run.blocks, buffer))
    }

    fn flush(&mut self, id: usize) {
        let Some(request) = self.requests.get_mut(id) else { return };
        request.outstanding += 1;
        let piece =
            self.pieces.insert(Piece { request: id, offset: request.offset, length: 0, next: None, filled: None });
        self.enqueue(piece, Op::Flush, 0, 0, None);
    }

    fn enqueue(&mut self, piece: usize, op: Op, lba: u64, blocks: u32, buffer: Option<Buffer>) {
        let completion = self.completions.completion(piece as u64);
        self.batch.push(Io { op, lba, blocks, buffer, completion });
    }

    /// Takes in the result of one operation.
    ///
    /// # Errors
    /// If the reply has begun and cannot be completed; the connection is lost.
    pub(super) fn take_result(&mut self, done: Done) -> io::Result<()> {
        let Done { token, mut result, buffer } = done;
        let piece_id = token as usize;
        let Some(piece) = self.pieces.get_mut(piece_id) else { return Ok(()) };
        self.in_flight -= 1;
        let (id, offset, length) = (piece.request, piece.offset, piece.length);
        let Some(request) = self.requests.get_mut(id) else { return Ok(()) };
        request.outstanding -= 1;
        let last = request.outstanding == 0 && request.rest.blocks == 0;

        // A read without its bytes is no read.
        if matches!(request.task, Task::Read | Task::Gather { .. })
            && buffer.as_ref().is_none_or(|buffer| buffer.len() != length)
        {
            result = result.and(Err(IoError::Aborted));
        }
        if let Err(error) = result {
            let task = &request.task;
            request.failure.get_or_insert_with(|| Failure::of_io(task, error, offset));
        }
        match (&mut request.task, result) {
            (Task::Gather { streaming: true, .. }, Err(error)) => {
                return Err(io::Error::other(format!("a read failed after its reply had begun: {error}")));
            }
            (Task::Gather { streaming, .. }, Ok(())) => {
                let streaming = *streaming;
                piece.filled = buffer;
                if streaming {
                    self.stream(id);
                }
            }
            // It stays in the list, without a buffer; the whole list goes when the request ends.
            (Task::Gather { .. }, Err(_)) => {
                piece.length = 0;
                self.held -= length;
            }
            (Task::Read, Ok(())) => {
                self.pieces.remove(piece_id);
                if request.failure.is_none() {
                    let cookie = request.cookie;
                    if self.structured {
                        self.outbox.head(|out| put_data_chunk(out, cookie, offset, length as u32, last));
                    } else {
                        self.outbox.head(|out| put_simple_reply(out, cookie, None));
                    }
                    if let Some(buffer) = buffer {
                        self.outbox.body(buffer);
                    }
                } else {
                    self.held -= length;
                }
            }
            _ => {
                self.pieces.remove(piece_id);
                self.held -= length;
            }
        }
        if last {
            self.complete(id);
        }
        Ok(())
    }

    /// All pieces of a request are done.
    fn complete(&mut self, id: usize) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if let (Task::Trim { flush: true }, None) = (&request.task, &request.failure) {
            // What has been trimmed is on stable storage when the client is told.
            request.task = Task::Flush;
            return self.flush(id);
        }
        let request = self.requests.remove(id);
        self.answer(request);
    }

    fn answer(&mut self, request: Request) {
        let Request { cookie, task, offset, length, failure, .. } = request;
        let read = matches!(task, Task::Read | Task::Gather { .. });
        if let Task::Gather { list, streaming } = task {
            if !streaming && failure.is_none() {
                self.begin_gathered(cookie, offset, length);
            }
            let mut next = list.map(|(first, _)| first);
            while let Some(piece) = next.and_then(|piece| self.pieces.try_remove(piece)) {
                next = piece.next;
                match piece.filled {
                    Some(buffer) if failure.is_none() => self.outbox.body(buffer),
                    _ => self.held -= piece.length,
                }
            }
        }
        match failure {
            Some(failure) => self.refuse(cookie, read, &failure),
            None if read && length > 0 => {}
            None if read && self.structured => self.outbox.head(|out| put_none_chunk(out, cookie)),
            None => self.outbox.head(|out| put_simple_reply(out, cookie, None)),
        }
    }

    fn refuse(&mut self, cookie: u64, read: bool, failure: &Failure) {
        let offset = failure.offset.filter(|_| read);
        let structured = self.structured;
        self.outbox.head(|out| match structured {
            true => put_error_chunk(out, cookie, failure.error, &failure.why, offset),
            false => put_simple_reply(out, cookie, Some(failure.error)),
        });
    }

    fn begin_gathered(&mut self, cookie: u64, offset: u64, length: u32) {
        match self.structured {
            true => self.outbox.head(|out| put_data_chunk(out, cookie, offset, length, true)),
            false => self.outbox.head(|out| put_simple_reply(out, cookie, None)),
        }
    }

    /// A gathering read that gets no further buffer begins its reply if it is alone and has anything.
    fn start_streaming(&mut self, id: usize) {
        let alone = self.requests.len() == 1;
        let Some(request) = self.requests.get_mut(id) else { return };
        let Request { cookie, offset, length, outstanding, .. } = *request;
        if let Task::Gather { list: Some(_), streaming: streaming @ false } = &mut request.task
            && alone
            && outstanding == 0
        {
            *streaming = true;
            self.begin_gathered(cookie, offset, length);
            self.stream(id);
        }
    }

    /// Lets the pieces go that are next in a streaming read's reply.
    fn stream(&mut self, id: usize) {
        let Some(Request { task: Task::Gather { list, .. }, .. }) = self.requests.get_mut(id) else { return };
        while let Some((first, last)) = *list {
            let Some(buffer) = self.pieces.get_mut(first).and_then(|piece| piece.filled.take()) else { return };
            let piece = self.pieces.remove(first);
            *list = piece.next.map(|next| (next, last));
            self.outbox.body(buffer);
        }
    }
}
