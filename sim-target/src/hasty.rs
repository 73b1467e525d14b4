//! A connection served in haste: for benchmarks, where the target must not be what is measured.
//!
//! ```text
//!   blocking socket ──► Inbox ──┬── read, or write with all its data, of a null unit ──► Batch ──┐
//!                               └── anything else ──► Session, Outbox ──────────────────────────┤
//!   one gathered write per batch of commands ◄───────────────────────────────────────────────────┘
//! ```
//! Such a read is answered by a header and a reference to bytes that stay in the cache, with a digest that
//! was computed once. Neither hooks nor records nor the rules of a header's reserved bits apply to it; the
//! sequence numbers and the window do.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::{
    DataIn, FINAL, ScsiCommand, ScsiResponse, Wire, command_flags, data_in_flags, is_immediate, opcode, padding,
    set_lengths,
};
use iscsi_proto::sn::{CmdSn, DataSn, StatSn};

use crate::decode::{self, Kind};
use crate::disk::{CONSTANT, Unit};
use crate::inbox::{Inbox, Pdu};
use crate::outbox::Outbox;
use crate::script::Command;
use crate::session::{Flow, Session};

/// Pieces of one gathered write: IOV_MAX.
const GATHER: usize = 1024;

/// Serves a connection that has logged in until it ends; the socket blocks.
pub(crate) fn serve(stream: &TcpStream, session: &mut Session, inbox: &mut Inbox, mut out: Outbox) -> io::Result<()> {
    let units = Units::of(session);
    out.write_by(|slices| (&*stream).write_vectored(slices))?;
    let mut batch = Batch::new(session);
    loop {
        while let Some(pdu) = inbox.next() {
            if session.take_hastily(&pdu, &units, &mut batch) {
                if batch.is_full() {
                    batch.write_to(stream)?;
                }
                continue;
            }
            let flow = session.on_pdu(&pdu, &mut out);
            batch.write_to(stream)?;
            out.write_by(|slices| (&*stream).write_vectored(slices))?;
            if flow == Flow::Close {
                return stream.shutdown(std::net::Shutdown::Write);
            }
        }
        batch.write_to(stream)?;
        if inbox.read_by(|room| (&*stream).read(room))? == Some(0) {
            return Ok(());
        }
    }
}

/// The null units, which stay as they were at the login.
struct Units(Vec<(Lun, Arc<Unit>)>);

impl Units {
    fn of(session: &Session) -> Units {
        let units = session.shared.luns().into_iter().filter_map(|lun| Some((lun, session.shared.unit(lun)?)));
        Units(units.filter(|(_, unit)| unit.disk.null).collect())
    }

    fn get(&self, lun: Lun) -> Option<&Unit> {
        self.0.iter().find(|(at, _)| *at == lun).map(|(_, unit)| &**unit)
    }
}

impl Session {
    /// Answers a command that needs no thought; says whether it was one.
    fn take_hastily(&mut self, pdu: &Pdu<'_>, units: &Units, batch: &mut Batch) -> bool {
        let bhs = pdu.bhs;
        let is_plain = opcode(bhs) == ScsiCommand::OPCODE && bhs[1] & command_flags::FINAL != 0 && !is_immediate(bhs);
        if !is_plain || !pdu.header_digest_good || !pdu.data_digest_good {
            return false;
        }
        let request = ScsiCommand::decode(bhs);
        let Some(unit) = units.get(request.lun) else { return false };
        let mut command = Command::undecoded(&request, false, self.id);
        let kind = decode::decode(&mut command);
        let len = u64::from(command.blocks) * unit.block_size();
        let fits = command.lba.checked_add(command.blocks.into()).is_some_and(|end| end <= unit.blocks())
            && len == u64::from(command.expected_length)
            && len > 0;
        match kind {
            Kind::Read if fits && command.flags & command_flags::READ != 0 && pdu.data.is_empty() => {}
            Kind::Write if fits && pdu.data.len() as u64 == len && !unit.is_write_protected() => {}
            _ => return false,
        }
        self.check_exp_stat_sn(bhs);
        if self.take_cmd_sn(bhs) {
            let sns = Sns { exp_cmd_sn: self.cmd_sn, max_cmd_sn: self.max_cmd_sn(), stat_sn: self.take_stat_sn() };
            match kind {
                Kind::Read => batch.data_in(request.itt, command.expected_length, &sns),
                _ => batch.response(request.itt, &sns),
            }
        }
        true
    }
}

/// Numbers that an answer carries.
struct Sns {
    exp_cmd_sn: CmdSn,
    max_cmd_sn: CmdSn,
    stat_sn: StatSn,
}

