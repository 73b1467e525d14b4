//! Commands from their arrival to their answer.
//!
//! ```text
//!   command ──► hook ──► early end ────────────────► (unsolicited data pass) ──► response
//!                  └───► data wanted ── R2T, Data-Out ──► held? ──► executed ──► Data-In, response
//! ```

use iscsi_proto::ids::{Itt, Ttt};
use iscsi_proto::pdu::{
    DataOut, FINAL, R2t, ScsiCommand, TaskFunction, TaskManagementRequest, TaskManagementResponse, Wire, command_flags,
    is_immediate,
};
use iscsi_proto::scsi::{Sense, SenseKey};
use iscsi_proto::sn::DataSn;

use crate::decode::{self, Kind};
use crate::disk::Unit;
use crate::event::asynchronous;
use crate::execute::Ending;
use crate::inbox::Pdu;
use crate::lock::lock;
use crate::outbox::Outbox;
use crate::script::{Action, Command, Tmf, TmfAction, Twist};
use crate::session::{Flow, Session};
use crate::task::{Burst, Early, Gather, Ready, Task};

impl Session {
    pub(crate) fn on_command(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let request = ScsiCommand::decode(pdu.bhs);
        let immediate = is_immediate(pdu.bhs);
        let mut command = Command::undecoded(&request, immediate, self.id);
        let kind = decode::decode(&mut command);
        if !immediate {
            self.outstanding += 1;
        }
        self.check_command(pdu, &command);
        self.shared.record_command(&command);

        let (mut early, mut hold, mut twist, mut is_ignored) = (None, None, Twist::default(), false);
        match self.shared.command_action(&command) {
            Action::Proceed => {}
            Action::CheckCondition(sense) => early = Some(Early::Check(sense)),
            Action::Status(status) => early = Some(Early::Status(status.into())),
            Action::Answer(bytes) => early = Some(Early::Answer(bytes)),
            Action::TargetFailure => early = Some(Early::TargetFailure),
            Action::Hold(on) => hold = Some(on),
            Action::Ignore => is_ignored = true,
            Action::Twist(with) => twist = with,
            Action::AskForEnd(event) => {
                self.asynchronous(asynchronous(event, command.lun, [0, 0, 3]), &[], out);
                early = Some(Early::Check(decode::NO_UNIT));
            }
            Action::Disconnect => return Flow::Close,
            Action::Reject(reason) => {
                self.settle(&command);
                self.reject(pdu.bhs, reason.into(), out);
                return Flow::Continue;
            }
        }

        let unit = self.shared.unit(command.lun);
        if early.is_none() {
            early = self.take_attention(&command).map(Early::Check);
        }
        let wanted = match decode::data_wanted(&command, kind, unit.as_deref()) {
            Ok(wanted) => wanted,
            Err(sense) => {
                early = early.or(Some(Early::Check(sense)));
                0
            }
        };
        let wanted = wanted.min(u64::from(command.expected_length)) as u32;
        self.check_direction(&command, kind, unit.as_deref());

        let ends_here = command.flags & command_flags::FINAL != 0;
        let arrived = pdu.data.len() as u32;
        let has_all = ends_here && (early.is_some() || arrived >= wanted);
        if has_all && hold.is_none() && !is_ignored {
            let data = &pdu.data[..pdu.data.len().min(wanted as usize)];
            return self.end(&Ready { command, kind, unit: unit.as_ref(), data, early, twist, r2ts: DataSn(0) }, out);
        }

        let swallow = early.is_some() || unit.as_ref().is_none_or(|unit| unit.disk.null);
        let mut gather = Gather {
            wanted: if early.is_some() { 0 } else { wanted },
            swallow,
            data: if swallow { Vec::new() } else { vec![0; wanted as usize] },
            unsolicited: (!ends_here).then_some((arrived, DataSn(0))),
            next_r2t: arrived,
            ..Gather::default()
        };
        gather.place(0, pdu.data);
        let mut task = Task { command, kind, unit, twist, early, hold, is_held: false, is_ignored, gather };
        if ends_here {
            self.solicit(&mut task, out);
        }
        self.proceed(task, out)
    }

