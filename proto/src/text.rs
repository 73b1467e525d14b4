//! A text exchange (RFC 7143 §11.10, §11.11): one request of ours, the answer in as many PDUs as the target likes.
//!
//! ```text
//!   ── Text Request, F ──►
//!   ◄── Text Response, C or no F, TTT ──      ── empty Text Request with that TTT ──►      as often as it takes
//!   ◄── Text Response, F ──
//! ```
//! One is under way over a connection at a time. It takes a CmdSN as a command does; where the window is closed it
//! is immediate, because nothing might open it.

use alloc::vec::Vec;

use crate::connection::{Phase, TextExchange, Urgent};
use crate::digest::Crc32c;
use crate::error::{Error, PeerMisbehaved};
use crate::ids::{Itt, Lun, Ttt};
use crate::pdu::{CONTINUE, FINAL, RejectReason, TextResponse};
use crate::session::{Event, Session, Unanswered};
use crate::task::{Kind, State};

impl<D: Crc32c> Session<D> {
    /// Sends text (`key=value` and a zero byte each) and gathers the answer, up to `limit` bytes:
    /// [`Event::TextDone`]. One exchange at a time.
    ///
    /// # Errors
    /// [`Error::Misuse`] if one is under way, there is no connection, or `data` is longer than the target's
    /// MaxRecvDataSegmentLength.
    pub fn text(&mut self, data: Vec<u8>, limit: usize) -> Result<Itt, Error> {
        // The next connection's target may take less at a time than the last one's.
        if self.connection.phase != Phase::FullFeature {
            return Err(Error::Misuse("text without a connection"));
        }
        if self.connection.text.is_some() {
            return Err(Error::Misuse("a text exchange is under way"));
        }
        if data.len() > self.connection.params.max_send_data_segment_length as usize {
            return Err(Error::Misuse("text longer than the target's MaxRecvDataSegmentLength"));
        }
        let itt = self.control(Kind::Text)?;
        self.connection.text = Some(TextExchange { itt, answer: Vec::new(), limit });
        self.connection.urgent.push_back(Urgent::Text { itt, lun: Lun(0), ttt: Ttt::RESERVED, data });
        Ok(itt)
    }

    pub(crate) fn text_response(&mut self, pdu: &TextResponse, segment: &[u8]) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        let asked = self.sent(pdu.itt).is_some_and(|task| task.kind == Kind::Text);
        let Some(exchange) = self.connection.text.as_mut().filter(|exchange| asked && exchange.itt == pdu.itt) else {
            return Err(PeerMisbehaved::UnknownTask(pdu.itt.0).into());
        };
        let goes_on = match (pdu.flags & FINAL != 0, pdu.flags & CONTINUE != 0) {
            (true, true) => {
                return Err(PeerMisbehaved::Rule("a Text Response with both F and C set (RFC 7143 §11.11.2)").into());
            }
            (true, false) => false,
            (false, _) => true,
        };
        if goes_on && pdu.ttt == Ttt::RESERVED {
            let rule = "text that goes on without a Target Transfer Tag (RFC 7143 §11.11.4)";
            return Err(PeerMisbehaved::Rule(rule).into());
        }
        if exchange.answer.len().saturating_add(segment.len()) > exchange.limit {
            self.end_text(Err(Unanswered::TooLong));
            return Ok(());
        }
        exchange.answer.extend_from_slice(segment);
        if goes_on {
            // It is our turn: until that is sent, there is nothing to answer.
            if let Some(task) = self.tasks.get_mut(pdu.itt) {
                task.state = State::Waiting;
            }
            let next = Urgent::Text { itt: pdu.itt, lun: pdu.lun, ttt: pdu.ttt, data: Vec::new() };
            self.connection.urgent.push_back(next);
        } else {
            let answer = core::mem::take(&mut exchange.answer);
            self.end_text(Ok(answer));
        }
        Ok(())
    }

    /// The target does not answer our text.
    pub(crate) fn text_rejected(&mut self, itt: Itt, reason: RejectReason) {
        if self.connection.text.as_ref().is_some_and(|exchange| exchange.itt == itt) {
            self.end_text(Err(Unanswered::Rejected(reason)));
        }
    }

    /// The exchange under way, if there is one, has ended.
    pub(crate) fn end_text(&mut self, answer: Result<Vec<u8>, Unanswered>) {
        if let Some(TextExchange { itt, .. }) = self.connection.text.take() {
            self.tasks.remove(itt);
            self.tell(Event::TextDone { itt, answer });
        }
    }
}
