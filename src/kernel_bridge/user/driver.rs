//! The driver of a session: one task that owns the core, the socket and the buffers under way.
//!
//! ```text
//!   inbox ──► backlog ──► Session::submit ──► poll_transmit ──► outbox ──► one gathered write
//!                             slots: request and buffer by ITT
//!   answers ◄── verdict ◄── poll_event ◄── rx_scratch, rx_placed ◄── ring or the task's buffer
//! ```
//! A round does all of it, as far as it goes without waiting; then the driver waits for whatever comes
//! first. Completions only queue; nothing is allocated per I/O.

mod delayed;
mod traffic;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use iscsi_proto::digest::Crc32c;
use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Itt;
use iscsi_proto::pdu::{LogoutReason, TaskAttribute};
use iscsi_proto::scsi::Sense;
use iscsi_proto::session::{Command, Data, Event, Outcome, PingTimers, Session, SessionConfig, TaskResult};
use iscsi_proto::time::Instant as CoreInstant;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use self::delayed::Delayed;
use super::block::{IoError, Op};
use super::counters::{Counters, add};
use super::lun;
use super::outbox::Outbox;
use super::request::{Inbox, Payload, RawDone, Request, Work};
use super::ring::Ring;
use super::verdict::{self, Verdict};
use crate::kernel_bridge::{BridgeError, BridgeEvent, SessionId, SessionSpec};

/// Slots beyond the depth: the core numbers its own pings and the like from the same space.
const SPARE_SLOTS: usize = 64;

/// CRC32C in hardware where there is one.
#[derive(Debug)]
pub(super) struct Hardware;

impl Crc32c for Hardware {
    fn append(crc: u32, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc, bytes)
    }
}

/// What the bridge asks of a driver.
pub(super) enum Control {
    /// Go on over this connection.
    Reinstate { handoff: Handoff, stream: TcpStream, reply: oneshot::Sender<Result<(), BridgeError>> },
    /// Finish what is under way, log out, end; at `deadline` just end.
    Logout { deadline: Instant, reply: oneshot::Sender<Result<(), BridgeError>> },
    /// End at once.
    Abandon,
}

/// What a slot holds while its task is under way.
#[derive(Default)]
struct Slot {
    request: Option<Request>,
    /// Payload parts in the outbox: the buffer stays until they have gone out.
    sending: u32,
    /// The task has ended, its parts have not gone out yet.
    ended: Option<(Itt, TaskResult)>,
}

enum Link {
    Up(TcpStream),
    /// No connection since then; after the replacement timeout, requests fail at once.
    Down {
        since: Instant,
        gave_up: bool,
    },
}

/// Why the driver leaves.
enum Leaving {
    No,
    /// Everything under way first, then the logout.
    Draining {
        deadline: Instant,
        reply: oneshot::Sender<Result<(), BridgeError>>,
    },
    /// The logout is out.
    LoggingOut {
        deadline: Instant,
        reply: oneshot::Sender<Result<(), BridgeError>>,
    },
    Gone,
}

/// Everything a new driver needs.
pub(super) struct Start {
    pub(super) id: SessionId,
    pub(super) spec: SessionSpec,
    pub(super) handoff: Handoff,
    pub(super) stream: TcpStream,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
    pub(super) events: mpsc::UnboundedSender<BridgeEvent>,
}

pub(super) struct Driver {
    id: SessionId,
    spec: SessionSpec,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    control: mpsc::UnboundedReceiver<Control>,
    events: mpsc::UnboundedSender<BridgeEvent>,
    epoch: Instant,
    session: Session<Hardware>,
    link: Link,
    leaving: Leaving,
    slots: Vec<Slot>,
    /// Tasks that had ended before their last part went out, and now have sent it.
    sent: Vec<(Itt, TaskResult)>,
    arriving: Vec<Request>,
    backlog: VecDeque<Request>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    delays: u64,
    outbox: Outbox,
    ring: Ring,
    /// The last Data-In was large: the next one is not read through the ring.
    large: bool,
    timer: Pin<Box<Sleep>>,
}

/// A connection is over, and why.
struct Lost(String);

