//! PDUs on their way to the initiator: headers and small data in one run of bytes, large data by
//! reference, all of it written by few gathered writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use iscsi_proto::pdu::{Bhs, padding, set_lengths};

/// Data from this size on go out by reference where there is a reference.
const BY_REFERENCE: usize = 16 * 1024;

/// How many pieces one write gathers.
const GATHER: usize = 64;

#[derive(Debug)]
enum Piece {
    /// A number of bytes of the run.
    Run(usize),
    /// Bytes elsewhere.
    Shared(Bytes),
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    run: Vec<u8>,
    /// Bytes of the run that the pieces have not taken account of yet begin here.
    accounted: usize,
    /// Bytes of the run that have been written.
    written: usize,
    pieces: VecDeque<Piece>,
    pending: usize,
    /// Both digests apply from the first PDU after the login phase on.
    pub(crate) header_digest: bool,
    /// As above.
    pub(crate) data_digest: bool,
    /// Spoil the next header digest.
    pub(crate) bad_header_digest: bool,
    /// Spoil the next data digest.
    pub(crate) bad_data_digest: bool,
    /// At most so many bytes a write.
    pub(crate) write_limit: Option<usize>,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending + self.run.len() - self.accounted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// A PDU with `data`, or without if it is empty.
    pub(crate) fn pdu(&mut self, bhs: Bhs, data: &[u8]) {
        self.pdu_of(bhs, data.len(), |run| run.extend_from_slice(data));
    }

    /// A PDU with `len` bytes of data that `fill` appends.
    pub(crate) fn pdu_of(&mut self, bhs: Bhs, len: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        self.header(bhs, len);
        if len == 0 {
            return;
        }
        let start = self.run.len();
        fill(&mut self.run);
        debug_assert_eq!(self.run.len() - start, len);
        self.run.resize(self.run.len() + padding(len), 0);
        if self.data_digest {
            let digest = crc32c::crc32c(&self.run[start..]);
            self.digest_of_data(digest);
        }
    }

    /// A PDU with the first `len` bytes of `data`, which go out by reference if they are worth it.
    pub(crate) fn pdu_shared(&mut self, bhs: Bhs, data: &Bytes, len: usize) {
        if len < BY_REFERENCE {
            return self.pdu(bhs, &data[..len]);
        }
        let data = data.slice(..len);
        self.header(bhs, data.len());
        let digest = self.data_digest.then(|| {
            let pad = [0; 3];
            crc32c::crc32c_append(crc32c::crc32c(&data), &pad[..padding(data.len())])
        });
        let pad = padding(data.len());
        self.account();
        self.pending += data.len();
        self.pieces.push_back(Piece::Shared(data));
        self.run.resize(self.run.len() + pad, 0);
        if let Some(digest) = digest {
            self.digest_of_data(digest);
        }
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.run.extend_from_slice(bytes);
    }

    /// Drops everything past `keep` bytes from the front: the connection breaks off there. Only for
    /// what has been queued by copy.
    pub(crate) fn truncate(&mut self, keep: usize) {
        let drop = self.pending().saturating_sub(keep);
        let in_run = self.run.len() - self.accounted;
        self.run.truncate(self.run.len() - drop.min(in_run));
    }

    fn header(&mut self, mut bhs: Bhs, data: usize) {
        set_lengths(&mut bhs, 0, data as u32);
        self.run.extend_from_slice(&bhs);
        if self.header_digest {
            let spoil = u32::from(std::mem::take(&mut self.bad_header_digest));
            self.run.extend_from_slice(&(crc32c::crc32c(&bhs) ^ spoil).to_le_bytes());
        }
    }

    fn digest_of_data(&mut self, digest: u32) {
        let spoil = u32::from(std::mem::take(&mut self.bad_data_digest));
        self.run.extend_from_slice(&(digest ^ spoil).to_le_bytes());
    }

    /// Makes a piece of the run's end.
    fn account(&mut self) {
        let len = self.run.len() - self.accounted;
        if len > 0 {
            self.pieces.push_back(Piece::Run(len));
            self.pending += len;
            self.accounted = self.run.len();
        }
    }

    /// Writes by `write` as much as the socket takes now. `WouldBlock` is an answer, not an error.
    pub(crate) fn write_by(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        self.account();
        while self.pending > 0 {
            let wrote = match self.write_once(&mut write) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => wrote,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.advance(wrote);
        }
        self.run.clear();
        (self.accounted, self.written) = (0, 0);
        // A burst of large reads must not keep its memory for ever.
        self.run.shrink_to(4 * 1024 * 1024);
        Ok(())
    }

    fn write_once(&self, write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); GATHER];
        let mut at = self.written;
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let bytes = match piece {
                Piece::Run(len) => {
                    at += len;
                    &self.run[at - len..at]
                }
                Piece::Shared(bytes) => bytes,
            };
            count += 1;
            match self.write_limit {
                Some(limit) => {
                    *slice = IoSlice::new(&bytes[..limit.clamp(1, bytes.len())]);
                    break;
                }
                None => *slice = IoSlice::new(bytes),
            }
        }
        write(&slices[..count])
    }

    fn advance(&mut self, mut wrote: usize) {
        self.pending -= wrote;
        while wrote > 0 {
            let Some(piece) = self.pieces.front_mut() else { return };
            let len = match piece {
                Piece::Run(len) => {
                    let took = wrote.min(*len);
                    *len -= took;
                    self.written += took;
                    wrote -= took;
                    *len
                }
                Piece::Shared(bytes) => {
                    let took = wrote.min(bytes.len());
                    bytes::Buf::advance(bytes, took);
                    wrote -= took;
                    bytes.len()
                }
            };
            if len == 0 {
                self.pieces.pop_front();
            }
        }
    }
}
