//! A session in the kernel: the core, the commands that wait outside it, and what is done when time passes.
//!
//! ```text
//!   submit ─► commands: parked ── issue ──► Session ── transmit ──► wire
//!                 ▲ lost, leaving              │
//!                 └────────────── TaskDone ◄───┴── received, placed
//!   overdue ─► escalation ── manage ──►        event ──► events: what C++ hears
//! ```
//! What ends a command for the SCSI stack is decided here: its status; task management that the stack asked
//! for; escalation; or that there is no connection for too long. A lost connection is none of these: the command
//! waits, and is issued again in the order of its submission (unless the core says that it must not be). Later commands
//! to the same blocks wait until it is through.

mod commands;
mod events;
mod fence;
mod fenced;
mod functions;
mod partial;
mod pending;
mod refusal;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iscsi_proto::error::Error;
use iscsi_proto::escalation::{Escalation, Step};
use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::{LogoutReason, TaskAttribute, TaskFunction};
use iscsi_proto::session::{
    Command, Data, Event, Head, Outcome, Payload, PingTimers, RxPlan, Session, SessionConfig, Transmit,
};
use iscsi_proto::time::{Duration, Instant};
use iscsi_proto::tmf::Manage;

pub(crate) use self::commands::Origin;
use self::commands::{Commands, Entry, State};
use self::fenced::Fenced;
use self::functions::Functions;
use self::partial::Partial;
use self::pending::Pending;
pub(crate) use self::refusal::Refusal;
use crate::digest::Hardware;
use crate::sentence::Sentence;

/// Slots beyond the depth that the core may use for its own PDUs.
const SPARE_SLOTS: usize = 64;

/// Events beyond one per command that are queued without an allocation.
const SPARE_EVENTS: usize = 64;

/// Bytes given to the core at once, so that what they tell is bounded before it is heard.
const BITE: usize = 16 << 10;

/// A call that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Now,
    Later,
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    Leaving,
    Down { since: Instant },
    GivenUp,
}

/// How a session is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    pub(crate) depth: u16,
    pub(crate) commands: u16,
    pub(crate) pings: PingTimers,
    pub(crate) function_timeout: Duration,
    pub(crate) replacement_timeout: Duration,
}

/// What it has done, since its first login.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) pdus_out: u64,
    pub(crate) reconnects: u64,
}

pub(crate) struct Engine {
    session: Session<Hardware>,
    config: Config,
    commands: Commands,
    functions: Functions,
    /// By the command's tag here.
    escalation: Escalation<u64>,
    fenced: Fenced,
    link: Link,
    held: bool,
    partial: Partial,
    events: VecDeque<Pending>,
    head: Head,
    counters: Counters,
    reason: Sentence,
}

impl Engine {
    pub(crate) fn new(handoff: &Handoff, config: Config, now: Instant) -> Result<Engine, Refusal> {
        let slots = usize::from(config.depth) + SPARE_SLOTS;
        let events = usize::from(config.commands) + SPARE_EVENTS;
        // The tables are allocated one by one below, where a lack of memory would stop the machine.
        let estimate = Commands::memory(config.commands, slots) + events * size_of::<Pending>() + slots * 512;
        Vec::<u8>::new().try_reserve_exact(estimate).map_err(|_| Refusal::NoMemory)?;
        Hardware::look();
        let core = SessionConfig { depth: config.depth, pings: config.pings };
        let session = Session::from_handoff(handoff, core, now).map_err(|_| Refusal::BadArgument)?;
        let empty = Command { lun: Lun(0), cdb: [0; 16], attribute: TaskAttribute::Simple, data: Data::None };
        Ok(Engine {
            session,
            config,
            commands: Commands::new(config.commands, slots, empty),
            functions: Functions::new(),
            escalation: Escalation::new(config.function_timeout),
            fenced: Fenced::new(),
            link: Link::Up,
            held: false,
            partial: Partial::new(),
            events: VecDeque::with_capacity(events),
            head: Head::default(),
            counters: Counters::default(),
            reason: Sentence::new(),
        })
    }

