//! What the driver knows, and what it may rely on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arbitrary::Unstructured;
use iscsi_proto::digest::SoftCrc32c;
use iscsi_proto::error::Error;
use iscsi_proto::handoff::{ConnectionParams, Handoff, SessionParams};
use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::{Bhs, LogoutReason, TaskAttribute, TaskFunction, TaskFunctionResponse};
use iscsi_proto::reissue::{Replay, replay};
use iscsi_proto::session::{
    Command, Data, Event, Outcome, PingTimers, Residual, RxPlan, Session, SessionConfig, TaskResult,
};
use iscsi_proto::sn::{CmdSn, StatSn};
use iscsi_proto::time::{Duration, Instant};
use iscsi_proto::tmf::Manage;

use crate::sentence::sentence;

/// Control PDUs that a session has room for beside its commands, and beside a ping that waits to be sent.
const CONTROL: usize = 15;

/// Bytes of text that the target may answer.
const LIMIT: usize = 64 << 10;

/// An R2T that was sent: what we may answer it with.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ttt: Ttt,
    pub(super) lun: Lun,
    pub(super) next: u32,
    pub(super) end: u32,
    pub(super) data_sn: u32,
}

/// A command that has not retired.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) command: Command,
    pub(super) order: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) ended: bool,
    /// Its header and number, where it has been sent over this connection and is under way.
    pub(super) sent: Option<(Bhs, CmdSn)>,
    /// Bytes placed over this connection, and Data-In taken.
    pub(super) placed: u32,
    pub(super) data_in: u32,
    /// Unsolicited Data-Out: where the next one starts, where they end, the next one's number.
    pub(super) unsolicited: (u32, u32, u32),
    /// Up to where data was asked for or may come unasked; R2Ts sent, and those not answered in full.
    pub(super) solicited: u32,
    pub(super) r2ts: u32,
    pub(super) asked: VecDeque<Asked>,
}

impl Task {
    pub(super) fn under_way(&self) -> bool {
        self.sent.is_some() && !self.ended
    }
}

/// The driver's side.
pub(super) struct Model {
    pub(super) session: Session<SoftCrc32c>,
    pub(super) params: SessionParams,
    pub(super) connection: ConnectionParams,
    depth: usize,
    pub(super) now: Instant,
    pub(super) tasks: BTreeMap<u32, Task>,
    submitted: u64,
    /// All tags that were ever given out.
    tags: BTreeSet<u32>,
    pub(super) manages: BTreeMap<u32, (Manage, bool)>,
    /// The text exchange under way, and whether it has been sent.
    pub(super) text: Option<(u32, bool)>,
    pub(super) pings: BTreeSet<u32>,
    pub(super) logouts: BTreeMap<u32, bool>,
    /// Answers to pings of the target that have not been sent.
    pub(super) pongs: VecDeque<(Lun, Ttt, Vec<u8>)>,

    // The connection.
    /// It can be used: nothing has gone wrong, no logout was answered.
    pub(super) up: bool,
    lost: bool,
    /// No other connection follows.
    over: bool,
    pub(super) logged_out: bool,
    pub(super) held: bool,
    /// Asynchronous messages and rejects over this connection.
    pub(super) unasked: u32,
    /// See the module above.
    pub(super) wild: bool,
    pub(super) stat_sn: StatSn,
    pub(super) next_cmd_sn: CmdSn,
    /// The last number that the target has ever allowed.
    pub(super) max_cmd_sn: CmdSn,
    pub(super) last_order: u64,
    pub(super) ttt: u32,
    /// How often the target may still say much of the same: it takes its time.
    pub(super) floods: u8,
    arrived: Vec<u8>,
    chunk: usize,
}

/// What stands in byte `at` of the data of a read.
pub(super) fn pattern(itt: Itt, at: u32) -> u8 {
    (itt.0.wrapping_mul(31) ^ at.wrapping_mul(7) ^ at >> 8) as u8 | 1
}

