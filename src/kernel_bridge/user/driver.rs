//! The driver of a session: one task that owns the core, the socket and the buffers under way.
//!
//! ```text
//!   inbox ──► queue ──► Session::submit ──► poll_transmit ──► outbox ──► one gathered write
//!                             slots: request and buffer by ITT
//!   answers ◄── disposition ◄── poll_event ◄── rx_scratch, rx_placed ◄── ring or the task's buffer
//! ```
//! A round does all of it, as far as it goes without waiting; then the driver waits for the next event
//! of any kind. Completions only queue; nothing is allocated per I/O.

mod clock;
mod delayed;
mod leaving;
mod link;
mod queue;
mod spin;
mod state;
mod traffic;
mod watchdog;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt;
use iscsi_proto::digest::Crc32c;
use iscsi_proto::ids::Itt;
use iscsi_proto::pdu::TaskAttribute;
use iscsi_proto::scsi::Sense;
use iscsi_proto::session::{Command, Event, PingTimers, RxPlan, Session, SessionConfig, TaskResult};
use iscsi_proto::time::Instant as CoreInstant;
use iscsi_proto::tmf::Manage;
use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use self::clock::Clock;
use self::queue::Queue;
use self::spin::Spin;
use self::state::{Leaving, Link};
use self::watchdog::{Act, Overdue, PATIENCE, UnderWay, Watchdog};
use super::outbox::Outbox;
use super::ring::Ring;
use crate::block::{Finished, IoError, Op};
use crate::kernel_bridge::bridge::{BridgeError, BridgeEvent, SessionSpec};
use crate::kernel_bridge::counters::{Counters, add};
use crate::kernel_bridge::orders::{Control, Start};
use crate::kernel_bridge::unit::disposition::{self, Disposition};
use crate::kernel_bridge::unit::notices::Notices;
use crate::kernel_bridge::unit::request::{Inbox, RawDone, Request, Work};

/// Slots beyond the depth: the core numbers its own pings and the like from the same space.
const SPARE_SLOTS: usize = 64;

/// How long the answer to a task management function may take.
const FUNCTION_LIMIT: Duration = Duration::from_secs(10);

/// A request that was under way when the connection was lost so often is not issued for ever.
const LOSSES: u8 = 5;

/// CRC32C in hardware where there is one.
#[derive(Debug)]
pub(crate) struct Hardware;

impl Crc32c for Hardware {
    fn append(crc: u32, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc, bytes)
    }
}

/// What a slot holds while its task is under way.
#[derive(Default)]
struct Slot {
    request: Option<Request>,
    /// Its tag, and since when it is under way.
    issued: Option<(Itt, Instant)>,
    /// Payload parts in the outbox: the buffer stays until they have gone out.
    sending: u32,
    /// The task has ended, its parts have not gone out yet.
    ended: Option<(Itt, TaskResult)>,
}

impl UnderWay for [Slot] {
    fn blame_oldest(&mut self, before: Instant) -> Option<Overdue> {
        let late = self.iter().filter_map(|slot| slot.issued).filter(|(_, since)| *since <= before);
        let (itt, _) = late.min_by_key(|(_, since)| *since)?;
        let request = self.get_mut(itt.slot())?.request.as_mut()?;
        let times = request.overdue;
        request.overdue = times.saturating_add(1);
        Some(Overdue { itt, lun: request.lun, times })
    }

    fn has(&self, itt: Itt) -> bool {
        self.get(itt.slot()).and_then(|slot| slot.issued).is_some_and(|(issued, _)| issued == itt)
    }
}

pub(crate) struct Driver {
    spec: SessionSpec,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    control: mpsc::UnboundedReceiver<Control>,
    notices: Notices,
    clock: Clock,
    /// When this round began: one look at the clock for all that is done in it.
    present: Instant,
    session: Session<Hardware>,
    link: Link,
    leaving: Leaving,
    slots: Vec<Slot>,
    /// Tasks that had ended before their last part went out, and now have sent it.
    sent: Vec<(Itt, TaskResult)>,
    finished: Finished,
    arriving: Vec<Request>,
    queue: Queue,
    watchdog: Watchdog,
    outbox: Outbox,
    ring: Ring,
    /// The last Data-In was large: the next one is not read through the ring.
    large: bool,
    /// Its task, and where in its data it ends.
    placing: (Itt, usize),
    /// The last round has left something in the socket.
    unread: bool,
    timer: Pin<Box<Sleep>>,
    spin: Spin,
}

