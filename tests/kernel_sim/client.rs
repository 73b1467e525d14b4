//! A user client of the extension in its harness: the calls a daemon makes, over a Unix socket.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable, bytes_of, pod_read_unaligned};
use iscsi_kext_messages::*;
use iscsi_proto::handoff::Handoff;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::common::process::eventually;

/// IOReturn, as a number.
pub(crate) type Code = u32;
pub(crate) const SUCCESS: Code = 0;
pub(crate) const NO_MEMORY: Code = 0xe000_02bd;
pub(crate) const NO_RESOURCES: Code = 0xe000_02be;
pub(crate) const BAD_ARGUMENT: Code = 0xe000_02c2;
pub(crate) const EXCLUSIVE_ACCESS: Code = 0xe000_02c5;
pub(crate) const UNSUPPORTED: Code = 0xe000_02c7;
pub(crate) const NOT_READY: Code = 0xe000_02d8;
pub(crate) const NOT_ATTACHED: Code = 0xe000_02d9;
pub(crate) const NOT_PERMITTED: Code = 0xe000_02e2;
pub(crate) const NOT_FOUND: Code = 0xe000_02f0;

const MAGIC: u32 = 0x6953_6b31;
/// The harness's own selectors.
pub(crate) const UNITS: u32 = 0x8000;
pub(crate) const UNLOAD: u32 = 0x8001;
pub(crate) const FAIL_ALLOCATION: u32 = 0x8002;
pub(crate) const CLOSE: u32 = 0x8003;
pub(crate) const TASK: u32 = 0x8005;

/// How long an answer may take; the ladder of task management goes before that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Request {
    magic: u32,
    selector: u32,
    input: u32,
    output: u32,
    id: u64,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Answer {
    kind: u32,
    result: u32,
    id: u64,
    length: u32,
    reserved: u32,
}

/// A disk that the SCSI stack has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Unit {
    pub(crate) target: u64,
    pub(crate) blocks: u64,
    pub(crate) number: u32,
    pub(crate) block_size: u32,
}

/// A task for the SCSI stack; the data that go to the target follow.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Task {
    pub(crate) target: u64,
    pub(crate) lun: [u8; 8],
    pub(crate) cdb: [u8; 16],
    /// 1 from the target, 2 to it.
    pub(crate) direction: u32,
    pub(crate) length: u32,
}

/// How it ended; the data that came follow.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Tasked {
    /// 0: with a status.
    pub(crate) response: u32,
    pub(crate) status: u32,
    pub(crate) realized: u64,
    pub(crate) sense_length: u32,
    pub(crate) sense: [u8; 100],
}

impl Tasked {
    /// Sense key and additional code of a CHECK CONDITION.
    pub(crate) fn check(&self) -> Option<(u8, u16)> {
        let additional = u16::from_be_bytes([self.sense[12], self.sense[13]]);
        (self.response == 0 && self.status == 2 && self.sense_length >= 14)
            .then_some((self.sense[2] & 0x0f, additional))
    }

    pub(crate) fn is_good(&self) -> bool {
        self.response == 0 && self.status == 0
    }
}

pub(crate) struct Client {
    stream: UnixStream,
    next: u64,
    /// Calls whose answer nobody has waited for yet.
    answers: BTreeMap<u64, Option<(Code, Vec<u8>)>>,
    notices: VecDeque<IscsiNotice>,
}

