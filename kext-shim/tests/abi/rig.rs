//! The kernel's side of the border, and the target behind it, in memory.

use std::collections::BTreeMap;

use iscsi_kext::abi::*;
use iscsi_kext::calls::*;
use iscsi_proto::digest::{Crc32c, SoftCrc32c};
use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::*;
use iscsi_proto::scsi::cdb;
use iscsi_proto::session::Data;
use iscsi_proto::sn::{CmdSn, DataSn, StatSn};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const LUN: [u8; 8] = [0, 3, 0, 0, 0, 0, 0, 0];

pub(crate) fn handoff() -> IscsiHandoff {
    IscsiHandoff {
        version: ISCSI_HANDOFF_VERSION,
        cmd_sn: 10,
        exp_stat_sn: 100,
        max_cmd_sn: 41,
        first_burst_length: 8192,
        max_burst_length: 16_384,
        max_recv_data_segment_length: 8192,
        max_send_data_segment_length: 4096,
        tsih: 1,
        cid: 0,
        max_outstanding_r2t: 2,
        default_time2wait: 2,
        default_time2retain: 20,
        target_portal_group_tag: 1,
        isid: [0x80, 0, 0, 0, 0, 1],
        header_digest: 1,
        data_digest: 1,
        initial_r2t: 0,
        immediate_data: 1,
        error_recovery_level: 0,
        reserved: [0; 5],
    }
}

pub(crate) fn config() -> iscsi_config {
    iscsi_config {
        version: ISCSI_ABI_VERSION,
        depth: 4,
        commands: 8,
        ping_interval: 30 * SECOND,
        ping_timeout: 10 * SECOND,
        function_timeout: 10 * SECOND,
        replacement_timeout: 120 * SECOND,
    }
}

/// A PDU as it left.
pub(crate) struct Pdu {
    pub(crate) bhs: Bhs,
    pub(crate) data: Vec<u8>,
}

impl Pdu {
    pub(crate) fn is<T: Wire>(&self) -> T {
        assert_eq!(opcode(&self.bhs), T::OPCODE, "another PDU");
        T::decode(&self.bhs)
    }
}

