//! One connection, which is a session: what holds for every PDU.
//!
//! ```text
//!   socket ──► Inbox ──► Session::on_pdu ──► Outbox ──► socket
//!   SimTarget ── Event ──► Session::on_event ──┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use iscsi_proto::ids::Lun;
use iscsi_proto::ids::{Itt, Ttt};
use iscsi_proto::pdu::{
    AsyncMessage, Bhs, DataOut, FINAL, LogoutRequest, NopIn, NopOut, Opcode, Reject, ScsiCommand,
    TaskManagementRequest, TextRequest, Wire, is_immediate, opcode,
};
use iscsi_proto::sn::{CmdSn, StatSn};
use tokio::sync::mpsc;

use crate::agreed::Agreed;
use crate::event::Event;
use crate::header;
use crate::inbox::Pdu;
use crate::login::state::Login;
use crate::outbox::Outbox;
use crate::shared::{Attentions, Shared};
use crate::task::Task;

/// How the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next PDU.
    Continue,
    /// In the full-feature phase, with what was agreed.
    LoggedIn,
    /// Not at all, once everything has been sent.
    Close,
    /// Not at all, but the connection stays open.
    Ignore,
}

#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    Full,
    Deaf,
}

pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) attentions: Attentions,
    phase: Phase,
    pub(crate) agreed: Agreed,
    pub(crate) discovery: bool,
    /// ExpCmdSN.
    pub(crate) cmd_sn: CmdSn,
    last_max_cmd_sn: Option<CmdSn>,
    /// Commands that count against the window.
    pub(crate) outstanding: u32,
    /// The StatSN of the next status.
    pub(crate) stat_sn: StatSn,
    acknowledged: StatSn,
    pub(crate) tasks: HashMap<u32, Task>,
    pub(crate) next_ttt: u32,
    pub(crate) text_rest: Option<(Ttt, Vec<u8>)>,
    pings: HashMap<u32, Vec<u8>>,
    pub(crate) logged_out: bool,
}

