//! What is on its way out: headers of many PDUs and the tasks' payloads between them, for one
//! gathered write.
//!
//! ```text
//!   arena:    │ head │ head │ trailer, head │        small parts, one after the other
//!   segments:   ───arena───  task  ──arena──   task     in the order of the wire
//! ```

use std::collections::VecDeque;
use std::io::IoSlice;

use iscsi_proto::digest::Crc32c;
use iscsi_proto::ids::Itt;
use iscsi_proto::session::{Head, Payload, Transmit, trailer};

/// Most parts of one gathered write; IOV_MAX is 1024 everywhere.
pub(super) const MAX_SLICES: usize = 256;

/// Arena bytes after which no more PDUs are gathered before the socket has taken some.
const MAX_ARENA: usize = 64 << 10;

/// Bytes of small parts that one more PDU may bring: its head, data of the core's own, the trailer.
const MAX_SLACK: usize = 1 << 10;

/// Payload bytes after which no more PDUs are gathered.
const MAX_PAYLOAD: usize = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Arena { start: usize, end: usize },
    Task { itt: Itt, start: usize, end: usize },
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Arena { start, end } | Segment::Task { start, end, .. } => end - start,
        }
    }
}

/// Parts that wait for the socket.
#[derive(Default)]
pub(super) struct Outbox {
    arena: Vec<u8>,
    segments: VecDeque<Segment>,
    payload: usize,
}

impl Outbox {
    /// An empty one, whose memory is there before the first write: all that is gathered before the socket takes some.
    pub(super) fn ready() -> Outbox {
        // Zeroes would come as pages that nobody has touched.
        let mut arena = vec![1; MAX_ARENA + MAX_SLACK];
        arena.clear();
        Outbox { arena, segments: VecDeque::with_capacity(MAX_SLICES), payload: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether another PDU may be gathered.
    pub(super) fn has_room(&self) -> bool {
        self.arena.len() < MAX_ARENA && self.segments.len() < MAX_SLICES - 4 && self.payload < MAX_PAYLOAD
    }

    /// Puts a PDU at the end. `buffer` is the buffer of the task that the payload names.
    pub(super) fn push<D: Crc32c>(&mut self, head: &Head, transmit: &Transmit<'_>, buffer: &[u8]) {
        self.push_bytes(head.bytes());
        match transmit.payload {
            Payload::None => {}
            Payload::Core(bytes) => self.push_bytes(bytes),
            Payload::Task { itt, offset, len } => {
                let (start, end) = (offset as usize, offset as usize + len as usize);
                self.segments.push_back(Segment::Task { itt, start, end });
                self.payload += end - start;
                let crc = transmit.data_digest.then(|| D::append(0, &buffer[start..end]));
                self.push_bytes(trailer::<D>(end - start, crc).bytes());
            }
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        let now = self.arena.len();
        match self.segments.back_mut() {
            Some(Segment::Arena { end, .. }) if *end == start => *end = now,
            _ => self.segments.push_back(Segment::Arena { start, end: now }),
        }
    }

    /// Fills `slices` with what is due and says how many are used. `buffer` finds a task's buffer.
    pub(super) fn slices<'a>(
        &'a self,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
        buffer: impl Fn(Itt) -> &'a [u8],
    ) -> usize {
        let mut used = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(match *segment {
                Segment::Arena { start, end } => &self.arena[start..end],
                Segment::Task { itt, start, end } => &buffer(itt)[start..end],
            });
            used += 1;
        }
        used
    }

    /// The socket has taken `n` bytes; `sent` hears of each task payload that has gone out whole.
    pub(super) fn advance(&mut self, mut n: usize, mut sent: impl FnMut(Itt)) {
        while let Some(segment) = self.segments.front_mut() {
            let len = segment.len();
            let taken = n.min(len);
            match segment {
                Segment::Arena { start, .. } => *start += taken,
                Segment::Task { start, .. } => {
                    *start += taken;
                    self.payload -= taken;
                }
            }
            n -= taken;
            if taken < len {
                return;
            }
            if let Some(Segment::Task { itt, .. }) = self.segments.pop_front() {
                sent(itt);
            }
        }
        self.arena.clear();
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.segments.clear();
        self.payload = 0;
    }
}
