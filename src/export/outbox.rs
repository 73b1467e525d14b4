//! The replies on their way: heads and buffers, gathered into one write.
//!
//! ```text
//!   segments   head₀ body₀ │ head₁ │ head₂ body₂ …        heads lie one after the other in one Vec,
//!   one write  [head₀][body₀][head₁ head₂][body₂]         bodies are pool buffers
//! ```
//! A buffer goes back to its pool when its last byte has been written.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::block::Buffer;

/// How many slices one write gathers: heads and bodies of 64 replies.
pub(crate) const MAX_SLICES: usize = 128;

/// Sent heads are thrown away when there are that many bytes of them.
const COMPACT: usize = 64 << 10;

/// Replies in the order they leave.
#[derive(Default)]
pub(crate) struct Outbox {
    heads: Vec<u8>,
    heads_sent: usize,
    segments: VecDeque<Segment>,
}

/// Bytes of heads, then possibly a buffer.
struct Segment {
    head: usize,
    body: Option<Buffer>,
    body_sent: usize,
}

impl Outbox {
    /// Appends what `put` appends: one head, or several.
    pub(crate) fn head(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let before = self.heads.len();
        put(&mut self.heads);
        let head = self.heads.len() - before;
        match self.segments.back_mut() {
            Some(last) if last.body.is_none() => last.head += head,
            _ => self.segments.push_back(Segment { head, body: None, body_sent: 0 }),
        }
    }

    /// Appends a buffer.
    pub(crate) fn body(&mut self, buffer: Buffer) {
        match self.segments.back_mut() {
            Some(last) if last.body.is_none() => last.body = Some(buffer),
            _ => self.segments.push_back(Segment { head: 0, body: Some(buffer), body_sent: 0 }),
        }
    }

    /// Whether everything has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Puts the next bytes to write into `slices` and says how many slices and how many bytes.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> (usize, usize) {
        let (mut count, mut bytes, mut heads) = (0, 0, &self.heads[self.heads_sent..]);
        for segment in &self.segments {
            let (head, rest) = heads.split_at(segment.head);
            heads = rest;
            let body = segment.body.as_deref().map_or(&[][..], |body| &body[segment.body_sent..]);
            for part in [head, body] {
                if part.is_empty() {
                    continue;
                }
                let Some(slice) = slices.get_mut(count) else { return (count, bytes) };
                *slice = IoSlice::new(part);
                count += 1;
                bytes += part.len();
            }
        }
        (count, bytes)
    }

    /// `n` bytes have been written. Returns how many bytes of buffers went back to the pool.
    pub(crate) fn written(&mut self, mut n: usize) -> usize {
        let mut returned = 0;
        while let Some(segment) = self.segments.front_mut() {
            let head = n.min(segment.head);
            segment.head -= head;
            self.heads_sent += head;
            n -= head;
            let body_len = segment.body.as_ref().map_or(0, |body| body.len());
            let body = n.min(body_len - segment.body_sent);
            segment.body_sent += body;
            n -= body;
            if segment.head > 0 || segment.body_sent < body_len {
                break;
            }
            returned += body_len;
            self.segments.pop_front();
        }
        if self.segments.is_empty() {
            self.heads.clear();
            self.heads_sent = 0;
        } else if self.heads_sent >= COMPACT {
            self.heads.drain(..self.heads_sent);
            self.heads_sent = 0;
        }
        returned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Pool;

    fn left(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, bytes) = outbox.gather(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(all.len(), bytes);
        all
    }

    #[test]
    fn whatever_a_write_takes_the_rest_follows_in_order() {
        let pool = Pool::new(1 << 20);
        for step in 1..=20 {
            let mut outbox = Outbox::default();
            let mut body = pool.try_get(4).expect("budget");
            body.copy_from_slice(b"BODY");
            outbox.head(|out| out.extend_from_slice(b"one "));
            outbox.head(|out| out.extend_from_slice(b"two "));
            outbox.body(body);
            let mut body = pool.try_get(4).expect("budget");
            body.copy_from_slice(b"MORE");
            outbox.body(body);
            outbox.head(|out| out.extend_from_slice(b"end"));
            let (mut written, mut returned) = (Vec::new(), 0);
            while !outbox.is_empty() {
                let mut now = left(&outbox);
                now.truncate(step);
                returned += outbox.written(now.len());
                written.extend(now);
            }
            assert_eq!((written.as_slice(), returned), (&b"one two BODYMOREend"[..], 8));
        }
    }

    #[test]
    fn heads_without_bodies_leave_in_one_slice() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.head(|out| out.extend_from_slice(&[7; 16]));
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        assert_eq!(outbox.gather(&mut slices), (1, 16_000));
    }
}