/// A connection is over, and why.
struct Lost(String);

impl Driver {
    pub(crate) fn new(start: Start) -> Result<Driver, BridgeError> {
        let Start { spec, handoff, stream, inbox, counters, control, notices } = start;
        let present = Instant::now();
        let clock = Clock::new(present);
        let span = |span: Duration| (!span.is_zero()).then_some(span);
        let pings = PingTimers { interval: span(spec.nop_interval), timeout: span(spec.nop_timeout) };
        let config = SessionConfig { depth: spec.depth, pings };
        let session = Session::from_handoff(&handoff, config, CoreInstant::ZERO)
            .map_err(|error| BridgeError::BadHandoff(error.to_string()))?;
        let mut slots = Vec::new();
        slots.resize_with(usize::from(spec.depth) + SPARE_SLOTS, Slot::default);
        let depth = usize::from(spec.depth);
        let watchdog = Watchdog::new(spec.task_timeout, FUNCTION_LIMIT, clock, present);
        Ok(Driver {
            spec,
            inbox,
            counters,
            control,
            notices,
            clock,
            present,
            session,
            link: Link::Up(stream),
            leaving: Leaving::No,
            slots,
            sent: Vec::new(),
            finished: Finished::default(),
            arriving: Vec::with_capacity(depth),
            queue: Queue::with_capacity(depth),
            watchdog,
            outbox: Outbox::ready(),
            ring: Ring::default(),
            large: false,
            placing: (Itt::RESERVED, 0),
            unread: false,
            timer: Box::pin(tokio::time::sleep(Duration::from_secs(3600))),
            spin: Spin::default(),
        })
    }

    /// Runs until the session has ended.
    pub(crate) async fn run(mut self) {
        Ring::keep_ready();
        while !matches!(self.leaving, Leaving::Gone) {
            if let Err(Lost(why)) = self.round() {
                self.lost(&why);
            }
            match (&self.leaving, self.has_work()) {
                (Leaving::Gone, _) => break,
                (_, true) => {
                    tokio::task::yield_now().await;
                    self.present = Instant::now();
                    // Orders and timers have their turn however much there is to do.
                    while let Ok(control) = self.control.try_recv() {
                        self.obey(control);
                    }
                    self.on_time();
                }
                (_, false) => self.wait().await,
            }
        }
        self.end();
    }

    /// Whether another round would get further without anything new from outside.
    fn has_work(&self) -> bool {
        let up = matches!(self.link, Link::Up(_));
        let issue = self.may_issue() && self.queue.is_ready() && self.session.room() > 0;
        let send = up && self.outbox.is_empty() && self.session.wants_to_transmit();
        issue || send || (up && self.unread)
    }

    /// As the core counts time.
    fn now(&self) -> CoreInstant {
        self.clock.core(self.present)
    }

    /// Everything that can be done without waiting.
    fn round(&mut self) -> Result<(), Lost> {
        self.accept();
        if matches!(self.link, Link::Up(_)) {
            self.receive()?;
            self.ring.rest();
            self.take_events();
            self.accept();
            self.transmit()?;
            self.take_events();
            if matches!(self.link, Link::Up(_)) && self.session.rx_plan() == RxPlan::Stop {
                return Err(Lost("the target has ended the session".into()));
            }
        } else {
            self.take_events();
        }
        self.counters.pdus_in.store(self.session.pdus_received(), Relaxed);
        self.counters.in_flight.store(self.session.in_flight() as u64, Relaxed);
        Ok(())
    }

    /// Whether the session takes commands. While it does not, they wait outside: over the next connection
    /// their units are looked at first.
    fn may_issue(&self) -> bool {
        matches!(self.link, Link::Up(_)) && !self.session.is_held() && self.leaving.lets_issue()
    }

    /// Takes requests in, as many as the session has room for.
    fn accept(&mut self) {
        self.inbox.take(&mut self.arriving);
        if !self.arriving.is_empty() {
            let mut arriving = std::mem::take(&mut self.arriving);
            for request in arriving.drain(..) {
                // Where nothing waits, nothing needs to be queued.
                let straight = self.may_issue() && self.session.room() > 0;
                if let Some(request) = self.queue.arrive(request, straight) {
                    self.issue(request);
                }
            }
            self.arriving = arriving;
        }
        if let Link::Down { gave_up: true, .. } = self.link {
            self.queue.fail_all(IoError::Offline);
        }
        if !self.may_issue() || !self.queue.is_ready() {
            return;
        }
        while self.session.room() > 0 {
            let Some(request) = self.queue.next() else { break };
            if !self.issue(request) {
                break;
            }
        }
    }