impl Model {
    pub(super) fn new(u: &mut Unstructured<'_>, handoff: &Handoff) -> arbitrary::Result<Model> {
        let depth = u.int_in_range(1..=8)?;
        let timer = |u: &mut Unstructured<'_>| {
            let millis = *u.choose(&[None, Some(1), Some(5000)])?;
            arbitrary::Result::Ok(millis.map(Duration::from_millis))
        };
        let pings = PingTimers { interval: timer(u)?, timeout: timer(u)? };
        let session = Session::from_handoff(handoff, SessionConfig { depth, pings }, Instant::ZERO).expect("a handoff");
        let (params, connection) = handoff.params().expect("a handoff");
        Ok(Model {
            session,
            params,
            connection,
            depth: depth.into(),
            now: Instant::ZERO,
            tasks: BTreeMap::new(),
            submitted: 0,
            tags: BTreeSet::new(),
            manages: BTreeMap::new(),
            text: None,
            pings: BTreeSet::new(),
            logouts: BTreeMap::new(),
            pongs: VecDeque::new(),
            up: true,
            lost: false,
            over: false,
            logged_out: false,
            held: false,
            unasked: 0,
            wild: false,
            stat_sn: connection.exp_stat_sn,
            next_cmd_sn: params.cmd_sn,
            max_cmd_sn: params.max_cmd_sn,
            last_order: 0,
            ttt: 0,
            floods: 3,
            arrived: Vec::new(),
            chunk: *u.choose(&[usize::MAX, 1, 7, 48, 600])?,
        })
    }

    pub(super) fn note_tag(&mut self, itt: Itt) {
        assert!(itt != Itt::RESERVED && self.tags.insert(itt.0), "the tag {itt:?} a second time");
    }

    pub(super) fn knows(&self, itt: Itt) -> bool {
        let text = self.text.is_some_and(|(text, _)| text == itt.0);
        let others = self.manages.contains_key(&itt.0) || self.logouts.contains_key(&itt.0);
        text || others || self.pings.contains(&itt.0) || self.tasks.contains_key(&itt.0)
    }

    fn controls(&self) -> usize {
        self.manages.len() + usize::from(self.text.is_some()) + self.pings.len() + self.logouts.len()
    }

    /// A tag out of those the target could know of, mostly one that is under way.
    pub(super) fn pick(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Itt> {
        let any: Vec<u32> = match u.int_in_range(0..=9)? {
            0 => self.tasks.keys().copied().collect(),
            1 => self.tags.iter().copied().collect(),
            2 => return Ok(Itt(u.arbitrary()?)),
            _ => self.tasks.iter().filter(|(_, task)| task.under_way()).map(|(itt, _)| *itt).collect(),
        };
        match any.is_empty() {
            true => Ok(Itt(0)),
            false => Ok(Itt(*u.choose(&any)?)),
        }
    }

    // What the driver does.

    pub(super) fn submit(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let length = |u: &mut Unstructured<'_>| {
            arbitrary::Result::Ok(match u.int_in_range(0..=3)? {
                0 => *u.choose(&[0, 1, 3, 511, 512, 513, 1024])?,
                _ => u.int_in_range(0..=12_000)?,
            })
        };
        let data = match u.int_in_range(0..=4)? {
            0 => Data::None,
            1 | 2 => Data::In(length(u)?),
            _ => Data::Out(length(u)?),
        };
        let mut cdb = [0; 16];
        // A write, a read, TEST UNIT READY: sent again after a loss. RESERVE, START STOP UNIT: never.
        cdb[0] = *u.choose(&[0x8a, 0x88, 0x00, 0x16, 0x1b])?;
        cdb[15] = u.arbitrary()?;
        let lun = Lun(u64::from(u.int_in_range::<u8>(0..=2)?) << 48);
        let command = Command { lun, cdb, attribute: TaskAttribute::Simple, data };
        let room = self.session.room();
        assert!(room + self.session.in_flight() <= self.depth);
        // What is not a command's own has 16 slots of its own; a target cannot take more of them.
        let spare = CONTROL.saturating_sub(self.controls());
        assert!(self.wild || spare == 0 || room + self.session.in_flight() == self.depth);
        match self.session.submit(command) {
            Ok(itt) => {
                assert!(room > 0);
                self.note_tag(itt);
                self.submitted += 1;
                let byte = |at: u32| match data {
                    Data::Out(_) => pattern(itt, at),
                    Data::In(_) | Data::None => 0,
                };
                let task = Task {
                    command,
                    order: self.submitted,
                    buffer: (0..data.len()).map(byte).collect(),
                    ended: false,
                    sent: None,
                    placed: 0,
                    data_in: 0,
                    unsolicited: (0, 0, 0),
                    solicited: 0,
                    r2ts: 0,
                    asked: VecDeque::new(),
                };
                self.tasks.insert(itt.0, task);
            }
            Err(error) => {
                sentence(error);
                assert_eq!(room, 0, "there is room, and yet there is not");
            }
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        if u.ratio(1, 8)? {
            for itt in self.tasks.keys() {
                self.session.cancel(Itt(*itt));
            }
            self.events();
            assert!(self.wild || self.tasks.values().all(|task| task.ended || task.sent.is_some()), "some still wait");
            return Ok(());
        }
        let itt = self.pick(u)?;
        let unsent = self.tasks.get(&itt.0).is_some_and(|task| !task.ended && task.sent.is_none());
        let cancelled = self.session.cancel(itt);
        assert!(self.wild || cancelled == unsent);
        self.events();
        assert!(!cancelled || self.tasks.get(&itt.0).is_some_and(|task| task.ended));
        Ok(())
    }

    pub(super) fn manage(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let lun = Lun(u64::from(u.int_in_range::<u8>(0..=2)?) << 48);
        let what = match u.int_in_range(0..=6)? {
            0 => Manage::AbortTaskSet(lun),
            1 => Manage::LogicalUnitReset(lun),
            2 => Manage::TargetWarmReset,
            3 => Manage::TargetColdReset,
            _ => Manage::AbortTask(self.pick(u)?),
        };
        let possible = match what {
            Manage::AbortTask(itt) => self.tasks.get(&itt.0).is_some_and(Task::under_way),
            _ => true,
        };
        match self.session.manage(what) {
            Ok(itt) => {
                assert!(possible || self.wild);
                self.note_tag(itt);
                self.manages.insert(itt.0, (what, false));
            }
            Err(error) => {
                sentence(error);
                assert!(!possible || self.wild || self.controls() >= CONTROL);
            }
        }
        Ok(())
    }

    pub(super) fn text(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let length = u.int_in_range(0..=600)?;
        let fits = length <= self.connection.max_send_data_segment_length as usize;
        let free = self.text.is_none();
        match self.session.text(vec![b'k'; length], LIMIT) {
            Ok(itt) => {
                assert!(free && fits && self.up && !self.logged_out);
                self.note_tag(itt);
                self.text = Some((itt.0, false));
            }
            Err(error) => {
                sentence(error);
                let up = self.up && !self.logged_out;
                assert!(!up || !free || !fits || self.wild || self.controls() >= CONTROL);
            }
        }
        Ok(())
    }

    pub(super) fn logout(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let reason = LogoutReason::from(u.int_in_range(0..=2)?);
        match self.session.logout(reason) {
            Ok(itt) => {
                assert!(self.up && !self.logged_out);
                self.note_tag(itt);
                self.logouts.insert(itt.0, false);
            }
            Err(error) => {
                sentence(error);
                assert!(!self.up || self.logged_out || self.wild || self.controls() >= CONTROL);
            }
        }
        Ok(())
    }

    pub(super) fn retire(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let ended: Vec<u32> = self.tasks.iter().filter(|(_, task)| task.ended).map(|(itt, _)| *itt).collect();
        if ended.is_empty() || u.ratio(1, 8)? {
            let itt = self.pick(u)?;
            if !self.tasks.get(&itt.0).is_some_and(|task| task.ended) {
                sentence(self.session.retire(itt).expect_err("it has not ended"));
            }
            return Ok(());
        }
        let itt = *u.choose(&ended)?;
        self.session.retire(Itt(itt)).expect("it has ended");
        self.tasks.remove(&itt);
        Ok(())
    }

    pub(super) fn time(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        self.now = self.now + Duration::from_millis(*u.choose(&[0, 1, 10, 4999, 5000, 60_000])?);
        let due = self.session.poll_timeout().is_some_and(|at| at <= self.now);
        match self.session.handle_timeout(self.now) {
            Ok(()) => {
                let next = self.session.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now), "it would be called again and again");
            }
            Err(error) => {
                assert!(due, "dead before its time");
                sentence(error);
                self.broken();
            }
        }
        Ok(())
    }

    pub(super) fn broken(&mut self) {
        self.up = false;
        assert_eq!(self.session.rx_plan(), RxPlan::Stop);
    }

    pub(super) fn lose(&mut self) {
        self.session.connection_lost();
        self.up = false;
        self.lost = true;
        self.arrived.clear();
        self.pings.clear();
        self.pongs.clear();
        self.logouts.clear();
        self.events();
        assert!(self.manages.is_empty() && self.text.is_none(), "it will never be answered");
        assert!(self.tasks.values().all(|task| task.ended), "a command has not ended");
        assert_eq!(self.session.rx_plan(), RxPlan::Stop);
        assert!(self.session.poll_timeout().is_none());
    }

    pub(super) fn reinstate(&mut self, handoff: &Handoff) {
        if self.up {
            sentence(self.session.reinstate(handoff, self.now).expect_err("the connection is up"));
        }
        if !self.lost {
            self.lose();
        }
        self.session.reinstate(handoff, self.now).expect("a handoff");
        (self.params, self.connection) = handoff.params().expect("a handoff");
        (self.up, self.lost, self.logged_out, self.held, self.wild) = (true, false, false, false, false);
        self.unasked = 0;
        self.stat_sn = self.connection.exp_stat_sn;
        self.next_cmd_sn = self.params.cmd_sn;
        self.max_cmd_sn = self.params.max_cmd_sn;
        self.last_order = 0;
    }

    pub(super) fn give_up(&mut self) {
        self.session.give_up();
        self.over = true;
        self.lose();
        self.over = false;
    }

    /// The end: everything ends, everything retires, nothing is left.
    pub(super) fn end(&mut self) {
        self.give_up();
        for itt in std::mem::take(&mut self.tasks).into_keys() {
            self.session.retire(Itt(itt)).expect("it has ended");
        }
        assert_eq!((self.session.in_flight(), self.session.room()), (0, self.depth));
        assert!(!self.session.wants_to_transmit() && self.session.poll_event().is_none());
    }

    // What happens.

    /// Takes all events. Says whether that task was among those that ended.
    pub(super) fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::TaskDone { itt, result } => self.task_done(itt, result),
                Event::ManageDone { itt, function, response } => {
                    let (what, _) = self.manages.remove(&itt.0).expect("one that was requested and has not ended");
                    assert_eq!(what.function(), function);
                    if let Manage::AbortTask(aborted) = what
                        && (function, response) == (TaskFunction::AbortTask, Some(TaskFunctionResponse::Complete))
                    {
                        let ended = self.tasks.get(&aborted.0).is_none_or(|task| task.ended);
                        assert!(ended || self.held || self.wild, "aborted, and has not ended");
                    }
                }
                Event::TextDone { itt, .. } => {
                    assert_eq!(self.text.take().map(|(itt, _)| itt), Some(itt.0));
                }
                Event::LoggedOut { .. } => self.broken(),
                Event::UnitReport { sense, .. } => assert!(sense.len() <= 1 << 16),
                _ => {}
            }
        }
    }

    fn task_done(&mut self, itt: Itt, result: TaskResult) {
        let wild = self.wild;
        let task = self.tasks.get_mut(&itt.0).expect("a command that has not retired");
        assert!(!task.ended, "{itt:?} ended twice");
        task.ended = true;
        let expected = task.command.data.len();
        assert!(result.transferred <= expected);
        if let Outcome::Lost { again } = result.outcome {
            let harmless = task.sent.is_none() || replay(task.command.cdb[0]) == Replay::Again;
            // One that the target refused because it wants a logout has not begun.
            let refused = again && self.held && !self.over;
            assert!(wild || refused || again == (harmless && !self.over), "whether it may be issued again");
        }
        if let Outcome::Status(_) = result.outcome {
            assert!(task.sent.is_some(), "an answer to a command that was not sent");
            match task.command.data {
                Data::None => assert_eq!(result.transferred, 0),
                Data::In(_) => {
                    assert!(result.transferred <= task.placed, "bytes that never came");
                    let came = task.buffer.iter().take(result.transferred as usize);
                    assert!(wild || came.zip(0..).all(|(byte, at)| *byte == pattern(itt, at)), "stale bytes");
                }
                Data::Out(_) => {}
            }
            if let Residual::Underflow(missing) = result.residual {
                assert!(result.transferred <= expected.saturating_sub(missing));
            }
        }
        assert!(self.session.sense(itt).len() <= 96);
    }

    /// The target's bytes arrive. An error ends the connection.
    pub(super) fn deliver(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.arrived.extend_from_slice(bytes);
        loop {
            let result = match self.session.rx_plan() {
                RxPlan::Stop => {
                    self.arrived.clear();
                    return Ok(());
                }
                RxPlan::Scratch { need } => {
                    assert!((1..=1072).contains(&need));
                    if self.arrived.len() < need {
                        return Ok(());
                    }
                    let offered = self.arrived.len().min(need.max(self.chunk));
                    self.session.rx_scratch(self.now, &self.arrived[..offered]).map(|used| {
                        assert!(used > 0 || self.session.rx_plan() != RxPlan::Scratch { need }, "no progress");
                        self.arrived.drain(..used);
                    })
                }
                RxPlan::Place { itt, offset, len } => {
                    let task = self.tasks.get_mut(&itt.0).expect("a task that has not retired");
                    assert!(task.under_way(), "data for a task that is not under way");
                    assert!(matches!(task.command.data, Data::In(_)), "data for a task that reads nothing");
                    assert_eq!(offset, task.placed, "data that leaves a gap, or comes twice");
                    let place = task.buffer.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..len as usize));
                    let place = place.expect("a place outside the task's buffer");
                    let count = self.arrived.len().min(place.len()).min(self.chunk);
                    if count == 0 {
                        assert!(!place.is_empty(), "a plan for nothing");
                        return Ok(());
                    }
                    place[..count].copy_from_slice(&self.arrived[..count]);
                    task.placed += count as u32;
                    self.arrived.drain(..count);
                    self.session.rx_placed(self.now, &place[..count])
                }
            };
            self.events();
            if let Err(error) = result {
                sentence(&error);
                assert!(matches!(error, Error::PeerMisbehaved(_)), "a fault of ours: {error}");
                self.arrived.clear();
                self.broken();
                return Err(error);
            }
        }
    }
}