impl Client {
    /// A user client that has said nothing yet.
    pub(crate) fn open(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).expect("the harness");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Client { stream, next: 0, answers: BTreeMap::new(), notices: VecDeque::new() }
    }

    /// One that has said hello, and listens.
    pub(crate) fn daemon(socket: &Path) -> Client {
        let mut client = Client::open(socket);
        let hello: IscsiHelloOut = client.ask(ISCSI_HELLO, &hello()).expect("hello");
        assert_eq!((hello.version, hello.accepted), (ISCSI_KEXT_VERSION, 1));
        client.tell(ISCSI_LISTEN, &IscsiListenIn { reserved: 0 }).expect("nobody else listens");
        client
    }

    fn receive(&mut self) -> io::Result<(Answer, Vec<u8>)> {
        let mut head = [0; size_of::<Answer>()];
        self.stream.read_exact(&mut head)?;
        let answer: Answer = pod_read_unaligned(&head);
        let mut data = vec![0; answer.length as usize];
        self.stream.read_exact(&mut data)?;
        Ok((answer, data))
    }

    /// Makes a call with whatever bytes and descriptors.
    pub(crate) fn call(&mut self, selector: u32, input: &[u8], output: u32, pass: &[RawFd]) -> (Code, Vec<u8>) {
        let id = self.begin(selector, input, output, pass);
        self.end_of(id)
    }

    /// Makes a call without waiting for its answer; its name for [`end_of`](Self::end_of).
    pub(crate) fn begin(&mut self, selector: u32, input: &[u8], output: u32, pass: &[RawFd]) -> u64 {
        self.next += 1;
        let request = Request { magic: MAGIC, selector, input: input.len() as u32, output, id: self.next };
        let rights = [ControlMessage::ScmRights(pass)];
        let control = if pass.is_empty() { &[] } else { &rights[..] };
        let part = [IoSlice::new(bytes_of(&request))];
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &part, control, MsgFlags::MSG_NOSIGNAL, None).expect("sent");
        assert_eq!(sent, size_of::<Request>());
        self.stream.write_all(input).expect("sent");
        self.answers.insert(self.next, None);
        self.next
    }

    /// Waits for the answer to that call.
    pub(crate) fn end_of(&mut self, id: u64) -> (Code, Vec<u8>) {
        loop {
            if let Some(Some(_)) = self.answers.get(&id) {
                return self.answers.remove(&id).flatten().expect("it is there");
            }
            let (answer, data) = self.receive().expect("an answer");
            self.take(answer, data);
        }
    }

    fn take(&mut self, answer: Answer, data: Vec<u8>) {
        match answer.kind {
            0 => {
                let call = self.answers.get_mut(&answer.id).expect("an answer to a call");
                assert!(call.replace((answer.result, data)).is_none(), "a call is answered twice");
            }
            _ => self.notices.push_back(pod_read_unaligned(&data)),
        }
    }

    /// Issues a task through the SCSI stack.
    pub(crate) fn begin_task(&mut self, task: &Task, data: &[u8]) -> u64 {
        let room = if task.direction == 1 { task.length } else { 0 };
        self.begin(TASK, &[bytes_of(task), data].concat(), size_of::<Tasked>() as u32 + room, &[])
    }

    /// How it ended, and its data.
    pub(crate) fn task_end(&mut self, id: u64) -> (Tasked, Vec<u8>) {
        let (code, mut out) = self.end_of(id);
        assert_eq!(code, SUCCESS);
        let data = out.split_off(size_of::<Tasked>());
        (pod_read_unaligned(&out), data)
    }

    /// Issues a task and waits for its end.
    pub(crate) fn task(&mut self, task: &Task, data: &[u8]) -> (Tasked, Vec<u8>) {
        let id = self.begin_task(task, data);
        self.task_end(id)
    }

    /// A call that answers with a struct.
    pub(crate) fn ask<Out: AnyBitPattern>(&mut self, selector: u32, input: &impl NoUninit) -> Result<Out, Code> {
        match self.call(selector, bytes_of(input), size_of::<Out>() as u32, &[]) {
            (SUCCESS, data) => Ok(pod_read_unaligned(&data)),
            (code, _) => Err(code),
        }
    }

    /// A call that answers with success, or not.
    pub(crate) fn tell(&mut self, selector: u32, input: &impl NoUninit) -> Result<(), Code> {
        match self.call(selector, bytes_of(input), 0, &[]).0 {
            SUCCESS => Ok(()),
            code => Err(code),
        }
    }

    /// The next notice of that kind; others before it are forgotten.
    pub(crate) fn notice(&mut self, kind: u32) -> IscsiNotice {
        self.notice_of(&[kind])
    }

    /// The next notice of one of these kinds.
    fn notice_of(&mut self, kinds: &[u32]) -> IscsiNotice {
        loop {
            while let Some(notice) = self.notices.pop_front() {
                if kinds.contains(&notice.kind) {
                    return notice;
                }
            }
            let (answer, data) = self.receive().unwrap_or_else(|error| panic!("no notice of {kinds:?}: {error}"));
            self.take(answer, data);
        }
    }

    /// Hands a connection over.
    pub(crate) fn create(&mut self, connection: &Connection, flags: u32) -> Result<IscsiCreateOut, Code> {
        let input = create_in(&connection.handoff, flags);
        let pass = [connection.stream.as_raw_fd()];
        match self.call(ISCSI_CREATE, bytes_of(&input), size_of::<IscsiCreateOut>() as u32, &pass) {
            (SUCCESS, data) => Ok(pod_read_unaligned(&data)),
            (code, _) => Err(code),
        }
    }

    /// Goes on over another one.
    pub(crate) fn replace(&mut self, session: u32, connection: &Connection, flags: u32) -> Result<(), Code> {
        let input = IscsiReplaceIn { session, descriptor: 0, flags, handoff: message(&connection.handoff) };
        match self.call(ISCSI_REPLACE, bytes_of(&input), 0, &[connection.stream.as_raw_fd()]).0 {
            SUCCESS => Ok(()),
            code => Err(code),
        }
    }

    pub(crate) fn remove(&mut self, session: u32, what: u32) -> Result<(), Code> {
        self.tell(ISCSI_REMOVE, &IscsiRemoveIn { session, what })
    }

    pub(crate) fn statistics(&mut self, session: u32) -> Result<IscsiStatisticsOut, Code> {
        self.ask(ISCSI_STATISTICS, &of(session))
    }

    pub(crate) fn sessions(&mut self) -> Vec<IscsiSessionInfo> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |info: &IscsiSessionInfo| info.session);
            let part: IscsiSessionsOut =
                self.ask(ISCSI_SESSIONS, &IscsiSessionsIn { after, reserved: 0 }).expect("the sessions");
            all.extend_from_slice(&part.sessions[..part.count as usize]);
            if part.more == 0 {
                return all;
            }
        }
    }

    /// A command of the daemon: what it came to, and its data.
    pub(crate) fn execute(
        &mut self,
        session: u32,
        cdb: &[u8],
        length: u32,
        timeout: u32,
    ) -> Result<(IscsiExecuteOut, Vec<u8>), Code> {
        let mut padded = [0; 16];
        padded[..cdb.len()].copy_from_slice(cdb);
        let input = IscsiExecuteIn { session, timeout, lun: [0; 8], cdb: padded, length, reserved: 0 };
        let head = size_of::<IscsiExecuteOut>();
        match self.call(ISCSI_EXECUTE, bytes_of(&input), head as u32 + length, &[]) {
            (SUCCESS, data) => Ok((pod_read_unaligned(&data[..head]), data[head..].to_vec())),
            (code, _) => Err(code),
        }
    }

    /// Logs out and ends the session, as a daemon does.
    pub(crate) fn log_out(&mut self, session: u32) {
        eventually("the units go", PATIENCE, || self.remove(session, ISCSI_REMOVE_UNITS).ok());
        self.notices.clear();
        let logout = IscsiSendIn { session, kind: ISCSI_SEND_LOGOUT, reason: 0, length: 0 };
        self.tell(ISCSI_SEND, &logout).expect("a connection");
        // istgt closes the connection without an answer at times.
        self.notice_of(&[ISCSI_NOTICE_LOGGED_OUT, ISCSI_NOTICE_CONNECTION_LOST]);
        self.remove(session, ISCSI_REMOVE_ALL).expect("a session");
    }

    pub(crate) fn units(&mut self) -> Vec<Unit> {
        let (code, data) = self.call(UNITS, &[], 0, &[]);
        assert_eq!(code, SUCCESS);
        data.chunks_exact(size_of::<Unit>()).map(pod_read_unaligned).collect()
    }
}

