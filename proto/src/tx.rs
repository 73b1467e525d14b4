//! What is sent next: a header the core writes, and where the payload lies.
//!
//! ```text
//!   Head: BHS, header digest │ Payload: the task's buffer or the core's bytes │ trailer: padding, data digest
//! ```
//! Header and core bytes are the core's; a task's payload is the caller's, so the caller adds its
//! [`trailer`]. The parts of one PDU follow each other on the wire, in the order they were polled.

use crate::digest::Crc32c;
use crate::ids::Itt;
use crate::pdu::{BHS_LEN, Bhs, padding};

/// Room for a header as the core sends it: BHS and digest.
pub const HEAD_LEN: usize = BHS_LEN + 4;

/// A header on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; HEAD_LEN],
    digest: bool,
}

impl Default for Head {
    fn default() -> Self {
        Head { bytes: [0; HEAD_LEN], digest: false }
    }
}

impl Head {
    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        let (bhs, _) = self.bytes.split_at(BHS_LEN);
        if self.digest { &self.bytes } else { bhs }
    }

    pub(crate) fn set<D: Crc32c>(&mut self, bhs: &Bhs, digest: bool) {
        let (head, tail) = self.bytes.split_at_mut(BHS_LEN);
        head.copy_from_slice(bhs);
        self.digest = digest;
        if digest {
            tail.copy_from_slice(&D::append(0, bhs).to_le_bytes());
        }
    }
}

/// Where the payload of a PDU lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'s> {
    /// There is none, and no trailer.
    None,
    /// In the buffer of a task.
    Task {
        /// The task.
        itt: Itt,
        /// From there, in bytes.
        offset: u32,
        /// How many bytes.
        len: u32,
    },
    /// In the core, padding and digest included.
    Core(&'s [u8]),
}

/// A PDU to send: the head that was filled in, then this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'s> {
    /// The payload.
    pub payload: Payload<'s>,
    /// A task's payload needs a data digest in its [`trailer`].
    pub data_digest: bool,
}

/// What follows a task's payload: 0 to 3 bytes of padding, then, with `digest`, the data digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    bytes: [u8; 7],
    len: u8,
}

impl Trailer {
    /// The bytes to send, 0 to 7.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The trailer of a payload of `len` bytes. `crc` covers the payload; `None` without data digests.
/// The digest covers the padding too (RFC 7143 §13.1).
pub fn trailer<D: Crc32c>(len: usize, crc: Option<u32>) -> Trailer {
    let pad = padding(len);
    let mut bytes = [0; 7];
    let mut used = pad;
    if let Some(crc) = crc {
        const ZEROES: [u8; 3] = [0; 3];
        let (zeroes, _) = ZEROES.split_at(pad);
        let digest = D::append(crc, zeroes).to_le_bytes();
        for (to, from) in bytes.iter_mut().skip(pad).zip(digest) {
            *to = from;
        }
        used += 4;
    }
    Trailer { bytes, len: used as u8 }
}
