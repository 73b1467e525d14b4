//! A session and the target it talks to, in the words of RFC 7143.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::lines::{Sent, Sessions};
use super::{LUN, handoff};
use crate::error::PeerMisbehaved;
use crate::ids::Ttt;
use crate::pdu::*;
use crate::sn::{CmdSn, DataSn, StatSn};
use crate::time::Duration;

/// A session and its target.
pub(super) struct Bench {
    pub(super) session: Sessions,
    pub(super) now: Instant,
    pub(super) stat_sn: u32,
    pub(super) max_cmd_sn: u32,
}

impl Sent {
    pub(super) fn is<T: Wire>(&self) -> T {
        assert_eq!(opcode(&self.bhs), T::OPCODE, "another PDU was due");
        T::decode(&self.bhs)
    }
}

impl Bench {
    pub(super) fn new(handoff: Handoff) -> Bench {
        let timers = PingTimers { interval: Some(Duration::from_secs(5)), timeout: Some(Duration::from_secs(5)) };
        let config = SessionConfig { depth: 8, pings: timers };
        Bench::with(handoff, config)
    }

    pub(super) fn with(handoff: Handoff, config: SessionConfig) -> Bench {
        Bench {
            session: Sessions::new(&handoff, config),
            now: Instant::ZERO,
            stat_sn: handoff.exp_stat_sn,
            max_cmd_sn: handoff.max_cmd_sn,
        }
    }

    pub(super) fn read(&mut self, len: u32) -> Itt {
        self.submit(0x88, Data::In(len), vec![0; len as usize])
    }

    pub(super) fn write(&mut self, data: Vec<u8>) -> Itt {
        self.submit(0x8a, Data::Out(data.len() as u32), data)
    }

    pub(super) fn submit(&mut self, opcode: u8, data: Data, buffer: Vec<u8>) -> Itt {
        let mut cdb = [0; 16];
        cdb[0] = opcode;
        let command = Command { lun: LUN, cdb, attribute: TaskAttribute::Simple, data };
        self.session.submit(command, &buffer)
    }

    pub(super) fn sent(&mut self) -> Vec<Sent> {
        self.session.sent()
    }

    pub(super) fn buffer(&self, itt: Itt) -> &[u8] {
        self.session.buffer(itt)
    }

    pub(super) fn one(&mut self) -> Sent {
        let mut all = self.sent();
        assert_eq!(all.len(), 1, "exactly one PDU was due");
        all.remove(0)
    }

    /// The next status number, and the window, in the words of a target.
    pub(super) fn status(&mut self) -> (StatSn, CmdSn, CmdSn) {
        let stat_sn = StatSn(self.stat_sn);
        self.stat_sn = self.stat_sn.wrapping_add(1);
        (stat_sn, CmdSn(10), CmdSn(self.max_cmd_sn))
    }

    pub(super) fn respond(&mut self, itt: Itt, status: u8, flags: u8, residual_count: u32, sense: &[u8]) -> Vec<u8> {
        let (stat_sn, exp_cmd_sn, max_cmd_sn) = self.status();
        let pdu = ScsiResponse {
            flags: FINAL | flags,
            response: 0,
            status,
            itt,
            snack_tag: 0,
            stat_sn,
            exp_cmd_sn,
            max_cmd_sn,
            exp_data_sn: DataSn(0),
            bidi_read_residual_count: 0,
            residual_count,
        };
        let mut segment = Vec::new();
        if !sense.is_empty() {
            segment.extend((sense.len() as u16).to_be_bytes());
            segment.extend(sense);
        }
        self.pdu(pdu.encode(), &segment)
    }

    pub(super) fn good(&mut self, itt: Itt) -> Vec<u8> {
        self.respond(itt, 0, 0, 0, &[])
    }

    pub(super) fn data_in(&mut self, itt: Itt, sn: u32, offset: u32, data: &[u8], last: bool) -> Vec<u8> {
        let stat_sn = if last { self.status().0 } else { StatSn(0) };
        let pdu = DataIn {
            flags: if last { FINAL | data_in_flags::STATUS } else { 0 },
            status: 0,
            lun: Lun(0),
            itt,
            ttt: Ttt::RESERVED,
            stat_sn,
            exp_cmd_sn: CmdSn(10),
            max_cmd_sn: CmdSn(self.max_cmd_sn),
            data_sn: DataSn(sn),
            buffer_offset: offset,
            residual_count: 0,
        };
        self.pdu(pdu.encode(), data)
    }

