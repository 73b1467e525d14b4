//! What is sent: urgent PDUs first, then data that is due, then new commands as far as the window
//! goes.

use crate::connection::{Phase, Urgent};
use crate::digest::Crc32c;
use crate::ids::{Cid, Itt, Lun, Ttt};
use crate::pdu::{
    Bhs, FINAL, IMMEDIATE, LogoutReason, LogoutRequest, NopOut, ScsiCommand, TaskFunction, TaskManagementRequest,
    TextRequest, Wire, command_flags, padding, set_lengths,
};
use crate::session::Session;
use crate::sn::{CmdSn, DataSn};
use crate::task::{Data, Kind, State};
use crate::transfer;
use crate::tx::{Head, Payload, Transmit};

impl<D: Crc32c> Session<D> {
    /// The next PDU to send; `None` when there is nothing, or nothing may be sent now.
    pub fn poll_transmit(&mut self, head: &mut Head) -> Option<Transmit<'_>> {
        if self.connection.phase != Phase::FullFeature {
            return None;
        }
        if !self.connection.urgent.is_empty() {
            return self.send_urgent(head);
        }
        if let Some(payload) = self.send_data_out(head) {
            return Some(payload);
        }
        if self.connection.is_held() { None } else { self.send_command(head) }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) would have something, window permitting.
    pub fn wants_to_transmit(&self) -> bool {
        self.connection.phase == Phase::FullFeature
            && (!self.connection.urgent.is_empty()
                || !self.connection.bursts.is_empty()
                || (!self.connection.is_held() && !self.waiting.is_empty() && self.window.is_open()))
    }

    fn send_data_out(&mut self, head: &mut Head) -> Option<Transmit<'static>> {
        let (params, exp_stat_sn) = (&self.connection.params, self.connection.exp_stat_sn());
        while let Some(burst) = self.connection.bursts.front_mut() {
            let Some(task) = self.tasks.get_mut(burst.itt).filter(|task| task.state == State::Active) else {
                self.connection.bursts.pop_front();
                continue;
            };
            let Kind::Scsi(transfer) = &mut task.kind else { return None };
            let piece = burst.next_piece(params, exp_stat_sn);
            transfer.moved = transfer.moved.saturating_add(piece.len);
            if piece.last {
                if burst.is_solicited() {
                    transfer.open_r2ts = transfer.open_r2ts.saturating_sub(1);
                }
                self.connection.bursts.pop_front();
            }
            let mut bhs = piece.header.encode();
            set_lengths(&mut bhs, 0, piece.len);
            head.set::<D>(&bhs, params.header_digest);
            let payload = Payload::Task { itt: piece.header.itt, offset: piece.header.buffer_offset, len: piece.len };
            return Some(Transmit { payload, data_digest: params.data_digest });
        }
        None
    }

    fn send_command(&mut self, head: &mut Head) -> Option<Transmit<'static>> {
        let params = &self.connection.params;
        loop {
            let itt = *self.waiting.front()?;
            let Some(task) = self.tasks.get_mut(itt).filter(|task| task.state == State::Waiting) else {
                self.waiting.pop_front();
                continue;
            };
            let cmd_sn = self.window.take()?;
            self.waiting.pop_front();
            task.state = State::Active;
            task.cmd_sn = cmd_sn;
            let Kind::Scsi(transfer) = &mut task.kind else { return None };
            let unsolicited = transfer::unsolicited(&self.params, params, itt, transfer);
            let command = transfer.command;
            let mut flags = command.attribute as u8 & command_flags::ATTR;
            flags |= match command.data {
                Data::None => 0,
                Data::In(_) => command_flags::READ,
                Data::Out(_) => command_flags::WRITE,
            };
            if unsolicited.burst.is_none() {
                flags |= command_flags::FINAL;
            }
            let mut bhs = ScsiCommand {
                flags,
                lun: command.lun,
                itt,
                expected_data_transfer_length: command.data.len(),
                cmd_sn,
                exp_stat_sn: self.connection.exp_stat_sn(),
                cdb: command.cdb,
            }
            .encode();
            set_lengths(&mut bhs, 0, unsolicited.immediate);
            head.set::<D>(&bhs, params.header_digest);
            self.connection.bursts.extend(unsolicited.burst);
            let payload = match unsolicited.immediate {
                0 => Payload::None,
                len => Payload::Task { itt, offset: 0, len },
            };
            return Some(Transmit { payload, data_digest: params.data_digest });
        }
    }

    fn send_urgent(&mut self, head: &mut Head) -> Option<Transmit<'_>> {
        let cmd_sn = self.window.current();
        let exp_stat_sn = self.connection.exp_stat_sn();
        let header_digest = self.connection.params.header_digest;
        let mut immediate = true;
        self.connection.core_payload.clear();
        let mut bhs: Bhs = match self.connection.next_urgent()? {
            Urgent::Ping(itt) => {
                self.activate(itt);
                NopOut { flags: FINAL, lun: Lun(0), itt, ttt: Ttt::RESERVED, cmd_sn, exp_stat_sn }.encode()
            }
            Urgent::Pong { lun, ttt, data } => {
                self.connection.core_payload = data;
                NopOut { flags: FINAL, lun, itt: Itt::RESERVED, ttt, cmd_sn, exp_stat_sn }.encode()
            }
            Urgent::Manage(itt) => self.manage_request(itt, cmd_sn)?,
            Urgent::Text { itt, lun, ttt, data } => {
                self.activate(itt);
                self.connection.core_payload = data;
                immediate = self.window.take().is_none();
                TextRequest { flags: FINAL, lun, itt, ttt, cmd_sn, exp_stat_sn }.encode()
            }
            Urgent::Logout { itt, reason } => {
                self.activate(itt);
                self.connection.phase = Phase::LoggedOut;
                self.end_waiting();
                let cid = match reason {
                    // §11.14.3: the CID is for the reasons that name a connection.
                    LogoutReason::CloseSession | LogoutReason::Unknown(_) => Cid(0),
                    LogoutReason::CloseConnection | LogoutReason::RemoveConnectionForRecovery => {
                        self.connection.params.cid
                    }
                };
                LogoutRequest { reason: FINAL | u8::from(reason), itt, cid, cmd_sn, exp_stat_sn }.encode()
            }
        };
        if immediate {
            bhs[0] |= IMMEDIATE;
        }
        let payload = &mut self.connection.core_payload;
        set_lengths(&mut bhs, 0, payload.len() as u32);
        head.set::<D>(&bhs, header_digest);
        if payload.is_empty() {
            return Some(Transmit { payload: Payload::None, data_digest: false });
        }
        let pad = padding(payload.len());
        payload.extend(core::iter::repeat_n(0, pad));
        if self.connection.params.data_digest {
            let crc = D::append(0, payload);
            payload.extend(crc.to_le_bytes());
        }
        Some(Transmit { payload: Payload::Core(payload), data_digest: false })
    }

    fn activate(&mut self, itt: Itt) {
        if let Some(task) = self.tasks.get_mut(itt) {
            task.state = State::Active;
        }
    }

    /// §11.5: the LUN and RefCmdSN of the task to abort; CmdSN tells the target which tasks came before.
    fn manage_request(&mut self, itt: Itt, cmd_sn: CmdSn) -> Option<Bhs> {
        let exp_stat_sn = self.connection.exp_stat_sn();
        let task = self.tasks.get_mut(itt)?;
        task.state = State::Active;
        task.cmd_sn = cmd_sn;
        let Kind::Manage { function, referenced, lun } = task.kind else { return None };
        let ref_cmd_sn = match referenced.and_then(|itt| self.tasks.get(itt)) {
            Some(task) if function == TaskFunction::AbortTask => task.cmd_sn,
            _ => CmdSn(0),
        };
        let request = TaskManagementRequest {
            function: FINAL | u8::from(function),
            lun,
            itt,
            referenced_task_tag: referenced.unwrap_or(Itt::RESERVED),
            cmd_sn,
            exp_stat_sn,
            ref_cmd_sn,
            exp_data_sn: DataSn(0),
        };
        Some(request.encode())
    }
}