    /// Takes a command on; says its tag, and whether it has ended already.
    pub(crate) fn submit(&mut self, token: u64, command: Command, origin: Origin) -> Result<(u64, Done), Refusal> {
        match (self.link, origin) {
            (Link::GivenUp, _) => return Err(Refusal::Offline),
            (Link::Down { .. } | Link::Leaving, Origin::Daemon) => return Err(Refusal::WrongState),
            _ => {}
        }
        let index = self.commands.insert(token, command, origin).ok_or(Refusal::Full)?;
        let tag = self.commands.tag(index);
        if !self.fenced.ends(&command, origin) {
            return Ok((tag, Done::Later));
        }
        self.end_fenced(index);
        Ok((tag, Done::Now))
    }

    /// Gives the core what it has room for.
    fn issue(&mut self) {
        // Where the target wants an end of the connection, they wait for the next one.
        while self.link == Link::Up && !self.session.is_held() && self.session.room() > 0 {
            let Some(index) = self.commands.next(self.held) else { return };
            let Some(entry) = self.commands.get(index) else { return };
            let Ok(itt) = self.session.submit(entry.command) else { return };
            self.commands.issued(index, itt);
        }
    }

    /// Where the next bytes belong, and the token of the buffer they go to.
    pub(crate) fn plan(&self) -> (RxPlan, u64) {
        let plan = self.session.rx_plan();
        match plan {
            RxPlan::Place { itt, .. } => match self.commands.owner(itt).and_then(|index| self.commands.get(index)) {
                Some(entry) => (plan, entry.token),
                None => (RxPlan::Stop, 0),
            },
            RxPlan::Scratch { .. } | RxPlan::Stop => (plan, 0),
        }
    }