/// Answers on their way.
struct Batch {
    /// Headers, digests and padding, one after the other.
    heads: Vec<u8>,
    /// Where heads end, and how many bytes of the constant follow.
    pieces: Vec<(usize, usize)>,
    constant: Vec<u8>,
    most: usize,
    burst: usize,
    header_digest: bool,
    data_digest: bool,
    /// Of the constant's first so many bytes with their padding.
    digest: (usize, u32),
}

impl Batch {
    fn new(session: &Session) -> Batch {
        let agreed = &session.agreed;
        Batch {
            heads: Vec::new(),
            pieces: Vec::new(),
            constant: vec![0x5a; CONSTANT],
            most: (agreed.initiator_segment as usize).min(CONSTANT),
            burst: agreed.max_burst_length as usize,
            header_digest: agreed.header_digest,
            data_digest: agreed.data_digest,
            digest: (0, 0),
        }
    }

    fn is_full(&self) -> bool {
        // A piece is two slices; what ends the batch is one more.
        2 * self.pieces.len() + 1 >= GATHER
    }

    fn head(&mut self, mut bhs: iscsi_proto::pdu::Bhs, data: usize) {
        set_lengths(&mut bhs, 0, data as u32);
        self.heads.extend_from_slice(&bhs);
        if self.header_digest {
            self.heads.extend_from_slice(&crc32c::crc32c(&bhs).to_le_bytes());
        }
    }

    fn data_in(&mut self, itt: Itt, total: u32, sns: &Sns) {
        let total = total as usize;
        let (mut at, mut data_sn) = (0, DataSn(0));
        while at < total {
            // A sequence ends at MaxBurstLength (§11.7.1).
            let len = self.most.min(total - at).min(self.burst - at % self.burst);
            let is_last = at + len == total;
            let ends = is_last || (at + len).is_multiple_of(self.burst);
            let pdu = DataIn {
                flags: if ends { data_in_flags::FINAL } else { 0 } | if is_last { data_in_flags::STATUS } else { 0 },
                status: 0,
                lun: Lun(0),
                itt,
                ttt: Ttt::RESERVED,
                stat_sn: if is_last { sns.stat_sn } else { StatSn(0) },
                exp_cmd_sn: sns.exp_cmd_sn,
                max_cmd_sn: sns.max_cmd_sn,
                data_sn,
                buffer_offset: at as u32,
                residual_count: 0,
            };
            self.head(pdu.encode(), len);
            self.pieces.push((self.heads.len(), len));
            self.heads.resize(self.heads.len() + padding(len), 0);
            if self.data_digest {
                let digest = self.digest_of(len);
                self.heads.extend_from_slice(&digest.to_le_bytes());
            }
            data_sn = data_sn.next();
            at += len;
        }
    }

    fn digest_of(&mut self, len: usize) -> u32 {
        if self.digest.0 != len {
            let padded = crc32c::crc32c_append(crc32c::crc32c(&self.constant[..len]), &[0; 3][..padding(len)]);
            self.digest = (len, padded);
        }
        self.digest.1
    }

    fn response(&mut self, itt: Itt, sns: &Sns) {
        let pdu = ScsiResponse {
            flags: FINAL,
            response: 0,
            status: 0,
            itt,
            snack_tag: 0,
            stat_sn: sns.stat_sn,
            exp_cmd_sn: sns.exp_cmd_sn,
            max_cmd_sn: sns.max_cmd_sn,
            exp_data_sn: DataSn(0),
            bidi_read_residual_count: 0,
            residual_count: 0,
        };
        self.head(pdu.encode(), 0);
    }

    /// Writes all of it.
    fn write_to(&mut self, stream: &TcpStream) -> io::Result<()> {
        // An array of a thousand slices is not to be set up for one answer.
        match self.pieces.len() {
            0 if self.heads.is_empty() => return Ok(()),
            0..8 => self.gather::<16>(stream)?,
            _ => self.gather::<GATHER>(stream)?,
        }
        self.heads.clear();
        self.pieces.clear();
        Ok(())
    }

    fn gather<const SLICES: usize>(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut pieces = self.pieces.as_slice();
        let mut from = 0;
        while from < self.heads.len() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            while used + 2 < SLICES
                && let Some(((end, len), rest)) = pieces.split_first()
            {
                slices[used] = IoSlice::new(&self.heads[from..*end]);
                slices[used + 1] = IoSlice::new(&self.constant[..*len]);
                (from, pieces, used) = (*end, rest, used + 2);
            }
            if pieces.is_empty() && from < self.heads.len() {
                slices[used] = IoSlice::new(&self.heads[from..]);
                (from, used) = (self.heads.len(), used + 1);
            }
            let mut left = &mut slices[..used];
            while !left.is_empty() {
                match stream.write_vectored(left) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(wrote) => IoSlice::advance_slices(&mut left, wrote),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
