//! A session in the kernel extension, as the daemon drives it: one task each.
//!
//! ```text
//!   Up ── notice: lost, logged out ──► Down ── replacement timeout ──► Down, given up
//!    ▲                                  │
//!    └── REPLACE, held ── units verified: RESUME
//!   any ── notice: terminating; logout, abandon: REMOVE ──► Gone
//! ```
//! While a session is held, the extension lets nothing of the SCSI stack through: each unit is looked at first. One
//! that has become another disk is fenced there, before the others go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use iscsi_kext_messages::*;
use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Lun;
use iscsi_proto::scsi::Sense;
use iscsi_proto::session::{Outcome, Residual, TaskResult};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::disk::{Came, Way};
use super::extension::{Extension, Heard, Refused, text};
use crate::block::IoError;
use crate::kernel_bridge::bridge::{BridgeError, BridgeEvent, SessionSpec};
use crate::kernel_bridge::orders::{Control, Purpose, Start};
use crate::kernel_bridge::unit::disposition::{self, Disposition};
use crate::kernel_bridge::unit::gate::Pass;
use crate::kernel_bridge::unit::notices::Notices;
use crate::kernel_bridge::unit::request::{Inbox, RawDone, Request, Work};

/// How long a command of the scan may take, unless the settings say less.
const LIMIT: Duration = Duration::from_secs(30);

/// How soon what could not be done yet is tried again.
const SOON: Duration = Duration::from_millis(20);

/// How long commands may take to come back from a session that has ended.
const LAST: Duration = Duration::from_secs(10);

/// A session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    /// None since then; after the replacement timeout commands fail at once.
    Down {
        since: Instant,
        gave_up: bool,
    },
    /// The extension does not have the session any more.
    Gone,
}

pub(crate) struct Driver {
    spec: SessionSpec,
    way: Way,
    notices: Notices,
    inbox: Arc<Inbox>,
    counters: Arc<crate::kernel_bridge::counters::Counters>,
    control: mpsc::UnboundedReceiver<Control>,
    heard: mpsc::UnboundedReceiver<Heard>,
    link: Link,
    /// The extension lets nothing of the SCSI stack through.
    held: bool,
    /// The units that the extension fences off.
    fenced: BTreeSet<Lun>,
    /// Commands of the scan that wait for a connection.
    waiting: Vec<Request>,
    running: JoinSet<(Request, Came)>,
}