/// A connection that has logged in.
pub(crate) struct Connection {
    pub(crate) handoff: Handoff,
    pub(crate) stream: std::net::TcpStream,
}

pub(crate) fn hello() -> IscsiHelloIn {
    IscsiHelloIn { version: ISCSI_KEXT_VERSION, handoff_version: ISCSI_HANDOFF_VERSION }
}

pub(crate) fn of(session: u32) -> IscsiSessionIn {
    IscsiSessionIn { session, reserved: 0 }
}

pub(crate) fn spec() -> IscsiSpec {
    let mut target = [0; ISCSI_NAME_LENGTH];
    target[..crate::TARGET.len()].copy_from_slice(crate::TARGET.as_bytes());
    IscsiSpec { target, depth: 64, ping_interval: 5000, ping_timeout: 5000, replacement_timeout: 120_000 }
}

pub(crate) fn create_in(handoff: &Handoff, flags: u32) -> IscsiCreateIn {
    IscsiCreateIn { spec: spec(), handoff: message(handoff), descriptor: 0, flags, reserved: 0 }
}

pub(crate) fn message(handoff: &Handoff) -> IscsiHandoff {
    let Handoff { version, cmd_sn, exp_stat_sn, max_cmd_sn, first_burst_length, max_burst_length, .. } = *handoff;
    let Handoff { max_recv_data_segment_length, max_send_data_segment_length, tsih, cid, .. } = *handoff;
    let Handoff { max_outstanding_r2t, default_time2wait, default_time2retain, target_portal_group_tag, .. } = *handoff;
    let Handoff { isid, header_digest, data_digest, initial_r2t, immediate_data, error_recovery_level, .. } = *handoff;
    IscsiHandoff {
        version,
        cmd_sn,
        exp_stat_sn,
        max_cmd_sn,
        first_burst_length,
        max_burst_length,
        max_recv_data_segment_length,
        max_send_data_segment_length,
        tsih,
        cid,
        max_outstanding_r2t,
        default_time2wait,
        default_time2retain,
        target_portal_group_tag,
        isid,
        header_digest,
        data_digest,
        initial_r2t,
        immediate_data,
        error_recovery_level,
        reserved: [0; 5],
    }
}