    /// Takes bytes, up to the payload of a Data-In, and says how many it has used.
    pub(crate) fn received(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, Refusal> {
        let bytes = bytes.get(..BITE).unwrap_or(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let RxPlan::Scratch { need } = self.session.rx_plan() else { break };
            if self.partial.is_empty() && rest.len() >= need {
                let used = self.session.rx_scratch(now, rest).map_err(|error| self.broken(&error))?;
                rest = rest.get(used..).unwrap_or(&[]);
                let stuck =
                    used == 0 && matches!(self.session.rx_plan(), RxPlan::Scratch { need } if need <= rest.len());
                if stuck {
                    return Err(self.broken(&Error::Misuse("bytes that lead nowhere")));
                }
                continue;
            }
            let taken = self.partial.fill(rest, need);
            rest = rest.get(taken..).unwrap_or(&[]);
            if self.partial.bytes().len() >= need {
                let used = self.session.rx_scratch(now, self.partial.bytes()).map_err(|error| self.broken(&error))?;
                self.partial.consume(used);
            } else if taken == 0 {
                return Err(self.broken(&Error::Misuse("a header longer than headers are")));
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes note of bytes that are in the buffer that the plan named.
    pub(crate) fn placed(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Refusal> {
        self.session.rx_placed(now, bytes).map_err(|error| self.broken(&error))
    }

    /// The next PDU to send: its header, payload, and the token of the payload's buffer.
    pub(crate) fn transmit(&mut self) -> Option<(&[u8], Transmit<'_>, u64)> {
        self.issue();
        let transmit = self.session.poll_transmit(&mut self.head)?;
        self.counters.pdus_out += 1;
        let token = match transmit.payload {
            Payload::Task { itt, .. } => {
                self.commands.owner(itt).and_then(|index| self.commands.get(index)).map_or(0, |entry| entry.token)
            }
            Payload::None | Payload::Core(_) => 0,
        };
        Some((self.head.bytes(), transmit, token))
    }

    /// Whether [`transmit`](Self::transmit) may have something.
    pub(crate) fn wants_to_transmit(&self) -> bool {
        let takes = self.link == Link::Up && !self.session.is_held() && self.session.room() > 0;
        let issues = takes && self.commands.next(self.held).is_some();
        issues || self.session.wants_to_transmit()
    }

    /// Requests a task management function for the SCSI stack, or does it here where nothing has been sent.
    pub(crate) fn manage(
        &mut self,
        function: TaskFunction,
        lun: Lun,
        tag: u64,
        token: u64,
        now: Instant,
    ) -> Result<(), Refusal> {
        if function == TaskFunction::AbortTask {
            return self.abort_task(tag, token, now);
        }
        let lun = self.commands.address(lun);
        let manage = match function {
            TaskFunction::AbortTaskSet => Manage::AbortTaskSet(lun),
            TaskFunction::LogicalUnitReset => Manage::LogicalUnitReset(lun),
            TaskFunction::TargetWarmReset => Manage::TargetWarmReset,
            TaskFunction::TargetColdReset => Manage::TargetColdReset,
            _ => return Err(Refusal::BadArgument),
        };
        self.request(self.fenced.spare(manage), token, now)?;
        let everywhere = matches!(manage, Manage::TargetWarmReset | Manage::TargetColdReset);
        for index in 0..self.commands.count() {
            let Some(entry) = self.commands.get_mut(index) else { continue };
            if entry.origin == Origin::Stack && (everywhere || entry.command.lun == lun) {
                entry.unwanted = true;
                self.take_back(index);
            }
        }
        Ok(())
    }

    fn abort_task(&mut self, tag: u64, token: u64, now: Instant) -> Result<(), Refusal> {
        let index = self.commands.find(tag).ok_or(Refusal::NotFound)?;
        let entry = self.commands.get_mut(index).ok_or(Refusal::NotFound)?;
        let state = entry.state;
        if let State::Issued(itt) = state
            && !self.take_back(index)
        {
            self.request(Manage::AbortTask(itt), token, now)?;
            self.mark_unwanted(index);
            return Ok(());
        }
        self.mark_unwanted(index);
        self.take_back(index);
        self.events.push_back(Pending::Function { token, response: 0 });
        Ok(())
    }

    fn mark_unwanted(&mut self, index: u16) {
        if let Some(entry) = self.commands.get_mut(index) {
            entry.unwanted = true;
        }
    }

    fn request(&mut self, manage: Manage, token: u64, now: Instant) -> Result<(), Refusal> {
        if self.link != Link::Up {
            return Err(Refusal::WrongState);
        }
        if self.functions.is_full() {
            return Err(Refusal::Full);
        }
        let itt = self.session.manage(manage).map_err(|_| Refusal::Full)?;
        self.functions.asked(itt, token, now + self.config.function_timeout);
        Ok(())
    }

    /// Ends a command that nobody has sent yet; says whether that was so.
    fn take_back(&mut self, index: u16) -> bool {
        match self.commands.get(index).map(|entry| entry.state) {
            Some(State::Parked) => {
                self.events.push_back(Pending::Ended { tag: self.commands.tag(index) });
                true
            }
            Some(State::Issued(itt)) if self.session.cancel(itt) => {
                self.gather();
                true
            }
            _ => false,
        }
    }

    /// A command takes too long: it is ended, whatever that takes. It is not where it waits for the
    /// connection, for an answer of the daemon, or for an earlier command to the same blocks: then it is not late.
    pub(crate) fn overdue(&mut self, tag: u64, now: Instant) -> Result<Done, Refusal> {
        let index = self.commands.find(tag).ok_or(Refusal::NotFound)?;
        let Some(entry @ &Entry { state, origin, command, .. }) = self.commands.get(index) else {
            return Err(Refusal::NotFound);
        };
        let stays =
            state == State::Parked && ((self.held && origin == Origin::Stack) || self.commands.is_behind(entry));
        if self.link != Link::Up || stays || self.escalation.about().is_some() {
            return Ok(Done::Later);
        }
        if let Some(entry) = self.commands.get_mut(index) {
            (entry.overdue, entry.unwanted) = (true, true);
        }
        if self.take_back(index) {
            return Ok(Done::Now);
        }
        let State::Issued(itt) = state else { return Ok(Done::Now) };
        self.escalation.begin(tag, Step::AbortTask, now);
        self.escalate(Step::AbortTask, itt, command.lun);
        Ok(Done::Now)
    }

    fn escalate(&mut self, step: Step, itt: Itt, lun: Lun) {
        let manage = step.function(itt, lun).map(|manage| self.fenced.spare(manage));
        self.events.push_back(Pending::Escalated { function: manage.map_or(0, |manage| manage.function().into()) });
        if let Some(manage) = manage {
            let requested = self.session.manage(manage).ok();
            self.escalation.requested(requested);
        }
    }

    /// Asks the target to end the connection or the session.
    pub(crate) fn logout(&mut self, reason: LogoutReason) -> Result<(), Refusal> {
        if self.link != Link::Up {
            return Err(Refusal::WrongState);
        }
        self.session.logout(reason).map_err(|_| Refusal::Full)?;
        self.link = Link::Leaving;
        Ok(())
    }

    /// Commands of the stack wait from now on.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// They go on.
    pub(crate) fn resume(&mut self) {
        self.held = false;
    }

    /// When [`tick`](Self::tick) is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let down = match self.link {
            Link::Down { since } => Some(since + self.config.replacement_timeout),
            Link::Up | Link::Leaving | Link::GivenUp => None,
        };
        [self.session.poll_timeout(), self.escalation.deadline(), self.functions.deadline(), down]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Refusal> {
        while let Some(token) = self.functions.overdue(now) {
            self.events.push_back(Pending::Function { token, response: crate::abi::ISCSI_NO_ANSWER });
        }
        if let Link::Down { since } = self.link
            && since + self.config.replacement_timeout <= now
        {
            self.link = Link::GivenUp;
            self.end_parked();
        }
        self.session.handle_timeout(now).map_err(|error| self.broken(&error))?;
        self.gather();
        if let Some((tag, step)) = self.escalation.due(now) {
            let entry = self.commands.find(tag).and_then(|index| self.commands.get(index)).copied();
            let Some(Entry { state: State::Issued(itt), command, .. }) = entry else {
                self.escalation.forget();
                return Ok(());
            };
            self.escalate(step, itt, command.lun);
            if step == Step::NewConnection {
                self.reason = Sentence::of("a command was not answered, and neither was task management");
                return Err(Refusal::Broken);
            }
        }
        Ok(())
    }

    /// There is no connection any more: what was under way waits for the next one.
    pub(crate) fn lost(&mut self, now: Instant) {
        if matches!(self.link, Link::Down { .. } | Link::GivenUp) {
            return;
        }
        // What has ended before has ended.
        self.gather();
        self.session.connection_lost();
        self.gather();
        self.link = Link::Down { since: now };
        self.escalation.forget();
        self.partial.clear();
    }

    /// Goes on over another connection; with `hold`, the stack's commands wait for
    /// [`resume`](Self::resume).
    pub(crate) fn reinstate(&mut self, handoff: &Handoff, hold: bool, now: Instant) -> Result<(), Refusal> {
        if matches!(self.link, Link::Up | Link::Leaving) {
            return Err(Refusal::WrongState);
        }
        self.session.reinstate(handoff, now).map_err(|error| {
            self.reason = Sentence::of(error);
            Refusal::BadArgument
        })?;
        self.link = Link::Up;
        self.held = hold;
        self.counters.reconnects += 1;
        Ok(())
    }

    /// The session is over: every command ends.
    pub(crate) fn give_up(&mut self, now: Instant) {
        self.lost(now);
        self.link = Link::GivenUp;
        self.end_parked();
    }

    fn end_parked(&mut self) {
        for index in 0..self.commands.count() {
            if self.commands.get(index).is_some_and(|entry| entry.state == State::Parked) {
                self.events.push_back(Pending::Lost { tag: self.commands.tag(index) });
            }
        }
    }

    /// Takes what the core has to tell, before something else happens to it. Commands of the stack that a loss or
    /// task management has ended, though nobody wanted them ended, wait again.
    fn gather(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let Event::TaskDone { itt, result } = &event
                && matches!(result.outcome, Outcome::Aborted | Outcome::Lost { again: true })
                && let Some(index) = self.commands.owner(*itt)
                && self.commands.get(index).is_some_and(|entry| !entry.unwanted && entry.origin == Origin::Stack)
            {
                // It has settled, as the event says.
                drop(self.session.retire(*itt));
                self.commands.park(index);
                self.end_fenced(index);
                continue;
            }
            self.events.push_back(Pending::Core(event));
        }
    }

    fn broken(&mut self, error: &Error) -> Refusal {
        self.reason = Sentence::of(error);
        Refusal::Broken
    }

    pub(crate) fn reason(&self) -> &[u8] {
        self.reason.bytes()
    }

    /// Whether every command has ended and has been heard of.
    pub(crate) fn is_idle(&self) -> bool {
        self.commands.used() == 0 && self.events.is_empty()
    }

    pub(crate) fn link(&self) -> Link {
        self.link
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn pdus_in(&self) -> u64 {
        self.session.pdus_received()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.commands.waiting()
    }
}