impl Driver {
    pub(super) fn new(start: Start) -> Result<Driver, BridgeError> {
        let Start { id, spec, handoff, stream, inbox, counters, control, events } = start;
        let epoch = Instant::now();
        let span = |span: Duration| (!span.is_zero()).then_some(span);
        let pings = PingTimers { interval: span(spec.nop_interval), timeout: span(spec.nop_timeout) };
        let config = SessionConfig { depth: spec.depth, pings };
        let session = Session::from_handoff(&handoff, config, CoreInstant::ZERO)
            .map_err(|error| BridgeError::BadHandoff(error.to_string()))?;
        let mut slots = Vec::new();
        slots.resize_with(usize::from(spec.depth) + SPARE_SLOTS, Slot::default);
        let depth = usize::from(spec.depth);
        Ok(Driver {
            id,
            spec,
            inbox,
            counters,
            control,
            events,
            epoch,
            session,
            link: Link::Up(stream),
            leaving: Leaving::No,
            slots,
            sent: Vec::new(),
            arriving: Vec::with_capacity(depth),
            backlog: VecDeque::with_capacity(depth),
            delayed: BinaryHeap::new(),
            delays: 0,
            outbox: Outbox::default(),
            ring: Ring::new(),
            large: false,
            timer: Box::pin(tokio::time::sleep(Duration::from_secs(3600))),
        })
    }

    /// Runs until the session has ended.
    pub(super) async fn run(mut self) {
        while !matches!(self.leaving, Leaving::Gone) {
            if let Err(Lost(why)) = self.round() {
                self.lost(&why);
            }
            match (&self.leaving, self.has_work()) {
                (Leaving::Gone, _) => break,
                (_, true) => tokio::task::yield_now().await,
                (_, false) => self.wait().await,
            }
        }
        self.end();
    }

    /// Whether another round would get further without anything new from outside.
    fn has_work(&self) -> bool {
        let up = matches!(self.link, Link::Up(_));
        let issue = !self.backlog.is_empty() && self.session.room() > 0;
        let send = up && self.outbox.is_empty() && self.session.wants_to_transmit();
        issue || send
    }

