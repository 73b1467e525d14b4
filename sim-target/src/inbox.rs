//! Bytes from the initiator, cut into PDUs where they lie.

use std::io;

use iscsi_proto::pdu::{BHS_LEN, Bhs, ahs_len, data_segment_len, padding};

/// A whole PDU.
#[derive(Debug)]
pub(crate) struct Pdu<'a> {
    pub(crate) bhs: &'a Bhs,
    pub(crate) ahs: &'a [u8],
    pub(crate) data: &'a [u8],
    /// The padding of the data, to be zero.
    pub(crate) pad: &'a [u8],
    pub(crate) header_digest_good: bool,
    pub(crate) data_digest_good: bool,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { buffer: vec![0; 512 * 1024], start: 0, end: 0, header_digest: false, data_digest: false }
    }

    /// Reads what has arrived, once, by `read`. `Ok(None)` if nothing has, `Ok(Some(0))` at the end of the stream.
    pub(crate) fn read_by(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<usize>> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // The tail of the buffer is kept large enough for a gathered receive.
        if self.buffer.len() - self.end < self.buffer.len() / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        match read(&mut self.buffer[self.end..]) {
            Ok(got) => {
                self.end += got;
                Ok(Some(got))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next whole PDU; `None` if it has not arrived whole yet.
    pub(crate) fn next(&mut self) -> Option<Pdu<'_>> {
        let arrived = &self.buffer[self.start..self.end];
        let bhs = arrived.first_chunk::<BHS_LEN>()?;
        let data_len = data_segment_len(bhs) as usize;
        let digest_len = |on: bool| if on { 4 } else { 0 };
        let header_end = BHS_LEN + ahs_len(bhs);
        let data_start = header_end + digest_len(self.header_digest);
        let data_end = data_start + data_len;
        let pad_end = data_end + padding(data_len);
        let total = pad_end + digest_len(self.data_digest && data_len > 0);
        if arrived.len() < total {
            // More bytes are wanted, so there must be room for them.
            let wanted = total + BHS_LEN;
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted.next_power_of_two(), 0);
            }
            return None;
        }
        let arrived = &self.buffer[self.start..self.end];
        let bhs = arrived.first_chunk::<BHS_LEN>()?;
        let pdu = Pdu {
            bhs,
            ahs: &arrived[BHS_LEN..header_end],
            data: &arrived[data_start..data_end],
            pad: &arrived[data_end..pad_end],
            header_digest_good: !self.header_digest || is_digest(&arrived[..header_end], &arrived[header_end..]),
            data_digest_good: !self.data_digest
                || data_len == 0
                || is_digest(&arrived[data_start..pad_end], &arrived[pad_end..]),
        };
        self.start += total;
        Some(pdu)
    }
}

fn is_digest(covered: &[u8], after: &[u8]) -> bool {
    after.first_chunk::<4>().is_some_and(|digest| u32::from_le_bytes(*digest) == crc32c::crc32c(covered))
}
