//! Commands done, and their answers: Data-In and SCSI Response.

use std::sync::Arc;

use bytes::Bytes;
use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::{DataIn, FINAL, ScsiResponse, ScsiStatus, Wire, data_in_flags, residual};
use iscsi_proto::scsi::Sense;
use iscsi_proto::sn::{DataSn, StatSn};

use crate::control::{self, Outcome};
use crate::decode::{INVALID_FIELD, INVALID_PARAMETER, Kind, number};
use crate::disk::Unit;
use crate::outbox::Outbox;
use crate::sense::{descriptor_sense, fixed_sense};
use crate::session::Session;
use crate::store::Store;
use crate::task::Ready;

/// Where the data of a Data-In come from.
enum Source<'a> {
    Bytes(&'a [u8]),
    Store(&'a Store, u64),
    Constant(&'a Bytes),
}

/// How a command ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ending<'a> {
    /// iSCSI service response: 0 completed at the target, 1 target failure.
    pub(crate) response: u8,
    /// SAM status.
    pub(crate) status: u8,
    /// How many bytes the command moves by itself.
    pub(crate) moved: u64,
    /// How many Data-In or R2T PDUs it took.
    pub(crate) exp_data_sn: DataSn,
    /// SenseLength and sense data.
    pub(crate) segment: &'a [u8],
}

impl Session {
    /// Does a command that has everything it needs.
    pub(crate) fn execute(&mut self, ready: &Ready<'_>, out: &mut Outbox) {
        let Ready { command, data, .. } = ready;
        let good = Ending { exp_data_sn: ready.r2ts, ..Ending::default() };
        let Some(unit) = ready.unit.filter(|_| ready.kind != Kind::Other) else {
            return match control::execute(self, command, ready.unit.map(Arc::as_ref)) {
                Outcome::Done => self.respond(ready, &good, out),
                Outcome::Check(sense) => self.check_condition(ready, &sense, out),
                Outcome::Data(data) => self.answer(ready, &data, out),
            };
        };
        let at = command.lba * unit.block_size();
        let len = u64::from(command.blocks) * unit.block_size();
        let durable = command.fua || !unit.disk.write_cache;
        match ready.kind {
            Kind::Read if unit.disk.null => self.send_data(ready, &Source::Constant(&unit.constant), len, out),
            Kind::Read => self.send_data(ready, &Source::Store(&unit.store(), at), len, out),
            Kind::Write => {
                if !unit.disk.null {
                    unit.store().write(at, data, durable);
                }
                self.respond(ready, &Ending { moved: len, ..good }, out);
            }
            Kind::Flush => {
                let len = if command.blocks == 0 { u64::MAX } else { len };
                unit.store().sync(at, len);
                self.respond(ready, &good, out);
            }
            Kind::Unmap => match unmap(unit, data) {
                Ok(()) => self.respond(ready, &Ending { moved: data.len() as u64, ..good }, out),
                Err(sense) => self.check_condition(ready, &sense, out),
            },
            Kind::WriteSame => {
                let count = if unit.disk.short_counts { command.blocks & 0xffff } else { command.blocks };
                let blocks = if count == 0 { unit.blocks() - command.lba } else { count.into() };
                let (lba, blocks) = match unit.disk.whole_granules && command.cdb[1] & 0x08 != 0 {
                    true => whole_granules(unit, command.lba, blocks),
                    false => (command.lba, blocks),
                };
                write_same(unit, lba * unit.block_size(), blocks, data);
                self.respond(ready, &Ending { moved: data.len() as u64, ..good }, out);
            }
            Kind::Other => {}
        }
    }

    /// CHECK CONDITION with sense data.
    pub(crate) fn check_condition(&mut self, ready: &Ready<'_>, sense: &Sense, out: &mut Outbox) {
        let sense = match ready.unit {
            Some(unit) if unit.disk.descriptor_sense => descriptor_sense(sense),
            _ => fixed_sense(sense),
        };
        // SenseLength, then the sense data (RFC 7143 §11.4.7).
        let segment = [&(sense.len() as u16).to_be_bytes(), sense.as_slice()].concat();
        let status = ScsiStatus::CheckCondition.into();
        let ending = Ending { status, exp_data_sn: ready.r2ts, segment: &segment, ..Ending::default() };
        self.respond(ready, &ending, out);
    }

    /// A SCSI Response.
    pub(crate) fn respond(&mut self, ready: &Ready<'_>, ending: &Ending<'_>, out: &mut Outbox) {
        let Ready { command, twist, .. } = ready;
        let (flags, residual_count) = residual_of(command.expected_length, ending.moved);
        let is_good = ending.status == 0 && ending.response == 0;
        let mut pdu = ScsiResponse {
            flags: FINAL | flags,
            response: ending.response,
            status: if is_good { twist.status } else { ending.status },
            itt: Itt(command.itt ^ twist.itt_xor),
            snack_tag: 0,
            stat_sn: self.take_stat_sn().plus(twist.stat_sn_ahead),
            exp_cmd_sn: self.cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            exp_data_sn: ending.exp_data_sn,
            bidi_read_residual_count: 0,
            residual_count,
        };
        out.pdu(pdu.encode(), ending.segment);
        if twist.answer_twice {
            pdu.stat_sn = self.take_stat_sn();
            out.pdu(pdu.encode(), ending.segment);
        }
    }

    /// Data-In with these bytes, and GOOD.
    pub(crate) fn answer(&mut self, ready: &Ready<'_>, bytes: &[u8], out: &mut Outbox) {
        self.send_data(ready, &Source::Bytes(bytes), bytes.len() as u64, out);
    }

    /// Sends `total` bytes, or as many of them as are expected, and the status.
    fn send_data(&mut self, ready: &Ready<'_>, source: &Source<'_>, total: u64, out: &mut Outbox) {
        let Ready { command, twist, .. } = ready;
        let short = twist.short_by.saturating_add(twist.silently_short_by);
        let given = total.min(command.expected_length.into()) as u32;
        let given = given.saturating_sub(short).saturating_add(twist.long_by);
        let told = match twist.short_by {
            0 => total,
            short => total.min(command.expected_length.into()).saturating_sub(short.into()),
        };
        let (flags, residual_count) = residual_of(command.expected_length, told);
        let with_status = !twist.status_apart && !twist.answer_twice && twist.status == 0;
        let most = match twist.pieces {
            0 => self.agreed.initiator_segment,
            pieces => pieces.min(self.agreed.initiator_segment),
        };
        let most = match source {
            Source::Constant(bytes) => most.min(bytes.len() as u32),
            _ => most,
        };
        let (max_cmd_sn, exp_cmd_sn) = (self.max_cmd_sn(), self.cmd_sn);

        let mut data_sn = DataSn(0);
        let mut at = 0;
        while at < given {
            // A sequence ends at MaxBurstLength (§11.7.1).
            let burst = self.agreed.max_burst_length;
            let len = most.min(given - at).min(burst - at % burst);
            let is_last = at + len == given;
            let mut pdu = DataIn {
                flags: if is_last || (at + len) % burst == 0 { data_in_flags::FINAL } else { 0 },
                status: 0,
                lun: Lun(0),
                itt: Itt(command.itt ^ twist.itt_xor),
                ttt: Ttt::RESERVED,
                stat_sn: StatSn(0),
                exp_cmd_sn,
                max_cmd_sn,
                data_sn: if at > 0 { data_sn.plus(twist.data_sn_ahead) } else { data_sn },
                buffer_offset: at.wrapping_add(twist.offset_ahead),
                residual_count: 0,
            };
            if is_last && with_status {
                pdu.flags |= data_in_flags::STATUS | flags;
                pdu.stat_sn = self.take_stat_sn().plus(twist.stat_sn_ahead);
                pdu.residual_count = residual_count;
            }
            match source {
                Source::Constant(bytes) => out.pdu_shared(pdu.encode(), bytes, len as usize),
                Source::Store(store, from) => out.pdu_of(pdu.encode(), len as usize, |run| {
                    store.append_to(from + u64::from(at), len.into(), run);
                }),
                Source::Bytes(bytes) => out.pdu_of(pdu.encode(), len as usize, |run| {
                    let end = run.len() + len as usize;
                    let rest = bytes.get(at as usize..).unwrap_or(&[]);
                    run.extend_from_slice(&rest[..rest.len().min(len as usize)]);
                    run.resize(end, 0);
                }),
            }
            data_sn = data_sn.next();
            at += len;
        }
        if given == 0 || !with_status {
            self.respond(ready, &Ending { moved: told, exp_data_sn: data_sn, ..Ending::default() }, out);
        }
    }
}

/// The residual flag and count of a command that expects `expected` bytes and would move `moved`
/// (RFC 7143 §11.4.5).
fn residual_of(expected: u32, moved: u64) -> (u8, u32) {
    let expected = u64::from(expected);
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    match moved {
        _ if moved > expected => (residual::OVERFLOW, count(moved - expected)),
        _ if moved < expected => (residual::UNDERFLOW, count(expected - moved)),
        _ => (0, 0),
    }
}

/// UNMAP with its parameter list (SBC-4 §5.35): all of it is checked before any of it is done.
fn unmap(unit: &Unit, list: &[u8]) -> Result<(), Sense> {
    if list.is_empty() {
        return Ok(());
    }
    let limits = unit.disk.effective_limits();
    if list.len() < 8 || number(&list[..2]) + 2 != list.len() as u64 || number(&list[2..4]) + 8 > list.len() as u64 {
        return Err(INVALID_PARAMETER);
    }
    let descriptors = &list[8..8 + number(&list[2..4]) as usize / 16 * 16];
    let runs = || descriptors.chunks_exact(16).map(|run| (number(&run[..8]), number(&run[8..12])));
    let blocks: u64 = runs().map(|(_, blocks)| blocks).sum();
    if runs().count() as u64 > u64::from(limits.max_unmap_descriptors) || blocks > u64::from(limits.max_unmap_blocks) {
        return Err(INVALID_PARAMETER);
    }
    if runs().any(|(lba, blocks)| lba.checked_add(blocks).is_none_or(|end| end > unit.blocks())) {
        return Err(INVALID_FIELD);
    }
    let mut store = unit.store();
    for (lba, blocks) in runs() {
        store.zero(lba * unit.block_size(), blocks * unit.block_size(), !unit.disk.write_cache);
    }
    Ok(())
}

/// What of these blocks is made of whole granules (SBC-4 §6.6.4): the first block, and how many.
fn whole_granules(unit: &Unit, lba: u64, blocks: u64) -> (u64, u64) {
    let limits = unit.disk.effective_limits();
    let size = u64::from(limits.unmap_granularity.max(1));
    let alignment = u64::from(limits.unmap_alignment.unwrap_or(0)) % size;
    let first = (lba..lba + blocks).find(|lba| lba % size == alignment).unwrap_or(lba + blocks);
    (first, (lba + blocks - first) / size * size)
}

/// WRITE SAME of `block`, or of zeroes if it is empty.
fn write_same(unit: &Unit, at: u64, blocks: u64, block: &[u8]) {
    if unit.disk.null {
        return;
    }
    let durable = !unit.disk.write_cache;
    let mut store = unit.store();
    if block.iter().all(|&byte| byte == 0) {
        store.zero(at, blocks * unit.block_size(), durable);
    } else {
        for n in 0..blocks {
            store.write(at + n * unit.block_size(), block, durable);
        }
    }
}