    fn now(&self) -> CoreInstant {
        CoreInstant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Everything that can be done without waiting.
    fn round(&mut self) -> Result<(), Lost> {
        self.accept();
        if matches!(self.link, Link::Up(_)) {
            self.receive()?;
            self.settle();
            self.accept();
            self.transmit()?;
            self.settle();
        } else {
            self.settle();
        }
        self.counters.pdus_in.store(self.session.pdus_received(), Relaxed);
        self.counters.in_flight.store(self.session.in_flight() as u64, Relaxed);
        Ok(())
    }

    /// Takes requests in, as many as the session has room for.
    fn accept(&mut self) {
        self.inbox.take(&mut self.arriving);
        self.backlog.extend(self.arriving.drain(..));
        if let Link::Down { gave_up: true, .. } = self.link {
            self.backlog.drain(..).for_each(|request| request.fail(IoError::Offline));
        }
        while self.session.room() > 0 {
            let Some(request) = self.backlog.pop_front() else { break };
            self.issue(request);
        }
    }

    fn issue(&mut self, request: Request) {
        let attribute = TaskAttribute::Simple;
        let command = Command { lun: request.lun, cdb: request.cdb, attribute, data: request.data };
        match self.session.submit(command) {
            Ok(itt) => match self.slots.get_mut(itt.slot()) {
                Some(slot) => slot.request = Some(request),
                None => request.fail(IoError::Aborted),
            },
            Err(_) => self.backlog.push_front(request),
        }
    }

    /// Hands finished tasks to whoever waits for them.
    fn settle(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::TaskDone { itt, result } => match self.slots.get_mut(itt.slot()) {
                    Some(slot) if slot.sending > 0 => slot.ended = Some((itt, result)),
                    _ => self.conclude(itt, &result),
                },
                Event::LoggedOut { .. } => {
                    if let Leaving::LoggingOut { reply, .. } = std::mem::replace(&mut self.leaving, Leaving::Gone) {
                        // Whoever asked may have stopped waiting.
                        drop(reply.send(Ok(())));
                    }
                }
                Event::LogoutRequested { seconds } => {
                    self.tell(BridgeEvent::LogoutRequested { session: self.id, seconds });
                }
                Event::DropAnnounced { time2wait, .. } => {
                    self.tell(BridgeEvent::DropAnnounced { session: self.id, time2wait });
                }
                Event::UnitReport { sense, .. } => {
                    if let Some(sense) = Sense::parse(&sense) {
                        self.hear(&sense);
                    }
                }
                Event::Rejected { reason } => {
                    tracing::warn!(target = %self.spec.target, ?reason, "the target rejected a PDU");
                }
                other => tracing::debug!(target = %self.spec.target, event = ?other, "event of the session"),
            }
        }
        while let Some((itt, result)) = self.sent.pop() {
            self.conclude(itt, &result);
        }
        if matches!(self.leaving, Leaving::Draining { .. }) && self.is_idle() {
            self.log_out();
        }
    }

    /// Nothing more goes out over this connection: no part of any task is on its way.
    fn forget_outbox(&mut self) {
        self.outbox.clear();
        for slot in &mut self.slots {
            slot.sending = 0;
            self.sent.extend(slot.ended.take());
        }
    }

    fn is_idle(&self) -> bool {
        self.session.in_flight() == 0 && self.backlog.is_empty() && self.delayed.is_empty()
    }

    fn conclude(&mut self, itt: Itt, result: &TaskResult) {
        let sense = Sense::parse(self.session.sense(itt));
        if let Err(error) = self.session.retire(itt) {
            tracing::error!(%error, "a finished task could not be retired");
        }
        let Some(mut request) = self.slots.get_mut(itt.slot()).and_then(|slot| slot.request.take()) else { return };
        if let Some(sense) = sense.filter(Sense::is_unit_attention) {
            self.hear(&sense);
        }
        match verdict::judge(&mut request, result, sense) {
            Verdict::Again => self.backlog.push_front(request),
            Verdict::AgainAfter(wait) => {
                self.delays += 1;
                self.delayed.push(Reverse(Delayed { at: Instant::now() + wait, order: self.delays, request }));
            }
            Verdict::Done(done) => self.answer(request, result, sense, done),
        }
    }

    fn answer(&mut self, mut request: Request, result: &TaskResult, sense: Option<Sense>, done: Result<(), IoError>) {
        if let Work::Block { then_flush, .. } = &mut request.work
            && done.is_ok()
            && std::mem::take(then_flush)
        {
            (request.cdb, request.data) = (lun::flush(), Data::None);
            self.backlog.push_front(request);
            return;
        }
        match request.work {
            Work::Block { op, completion, .. } => {
                self.count(op, request.payload.bytes().len(), done);
                completion.finish(done, request.payload.into_buffer());
            }
            Work::Raw { reply } => {
                add(&self.counters.commands, 1);
                let answer = match (result.outcome, done) {
                    (Outcome::Status(status), _) => {
                        let mut data = match request.payload {
                            Payload::Bytes(bytes) => bytes,
                            Payload::None | Payload::Buffer(_) => Vec::new(),
                        };
                        data.truncate(result.transferred as usize);
                        Ok(RawDone { status, sense, data })
                    }
                    (_, Err(error)) => Err(error),
                    (_, Ok(())) => Err(IoError::Aborted),
                };
                // Whoever asked may have stopped waiting.
                drop(reply.send(answer));
            }
        }
    }

    fn count(&self, op: Op, len: usize, done: Result<(), IoError>) {
        add(&self.counters.commands, 1);
        match (done, op) {
            (Err(_), _) => add(&self.counters.errors, 1),
            (Ok(()), Op::Read) => add(&self.counters.bytes_read, len as u64),
            (Ok(()), Op::Write { .. }) => add(&self.counters.bytes_written, len as u64),
            (Ok(()), Op::Flush | Op::Unmap | Op::WriteZeroes { .. }) => {}
        }
    }

    /// A unit attention: what it says about the units, the daemon must know.
    fn hear(&self, sense: &Sense) {
        if sense.reported_luns_changed() || sense.capacity_changed() || sense.inquiry_data_changed() {
            self.tell(BridgeEvent::UnitsChanged { session: self.id });
        }
    }

    fn tell(&self, event: BridgeEvent) {
        if self.events.send(event).is_err() {
            tracing::debug!("the daemon does not listen any more");
        }
    }

    fn log_out(&mut self) {
        if let Leaving::Draining { deadline, reply } = std::mem::replace(&mut self.leaving, Leaving::Gone) {
            match self.session.logout(LogoutReason::CloseSession) {
                Ok(_) => self.leaving = Leaving::LoggingOut { deadline, reply },
                Err(_) => {
                    let lost = BridgeError::ConnectionLost("there was no connection to log out of".into());
                    drop(reply.send(Err(lost)));
                }
            }
        }
    }

    fn lost(&mut self, why: &str) {
        if matches!(self.link, Link::Down { .. }) {
            return;
        }
        tracing::warn!(target = %self.spec.target, why, "the connection was lost");
        self.link = Link::Down { since: Instant::now(), gave_up: false };
        self.forget_outbox();
        self.ring.clear();
        self.session.connection_lost();
        self.settle();
        match std::mem::replace(&mut self.leaving, Leaving::No) {
            Leaving::No => self.tell(BridgeEvent::ConnectionLost { session: self.id, why: why.to_owned() }),
            Leaving::Draining { reply, .. } | Leaving::LoggingOut { reply, .. } => {
                drop(reply.send(Err(BridgeError::ConnectionLost(why.to_owned()))));
                self.leaving = Leaving::Gone;
            }
            Leaving::Gone => self.leaving = Leaving::Gone,
        }
    }

    /// When the driver must look again though nothing came.
    fn deadline(&self) -> Option<Instant> {
        let core = self.session.poll_timeout().map(|at| self.epoch + Duration::from_nanos(at.as_nanos()));
        let delayed = self.delayed.peek().map(|Reverse(delayed)| delayed.at);
        let down = match self.link {
            Link::Down { since, gave_up: false } => Some(since + self.spec.replacement_timeout),
            Link::Down { gave_up: true, .. } | Link::Up(_) => None,
        };
        let leaving = match &self.leaving {
            Leaving::Draining { deadline, .. } | Leaving::LoggingOut { deadline, .. } => Some(*deadline),
            Leaving::No | Leaving::Gone => None,
        };
        [core, delayed, down, leaving].into_iter().flatten().min()
    }

    async fn wait(&mut self) {
        let deadline = self.deadline();
        // The timer is moved when it must fire earlier, or has fired: never per I/O.
        if let Some(deadline) = deadline
            && (deadline < self.timer.deadline() || self.timer.is_elapsed())
        {
            self.timer.as_mut().reset(deadline);
        }
        let sending = !self.outbox.is_empty();
        let wanted = match (&self.link, sending) {
            (Link::Up(stream), true) => Some((stream, Interest::READABLE | Interest::WRITABLE)),
            (Link::Up(stream), false) => Some((stream, Interest::READABLE)),
            (Link::Down { .. }, _) => None,
        };
        let control = tokio::select! {
            biased;
            control = self.control.recv() => Some(control),
            // An error shows at the next read or write.
            _ = async {
                match wanted {
                    Some((stream, interest)) => stream.ready(interest).await.map(drop),
                    None => std::future::pending().await,
                }
            } => None,
            () = self.inbox.arrived() => None,
            () = self.timer.as_mut(), if deadline.is_some() => None,
        };
        if let Some(control) = control {
            self.obey(control.unwrap_or(Control::Abandon));
        }
        self.on_time();
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.at <= now) {
            self.backlog.extend(self.delayed.pop().map(|Reverse(delayed)| delayed.request));
        }
        if let Err(error) = self.session.handle_timeout(self.now()) {
            self.lost(&error.to_string());
        }
        if let Link::Down { since, gave_up } = &mut self.link
            && !*gave_up
            && now >= *since + self.spec.replacement_timeout
        {
            *gave_up = true;
            tracing::error!(target = %self.spec.target, "no connection for too long: I/O fails from now on");
            self.session.give_up();
            self.settle();
        }
        let late = match &self.leaving {
            Leaving::Draining { deadline, .. } | Leaving::LoggingOut { deadline, .. } => now >= *deadline,
            Leaving::No | Leaving::Gone => false,
        };
        if late
            && let Leaving::Draining { reply, .. } | Leaving::LoggingOut { reply, .. } =
                std::mem::replace(&mut self.leaving, Leaving::Gone)
        {
            drop(reply.send(Err(BridgeError::TimedOut)));
        }
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Reinstate { handoff, stream, reply } => {
                if matches!(self.link, Link::Up(_)) {
                    self.lost("it is being replaced");
                }
                let reinstated = self.session.reinstate(&handoff, self.now());
                if reinstated.is_ok() {
                    self.link = Link::Up(stream);
                    self.large = false;
                    add(&self.counters.reconnects, 1);
                }
                drop(reply.send(reinstated.map_err(|error| BridgeError::BadHandoff(error.to_string()))));
            }
            Control::Logout { deadline, reply } => {
                self.inbox.close();
                if matches!(self.link, Link::Down { .. }) {
                    let lost = BridgeError::ConnectionLost("there was no connection to log out of".into());
                    drop(reply.send(Err(lost)));
                    self.leaving = Leaving::Gone;
                } else {
                    self.leaving = Leaving::Draining { deadline, reply };
                }
            }
            Control::Abandon => self.leaving = Leaving::Gone,
        }
    }

    /// Answers everything that is left.
    fn end(mut self) {
        self.inbox.close();
        self.forget_outbox();
        self.session.give_up();
        self.settle();
        self.backlog.drain(..).for_each(|request| request.fail(IoError::Offline));
        self.delayed.drain().for_each(|Reverse(delayed)| delayed.request.fail(IoError::Offline));
        for slot in &mut self.slots {
            if let Some(request) = slot.request.take() {
                request.fail(IoError::Offline);
            }
        }
    }
}