    /// Executes a task whose data are there, or keeps it.
    fn proceed(&mut self, mut task: Task, out: &mut Outbox) -> Flow {
        let itt = task.command.itt;
        if !task.gather.is_complete() || task.is_ignored {
            self.tasks.insert(itt, task);
            return Flow::Continue;
        }
        if let Some(hold) = task.hold.take()
            && hold.wait(itt, &self.events)
        {
            task.is_held = true;
            self.tasks.insert(itt, task);
            return Flow::Continue;
        }
        let Task { command, kind, unit, twist, early, gather, .. } = task;
        let (data, r2ts) = (gather.data.as_slice(), gather.r2t_sn);
        self.end(&Ready { command, kind, unit: unit.as_ref(), data, early, twist, r2ts }, out)
    }

    /// A hold let go.
    pub(crate) fn release(&mut self, itt: u32, out: &mut Outbox) {
        // It may have been aborted meanwhile.
        if let Some(task) = self.tasks.remove(&itt) {
            if task.is_held {
                self.proceed(task, out);
            } else {
                self.tasks.insert(itt, task);
            }
        }
    }

    /// A command needs no place in the window any more.
    pub(crate) fn settle(&mut self, command: &Command) {
        if !command.immediate {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    /// The unit attention that is due to this command.
    fn take_attention(&self, command: &Command) -> Option<Sense> {
        // INQUIRY, REPORT LUNS and REQUEST SENSE are done in spite of one (SPC-5 §6.6, §6.34, §6.39).
        if matches!(command.opcode(), 0x12 | 0xa0 | 0x03) {
            return None;
        }
        let mut waiting = lock(&self.attentions);
        let at = waiting.iter().position(|(lun, _)| *lun == command.lun)?;
        waiting.remove(at).map(|(_, sense)| sense)
    }

    fn check_command(&self, pdu: &Pdu<'_>, command: &Command) {
        let is_write = command.flags & command_flags::WRITE != 0;
        let is_final = command.flags & command_flags::FINAL != 0;
        let arrived = pdu.data.len() as u64;
        if command.itt == Itt::RESERVED.0 {
            self.complain("a command with the reserved ITT".into());
        }
        if self.tasks.contains_key(&command.itt) {
            self.complain(format!("ITT {:#x} is in use already", command.itt));
        }
        if !is_write && !is_final {
            self.complain("a command without F that writes nothing (RFC 7143 §11.3.1)".into());
        }
        if !is_final && self.agreed.initial_r2t {
            self.complain("unsolicited data announced in spite of InitialR2T=Yes".into());
        }
        if arrived > 0 {
            if !is_write {
                self.complain("immediate data with a command that writes nothing".into());
            }
            if !self.agreed.immediate_data {
                self.complain("immediate data in spite of ImmediateData=No".into());
            }
        }
        let burst = u64::from(self.agreed.first_burst_length.min(command.expected_length));
        if arrived > burst {
            self.complain(format!("{arrived} bytes of immediate data, at most {burst} are allowed"));
        }
        if !is_final && arrived >= u64::from(command.expected_length) {
            self.complain("a command without F that has all its data".into());
        }
        if command.flags & (command_flags::READ | command_flags::WRITE) == 0 && command.expected_length != 0 {
            self.complain("a command that moves nothing, yet expects data".into());
        }
        if command.flags & command_flags::ATTR > 4 {
            self.complain(format!("reserved task attribute {}", command.flags & command_flags::ATTR));
        }
        let unused = &command.cdb[decode::cdb_length(command.opcode())..];
        if unused.iter().any(|&byte| byte != 0) {
            self.complain(format!("a CDB with bytes past its end (opcode {:#04x})", command.opcode()));
        }
        if !pdu.ahs.is_empty() {
            self.complain("an AHS with a CDB of at most 16 bytes".into());
        }
    }

    /// R, W and the expected length must agree with what a block command moves.
    fn check_direction(&self, command: &Command, kind: Kind, unit: Option<&Unit>) {
        let (flag, name) = match kind {
            Kind::Read => (command_flags::READ, "read"),
            Kind::Write => (command_flags::WRITE, "write"),
            _ => return,
        };
        let Some(unit) = unit else { return };
        let moves = u64::from(command.blocks) * unit.block_size();
        if command.flags & (command_flags::READ | command_flags::WRITE) != flag && moves > 0 {
            self.complain(format!("a {name} with flags {:#04x}", command.flags));
        }
        if moves != u64::from(command.expected_length) {
            self.complain(format!(
                "a {name} of {moves} bytes that expects {} (opcode {:#04x})",
                command.expected_length,
                command.opcode()
            ));
        }
    }

    /// Sends R2Ts as long as there may be more.
    fn solicit(&mut self, task: &mut Task, out: &mut Outbox) {
        let most = self.agreed.max_outstanding_r2t as usize;
        while task.gather.bursts.len() < most && task.gather.next_r2t < task.gather.wanted {
            let from = task.gather.next_r2t;
            let len = (task.gather.wanted - from).min(self.agreed.max_burst_length);
            let ttt = self.new_ttt();
            let r2t = R2t {
                flags: FINAL,
                lun: task.command.lun,
                itt: Itt(task.command.itt),
                ttt,
                stat_sn: self.stat_sn,
                exp_cmd_sn: self.cmd_sn,
                max_cmd_sn: self.max_cmd_sn(),
                r2t_sn: task.gather.r2t_sn,
                buffer_offset: from,
                desired_data_transfer_length: len,
            };
            task.gather.r2t_sn = task.gather.r2t_sn.next();
            task.gather.next_r2t = from + len;
            task.gather.bursts.push(Burst { ttt, next: from, end: from + len, data_sn: DataSn(0) });
            out.pdu(r2t.encode(), &[]);
        }
    }

    pub(crate) fn on_data_out(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let header = DataOut::decode(pdu.bhs);
        let Some(mut task) = self.tasks.remove(&header.itt.0) else {
            // After an abort its data may still be on their way.
            if !self.shared.was_aborted(self.id, header.itt.0) {
                self.complain(format!("Data-Out for ITT {:#x}, which wants none", header.itt.0));
            }
            return Flow::Continue;
        };
        let complaint = if header.ttt == Ttt::RESERVED {
            self.unsolicited(&mut task, &header, pdu.data.len())
        } else {
            solicited(&mut task, &header, pdu.data.len())
        };
        if let Some(complaint) = complaint {
            self.complain(complaint);
            // What the data are is in doubt: DATA PHASE ERROR, once those under way have come.
            task.early = Some(Early::Check(Sense::new(SenseKey::AbortedCommand, 0x4b, 0)));
            task.gather.wanted = task.gather.next_r2t.min(task.gather.wanted);
        }
        task.gather.place(header.buffer_offset, pdu.data);
        if task.gather.unsolicited.is_none() {
            self.solicit(&mut task, out);
        }
        self.proceed(task, out)
    }

    fn unsolicited(&self, task: &mut Task, header: &DataOut, len: usize) -> Option<String> {
        let itt = header.itt.0;
        let Some((next, data_sn)) = task.gather.unsolicited else {
            return Some(format!("unsolicited Data-Out for ITT {itt:#x}, which had ended them"));
        };
        let end = next + len as u32;
        let is_final = header.flags & FINAL != 0;
        task.gather.unsolicited = (!is_final).then_some((end, data_sn.next()));
        task.gather.next_r2t = end;
        if header.lun.0 != 0 {
            return Some(format!("unsolicited Data-Out for ITT {itt:#x} with a LUN (RFC 7143 §11.7.3)"));
        }
        let most = self.agreed.first_burst_length.min(task.command.expected_length);
        if end > most {
            return Some(format!("{end} bytes of unsolicited data for ITT {itt:#x}, at most {most} are allowed"));
        }
        if end == most && !is_final {
            return Some(format!("unsolicited data for ITT {itt:#x} are at their end, yet F is 0"));
        }
        check_place(header, next, data_sn)
    }

    /// Does a command, or what it becomes instead, and answers it.
    fn end(&mut self, ready: &Ready<'_>, out: &mut Outbox) -> Flow {
        let Ready { command, early, twist, .. } = ready;
        self.settle(command);
        let before = out.pending();
        out.bad_header_digest = twist.bad_header_digest;
        out.bad_data_digest = twist.bad_data_digest;
        let ending = Ending { exp_data_sn: ready.r2ts, ..Ending::default() };
        match early {
            Some(Early::Check(sense)) => self.check_condition(ready, sense, out),
            Some(Early::Status(status)) => self.respond(ready, &Ending { status: *status, ..ending }, out),
            Some(Early::Answer(bytes)) => self.answer(ready, bytes, out),
            Some(Early::TargetFailure) => self.respond(ready, &Ending { response: 1, ..ending }, out),
            None => self.execute(ready, out),
        }
        (out.bad_header_digest, out.bad_data_digest) = (false, false);
        if twist.cut_after > 0 {
            out.truncate(before + twist.cut_after as usize);
            return Flow::Close;
        }
        Flow::Continue
    }

    pub(crate) fn on_task_management(&mut self, pdu: &Pdu<'_>, out: &mut Outbox) -> Flow {
        let request = TaskManagementRequest::decode(pdu.bhs);
        let function = TaskFunction::from(request.function & 0x7f);
        let names_task = matches!(function, TaskFunction::AbortTask | TaskFunction::TaskReassign);
        if !names_task && request.referenced_task_tag != Itt::RESERVED {
            self.complain(format!("{function:?} with a Referenced Task Tag (RFC 7143 §11.5.4)"));
        }
        let tmf = Tmf { function, lun: request.lun, referenced_task_tag: request.referenced_task_tag.0 };
        let response = match self.shared.tmf_action(&tmf) {
            TmfAction::Proceed => self.manage(&request, function),
            TmfAction::Respond(code) => code,
            TmfAction::Ignore => return Flow::Continue,
        };
        let answer = TaskManagementResponse {
            flags: FINAL,
            response,
            itt: request.itt,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
        };
        out.pdu(answer.encode(), &[]);
        Flow::Continue
    }

    /// Does what the function says; the response code (§11.6.1).
    fn manage(&mut self, request: &TaskManagementRequest, function: TaskFunction) -> u8 {
        let lun = request.lun;
        let needs_unit = matches!(
            function,
            TaskFunction::AbortTask
                | TaskFunction::AbortTaskSet
                | TaskFunction::ClearTaskSet
                | TaskFunction::LogicalUnitReset
        );
        if needs_unit && self.shared.unit(lun).is_none() {
            return 2;
        }
        match function {
            TaskFunction::AbortTask => {
                let itt = request.referenced_task_tag.0;
                match self.tasks.get(&itt) {
                    Some(task) if task.command.lun != lun => {
                        self.complain("ABORT TASK with another LUN than the task's (RFC 7143 §11.5.3)".into());
                        1
                    }
                    Some(task) => {
                        if request.ref_cmd_sn.0 != task.command.cmd_sn {
                            self.complain("ABORT TASK with another RefCmdSN than the task's CmdSN".into());
                        }
                        self.abort(|task| task.itt == itt);
                        0
                    }
                    None => 1,
                }
            }
            TaskFunction::AbortTaskSet | TaskFunction::ClearTaskSet | TaskFunction::LogicalUnitReset => {
                self.abort(|task| task.lun == lun);
                0
            }
            TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset => {
                self.abort(|_| true);
                0
            }
            TaskFunction::TaskReassign => 4,
            TaskFunction::ClearAca | TaskFunction::Unknown(_) => 5,
        }
    }

    fn abort(&mut self, which: impl Fn(&Command) -> bool) {
        let gone: Vec<Command> =
            self.tasks.values().map(|task| task.command).filter(|command| which(command)).collect();
        for command in gone {
            self.tasks.remove(&command.itt);
            self.settle(&command);
            self.shared.record_abort(self.id, command.itt);
        }
    }
}

fn solicited(task: &mut Task, header: &DataOut, len: usize) -> Option<String> {
    let itt = header.itt.0;
    let at = task.gather.bursts.iter().position(|burst| burst.ttt == header.ttt);
    let Some((at, burst)) = at.and_then(|at| task.gather.bursts.get_mut(at).map(|burst| (at, burst))) else {
        return Some(format!("Data-Out with TTT {:#x}, which ITT {itt:#x} was not given", header.ttt.0));
    };
    let (next, data_sn) = (burst.next, burst.data_sn);
    burst.next = next.saturating_add(len as u32);
    burst.data_sn = data_sn.next();
    let is_final = header.flags & FINAL != 0;
    let (reached, end) = (burst.next, burst.end);
    if is_final {
        task.gather.bursts.remove(at);
    }
    if header.lun != task.command.lun {
        return Some(format!("Data-Out for ITT {itt:#x} with another LUN than its R2T"));
    }
    if reached > end {
        return Some(format!("Data-Out for ITT {itt:#x} past the end of what its R2T wants"));
    }
    if is_final != (reached == end) {
        return Some(format!("Data-Out for ITT {itt:#x}: F is not on the last one of the sequence, and only there"));
    }
    check_place(header, next, data_sn)
}

fn check_place(header: &DataOut, next: u32, data_sn: DataSn) -> Option<String> {
    let itt = header.itt.0;
    if header.data_sn != data_sn {
        return Some(format!("Data-Out for ITT {itt:#x} with DataSN {}, {} was due", header.data_sn.0, data_sn.0));
    }
    if header.buffer_offset != next {
        return Some(format!("Data-Out for ITT {itt:#x} at {}, {next} was due", header.buffer_offset));
    }
    None
}
