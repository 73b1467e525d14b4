//! What is sent: each PDU is put together as a driver does it, and read again as a target does.

use iscsi_proto::digest::{Crc32c, SoftCrc32c};
use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::*;
use iscsi_proto::session::{Data, Head, Payload, trailer};
use iscsi_proto::sn::CmdSn;
use iscsi_proto::tmf::Manage;

use super::model::{Model, pattern};

impl Model {
    pub(super) fn transmit_all(&mut self) {
        while self.transmit() {}
    }

    /// Sends one PDU; says whether there was one.
    pub(super) fn transmit(&mut self) -> bool {
        let wanted = self.session.wants_to_transmit();
        let mut head = Head::default();
        let Some(transmit) = self.session.poll_transmit(&mut head) else {
            assert!(!self.session.wants_to_transmit(), "it has something to send, and does not");
            self.events();
            return false;
        };
        assert!(wanted && self.up && !self.logged_out, "nothing may be sent");
        let mut wire = head.bytes().to_vec();
        let mut from = None;
        match transmit.payload {
            Payload::None => {}
            Payload::Core(bytes) => wire.extend_from_slice(bytes),
            Payload::Task { itt, offset, len } => {
                let task = self.tasks.get(&itt.0).expect("a task that has not retired");
                assert!(!task.ended && matches!(task.command.data, Data::Out(_)));
                let bytes = task.buffer.get(offset as usize..).and_then(|rest| rest.get(..len as usize));
                let bytes = bytes.expect("data outside the task's buffer");
                wire.extend_from_slice(bytes);
                let crc = transmit.data_digest.then(|| SoftCrc32c::append(0, bytes));
                wire.extend_from_slice(trailer::<SoftCrc32c>(bytes.len(), crc).bytes());
                from = Some((itt, offset));
            }
        }
        let (bhs, data) = self.read(&wire);
        match Opcode::from(opcode(&bhs)) {
            Opcode::ScsiCommand => self.command(&bhs, data.len() as u32, from),
            Opcode::DataOut => self.data_out(&DataOut::decode(&bhs), data.len() as u32, from),
            _ => {
                let numbered = opcode(&bhs) == TextRequest::OPCODE;
                assert!(is_immediate(&bhs) || numbered, "the session sends the others for immediate delivery");
                assert_eq!((CmdSn::get(&bhs, 24), from), (self.next_cmd_sn, None));
                self.control(&bhs, &data);
            }
        }
        self.events();
        true
    }

    /// Takes a PDU apart as RFC 7143 §11.2 has it.
    fn read(&self, wire: &[u8]) -> (Bhs, Vec<u8>) {
        let bhs = *wire.first_chunk::<BHS_LEN>().expect("a header");
        let mut at = BHS_LEN;
        assert_eq!(ahs_len(&bhs), 0);
        if self.connection.header_digest {
            assert_eq!(SoftCrc32c::append(0, &bhs).to_le_bytes(), wire[at..at + 4]);
            at += 4;
        }
        let length = data_segment_len(&bhs) as usize;
        assert!(length <= self.connection.max_send_data_segment_length as usize, "more than the target takes");
        let (data, rest) = wire[at..].split_at(length);
        let (pad, digest) = rest.split_at(padding(length));
        assert!(pad.iter().all(|byte| *byte == 0));
        if self.connection.data_digest && length > 0 {
            assert_eq!(SoftCrc32c::append(0, &wire[at..at + length + pad.len()]).to_le_bytes(), digest);
        } else {
            assert!(digest.is_empty());
        }
        if !self.wild {
            assert_eq!(u32::get(&bhs, 28), self.stat_sn.0, "ExpStatSN");
        }
        (bhs, data.to_vec())
    }

    fn command(&mut self, bhs: &Bhs, immediate: u32, from: Option<(Itt, u32)>) {
        let pdu = ScsiCommand::decode(bhs);
        let (params, connection) = (self.params, self.connection);
        assert!(!is_immediate(bhs) && (!self.held || self.wild));
        assert_eq!(pdu.cmd_sn, self.next_cmd_sn, "CmdSN is contiguous");
        assert!(self.wild || !self.max_cmd_sn.is_before(pdu.cmd_sn), "beyond the window");
        self.next_cmd_sn = pdu.cmd_sn.next();
        let task = self.tasks.get_mut(&pdu.itt.0).expect("a task that has not retired");
        assert!(!task.ended && task.sent.is_none(), "sent twice");
        assert!(task.order > self.last_order, "out of the order of submission");
        self.last_order = task.order;
        let command = task.command;
        assert_eq!(
            (pdu.lun, pdu.cdb, pdu.expected_data_transfer_length),
            (command.lun, command.cdb, command.data.len())
        );
        let direction = match command.data {
            Data::None => 0,
            Data::In(_) => command_flags::READ,
            Data::Out(_) => command_flags::WRITE,
        };
        assert_eq!(pdu.flags & !command_flags::FINAL, direction | command.attribute as u8);
        let first = match command.data {
            Data::Out(len) => len.min(params.first_burst_length),
            Data::None | Data::In(_) => 0,
        };
        let allowed = if params.immediate_data { first.min(connection.max_send_data_segment_length) } else { 0 };
        assert!(immediate <= allowed, "more immediate data than allowed");
        assert!(from.is_none_or(|from| from == (pdu.itt, 0)));
        let end = if params.initial_r2t { immediate } else { first };
        assert_eq!(pdu.flags & command_flags::FINAL == 0, immediate < end, "F is for no more unsolicited data");
        task.sent = Some((*bhs, pdu.cmd_sn));
        task.unsolicited = (immediate, end, 0);
        task.solicited = end;
    }

