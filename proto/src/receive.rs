//! What arrived: from bytes to PDUs, from PDUs to tasks.

use crate::connection::Phase;
use crate::digest::Crc32c;
use crate::error::{Error, PeerMisbehaved};
use crate::ids::{Itt, Ttt};
use crate::pdu::{
    AsyncEvent, AsyncMessage, Bhs, DataIn, Field, LogoutResponse, NopIn, Opcode, R2t, Reject, RejectReason,
    ScsiResponse, ScsiStatus, TaskFunctionResponse, TaskManagementResponse, TextResponse, Wire, data_in_flags,
    is_immediate, opcode, residual,
};
use crate::rx::{self, Framing, RxPlan};
use crate::scsi::{Sense, SenseKey};
use crate::session::{Event, Session};
use crate::sn::{CmdSn, DataSn};
use crate::task::{Data, Kind, Outcome, Residual, State, Task, Transfer};
use crate::time::Instant;
use crate::{tmf, transfer};

/// What a target says of a command's data at its end.
struct Ending {
    outcome: Outcome,
    /// o, u, O, U bits.
    flags: u8,
    residual_count: u32,
    /// Data-In or R2T PDUs it sent, where it says.
    sent: Option<DataSn>,
}

impl<D: Crc32c> Session<D> {
    /// Where the next bytes of the stream belong.
    pub fn rx_plan(&self) -> RxPlan {
        match self.connection.phase {
            Phase::Down => RxPlan::Stop,
            Phase::FullFeature | Phase::LoggedOut => self.connection.framing.plan(self.connection.scratch_need),
        }
    }

    /// Takes bytes that have arrived, and says how many it has used: all PDUs that are there whole,
    /// up to the payload of a Data-In, for which a new [`rx_plan`](Self::rx_plan) is due. What is not
    /// used must be passed again, with more behind it.
    ///
    /// # Errors
    /// The target broke the protocol; the connection is of no further use.
    pub fn rx_scratch(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, Error> {
        if !bytes.is_empty() {
            self.connection.heard(now);
        }
        let mut rest = bytes;
        loop {
            match self.step(rest) {
                Ok(0) => return Ok(bytes.len() - rest.len()),
                Ok(used) => rest = rest.get(used..).unwrap_or(&[]),
                Err(error) => {
                    self.connection.phase = Phase::Down;
                    return Err(error);
                }
            }
        }
    }

    /// Takes note of bytes that were read straight into the buffer a [`RxPlan::Place`] named: at most
    /// as many as it said, from its offset on.
    ///
    /// # Errors
    /// As [`rx_scratch`](Self::rx_scratch); [`Error::Misuse`] for bytes that no plan asked for.
    pub fn rx_placed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        self.connection.heard(now);
        let Framing::Place { pdu, offset, left, len, crc } = self.connection.framing else {
            return Err(Error::Misuse("bytes placed without a plan"));
        };
        let placed = match u32::try_from(bytes.len()) {
            Ok(placed) if placed <= left => placed,
            _ => return Err(Error::Misuse("more bytes placed than planned")),
        };
        let data_digest = self.connection.params.data_digest;
        let crc = if data_digest { D::append(crc, bytes) } else { 0 };
        self.connection.framing = match left - placed {
            0 => Framing::Trailer { pdu, len, crc },
            left => Framing::Place { pdu, offset: offset + placed, left, len, crc },
        };
        if let Framing::Trailer { .. } = self.connection.framing {
            self.connection.scratch_need = rx::trailer_len(len, data_digest);
            if self.connection.scratch_need == 0 {
                self.finish_data_in(pdu, len).inspect_err(|_| self.connection.phase = Phase::Down)?;
            }
        }
        Ok(())
    }