pub(crate) struct Rig {
    pub(crate) session: *mut iscsi_session,
    pub(crate) now: u64,
    pub(crate) buffers: BTreeMap<u64, Vec<u8>>,
    /// How the stream is cut on its way in, in bytes.
    pub(crate) cut: usize,
    stat_sn: u32,
    token: u64,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::with(&config())
    }

    pub(crate) fn with(config: &iscsi_config) -> Rig {
        let mut session = std::ptr::null_mut();
        // SAFETY: all of it is there.
        let made = unsafe { iscsi_session_create(config, &handoff(), 0, &mut session) };
        assert_eq!(made, ISCSI_OK);
        Rig { session, now: 0, buffers: BTreeMap::new(), cut: usize::MAX, stat_sn: 100, token: 0 }
    }

    fn command(&mut self, direction: u8, len: u32) -> iscsi_command {
        self.token += 1;
        let mut cdb = [0; 16];
        cdb[0] = if direction == ISCSI_DATA_OUT { 0x8a } else { 0x88 };
        let (token, data_length) = (self.token, len);
        iscsi_command { token, lun: LUN, cdb, data_length, direction, attribute: 1, origin: 0, reserved: 0 }
    }

    pub(crate) fn submit(&mut self, command: &iscsi_command) -> Result<u64, i32> {
        let mut tag = 0;
        // SAFETY: all of it is there.
        match unsafe { iscsi_session_submit(self.session, command, &mut tag) } {
            ISCSI_OK | ISCSI_ENDED => Ok(tag),
            refused => Err(refused),
        }
    }

    /// A read of that many bytes: its token and tag.
    pub(crate) fn read(&mut self, len: u32) -> (u64, u64) {
        let command = self.command(ISCSI_DATA_IN, len);
        self.buffers.insert(command.token, vec![0; len as usize]);
        (command.token, self.submit(&command).expect("room"))
    }

    /// A read of another unit.
    pub(crate) fn read_of(&mut self, lun: [u8; 8], len: u32) -> (u64, u64) {
        let mut command = self.command(ISCSI_DATA_IN, len);
        command.lun = lun;
        self.buffers.insert(command.token, vec![0; len as usize]);
        (command.token, self.submit(&command).expect("room"))
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> (u64, u64) {
        let command = self.command(ISCSI_DATA_OUT, data.len() as u32);
        self.buffers.insert(command.token, data.to_vec());
        (command.token, self.submit(&command).expect("room"))
    }

    /// A write of so many blocks of 512 bytes, with the CDB that says so.
    pub(crate) fn write_at(&mut self, lba: u64, blocks: u32) -> (u64, u64) {
        self.run(cdb::write_16(lba, blocks, false).padded(), Data::Out(blocks * 512))
    }

    /// A command of the stack, as its CDB says.
    pub(crate) fn run(&mut self, cdb: [u8; 16], data: Data) -> (u64, u64) {
        let direction = match data {
            Data::None => ISCSI_DATA_NONE,
            Data::In(_) => ISCSI_DATA_IN,
            Data::Out(_) => ISCSI_DATA_OUT,
        };
        let command = iscsi_command { cdb, ..self.command(direction, data.len()) };
        self.buffers.insert(command.token, vec![0; data.len() as usize]);
        (command.token, self.submit(&command).expect("room"))
    }

    /// A command of the daemon, without data.
    pub(crate) fn ask(&mut self) -> Result<u64, i32> {
        let mut command = self.command(ISCSI_DATA_NONE, 0);
        command.cdb[0] = 0;
        command.origin = ISCSI_ORIGIN_DAEMON;
        self.submit(&command)
    }

    /// All that leaves now, as C++ puts it together; digests are checked and taken off.
    pub(crate) fn sent(&mut self) -> Vec<Pdu> {
        let mut sent = Vec::new();
        loop {
            let mut out = iscsi_transmit {
                token: 0,
                core: std::ptr::null(),
                payload: 0,
                offset: 0,
                length: 0,
                head_length: 0,
                head: [0; 52],
                data_digest: 0,
            };
            // SAFETY: all of it is there.
            match unsafe { iscsi_session_transmit(self.session, &mut out) } {
                0 => return sent,
                answer => assert_eq!(answer, 1),
            }
            let (bhs, digest) = out.head[..out.head_length as usize].split_at(48);
            assert_eq!(digest, SoftCrc32c::append(0, bhs).to_le_bytes());
            let length = out.length as usize;
            let data = match out.payload {
                ISCSI_PAYLOAD_NONE => Vec::new(),
                ISCSI_PAYLOAD_TASK => {
                    let data = self.buffers[&out.token][out.offset as usize..][..length].to_vec();
                    let mut trailer = [0; 8];
                    // SAFETY: all of it is there.
                    let used = unsafe {
                        let crc = iscsi_crc32c(0, data.as_ptr(), data.len());
                        iscsi_trailer(out.length, out.data_digest, crc, &mut trailer)
                    };
                    let (pad, digest) = trailer[..used as usize].split_at(padding(length));
                    assert_eq!(digest, SoftCrc32c::append(SoftCrc32c::append(0, &data), pad).to_le_bytes());
                    data
                }
                // SAFETY: the core said so.
                ISCSI_PAYLOAD_CORE => unsafe { std::slice::from_raw_parts(out.core, length) }.to_vec(),
                other => panic!("payload {other}"),
            };
            sent.push(Pdu { bhs: *bhs.first_chunk().expect("48 bytes"), data });
        }
    }

    /// The target sends a PDU.
    pub(crate) fn arrives(&mut self, bhs: Bhs, data: &[u8]) -> i32 {
        self.feed(&on_the_wire(bhs, data))
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> i32 {
        for piece in bytes.chunks(self.cut.min(bytes.len())) {
            let mut rest = piece;
            while !rest.is_empty() {
                let mut plan = iscsi_receive_plan::default();
                // SAFETY: all of it is there.
                assert_eq!(unsafe { iscsi_session_receive_plan(self.session, &mut plan) }, ISCSI_OK);
                let (used, answer) = match plan.kind {
                    ISCSI_RECEIVE_HERE => {
                        let mut used = 0;
                        // SAFETY: all of it is there.
                        let answer = unsafe {
                            iscsi_session_received(self.session, self.now, rest.as_ptr(), rest.len(), &mut used)
                        };
                        (used, answer)
                    }
                    ISCSI_RECEIVE_PLACE => {
                        let used = rest.len().min(plan.length as usize);
                        let buffer = self.buffers.get_mut(&plan.token).expect("its buffer");
                        buffer[plan.offset as usize..][..used].copy_from_slice(&rest[..used]);
                        // SAFETY: all of it is there.
                        (used, unsafe { iscsi_session_placed(self.session, self.now, rest.as_ptr(), used) })
                    }
                    _ => return ISCSI_BROKEN,
                };
                if answer != ISCSI_OK {
                    return answer;
                }
                assert!(used > 0, "no progress");
                rest = &rest[used..];
            }
        }
        ISCSI_OK
    }

    pub(crate) fn next_stat_sn(&mut self) -> StatSn {
        self.stat_sn += 1;
        StatSn(self.stat_sn - 1)
    }

    /// SCSI Response with that status and sense data.
    pub(crate) fn responds(&mut self, itt: Itt, status: u8, sense: &[u8]) -> i32 {
        let bytes = self.responds_as_bytes(itt, status, sense);
        self.feed(&bytes)
    }

    pub(crate) fn responds_as_bytes(&mut self, itt: Itt, status: u8, sense: &[u8]) -> Vec<u8> {
        let stat_sn = self.next_stat_sn();
        let bhs = ScsiResponse {
            flags: FINAL,
            response: 0,
            status,
            itt,
            snack_tag: 0,
            stat_sn,
            exp_cmd_sn: CmdSn(10),
            max_cmd_sn: CmdSn(4096),
            exp_data_sn: DataSn(0),
            bidi_read_residual_count: 0,
            residual_count: 0,
        }
        .encode();
        let mut data = Vec::new();
        if !sense.is_empty() {
            data.extend((sense.len() as u16).to_be_bytes());
            data.extend(sense);
        }
        on_the_wire(bhs, &data)
    }

    /// Data-In with all of it and status GOOD.
    pub(crate) fn delivers(&mut self, itt: Itt, data: &[u8]) -> i32 {
        let bytes = self.delivers_as_bytes(itt, data);
        self.feed(&bytes)
    }

    pub(crate) fn delivers_as_bytes(&mut self, itt: Itt, data: &[u8]) -> Vec<u8> {
        let stat_sn = self.next_stat_sn();
        let bhs = DataIn {
            flags: FINAL | data_in_flags::STATUS,
            status: 0,
            lun: Lun(0),
            itt,
            ttt: iscsi_proto::ids::Ttt::RESERVED,
            stat_sn,
            exp_cmd_sn: CmdSn(10),
            max_cmd_sn: CmdSn(4096),
            data_sn: DataSn(0),
            buffer_offset: 0,
            residual_count: 0,
        }
        .encode();
        on_the_wire(bhs, data)
    }

    pub(crate) fn answers_function(&mut self, itt: Itt, response: u8) -> i32 {
        let stat_sn = self.next_stat_sn();
        let (exp_cmd_sn, max_cmd_sn) = (CmdSn(10), CmdSn(4096));
        self.arrives(
            TaskManagementResponse { flags: FINAL, response, itt, stat_sn, exp_cmd_sn, max_cmd_sn }.encode(),
            &[],
        )
    }

    pub(crate) fn event(&mut self) -> Option<iscsi_event> {
        let mut event = std::mem::MaybeUninit::uninit();
        // SAFETY: with 1, it was written.
        match unsafe { iscsi_session_event(self.session, event.as_mut_ptr()) } {
            0 => None,
            answer => {
                assert_eq!(answer, 1);
                // SAFETY: it was.
                Some(unsafe { event.assume_init() })
            }
        }
    }

    pub(crate) fn events(&mut self) -> Vec<iscsi_event> {
        std::iter::from_fn(|| self.event()).collect()
    }

    pub(crate) fn tick(&mut self) -> i32 {
        // SAFETY: it is a session.
        unsafe { iscsi_session_tick(self.session, self.now) }
    }

    pub(crate) fn deadline(&self) -> u64 {
        // SAFETY: it is a session.
        unsafe { iscsi_session_deadline(self.session) }
    }

    pub(crate) fn lost(&mut self) {
        // SAFETY: it is a session.
        assert_eq!(unsafe { iscsi_session_lost(self.session, self.now) }, ISCSI_OK);
    }

    pub(crate) fn reinstate(&mut self, hold: u32) -> i32 {
        self.stat_sn = 100;
        // SAFETY: all of it is there.
        unsafe { iscsi_session_reinstate(self.session, &handoff(), hold, self.now) }
    }

    pub(crate) fn overdue(&mut self, tag: u64) -> i32 {
        // SAFETY: it is a session.
        unsafe { iscsi_session_overdue(self.session, tag, self.now) }
    }

    pub(crate) fn fence(&mut self, lun: [u8; 8], fence: u32) -> i32 {
        // SAFETY: all of it is there.
        unsafe { iscsi_session_fence(self.session, &lun, fence) }
    }

    pub(crate) fn manage(&mut self, function: u32, tag: u64, token: u64) -> i32 {
        // SAFETY: all of it is there.
        unsafe { iscsi_session_manage(self.session, function, &LUN, tag, token, self.now) }
    }

    pub(crate) fn wants_transmit(&self) -> bool {
        // SAFETY: it is a session.
        unsafe { iscsi_session_wants_transmit(self.session) == 1 }
    }

    pub(crate) fn reason(&self) -> String {
        let mut text = [0u8; 200];
        // SAFETY: all of it is there.
        let used = unsafe { iscsi_session_reason(self.session, text.as_mut_ptr().cast(), text.len()) };
        assert_eq!(text[used], 0);
        String::from_utf8(text[..used].to_vec()).expect("UTF-8")
    }

    pub(crate) fn state(&self) -> iscsi_state {
        let mut state = std::mem::MaybeUninit::uninit();
        // SAFETY: with OK, it was written.
        unsafe {
            assert_eq!(iscsi_session_state(self.session, state.as_mut_ptr()), ISCSI_OK);
            state.assume_init()
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // SAFETY: it is a session until the last of these.
        unsafe {
            assert_eq!(iscsi_session_give_up(self.session, self.now), ISCSI_OK);
            if std::thread::panicking() {
                return;
            }
            self.events();
            assert_eq!(iscsi_session_destroy(self.session), ISCSI_OK, "commands were left");
        }
    }
}

/// A PDU with its digests.
fn on_the_wire(mut bhs: Bhs, data: &[u8]) -> Vec<u8> {
    set_lengths(&mut bhs, 0, data.len() as u32);
    let mut bytes = bhs.to_vec();
    bytes.extend(SoftCrc32c::append(0, &bhs).to_le_bytes());
    if !data.is_empty() {
        let padded = [data, &[0; 3][..padding(data.len())]].concat();
        bytes.extend(&padded);
        bytes.extend(SoftCrc32c::append(0, &padded).to_le_bytes());
    }
    bytes
}