/// Whether the driver goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Driver {
    /// Hands a session over to the extension, or its connection to a session that an earlier daemon has left there.
    pub(crate) async fn start(extension: Arc<Extension>, start: Start) -> Result<Driver, BridgeError> {
        let Start { spec, handoff, stream, inbox, counters, control, notices } = start;
        let (session, target) = create(extension.clone(), spec.clone(), handoff, stream).await?;
        let heard = extension.hear(session, target);
        let limit = if spec.task_timeout.is_zero() { LIMIT } else { spec.task_timeout.min(LIMIT) };
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).clamp(1, 60_000);
        let way = Way { extension, session, target, limit };
        let (waiting, running, fenced) = (Vec::new(), JoinSet::new(), BTreeSet::new());
        let (link, held) = (Link::Up, false);
        Ok(Driver { spec, way, notices, inbox, counters, control, heard, link, held, fenced, waiting, running })
    }

    /// Its number in the extension.
    pub(crate) fn session(&self) -> u32 {
        self.way.session
    }

    /// Runs until the session has ended.
    pub(crate) async fn run(mut self) {
        let mut arriving = Vec::new();
        loop {
            self.inbox.take(&mut arriving);
            arriving.drain(..).for_each(|request| self.dispatch(request));
            let gives_up = match self.link {
                Link::Down { since, gave_up: false } => Some(since + self.spec.replacement_timeout),
                _ => None,
            };
            let then = tokio::select! {
                biased;
                control = self.control.recv() => self.obey(control.unwrap_or(Control::Abandon)).await,
                heard = self.heard.recv(), if self.link != Link::Gone => self.notice(heard).await,
                Some(ended) = self.running.join_next() => self.ended(ended),
                () = self.inbox.arrived() => Then::GoOn,
                () = sleep_until(gives_up.unwrap_or_else(Instant::now)), if gives_up.is_some() => self.give_up(),
            };
            if then == Then::End {
                break;
            }
        }
        self.end().await;
    }

    /// Sends a command on its way, or keeps it until there is a connection.
    fn dispatch(&mut self, request: Request) {
        match (&request.work, self.link) {
            (_, Link::Gone) => request.fail(IoError::Offline),
            (Work::Raw { .. }, Link::Down { gave_up: true, .. }) => request.fail(IoError::Offline),
            (Work::Raw { .. }, Link::Down { .. }) => self.waiting.push(request),
            (Work::Block { unit, .. }, _) if unit.gate().pass() == Pass::Refused => request.fail(IoError::Offline),
            // The extension knows itself when they may go.
            (Work::Block { .. }, _) | (Work::Raw { .. }, Link::Up) => {
                drop(self.running.spawn(self.way.clone().run(request)));
            }
        }
    }

    fn dispatch_after(&mut self, wait: Duration, request: Request) {
        let way = self.way.clone();
        self.running.spawn(async move {
            sleep(wait).await;
            way.run(request).await
        });
    }

    fn ended(&mut self, ended: Result<(Request, Came), tokio::task::JoinError>) -> Then {
        let (mut request, came) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(target = %self.spec.target, "a command ended early: {error}");
                return Then::GoOn;
            }
        };
        match came {
            Came::Back(result, sense) => {
                if let Some(sense) = sense {
                    self.notices.learn(&request, &sense);
                }
                match disposition::decide(&mut request, &result, sense) {
                    Disposition::Again => self.dispatch(request),
                    Disposition::AgainAfter(wait) => self.dispatch_after(wait, request),
                    Disposition::Done(done) => self.answer(request, &result, sense, done),
                }
            }
            Came::Gone => {
                request.fail(IoError::Offline);
                self.gone("the kernel extension does not have the session any more");
            }
            // The notice that says so may still be on its way.
            Came::Unconnected if self.link == Link::Up => self.dispatch_after(SOON, request),
            Came::Unconnected => self.dispatch(request),
            Came::Unanswered => self.unanswered(request),
        }
        Then::GoOn
    }

    /// A command that the extension did not answer for the unit. The SCSI stack may not have found the unit yet.
    fn unanswered(&mut self, mut request: Request) {
        let busy = TaskResult {
            outcome: Outcome::Status(iscsi_proto::pdu::ScsiStatus::Busy),
            transferred: 0,
            residual: Residual::None,
        };
        match (self.link, disposition::decide(&mut request, &busy, None)) {
            (Link::Up, Disposition::AgainAfter(wait)) => self.dispatch_after(wait, request),
            _ => request.fail(IoError::Offline),
        }
    }

    fn answer(&mut self, mut request: Request, result: &TaskResult, sense: Option<Sense>, done: Result<(), IoError>) {
        let done = match done.and_then(|()| request.goes_on()) {
            Ok(true) => return self.dispatch(request),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        match request.work {
            Work::Block { unit, completion, .. } => {
                unit.failures().note(done);
                completion.finish(done, request.payload.into_buffer());
            }
            // The caller may have stopped waiting.
            Work::Raw { reply } => drop(reply.send(RawDone::of(request.payload, result, sense, done))),
        }
    }

    async fn obey(&mut self, control: Control) -> Then {
        match control {
            Control::Reinstate { handoff, stream, reply } => {
                let result = self.reinstate(handoff, stream).await;
                // The caller may have stopped waiting, for any of these answers.
                drop(reply.send(result));
            }
            Control::Logout { purpose: Purpose::End, deadline, reply } => {
                let result = self.log_out_for_good(deadline).await;
                // Before the answer: a daemon that dies right after it must not leave a session that was logged out of.
                self.take_out().await;
                drop(reply.send(result));
                return Then::End;
            }
            Control::Logout { purpose: Purpose::Return, deadline, reply } => {
                let now = Instant::now();
                self.drain(now + deadline.saturating_duration_since(now) / 2).await;
                let result = self.log_out(deadline).await;
                if self.link == Link::Up {
                    // It goes on over another connection, with any answer of the target on this one.
                    self.down();
                    self.ask("closed", |extension, session| extension.drop_connection(session)).await;
                }
                drop(reply.send(result));
            }
            Control::Recheck => self.recheck().await,
            Control::Scanned => self.ask_quietly(|extension, session| extension.rescan(session)).await,
            Control::Look => self.notices.look(),
            Control::Abandon => return Then::End,
        }
        Then::GoOn
    }

    async fn notice(&mut self, heard: Option<Heard>) -> Then {
        let session = self.notices.id;
        let notice = match heard {
            Some(Heard::Notice(notice)) => notice,
            Some(Heard::Gap) => {
                self.watch_connection().await;
                // What is missing may have been about units.
                self.notices.tell(BridgeEvent::UnitsChanged { session });
                return Then::GoOn;
            }
            None => {
                self.gone("the kernel extension is gone");
                return Then::GoOn;
            }
        };
        let target = &self.spec.target;
        match notice.kind {
            // It may be about a connection that was replaced meanwhile.
            ISCSI_NOTICE_CONNECTION_LOST | ISCSI_NOTICE_LOGGED_OUT => self.watch_connection().await,
            ISCSI_NOTICE_LOGOUT_REQUESTED => {
                self.notices.tell(BridgeEvent::LogoutRequested { session, seconds: notice.parameter[0] });
            }
            ISCSI_NOTICE_DROP_ANNOUNCED => {
                self.notices.tell(BridgeEvent::DropAnnounced { session, time2wait: notice.parameter[0] });
            }
            ISCSI_NOTICE_UNIT_REPORT => {
                let length = usize::from(notice.parameter[0]).min(notice.text.len());
                if let Some(sense) = notice.text.get(..length).and_then(Sense::parse) {
                    self.notices.hear(Lun(u64::from_be_bytes(notice.lun)), &sense);
                }
            }
            ISCSI_NOTICE_ESCALATED => tracing::warn!(%target, function = notice.code, "a command takes too long"),
            ISCSI_NOTICE_REJECTED => tracing::warn!(%target, reason = notice.code, "the target rejected a PDU"),
            ISCSI_NOTICE_TERMINATING => self.gone("the kernel extension has ended the session"),
            ISCSI_NOTICE_UNHANDLED => {
                let (event, vendor_code) = (notice.code, notice.parameter[0]);
                tracing::info!(%target, event, vendor_code, "an asynchronous event that is nobody's business here");
            }
            kind => tracing::debug!(%target, kind, code = notice.code, "event of the session"),
        }
        Then::GoOn
    }

    /// What is said of the connection may be late, or missing: the extension knows what is true now. Why it is
    /// gone, if it is.
    async fn look_at_connection(&mut self) -> Option<String> {
        if self.link != Link::Up {
            return None;
        }
        let (extension, session) = (self.way.extension.clone(), self.way.session);
        match tokio::task::spawn_blocking(move || extension.connection(session)).await {
            Ok(Ok(now)) if now.link == ISCSI_UP || now.link == ISCSI_LEAVING => None,
            Ok(Ok(now)) => {
                self.down();
                Some(text(&now.reason))
            }
            Ok(Err(refused)) if refused.is_gone() => {
                self.gone(&refused.to_string());
                None
            }
            Ok(Err(refused)) => Some(format!("nothing is known of it: {refused}")),
            Err(error) => Some(format!("nothing is known of it: {error}")),
        }
    }

    fn down(&mut self) {
        if self.link == Link::Up {
            self.link = Link::Down { since: Instant::now(), gave_up: false };
        }
    }

    /// Tells the daemon to log in again if the connection is gone.
    async fn watch_connection(&mut self) {
        if let Some(why) = self.look_at_connection().await {
            tracing::warn!(target = %self.spec.target, why, "the connection was lost");
            self.notices.tell(BridgeEvent::ConnectionLost { session: self.notices.id, why });
        }
    }

    fn gone(&mut self, why: &str) {
        if self.link == Link::Gone {
            return;
        }
        let told = self.link != Link::Up;
        self.link = Link::Gone;
        self.waiting.drain(..).for_each(|request| request.fail(IoError::Offline));
        tracing::error!(target = %self.spec.target, why, "the session is gone");
        if !told {
            self.notices.tell(BridgeEvent::ConnectionLost { session: self.notices.id, why: why.to_owned() });
        }
    }

    fn give_up(&mut self) -> Then {
        if let Link::Down { gave_up, .. } = &mut self.link {
            *gave_up = true;
            tracing::error!(target = %self.spec.target, "no connection for too long: I/O fails from now on");
        }
        self.waiting.drain(..).for_each(|request| request.fail(IoError::Offline));
        Then::GoOn
    }

    /// Goes on over another connection. It may lead to another target's disks: nothing of the SCSI stack goes
    /// out before each unit was looked at.
    async fn reinstate(&mut self, handoff: Handoff, stream: TcpStream) -> Result<(), BridgeError> {
        let since = match self.link {
            Link::Gone => return Err(BridgeError::NoSession),
            Link::Down { since, .. } => since,
            Link::Up => Instant::now(),
        };
        let hold = !self.notices.disks.lock().is_empty();
        let stream = blocking(stream)?;
        let (extension, session) = (self.way.extension.clone(), self.way.session);
        let replaced = tokio::task::spawn_blocking(move || extension.replace(session, &handoff, &stream, hold)).await;
        match replaced {
            Ok(Ok(())) => {}
            Ok(Err(refused)) if refused.is_gone() => {
                self.gone(&refused.to_string());
                return Err(BridgeError::NoSession);
            }
            Ok(Err(refused)) => return Err(BridgeError::BadHandoff(refused.to_string())),
            Err(error) => return Err(BridgeError::Failed(error.to_string())),
        }
        (self.link, self.held) = (Link::Up, hold);
        self.counters.reconnects.fetch_add(1, Relaxed);
        self.notices.doubt_all(since);
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().for_each(|request| self.dispatch(request));
        Ok(())
    }

    /// Tells the extension which units it must fence off, and lets it go on when none is in doubt.
    async fn recheck(&mut self) {
        if self.link == Link::Gone {
            return;
        }
        let (mut fenced, mut waits) = (BTreeSet::new(), false);
        for (lun, disk) in &*self.notices.disks.lock() {
            match disk.unit.gate().pass() {
                Pass::Refused => drop(fenced.insert(*lun)),
                Pass::Waits => waits = true,
                Pass::Open => {}
            }
        }
        let changes: Vec<Lun> = self.fenced.symmetric_difference(&fenced).copied().collect();
        for lun in changes {
            let fence = fenced.contains(&lun);
            if !self.ask("fenced", move |extension, session| extension.fence(session, lun, fence)).await {
                // It stays held: nothing may go to another disk.
                return;
            }
            if fence {
                self.fenced.insert(lun)
            } else {
                self.fenced.remove(&lun)
            };
        }
        if self.held && !waits && self.ask("resumed", |extension, session| extension.resume(session)).await {
            self.held = false;
        }
    }

    /// A call of the extension, by a thread that may wait; whether it was done.
    async fn ask(
        &mut self,
        what: &str,
        call: impl FnOnce(&Extension, u32) -> Result<(), Refused> + Send + 'static,
    ) -> bool {
        match self.ask_for(call).await {
            Ok(()) => true,
            Err(why) => {
                tracing::error!(target = %self.spec.target, why, "the session could not be {what}");
                false
            }
        }
    }

    async fn ask_quietly(&mut self, call: impl FnOnce(&Extension, u32) -> Result<(), Refused> + Send + 'static) {
        if let Err(why) = self.ask_for(call).await {
            tracing::debug!(target = %self.spec.target, why, "the SCSI stack does not look for units now");
        }
    }

    async fn ask_for(
        &mut self,
        call: impl FnOnce(&Extension, u32) -> Result<(), Refused> + Send + 'static,
    ) -> Result<(), String> {
        let (extension, session) = (self.way.extension.clone(), self.way.session);
        match tokio::task::spawn_blocking(move || call(&extension, session)).await {
            Ok(done) => done.map_err(|refused| refused.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits for what is at the target, until `deadline`. Since the target has asked for the logout, the extension sends it
    /// nothing new.
    async fn drain(&mut self, deadline: Instant) {
        while self.link == Link::Up && Instant::now() < deadline {
            let (extension, session) = (self.way.extension.clone(), self.way.session);
            let counted = tokio::task::spawn_blocking(move || extension.statistics(session)).await;
            // One that is not told is not waited for.
            if counted.ok().flatten().is_none_or(|counted| counted.in_flight == 0) {
                return;
            }
            tokio::select! {
                biased;
                heard = self.heard.recv() => drop(self.notice(heard).await),
                Some(ended) = self.running.join_next() => drop(self.ended(ended)),
                // The extension does not tell when tasks of the SCSI stack end: it is asked this often.
                () = sleep(SOON) => {}
            }
        }
    }

    /// Logs out and waits for the answer, or the end of the connection, until `deadline`.
    async fn log_out(&mut self, deadline: Instant) -> Result<(), BridgeError> {
        if self.link != Link::Up {
            return Err(BridgeError::ConnectionLost("there was no connection to log out of".to_owned()));
        }
        if let Err(why) = self.ask_for(|extension, session| extension.log_out(session)).await {
            return Err(BridgeError::ConnectionLost(why));
        }
        loop {
            let heard = tokio::select! {
                biased;
                heard = self.heard.recv() => heard,
                Some(ended) = self.running.join_next() => {
                    self.ended(ended);
                    continue;
                }
                () = sleep_until(deadline) => return Err(BridgeError::TimedOut),
            };
            match heard {
                Some(Heard::Notice(notice)) if notice.kind == ISCSI_NOTICE_LOGGED_OUT => {
                    self.down();
                    return Ok(());
                }
                Some(Heard::Notice(notice)) if notice.kind == ISCSI_NOTICE_TERMINATING => {
                    self.gone("the kernel extension has ended the session");
                    return Err(BridgeError::NoSession);
                }
                Some(_) => {}
                None => {
                    self.gone("the kernel extension is gone");
                    return Err(BridgeError::NoSession);
                }
            }
            if let Some(why) = self.look_at_connection().await {
                return Err(BridgeError::ConnectionLost(why));
            }
        }
    }

    /// Everything under way first, then the units go, then the session.
    async fn log_out_for_good(&mut self, deadline: Instant) -> Result<(), BridgeError> {
        self.inbox.close();
        while !self.running.is_empty() && self.link == Link::Up {
            tokio::select! {
                biased;
                heard = self.heard.recv() => drop(self.notice(heard).await),
                Some(ended) = self.running.join_next() => drop(self.ended(ended)),
                () = sleep_until(deadline) => return Err(BridgeError::TimedOut),
            }
        }
        loop {
            let (extension, session) = (self.way.extension.clone(), self.way.session);
            let removed = tokio::task::spawn_blocking(move || extension.remove(session, ISCSI_REMOVE_UNITS)).await;
            match removed {
                Ok(Err(refused)) if refused.is_early() && Instant::now() < deadline && self.link == Link::Up => {
                    sleep(SOON).await;
                }
                Ok(Err(refused)) if !refused.is_early() => {
                    tracing::warn!(target = %self.spec.target, "the units could not be taken away: {refused}");
                    break;
                }
                _ => break,
            }
        }
        self.log_out(deadline).await
    }

    /// Takes the session out of the extension.
    async fn take_out(&mut self) {
        if self.link != Link::Gone {
            self.ask("ended", |extension, session| extension.remove(session, ISCSI_REMOVE_ALL)).await;
        }
        self.link = Link::Gone;
    }

    /// Takes the session out of the extension, if it is there, and answers everything that is left.
    async fn end(mut self) {
        self.inbox.close();
        self.take_out().await;
        self.way.extension.unhear(self.way.session);
        self.waiting.drain(..).for_each(|request| request.fail(IoError::Offline));
        let deadline = Instant::now() + LAST;
        while let Ok(Some(ended)) = timeout_at(deadline, self.running.join_next()).await {
            self.ended(ended);
        }
    }
}

async fn create(
    extension: Arc<Extension>,
    spec: SessionSpec,
    handoff: Handoff,
    stream: TcpStream,
) -> Result<(u32, u32), BridgeError> {
    let stream = blocking(stream)?;
    let created = tokio::task::spawn_blocking(move || {
        if let Some((session, target)) = extension.adopt(&spec.target) {
            match extension.replace(session, &handoff, &stream, false) {
                Ok(()) => {
                    tracing::info!(target = %spec.target, session, "a session that an earlier iscsid has left goes on");
                    return Ok((session, target));
                }
                Err(refused) => {
                    tracing::warn!(target = %spec.target, "a session in the kernel is not taken over: {refused}");
                    // It may have ended already.
                    let _ = extension.remove(session, ISCSI_REMOVE_ALL);
                }
            }
        }
        extension.create(&spec, &handoff, &stream)
    });
    match created.await {
        Ok(Ok(numbers)) => Ok(numbers),
        Ok(Err(refused)) => Err(BridgeError::BadHandoff(refused.to_string())),
        Err(error) => Err(BridgeError::Failed(error.to_string())),
    }
}

/// The extension's threads wait in the socket.
fn blocking(stream: TcpStream) -> Result<std::net::TcpStream, BridgeError> {
    let stream = stream.into_std().and_then(|stream| stream.set_nonblocking(false).map(|()| stream));
    stream.map_err(|error| BridgeError::ConnectionLost(error.to_string()))
}