    /// One step of framing; 0 where it needs more bytes, or another plan.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.connection.phase == Phase::Down {
            return Ok(0);
        }
        let data_digest = self.connection.params.data_digest;
        match self.connection.framing {
            Framing::Header => self.read_header(bytes),
            Framing::Place { .. } => Ok(0),
            Framing::Trailer { pdu, len, crc } => {
                let need = rx::trailer_len(len, data_digest);
                let Some(trailer) = bytes.get(..need) else { return Ok(0) };
                rx::check_trailer::<D>(crc, len, trailer)?;
                self.finish_data_in(pdu, len)?;
                Ok(need)
            }
            Framing::Collect { bhs, segment_len } => {
                let total = segment_len as usize + rx::trailer_len(segment_len, data_digest);
                if let Some(whole) = bytes.get(..total)
                    && self.connection.collected.is_empty()
                {
                    self.connection.next_header();
                    self.finish_segment(&bhs, segment_len, whole)?;
                    return Ok(total);
                }
                let used = self.connection.collected.take(bytes, total);
                if self.connection.collected.len() == total {
                    let whole = self.connection.collected.finish();
                    self.connection.next_header();
                    self.finish_segment(&bhs, segment_len, &whole)?;
                } else {
                    self.connection.scratch_need = 1;
                }
                Ok(used)
            }
        }
    }

    fn read_header(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let params = &self.connection.params;
        let header_digest = params.header_digest;
        let announced = match rx::header::<D>(bytes, header_digest, params.max_recv_data_segment_length)? {
            Ok(announced) => announced,
            Err(need) => {
                self.connection.scratch_need = need;
                return Ok(0);
            }
        };
        let rx::Announced { bhs, header_len, segment_len } = announced;
        self.pdus_received += 1;
        if opcode(&bhs) == DataIn::OPCODE {
            self.begin_data_in(&bhs, segment_len)?;
        } else if segment_len > 0 {
            self.connection.framing = Framing::Collect { bhs, segment_len };
            self.connection.scratch_need = 1;
        } else {
            self.connection.next_header();
            self.dispatch(&bhs, &[])?;
        }
        Ok(header_len)
    }

    /// `whole` is the segment with padding and digest.
    fn finish_segment(&mut self, bhs: &Bhs, segment_len: u32, whole: &[u8]) -> Result<(), Error> {
        let Some((segment, trailer)) = whole.split_at_checked(segment_len as usize) else {
            return Err(Error::Misuse("a segment shorter than its length"));
        };
        if self.connection.params.data_digest {
            rx::check_trailer::<D>(D::append(0, segment), segment_len, trailer)?;
        }
        self.dispatch(bhs, segment)
    }

    fn begin_data_in(&mut self, bhs: &Bhs, len: u32) -> Result<(), Error> {
        let pdu = DataIn::decode(bhs);
        self.window.update(pdu.exp_cmd_sn, pdu.max_cmd_sn);
        let unknown = PeerMisbehaved::UnknownTask(pdu.itt.0);
        let task = self.tasks.get_mut(pdu.itt).ok_or(unknown.clone())?;
        match (&mut task.kind, task.state) {
            (Kind::Scsi(transfer), State::Active) => {
                transfer::expect(transfer, &pdu, len)?;
                if len == 0 {
                    self.connection.framing = Framing::Trailer { pdu, len: 0, crc: 0 };
                    return self.finish_data_in(pdu, 0);
                }
                self.connection.framing = Framing::Place { pdu, offset: transfer.moved, left: len, len, crc: 0 };
            }
            _ => return Err(unknown.into()),
        }
        Ok(())
    }

    /// All of a Data-In has arrived and its digest is right.
    fn finish_data_in(&mut self, pdu: DataIn, len: u32) -> Result<(), Error> {
        self.connection.next_header();
        if let Some(task) = self.tasks.get_mut(pdu.itt)
            && let Kind::Scsi(transfer) = &mut task.kind
        {
            transfer.moved = transfer.moved.saturating_add(len);
        }
        if pdu.flags & data_in_flags::STATUS == 0 {
            return Ok(());
        }
        self.connection.accept_status(pdu.stat_sn)?;
        let ending = Ending {
            outcome: Outcome::Status(ScsiStatus::from(pdu.status)),
            flags: pdu.flags,
            residual_count: pdu.residual_count,
            sent: None,
        };
        self.complete(pdu.itt, ending)
    }

    fn complete(&mut self, itt: Itt, ending: Ending) -> Result<(), Error> {
        let Some(task) = self.tasks.get_mut(itt) else { return Err(PeerMisbehaved::UnknownTask(itt.0).into()) };
        let Kind::Scsi(transfer) = &task.kind else { return Err(PeerMisbehaved::UnknownTask(itt.0).into()) };
        if task.state != State::Active {
            return Err(PeerMisbehaved::UnknownTask(itt.0).into());
        }
        if ending.sent.is_some_and(|sent| transfer.sn.is_before(sent)) {
            let rule = "the target sent more Data-In or R2T than arrived (ExpDataSN, RFC 7143 §11.4.8)";
            return Err(PeerMisbehaved::Rule(rule).into());
        }
        let expected = transfer.command.data.len();
        let residual = if ending.flags & residual::OVERFLOW != 0 {
            Residual::Overflow(ending.residual_count)
        } else if ending.flags & residual::UNDERFLOW != 0 {
            Residual::Underflow(ending.residual_count)
        } else {
            Residual::None
        };
        let valid = match residual {
            Residual::Underflow(missing) => expected.saturating_sub(missing),
            Residual::None | Residual::Overflow(_) => expected,
        };
        let transferred = match transfer.command.data {
            Data::None => 0,
            Data::In(_) | Data::Out(_) => transfer.moved.min(valid),
        };
        self.settle(itt, ending.outcome, transferred, residual);
        Ok(())
    }

    /// A PDU that is no Data-In, with its data segment.
    fn dispatch(&mut self, bhs: &Bhs, segment: &[u8]) -> Result<(), Error> {
        // ExpCmdSN and MaxCmdSN stand at the same place in everything a target sends (§11.4.10).
        self.window.update(CmdSn::get(bhs, 28), CmdSn::get(bhs, 32));
        match Opcode::from(opcode(bhs)) {
            Opcode::ScsiResponse => self.scsi_response(&ScsiResponse::decode(bhs), segment),
            Opcode::R2t => self.r2t(&R2t::decode(bhs)),
            Opcode::NopIn => self.nop_in(&NopIn::decode(bhs), segment),
            Opcode::TaskManagementResponse => self.manage_response(&TaskManagementResponse::decode(bhs)),
            Opcode::TextResponse => self.text_response(&TextResponse::decode(bhs), segment),
            Opcode::LogoutResponse => self.logout_response(&LogoutResponse::decode(bhs)),
            Opcode::AsyncMessage => self.async_message(&AsyncMessage::decode(bhs), segment),
            Opcode::Reject => self.reject(&Reject::decode(bhs), segment),
            other => Err(PeerMisbehaved::UnexpectedOpcode(other.into()).into()),
        }
    }

    fn scsi_response(&mut self, pdu: &ScsiResponse, segment: &[u8]) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        // Only of a command under way: one that has ended keeps the sense it ended with.
        let is_due = self.tasks.get(pdu.itt).is_some_and(|task| task.state == State::Active);
        // §11.4.7.2: SenseLength, then so many sense bytes; trust what arrived.
        if let Some((length, bytes)) = segment.split_first_chunk::<2>().filter(|_| is_due) {
            let length = usize::from(u16::from_be_bytes(*length));
            self.tasks.set_sense(pdu.itt, bytes.get(..length).unwrap_or(bytes));
        }
        let outcome = match pdu.response {
            0 if self.is_refused_for_logout(pdu) => Outcome::Lost { again: true },
            0 => Outcome::Status(ScsiStatus::from(pdu.status)),
            failure => Outcome::TargetFailure(failure),
        };
        let ending = Ending {
            outcome,
            flags: pdu.flags,
            residual_count: pdu.residual_count,
            sent: (pdu.response == 0).then_some(pdu.exp_data_sn),
        };
        self.complete(pdu.itt, ending)
    }

    /// Whether a command was refused only because the target wants an end of the connection (§11.9.1): it takes no units
    /// to be there any more, LOGICAL UNIT NOT SUPPORTED, and has not begun the command.
    fn is_refused_for_logout(&self, pdu: &ScsiResponse) -> bool {
        self.connection.is_held()
            && ScsiStatus::from(pdu.status) == ScsiStatus::CheckCondition
            && Sense::parse(self.sense(pdu.itt)).is_some_and(|sense| {
                !sense.deferred && (sense.key, sense.asc, sense.ascq) == (SenseKey::IllegalRequest, 0x25, 0x00)
            })
    }

    fn r2t(&mut self, pdu: &R2t) -> Result<(), Error> {
        let unknown = PeerMisbehaved::UnknownTask(pdu.itt.0);
        let task = self.tasks.get_mut(pdu.itt).ok_or(unknown.clone())?;
        match (&mut task.kind, task.state) {
            (Kind::Scsi(transfer), State::Active) => {
                let burst = transfer::solicited(&self.params, transfer, pdu)?;
                self.connection.bursts.push_back(burst);
                Ok(())
            }
            _ => Err(unknown.into()),
        }
    }

    /// The task of that tag, if its request has gone out: nothing else can be answered.
    pub(crate) fn sent(&self, itt: Itt) -> Option<&Task> {
        self.tasks.get(itt).filter(|task| task.state == State::Active)
    }

    fn nop_in(&mut self, pdu: &NopIn, segment: &[u8]) -> Result<(), Error> {
        if pdu.itt != Itt::RESERVED {
            self.connection.accept_status(pdu.stat_sn)?;
            match self.sent(pdu.itt).map(|task| task.kind) {
                Some(Kind::Ping) => self.tasks.remove(pdu.itt),
                _ => return Err(PeerMisbehaved::UnknownTask(pdu.itt.0).into()),
            };
            self.connection.answered(pdu.itt);
        }
        if pdu.ttt != Ttt::RESERVED {
            // §11.18: an answer carries the ping's data, as much as the target takes.
            let limit = self.connection.params.max_send_data_segment_length as usize;
            let data = segment.get(..limit).unwrap_or(segment).to_vec();
            self.connection.owe_pong(pdu.lun, pdu.ttt, data)?;
        }
        Ok(())
    }

    fn manage_response(&mut self, pdu: &TaskManagementResponse) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        let (kind, sent) = match self.sent(pdu.itt) {
            Some(task) => (task.kind, task.cmd_sn),
            None => return Err(PeerMisbehaved::UnknownTask(pdu.itt.0).into()),
        };
        let Kind::Manage { function, referenced, lun } = kind else {
            return Err(PeerMisbehaved::UnknownTask(pdu.itt.0).into());
        };
        let response = TaskFunctionResponse::from(pdu.response);
        if response == TaskFunctionResponse::Complete {
            let mut slot = 0;
            while let Some(itt) = self.tasks.tag_from(&mut slot) {
                let covered =
                    self.tasks.get(itt).is_some_and(|task| tmf::covers(function, referenced, lun, sent, itt, task));
                if covered {
                    self.settle(itt, Outcome::Aborted, 0, Residual::None);
                }
            }
        }
        self.tasks.remove(pdu.itt);
        self.tell(Event::ManageDone { itt: pdu.itt, function, response: Some(response) });
        Ok(())
    }

    fn logout_response(&mut self, pdu: &LogoutResponse) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        if !matches!(self.sent(pdu.itt).map(|task| task.kind), Some(Kind::Logout)) {
            return Err(PeerMisbehaved::UnknownTask(pdu.itt.0).into());
        }
        self.connection.phase = Phase::Down;
        self.tell(Event::LoggedOut { outcome: pdu.response.into() });
        Ok(())
    }

    fn async_message(&mut self, pdu: &AsyncMessage, segment: &[u8]) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        self.connection.unasked()?;
        let event = match AsyncEvent::from(pdu.event) {
            AsyncEvent::ScsiEvent => {
                let sense = match segment.split_first_chunk::<2>() {
                    Some((length, bytes)) => {
                        bytes.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or(bytes).to_vec()
                    }
                    None => return Ok(()),
                };
                Event::UnitReport { lun: pdu.lun, sense }
            }
            // We do not renegotiate in full feature: §11.9.1 leaves the logout.
            AsyncEvent::LogoutRequest | AsyncEvent::NegotiationRequest => {
                if !self.connection.wants_logout() {
                    return Ok(());
                }
                Event::LogoutRequested { seconds: pdu.parameter3 }
            }
            AsyncEvent::ConnectionDrop | AsyncEvent::SessionDrop => {
                if !self.connection.announces_drop() {
                    return Ok(());
                }
                Event::DropAnnounced { time2wait: pdu.parameter2, time2retain: pdu.parameter3 }
            }
            AsyncEvent::TaskTermination | AsyncEvent::VendorSpecific | AsyncEvent::Unknown(_) => {
                Event::Notice { event: pdu.event, vendor_code: pdu.vendor_code }
            }
        };
        self.tell(event);
        Ok(())
    }

    /// §11.17: the data segment is the header that was rejected. A rejected command has ended; for a
    /// rejected data PDU of it the target owes a response as well. Where the target only waits for a logout,
    /// the command has not begun: it waits, as if it had not been sent, and so do all that follow.
    fn reject(&mut self, pdu: &Reject, segment: &[u8]) -> Result<(), Error> {
        self.connection.accept_status(pdu.stat_sn)?;
        self.connection.unasked()?;
        let reason = RejectReason::from(pdu.reason);
        if reason == RejectReason::WaitingForLogout && self.connection.wants_logout() {
            self.tell(Event::LogoutRequested { seconds: 0 });
        }
        let rejected = segment.first_chunk::<48>();
        let named = rejected.map(|bhs| (opcode(bhs), Itt::get(bhs, 16)));
        let numbered = rejected.is_some_and(|bhs| match Opcode::from(opcode(bhs)) {
            Opcode::ScsiCommand => true,
            Opcode::TextRequest => !is_immediate(bhs),
            _ => false,
        });
        let task = named.and_then(|(code, itt)| self.tasks.get_mut(itt).map(|task| (code, itt, task)));
        match task {
            Some(_) if reason == RejectReason::DataDigestError && numbered => {
                // Issued again under another number, it would leave a gap that the target waits for.
                let rule = "a command arrived with a wrong data digest and was discarded with its CmdSN (Reject 02h, \
                            RFC 7143 §7.8)";
                return Err(PeerMisbehaved::Rule(rule).into());
            }
            Some((code, itt, task)) if task.state == State::Active && matches!(task.kind, Kind::Scsi(_)) => {
                let opcode = Opcode::from(code);
                match &mut task.kind {
                    Kind::Scsi(transfer)
                        if reason == RejectReason::WaitingForLogout && opcode == Opcode::ScsiCommand =>
                    {
                        *transfer = Transfer::new(transfer.command);
                        task.state = State::Waiting;
                        self.waiting.push_back(itt);
                    }
                    // §11.17.1: the target waits for the rest of the data, and ends the command itself.
                    _ if opcode == Opcode::DataOut => self.tell(Event::Rejected { reason }),
                    _ => self.settle(itt, Outcome::Rejected(reason), 0, Residual::None),
                }
            }
            Some((_, itt, task)) if task.state == State::Active => match task.kind {
                Kind::Manage { function, .. } => {
                    self.tasks.remove(itt);
                    let response = Some(TaskFunctionResponse::Rejected);
                    self.tell(Event::ManageDone { itt, function, response });
                }
                Kind::Text => self.text_rejected(itt, reason),
                Kind::Ping => {
                    // A target that rejects pings is alive.
                    self.tasks.remove(itt);
                    self.connection.answered(itt);
                }
                Kind::Scsi(_) | Kind::Logout => self.tell(Event::Rejected { reason }),
            },
            Some(_) | None => self.tell(Event::Rejected { reason }),
        }
        Ok(())
    }
}