    /// Whether the session has taken it; else it waits for its turn.
    fn issue(&mut self, request: Request) -> bool {
        let attribute = TaskAttribute::Simple;
        let command = Command { lun: request.lun, cdb: request.cdb, attribute, data: request.data };
        let Ok(itt) = self.session.submit(command) else {
            self.queue.came_back(&request);
            self.queue.again(request);
            return false;
        };
        match self.slots.get_mut(itt.slot()) {
            Some(slot) => (slot.request, slot.issued) = (Some(request), Some((itt, self.present))),
            None => request.fail(IoError::Aborted),
        }
        true
    }

    /// Takes the core's events: hands finished tasks to their requests, and passes on what the daemon must know.
    fn take_events(&mut self) {
        let mut logged_out = false;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::TaskDone { itt, result } => match self.slots.get_mut(itt.slot()) {
                    Some(slot) if slot.sending > 0 => slot.ended = Some((itt, result)),
                    _ => self.conclude(itt, &result),
                },
                Event::LoggedOut { .. } => logged_out = true,
                Event::ManageDone { itt, function, response } => {
                    tracing::info!(target = %self.spec.target, ?function, ?response, "task management");
                    self.watchdog.answered(itt, response);
                }
                Event::LogoutRequested { seconds } => {
                    self.notices.tell(BridgeEvent::LogoutRequested { session: self.notices.id, seconds });
                }
                Event::DropAnnounced { time2wait, .. } => {
                    self.notices.tell(BridgeEvent::DropAnnounced { session: self.notices.id, time2wait });
                }
                Event::UnitReport { lun, sense } => {
                    if let Some(sense) = Sense::parse(&sense) {
                        self.notices.hear(lun, &sense);
                    }
                }
                Event::Rejected { reason } => {
                    tracing::warn!(target = %self.spec.target, ?reason, "the target rejected a PDU");
                }
                Event::Notice { event, vendor_code } => {
                    let target = &self.spec.target;
                    tracing::info!(%target, event, vendor_code, "an asynchronous event that is nobody's business here");
                }
                other => tracing::debug!(target = %self.spec.target, event = ?other, "event of the session"),
            }
        }
        while let Some((itt, result)) = self.sent.pop() {
            self.conclude(itt, &result);
        }
        self.finished.send();
        if logged_out {
            self.logged_out();
        }
        if self.leaving.is_draining() && self.is_idle() && matches!(self.link, Link::Up(_)) {
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

    fn conclude(&mut self, itt: Itt, result: &TaskResult) {
        let sense = Sense::parse(self.session.sense(itt));
        if let Err(error) = self.session.retire(itt) {
            tracing::error!(%error, "a finished task could not be retired");
        }
        let Some(slot) = self.slots.get_mut(itt.slot()) else { return };
        slot.issued = None;
        let Some(mut request) = slot.request.take() else { return };
        self.queue.came_back(&request);
        if let Some(sense) = sense {
            self.notices.learn(&request, &sense);
        }
        match disposition::decide(&mut request, result, sense) {
            Disposition::Again if request.overdue >= PATIENCE || self.is_fatal(&request) => {
                self.answer(request, result, sense, Err(IoError::TimedOut))
            }
            Disposition::Again => self.queue.again(request),
            Disposition::AgainAfter(wait) => self.queue.later(request, Instant::now() + wait),
            Disposition::Done(done) => self.answer(request, result, sense, done),
        }
    }

    /// Whether a request was under way at so many losses, for so long, that it may be their cause: a target
    /// that does not survive a command must not be given it for ever.
    fn is_fatal(&self, request: &Request) -> bool {
        request.losses >= LOSSES
            && request.first_loss.is_some_and(|first| first.elapsed() >= self.spec.replacement_timeout)
    }

    fn answer(&mut self, mut request: Request, result: &TaskResult, sense: Option<Sense>, done: Result<(), IoError>) {
        let done = match done.and_then(|()| request.goes_on()) {
            Ok(true) => return self.queue.again(request),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        match request.work {
            Work::Block { unit, op, completion, .. } => {
                unit.failures().note(done);
                self.count(op, request.payload.len(), done);
                self.finished.add(completion, done, request.payload.into_buffer());
            }
            Work::Raw { reply } => {
                add(&self.counters.commands, 1);
                // The caller may have stopped waiting.
                drop(reply.send(RawDone::of(request.payload, result, sense, done)));
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

    /// Does what is due about commands that take too long.
    fn watch(&mut self, now: Instant) -> Result<(), Lost> {
        let due = self.watchdog.deadline(self.session.in_flight() > 0).is_some_and(|at| at <= now);
        if !due || matches!(self.link, Link::Down { .. }) {
            return Ok(());
        }
        match self.watchdog.act(now, self.slots.as_mut_slice()) {
            Act::Nothing => Ok(()),
            Act::NewConnection => Err(Lost("a command was not answered, and neither was task management".into())),
            Act::Manage(function) => {
                tracing::warn!(target = %self.spec.target, ?function, "a command takes too long");
                let asked = self.session.manage(function);
                if let (Err(_), Manage::AbortTask(_)) = (&asked, function) {
                    return Err(Lost("the target has not let us send a command for too long".into()));
                }
                self.watchdog.asked(asked.ok());
                Ok(())
            }
        }
    }

    /// When the driver must look again though nothing came.
    fn deadline(&self) -> Option<Instant> {
        let core = self.session.poll_timeout().map(|at| self.clock.timer(at));
        let watch = match self.link {
            Link::Up(_) => self.watchdog.deadline(self.session.in_flight() > 0),
            Link::Down { .. } => None,
        };
        let down = match self.link {
            Link::Down { since, gave_up: false } => Some(since + self.spec.replacement_timeout),
            Link::Down { gave_up: true, .. } | Link::Up(_) => None,
        };
        [core, self.queue.due(), watch, down, self.leaving.deadline()].into_iter().flatten().min()
    }

    async fn wait(&mut self) {
        if self.look_again().await {
            self.on_time();
            return;
        }
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
        self.present = Instant::now();
        if let Some(control) = control {
            self.obey(control.unwrap_or(Control::Abandon));
        }
        self.on_time();
    }

    /// Looks for an answer a little longer, where that has helped lately; whether there is something to do.
    async fn look_again(&mut self) -> bool {
        let Link::Up(stream) = &self.link else { return false };
        let few = (1..=spin::FEW).contains(&self.session.in_flight());
        if !few || !self.outbox.is_empty() || !self.spin.is_due() {
            return false;
        }
        let (inbox, control) = (&self.inbox, &self.control);
        let mut answered = false;
        let ready = spin::spin(self.present, || {
            answered = stream.readable().now_or_never().is_some();
            answered || !inbox.is_empty() || !control.is_empty()
        });
        let ready = ready.await;
        if answered || !ready {
            self.spin.learn(answered);
        }
        self.present = Instant::now();
        ready && self.control.is_empty()
    }

    fn on_time(&mut self) {
        let now = self.present;
        self.queue.wake(now);
        // What has arrived counts, however late we look.
        if self.session.poll_timeout().is_some_and(|at| at <= self.now())
            && let Err(Lost(why)) = self.receive()
        {
            self.lost(&why);
        }
        if let Err(error) = self.session.handle_timeout(self.now()) {
            self.lost(&error.to_string());
        }
        if let Err(Lost(why)) = self.watch(now) {
            self.lost(&why);
        }
        if let Link::Down { since, gave_up } = &mut self.link
            && !*gave_up
            && now >= *since + self.spec.replacement_timeout
        {
            *gave_up = true;
            tracing::error!(target = %self.spec.target, "no connection for too long: I/O fails from now on");
            self.queue.fail_all(IoError::Offline);
        }
        self.leave_on_time(now);
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Reinstate { handoff, stream, reply } => {
                // The caller may have stopped waiting, for any of these answers.
                drop(reply.send(self.reinstate(&handoff, stream)));
            }
            Control::Logout { purpose, deadline, reply } => self.leave(purpose, deadline, reply),
            Control::Recheck => self.queue.recheck(),
            Control::Look => self.notices.look(),
            // The exports see what the daemon does.
            Control::Scanned => {}
            Control::Abandon => self.leaving = Leaving::Gone,
        }
    }

    /// Answers everything that is left.
    fn end(mut self) {
        self.inbox.close();
        self.forget_outbox();
        self.session.give_up();
        self.take_events();
        self.queue.fail_all(IoError::Offline);
        for slot in &mut self.slots {
            if let Some(request) = slot.request.take() {
                request.fail(IoError::Offline);
            }
        }
    }
}