impl Session {
    /// A session in its login phase.
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: u64,
        events: mpsc::UnboundedSender<Event>,
        attentions: Attentions,
    ) -> Session {
        let first_stat_sn = StatSn(shared.config.first_stat_sn);
        Session {
            id,
            events,
            attentions,
            phase: Phase::Login(Box::default()),
            agreed: Agreed::default(),
            discovery: false,
            cmd_sn: CmdSn(0),
            last_max_cmd_sn: None,
            outstanding: 0,
            stat_sn: first_stat_sn,
            acknowledged: first_stat_sn,
            tasks: HashMap::new(),
            next_ttt: 1,
            text_rest: None,
            pings: HashMap::new(),
            logged_out: false,
            shared,
        }
    }

    pub(crate) fn complain(&self, what: String) {
        self.shared.complain(self.id, what);
    }

    /// StatSN for a response, and on to the next.
    pub(crate) fn take_stat_sn(&mut self) -> StatSn {
        let this = self.stat_sn;
        self.stat_sn = this.next();
        this
    }

    /// How the connection goes on, unless too many statuses are not acknowledged.
    fn unless_neglected(&self, flow: Flow) -> Flow {
        let behind = self.stat_sn.0.wrapping_sub(self.acknowledged.0);
        match self.shared.config.most_unacknowledged {
            Some(most) if behind >= most && matches!(self.phase, Phase::Full) => {
                self.complain(format!("ExpStatSN is {behind} behind"));
                Flow::Close
            }
            _ => flow,
        }
    }

    /// MaxCmdSN as it is now; it never goes back (RFC 7143 §4.2.2.1).
    pub(crate) fn max_cmd_sn(&mut self) -> CmdSn {
        let window = self.shared.config.negotiation.window;
        let room = window.saturating_sub(self.outstanding);
        // ExpCmdSN - 1 closes the window.
        let now = self.cmd_sn.plus(room).plus(u32::MAX);
        let max = match self.last_max_cmd_sn {
            Some(last) if !last.is_before(now) || self.shared.is_window_frozen() => last,
            _ => now,
        };
        self.last_max_cmd_sn = Some(max);
        max
    }

    pub(crate) fn new_ttt(&mut self) -> Ttt {
        let ttt = self.next_ttt;
        self.next_ttt = match ttt.wrapping_add(1) {
            u32::MAX => 0,
            next => next,
        };
        Ttt(ttt)
    }

    pub(crate) fn on_pdu(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        self.shared.count_pdu_in();
        for rule in header::broken_rules(pdu.bhs) {
            self.complain(rule);
        }
        if pdu.pad.iter().any(|&byte| byte != 0) {
            self.complain("padding that is not zero (RFC 7143 §11.1)".into());
        }
        let mut phase = std::mem::replace(&mut self.phase, Phase::Deaf);
        let flow = match &mut phase {
            Phase::Login(login) => {
                let flow = self.on_login(login, pdu, out);
                if flow == Flow::LoggedIn {
                    self.agreed = login.agreed.clone();
                    self.discovery = login.discovery;
                    self.acknowledged = self.stat_sn;
                    phase = Phase::Full;
                }
                flow
            }
            Phase::Full => self.on_full_feature(pdu, out),
            Phase::Deaf => Flow::Ignore,
        };
        self.phase = if flow == Flow::Ignore { Phase::Deaf } else { phase };
        self.unless_neglected(flow)
    }

    fn on_full_feature(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let bhs = pdu.bhs;
        if !pdu.header_digest_good {
            self.complain("a wrong header digest".into());
            return Flow::Close;
        }
        if !pdu.data_digest_good {
            self.complain("a wrong data digest".into());
            self.reject(bhs, 0x02, out);
            return Flow::Continue;
        }
        if pdu.data.len() > self.agreed.target_segment as usize {
            self.complain(format!(
                "a data segment of {} bytes, MaxRecvDataSegmentLength is {}",
                pdu.data.len(),
                self.agreed.target_segment
            ));
        }
        if self.logged_out {
            self.complain(format!("{:?} after the logout", Opcode::from(opcode(bhs))));
        }
        self.check_exp_stat_sn(bhs);
        let is_numbered = matches!(
            opcode(bhs),
            ScsiCommand::OPCODE
                | TaskManagementRequest::OPCODE
                | TextRequest::OPCODE
                | LogoutRequest::OPCODE
                | NopOut::OPCODE
        );
        if is_numbered && !self.take_cmd_sn(bhs) {
            return Flow::Continue;
        }
        match opcode(bhs) {
            ScsiCommand::OPCODE if !self.discovery => self.on_command(pdu, out),
            TaskManagementRequest::OPCODE if !self.discovery => self.on_task_management(pdu, out),
            DataOut::OPCODE if !self.discovery => self.on_data_out(pdu, out),
            NopOut::OPCODE => self.on_nop_out(pdu, out),
            TextRequest::OPCODE => self.on_text(pdu, out),
            LogoutRequest::OPCODE => self.on_logout(pdu, out),
            other => {
                self.complain(format!("{:?} in the full-feature phase", Opcode::from(other)));
                self.reject(bhs, 0x05, out);
                Flow::Continue
            }
        }
    }

    /// ExpStatSN never goes back and never past what was sent (§4.2.2.2).
    pub(crate) fn check_exp_stat_sn(&mut self, bhs: &Bhs) {
        let exp = StatSn(u32::from_be_bytes([bhs[28], bhs[29], bhs[30], bhs[31]]));
        if exp.is_before(self.acknowledged) || self.stat_sn.is_before(exp) {
            self.complain(format!(
                "ExpStatSN {:#x}, at least {:#x} and at most {:#x} was due",
                exp.0, self.acknowledged.0, self.stat_sn.0
            ));
        } else {
            self.acknowledged = exp;
        }
    }

    /// CmdSN in order and within the window (§4.2.2.1); false for what must be ignored.
    pub(crate) fn take_cmd_sn(&mut self, bhs: &Bhs) -> bool {
        let got = CmdSn(u32::from_be_bytes([bhs[24], bhs[25], bhs[26], bhs[27]]));
        if got != self.cmd_sn {
            self.complain(format!("CmdSN {:#x}, {:#x} was due", got.0, self.cmd_sn.0));
        }
        if is_immediate(bhs) {
            return true;
        }
        if self.last_max_cmd_sn.is_some_and(|max| max.is_before(got)) {
            self.complain(format!("CmdSN {:#x} past MaxCmdSN", got.0));
            return false;
        }
        if got.is_before(self.cmd_sn) {
            return false;
        }
        self.cmd_sn = got.next();
        true
    }

    fn on_nop_out(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let nop = NopOut::decode(pdu.bhs);
        if nop.ttt != Ttt::RESERVED {
            match self.pings.remove(&nop.ttt.0) {
                Some(data) if data == pdu.data => self.shared.ping_answered(),
                Some(_) => self.complain("a ping was answered with other data (RFC 7143 §11.18)".into()),
                None => self.complain(format!("NOP-Out for ping {:#x}, which was not sent", nop.ttt.0)),
            }
        }
        if nop.itt == Itt::RESERVED {
            if !is_immediate(pdu.bhs) {
                self.complain("NOP-Out without ITT that is not immediate (RFC 7143 §11.18.1)".into());
            }
            return Flow::Continue;
        }
        if nop.ttt != Ttt::RESERVED {
            self.complain("NOP-Out with both ITT and TTT (RFC 7143 §11.18.2)".into());
        }
        if self.shared.config.ignore_nop {
            return Flow::Continue;
        }
        let answer = NopIn {
            flags: FINAL,
            lun: Lun(0),
            itt: nop.itt,
            ttt: Ttt::RESERVED,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
        };
        let most = pdu.data.len().min(self.agreed.initiator_segment as usize);
        out.pdu(answer.encode(), &pdu.data[..most]);
        Flow::Continue
    }

    /// Rejects the PDU with that header (§11.17).
    pub(crate) fn reject(&mut self, bhs: &[u8], reason: u8, out: &mut Outbox) {
        let reject = Reject {
            flags: FINAL,
            reason,
            itt: Itt::RESERVED,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            data_sn: Default::default(),
        };
        out.pdu(reject.encode(), bhs);
    }

    pub(crate) fn asynchronous(&mut self, message: AsyncMessage, data: &[u8], out: &mut Outbox) {
        let (stat_sn, exp_cmd_sn, max_cmd_sn) = (self.take_stat_sn(), self.cmd_sn, self.max_cmd_sn());
        out.pdu(AsyncMessage { stat_sn, exp_cmd_sn, max_cmd_sn, ..message }.encode(), data);
    }

    pub(crate) fn on_event(&mut self, event: Event, out: &mut Outbox) -> Flow {
        let is_full = matches!(self.phase, Phase::Full);
        match event {
            Event::Release(itt) => self.release(itt, out),
            Event::Close { .. } => return Flow::Close,
            Event::Raw(bytes) => out.raw(&bytes),
            _ if !is_full => {}
            Event::Async(message, data) => self.asynchronous(message, &data, out),
            Event::Ping(data) => {
                let ttt = self.new_ttt();
                self.nop_in(ttt, &data, out);
                self.pings.insert(ttt.0, data);
            }
            Event::Reject(reason, header) => self.reject(&header, reason, out),
            Event::OpenWindow => self.nop_in(Ttt::RESERVED, &[], out),
        }
        self.unless_neglected(Flow::Continue)
    }

    /// A NOP-In of the target's own accord: it carries the next StatSN but does not use it up.
    fn nop_in(&mut self, ttt: Ttt, data: &[u8], out: &mut Outbox) {
        let nop = NopIn {
            flags: FINAL,
            lun: Lun(0),
            itt: Itt::RESERVED,
            ttt,
            stat_sn: self.stat_sn,
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
        };
        out.pdu(nop.encode(), data);
    }
}
