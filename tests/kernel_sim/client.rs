//! A user client of the extension in its harness: the calls a daemon makes, over a Unix socket.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytemuck::{AnyBitPattern, NoUninit, bytes_of, pod_read_unaligned};
pub(crate) use iscsi_kext_messages::harness::*;
pub(crate) use iscsi_kext_messages::io_return::*;
use iscsi_kext_messages::*;
use iscsi_proto::handoff::Handoff;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::common::process::eventually;

/// How long an answer may take; the escalation by task management comes first.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a task came to.
pub(crate) trait Ended {
    /// Sense key and additional code of a CHECK CONDITION.
    fn check(&self) -> Option<(u8, u16)>;
    /// Whether the unit answered with GOOD.
    fn is_good(&self) -> bool;
}

impl Ended for FrameTasked {
    fn check(&self) -> Option<(u8, u16)> {
        let additional = u16::from_be_bytes([self.sense[12], self.sense[13]]);
        (self.response == FRAME_COMPLETE && self.status == 2 && self.sense_length >= 14)
            .then_some((self.sense[2] & 0x0f, additional))
    }

    fn is_good(&self) -> bool {
        self.response == FRAME_COMPLETE && self.status == 0
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

    fn receive(&mut self) -> io::Result<(FrameAnswer, Vec<u8>)> {
        let mut head = [0; size_of::<FrameAnswer>()];
        self.stream.read_exact(&mut head)?;
        let answer: FrameAnswer = pod_read_unaligned(&head);
        let mut data = vec![0; answer.length as usize];
        self.stream.read_exact(&mut data)?;
        Ok((answer, data))
    }

    /// Makes a call with any bytes and descriptors.
    pub(crate) fn call(&mut self, selector: u32, input: &[u8], output: u32, pass: &[RawFd]) -> (Code, Vec<u8>) {
        let id = self.begin(selector, input, output, pass);
        self.end_of(id)
    }

    /// Makes a call without waiting for its answer; its name for [`end_of`](Self::end_of).
    pub(crate) fn begin(&mut self, selector: u32, input: &[u8], output: u32, pass: &[RawFd]) -> u64 {
        self.next += 1;
        let request = FrameRequest { magic: FRAME_MAGIC, selector, input: input.len() as u32, output, id: self.next };
        let rights = [ControlMessage::ScmRights(pass)];
        let control = if pass.is_empty() { &[] } else { &rights[..] };
        let part = [IoSlice::new(bytes_of(&request))];
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &part, control, MsgFlags::MSG_NOSIGNAL, None).expect("sent");
        assert_eq!(sent, size_of::<FrameRequest>());
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

    fn take(&mut self, answer: FrameAnswer, data: Vec<u8>) {
        match answer.kind {
            FRAME_ANSWER => {
                let call = self.answers.get_mut(&answer.id).expect("an answer to a call");
                assert!(call.replace((answer.result, data)).is_none(), "a call is answered twice");
            }
            _ => self.notices.push_back(pod_read_unaligned(&data)),
        }
    }

    /// Issues a task through the SCSI stack.
    pub(crate) fn begin_task(&mut self, task: &FrameTask, data: &[u8]) -> u64 {
        let room = if task.direction == FRAME_FROM_TARGET { task.length } else { 0 };
        self.begin(FRAME_TASK, &[bytes_of(task), data].concat(), size_of::<FrameTasked>() as u32 + room, &[])
    }

    /// How it ended, and its data.
    pub(crate) fn task_end(&mut self, id: u64) -> (FrameTasked, Vec<u8>) {
        let (code, mut out) = self.end_of(id);
        assert_eq!(code, SUCCESS);
        let data = out.split_off(size_of::<FrameTasked>());
        (pod_read_unaligned(&out), data)
    }

    /// Issues a task and waits for its end.
    pub(crate) fn task(&mut self, task: &FrameTask, data: &[u8]) -> (FrameTasked, Vec<u8>) {
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
        let input = IscsiReplaceIn { session, descriptor: 0, flags, handoff: (&connection.handoff).into() };
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
        self.tell(ISCSI_LOGOUT, &IscsiLogoutIn { session, reason: 0 }).expect("a connection");
        // istgt closes the connection without an answer at times.
        self.notice_of(&[ISCSI_NOTICE_LOGGED_OUT, ISCSI_NOTICE_CONNECTION_LOST]);
        self.remove(session, ISCSI_REMOVE_ALL).expect("a session");
    }

    pub(crate) fn units(&mut self) -> Vec<FrameUnit> {
        let (code, data) = self.call(FRAME_UNITS, &[], 0, &[]);
        assert_eq!(code, SUCCESS);
        data.chunks_exact(size_of::<FrameUnit>()).map(pod_read_unaligned).collect()
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
    IscsiCreateIn { spec: spec(), handoff: handoff.into(), descriptor: 0, flags, reserved: 0 }
}