    pub(super) fn r2t(&mut self, itt: Itt, sn: u32, offset: u32, len: u32) -> Vec<u8> {
        let pdu = R2t {
            flags: FINAL,
            lun: LUN,
            itt,
            ttt: Ttt(0x77 + sn),
            stat_sn: StatSn(self.stat_sn),
            exp_cmd_sn: CmdSn(10),
            max_cmd_sn: CmdSn(self.max_cmd_sn),
            r2t_sn: DataSn(sn),
            buffer_offset: offset,
            desired_data_transfer_length: len,
        };
        self.pdu(pdu.encode(), &[])
    }

    pub(super) fn nop_in(&mut self, itt: Itt, ttt: Ttt, data: &[u8]) -> Vec<u8> {
        let stat_sn = if itt == Itt::RESERVED { StatSn(self.stat_sn) } else { self.status().0 };
        let max_cmd_sn = CmdSn(self.max_cmd_sn);
        let pdu = NopIn { flags: FINAL, lun: LUN, itt, ttt, stat_sn, exp_cmd_sn: CmdSn(10), max_cmd_sn };
        self.pdu(pdu.encode(), data)
    }

    /// A PDU on the wire, with the digests that were negotiated.
    pub(super) fn pdu(&self, mut bhs: Bhs, data: &[u8]) -> Vec<u8> {
        set_lengths(&mut bhs, 0, data.len() as u32);
        let mut wire = bhs.to_vec();
        if self.session.connection_params().header_digest {
            wire.extend(SoftCrc32c::append(0, &bhs).to_le_bytes());
        }
        if !data.is_empty() {
            let mut segment = data.to_vec();
            segment.resize(data.len() + padding(data.len()), 0);
            let crc = SoftCrc32c::append(0, &segment);
            wire.extend(segment);
            if self.session.connection_params().data_digest {
                wire.extend(crc.to_le_bytes());
            }
        }
        wire
    }

    /// The target sends these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.session.feed(self.now, bytes)
    }

    pub(super) fn done(&mut self) -> (Itt, TaskResult) {
        match self.session.poll_event() {
            Some(Event::TaskDone { itt, result }) => (itt, result),
            other => panic!("a finished task was due, not {other:?}"),
        }
    }

    pub(super) fn fails_with(&mut self, bytes: &[u8]) -> PeerMisbehaved {
        match self.feed(bytes) {
            Err(Error::PeerMisbehaved(how)) => {
                assert_eq!(self.session.rx_plan(), RxPlan::Stop);
                how
            }
            other => panic!("the target should have been caught, not {other:?}"),
        }
    }
}

pub(super) fn digests() -> Handoff {
    Handoff { header_digest: 1, data_digest: 1, ..handoff() }
}

/// Every write waits for R2Ts.
pub(super) fn solicited() -> Handoff {
    Handoff { initial_r2t: 1, immediate_data: 0, ..handoff() }
}

/// A session that never pings.
pub(super) fn without_pings() -> Bench {
    let pings = PingTimers { interval: None, timeout: None };
    Bench::with(handoff(), SessionConfig { depth: 8, pings })
}

pub(super) fn numbers(sent: &[Sent]) -> Vec<u32> {
    sent.iter().map(|pdu| CmdSn::get(&pdu.bhs, 24).0).collect()
}

pub(super) fn manage_response(bench: &mut Bench, itt: Itt, response: u8) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = TaskManagementResponse { flags: FINAL, response, itt, stat_sn, exp_cmd_sn, max_cmd_sn };
    bench.pdu(pdu.encode(), &[])
}

pub(super) fn text_response(bench: &mut Bench, itt: Itt, flags: u8, ttt: Ttt, data: &[u8]) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let pdu = TextResponse { flags, lun: Lun(0), itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn };
    bench.pdu(pdu.encode(), data)
}

/// A header back out of the bytes of a PDU.
pub(super) fn header(wire: &[u8]) -> Bhs {
    *wire.first_chunk().expect("a header")
}

pub(super) fn is_unknown(how: &PeerMisbehaved) -> bool {
    matches!(how, PeerMisbehaved::UnknownTask(_))
}

pub(super) fn logout_response(bench: &mut Bench, itt: Itt) -> Vec<u8> {
    let (stat_sn, exp_cmd_sn, max_cmd_sn) = bench.status();
    let (time2wait, time2retain) = (0, 0);
    let pdu =
        LogoutResponse { flags: FINAL, response: 0, itt, stat_sn, exp_cmd_sn, max_cmd_sn, time2wait, time2retain };
    bench.pdu(pdu.encode(), &[])
}
