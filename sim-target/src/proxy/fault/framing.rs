//! Where a PDU's parts lie in a stream (RFC 7143 §11.1).
//!
//! ```text
//!   | header 48, AHS | digest 4? | data, padding | digest 4? | header …
//! ```
//! Digests are there from the full-feature phase on, which the login response begins that says so.

use std::ops::Range;

use iscsi_proto::pdu::{self, BHS_LEN, Bhs, LoginResponse, Wire};

/// A part of a PDU, or what a read has brought of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Header and additional header segments; of the PDU, from that byte on.
    Header(usize),
    /// Data without padding.
    Data,
    /// Padding or a digest.
    Rest,
}

/// Which digests were agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digests {
    /// HeaderDigest=CRC32C.
    pub header: bool,
    /// DataDigest=CRC32C.
    pub data: bool,
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    digests: Digests,
    header: Vec<u8>,
    /// What is still to come of the PDU after its basic header, in order.
    ahead: Vec<(Part, usize)>,
}

impl Framing {
    pub(super) fn new(digests: Digests) -> Framing {
        Framing { digests, header: Vec::with_capacity(BHS_LEN), ahead: Vec::new() }
    }

    /// The parts in `bytes`, which came next. `full_feature` is whether that phase has begun; it is set
    /// by the response that begins it.
    pub(super) fn parts(&mut self, bytes: &[u8], full_feature: &mut bool) -> Vec<(Range<usize>, Part)> {
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let rest = bytes.len() - at;
            if let Some((part, missing)) = self.ahead.first_mut() {
                let taken = rest.min(*missing);
                parts.push((at..at + taken, part.clone()));
                at += taken;
                *missing -= taken;
                if *missing == 0 {
                    self.ahead.remove(0);
                }
                continue;
            }
            let from = self.header.len();
            let taken = rest.min(BHS_LEN - from);
            self.header.extend_from_slice(&bytes[at..at + taken]);
            parts.push((at..at + taken, Part::Header(from)));
            at += taken;
            if let Ok(bhs) = Bhs::try_from(self.header.as_slice()) {
                self.header.clear();
                self.look_ahead(&bhs, *full_feature);
                *full_feature |= begins_full_feature(&bhs);
            }
        }
        parts
    }

    fn look_ahead(&mut self, bhs: &Bhs, full_feature: bool) {
        let (ahs, data) = (pdu::ahs_len(bhs), pdu::data_segment_len(bhs) as usize);
        let digest = |on: bool| if on && full_feature { 4 } else { 0 };
        let data_digest = if data > 0 { digest(self.digests.data) } else { 0 };
        let lengths = [
            (Part::Header(BHS_LEN), ahs),
            (Part::Rest, digest(self.digests.header)),
            (Part::Data, data),
            (Part::Rest, pdu::padding(data) + data_digest),
        ];
        self.ahead = lengths.into_iter().filter(|(_, length)| *length > 0).collect();
    }
}

/// A login response with T, NSG 3 and status 0 (§11.13).
fn begins_full_feature(bhs: &Bhs) -> bool {
    pdu::opcode(bhs) == LoginResponse::OPCODE && bhs[1] & 0x83 == 0x83 && bhs[36] == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_however_the_stream_is_cut() {
        let mut login = [0_u8; BHS_LEN];
        (login[0], login[1]) = (LoginResponse::OPCODE, 0x87);
        pdu::set_lengths(&mut login, 0, 3);
        let mut data_in = [0_u8; BHS_LEN];
        data_in[0] = 0x25;
        pdu::set_lengths(&mut data_in, 0, 5);
        // Text and padding; then header, digest, data, padding and digest.
        let stream = [&login[..], b"a=b\0", &data_in, b"HHHH", b"data!", b"\0\0\0", b"DDDD"].concat();
        for piece in [1, 7, 48, stream.len()] {
            let mut framing = Framing::new(Digests { header: true, data: true });
            let (mut full_feature, mut data, mut rest) = (false, Vec::new(), Vec::new());
            for bytes in stream.chunks(piece) {
                for (range, part) in framing.parts(bytes, &mut full_feature) {
                    match part {
                        Part::Header(_) => {}
                        Part::Data => data.extend_from_slice(&bytes[range]),
                        Part::Rest => rest.extend_from_slice(&bytes[range]),
                    }
                }
            }
            assert!(full_feature && framing.ahead.is_empty() && framing.header.is_empty());
            assert_eq!((data.as_slice(), rest.as_slice()), (&b"a=bdata!"[..], &b"\0HHHH\0\0\0DDDD"[..]));
        }
    }
}
