//! Login PDUs: texts out as requests, responses in as texts. Knows of headers, numbers and the C bit,
//! and nothing of what the texts say.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::error::{Error, PeerMisbehaved};
use crate::ids::{Cid, Isid, Itt, Tsih};
use crate::keys::MAX_TEXT;
use crate::pdu::{
    BHS_LEN, Bhs, LoginFlags, LoginRequest, LoginResponse, LoginStage, Reject, Wire, ahs_len, data_segment_len, opcode,
    padding, set_lengths,
};
use crate::sn::{CmdSn, StatSn};

use super::error::LoginError;

/// The longest data segment of a login PDU, in bytes: MaxRecvDataSegmentLength's default holds for
/// both sides until the login is over (RFC 7143 §13.12).
const MAX_SEGMENT: usize = 8192;

/// How many PDUs a target may spend on a login; it may cut its text into small pieces (C bit).
const MAX_RESPONSES: u32 = 4096;

/// How many complete answers a target may spend on a login: one that never sets T is given up.
const MAX_ANSWERS: u32 = 32;

/// What every request of the login says the same (§11.12).
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) isid: Isid,
    pub(super) tsih: Tsih,
    pub(super) cid: Cid,
    pub(super) itt: Itt,
    pub(super) cmd_sn: CmdSn,
}

/// A complete answer of the target.
#[derive(Debug)]
pub(super) struct Answer {
    /// The header of its last PDU.
    pub(super) header: LoginResponse,
    /// Its text, put together.
    pub(super) text: Vec<u8>,
    /// T: the target has moved to the stage that our request named.
    pub(super) transit: bool,
}

/// What became of a PDU.
#[derive(Debug)]
pub(super) enum Received {
    /// A header, a piece of text, or leave to send the next piece of ours.
    Piece,
    /// An answer.
    Answer(Answer),
    /// A status other than success (§11.13.5), and the text of that PDU.
    Status { class: u8, detail: u8, text: Vec<u8> },
}

/// The exchange of login PDUs over a connection.
#[derive(Debug)]
pub(super) struct Exchange {
    identity: Identity,
    exp_stat_sn: StatSn,
    outbox: VecDeque<Vec<u8>>,
    /// Flags of the last whole text we sent, or are sending.
    said: LoginFlags,
    /// What of our text did not fit into the PDUs sent so far.
    unsent: VecDeque<u8>,
    /// The last PDU we sent had C: the target has to answer it with nothing.
    cut: bool,
    /// A header whose data segment is due.
    header: Option<Bhs>,
    /// The target's text so far.
    text: Vec<u8>,
    responses: u32,
    answers: u32,
    segment: usize,
}

impl Exchange {
    pub(super) fn new(identity: Identity) -> Exchange {
        Exchange {
            identity,
            exp_stat_sn: StatSn(0),
            outbox: VecDeque::new(),
            said: LoginFlags {
                transit: false,
                more: false,
                current: LoginStage::SecurityNegotiation,
                next: LoginStage::SecurityNegotiation,
            },
            unsent: VecDeque::new(),
            cut: false,
            header: None,
            text: Vec::new(),
            responses: 0,
            answers: 0,
            segment: MAX_SEGMENT,
        }
    }