    fn data_out(&mut self, pdu: &DataOut, length: u32, from: Option<(Itt, u32)>) {
        let wild = self.wild;
        assert_eq!(from, Some((pdu.itt, pdu.buffer_offset)));
        let task = self.tasks.get_mut(&pdu.itt.0).expect("a task that has not retired");
        assert!(task.under_way() && length > 0);
        let data = task.buffer.iter().zip(0..).skip(pdu.buffer_offset as usize).take(length as usize);
        assert!(data.into_iter().all(|(byte, at)| *byte == pattern(pdu.itt, at)));
        let last = pdu.flags == FINAL;
        assert!(last || pdu.flags == 0);
        if pdu.ttt == Ttt::RESERVED {
            let (next, end, data_sn) = &mut task.unsolicited;
            assert_eq!((pdu.lun, pdu.buffer_offset, pdu.data_sn.0), (Lun(0), *next, *data_sn));
            *next += length;
            *data_sn += 1;
            assert!(*next <= *end, "more than FirstBurstLength");
            assert_eq!(last, *next == *end, "F is on the last one");
            return;
        }
        let Some(at) = task.asked.iter().position(|asked| asked.ttt == pdu.ttt) else {
            assert!(wild, "an answer to an R2T that never was");
            return;
        };
        let asked = &mut task.asked[at];
        assert_eq!((pdu.lun, pdu.buffer_offset, pdu.data_sn.0), (asked.lun, asked.next, asked.data_sn));
        asked.next += length;
        asked.data_sn += 1;
        assert!(asked.next <= asked.end, "more than the R2T asked for");
        assert_eq!(last, asked.next == asked.end, "F is on the last one");
        if last {
            task.asked.remove(at);
        }
    }

    fn control(&mut self, bhs: &Bhs, data: &[u8]) {
        let itt = Itt::get(bhs, 16);
        match Opcode::from(opcode(bhs)) {
            Opcode::NopOut if itt == Itt::RESERVED => {
                let pdu = NopOut::decode(bhs);
                match self.pongs.pop_front() {
                    Some((lun, ttt, sent)) => {
                        assert_eq!((pdu.lun, pdu.ttt), (lun, ttt));
                        assert_eq!(
                            data,
                            &sent[..sent.len().min(self.connection.max_send_data_segment_length as usize)]
                        );
                    }
                    None => assert!(self.wild, "an answer to no ping"),
                }
            }
            Opcode::NopOut => {
                assert_eq!(NopOut::decode(bhs).ttt, Ttt::RESERVED);
                self.note_tag(itt);
                self.pings.insert(itt.0);
            }
            Opcode::TaskManagementRequest => {
                let pdu = TaskManagementRequest::decode(bhs);
                let (what, sent) = self.manages.get_mut(&itt.0).expect("one that has not ended");
                assert!(!*sent && data.is_empty());
                *sent = true;
                assert_eq!(pdu.function, FINAL | u8::from(what.function()));
                match *what {
                    Manage::AbortTask(aborted) => {
                        assert_eq!(pdu.referenced_task_tag, aborted);
                        if let Some((_, cmd_sn)) = self.tasks.get(&aborted.0).and_then(|task| task.sent) {
                            assert_eq!(pdu.ref_cmd_sn, cmd_sn);
                        }
                    }
                    Manage::AbortTaskSet(lun) | Manage::LogicalUnitReset(lun) => {
                        assert_eq!((pdu.lun, pdu.referenced_task_tag), (lun, Itt::RESERVED));
                    }
                    Manage::TargetWarmReset | Manage::TargetColdReset => {
                        assert_eq!(pdu.referenced_task_tag, Itt::RESERVED);
                    }
                }
            }
            Opcode::TextRequest => {
                let open = !self.max_cmd_sn.is_before(self.next_cmd_sn);
                assert!(self.wild || is_immediate(bhs) != open, "immediate only where the window is closed");
                if !is_immediate(bhs) {
                    self.next_cmd_sn = self.next_cmd_sn.next();
                }
                let (current, sent) = self.text.as_mut().expect("an exchange that has not ended");
                assert_eq!((*current, TextRequest::decode(bhs).flags), (itt.0, FINAL));
                *sent = true;
            }
            Opcode::LogoutRequest => {
                *self.logouts.get_mut(&itt.0).expect("one that was asked for") = true;
                self.logged_out = true;
            }
            other => panic!("{other:?} is nothing to send"),
        }
    }
}