    /// Cuts our texts at `segment` bytes instead.
    #[cfg(test)]
    pub(super) fn cut_at(&mut self, segment: usize) {
        self.segment = segment;
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Sends a text in the stage `current`; with `next` it says that we are ready for that one.
    pub(super) fn send(&mut self, current: LoginStage, next: Option<LoginStage>, text: Vec<u8>) {
        self.said = LoginFlags { transit: next.is_some(), more: false, current, next: next.unwrap_or(current) };
        self.unsent = text.into();
        self.send_piece();
    }

    /// Sends as much of our text as one PDU holds. All pieces but the last have C, and not T (§11.12.2).
    fn send_piece(&mut self) {
        let piece: Vec<u8> = self.unsent.drain(..self.unsent.len().min(self.segment)).collect();
        self.cut = !self.unsent.is_empty();
        let flags = match self.cut {
            true => LoginFlags { transit: false, more: true, ..self.said },
            false => self.said,
        };
        self.push(flags, &piece);
    }

    fn push(&mut self, flags: LoginFlags, data: &[u8]) {
        let Identity { isid, tsih, cid, itt, cmd_sn } = self.identity;
        let flags = flags.encode();
        let exp_stat_sn = self.exp_stat_sn;
        let mut bhs =
            LoginRequest { flags, version_max: 0, version_min: 0, isid, tsih, itt, cid, cmd_sn, exp_stat_sn }.encode();
        // A piece has at most 8192 bytes.
        set_lengths(&mut bhs, 0, data.len() as u32);
        let mut pdu = Vec::with_capacity(BHS_LEN + data.len() + 3);
        pdu.extend_from_slice(&bhs);
        pdu.extend_from_slice(data);
        pdu.resize(pdu.len() + padding(data.len()), 0);
        self.outbox.push_back(pdu);
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// How many bytes are to be read next: a header, or the rest of its PDU.
    pub(super) fn need(&self) -> usize {
        match &self.header {
            None => BHS_LEN,
            Some(bhs) => padded(bhs),
        }
    }

    /// Takes exactly [`need`](Exchange::need) bytes.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Received, LoginError> {
        if bytes.len() != self.need() {
            return Err(Error::Misuse("a login is given exactly the bytes it asked for").into());
        }
        let Some(bhs) = self.header.take() else {
            let Ok(&bhs) = bytes.try_into() else {
                return Err(Error::Misuse("a header has 48 bytes").into());
            };
            if opcode(&bhs) == Reject::OPCODE {
                // The connection is over: the request it quotes is not read.
                return Err(LoginError::Rejected { reason: Reject::decode(&bhs).reason });
            }
            check_header(&bhs)?;
            return match padded(&bhs) {
                0 => self.whole(&LoginResponse::decode(&bhs), &[]),
                _ => {
                    self.header = Some(bhs);
                    Ok(Received::Piece)
                }
            };
        };
        let text = usize::try_from(data_segment_len(&bhs)).ok().and_then(|len| bytes.get(..len)).unwrap_or(bytes);
        self.whole(&LoginResponse::decode(&bhs), text)
    }

    /// A whole PDU has come.
    fn whole(&mut self, header: &LoginResponse, text: &[u8]) -> Result<Received, LoginError> {
        let rule = |rule| LoginError::from(PeerMisbehaved::Rule(rule));
        if header.status_class != 0 {
            // The other fields, StatSN among them, need not be valid now (§11.13.4).
            return Ok(Received::Status {
                class: header.status_class,
                detail: header.status_detail,
                text: text.to_vec(),
            });
        }
        if header.itt != self.identity.itt {
            return Err(rule("a login response with another Initiator Task Tag (RFC 7143 §11.13)"));
        }
        if header.isid != self.identity.isid {
            return Err(rule("a login response with another ISID (RFC 7143 §11.13)"));
        }
        if header.version_active != 0 {
            return Err(rule("a login response with a protocol version that does not exist (RFC 7143 §11.13.2)"));
        }
        let flags = LoginFlags::decode(header.flags)
            .ok_or_else(|| rule("a login response with a stage that does not exist (RFC 7143 §11.12.3)"))?;
        if flags.current != self.said.current {
            return Err(rule("a login response for another stage than the request's (RFC 7143 §11.13)"));
        }
        if flags.transit {
            let asked = self.said.transit && !self.cut;
            if !asked || flags.next != self.said.next {
                return Err(rule("a login response that moves to a stage we did not ask for (RFC 7143 §6.3)"));
            }
            if flags.more {
                return Err(rule("a login response with both T and C (RFC 7143 §11.13)"));
            }
        }
        // §4.2.2.2: the first StatSN may be any; ExpStatSN follows it, modulo 2^32.
        self.exp_stat_sn = header.stat_sn.next();
        self.responses += 1;
        if self.responses > MAX_RESPONSES {
            return Err(rule("a login that the target does not bring to an end"));
        }
        if self.cut {
            // §6.2: what has C is answered with nothing.
            if flags.more || !text.is_empty() {
                return Err(rule("an answer to a text that has not ended (RFC 7143 §6.2)"));
            }
            self.send_piece();
            return Ok(Received::Piece);
        }
        if self.text.len() + text.len() > MAX_TEXT {
            return Err(rule("a login text of more than 16384 bytes"));
        }
        self.text.extend_from_slice(text);
        if flags.more {
            self.push(self.said, &[]);
            return Ok(Received::Piece);
        }
        self.answers += 1;
        if self.answers > MAX_ANSWERS {
            return Err(rule("a login that the target does not bring to an end"));
        }
        Ok(Received::Answer(Answer { header: *header, text: core::mem::take(&mut self.text), transit: flags.transit }))
    }
}

/// Length of the data segment with its padding, in bytes; [`check_header`] has bounded it.
fn padded(bhs: &Bhs) -> usize {
    let len = data_segment_len(bhs) as usize;
    len + padding(len)
}

/// What must hold before the rest of a PDU is read.
fn check_header(bhs: &Bhs) -> Result<(), PeerMisbehaved> {
    let opcode = opcode(bhs);
    if opcode != LoginResponse::OPCODE {
        return Err(PeerMisbehaved::UnexpectedOpcode(opcode));
    }
    if ahs_len(bhs) != 0 {
        return Err(PeerMisbehaved::Rule("a login response with additional header segments (RFC 7143 §11.13)"));
    }
    let (length, limit) = (data_segment_len(bhs), MAX_SEGMENT as u32);
    match length > limit {
        true => Err(PeerMisbehaved::SegmentTooLong { opcode, length, limit }),
        false => Ok(()),
    }
}
