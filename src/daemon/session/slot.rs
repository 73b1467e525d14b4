//! What a target is doing: one session at a time, and one task that changes that.
//!
//! ```text
//!              begin                    up
//!      Idle ──────────► LoggingIn ───────────► Up ◄─┐ recovery stays here
//!       ▲                   │ failed, cancelled │ ──┘
//!       ├───────────────────┘                   │ close
//!       └──────────────────────── Closing ◄─────┘
//!                 closed
//! ```
//! No task waits while it holds the lock: others can look at a login to a silent host, and cancel it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iscsi_proto::handoff::Handoff;
use iscsi_proto::login::Lapses;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clients::Seldom;
use crate::ipc::SessionState;
use crate::kernel_bridge::SessionId;
use crate::login::plan::Opened;
use crate::quirks::{Quirk, Seen};

/// The place of a target's session.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    phase: Mutex<Phase>,
    changed: Notify,
    /// What is logged of logins that a command asked for and that failed: a user can ask for many.
    pub(crate) failed: Seldom,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    LoggingIn(CancellationToken),
    Up(Arc<Live>),
    Closing(Arc<Live>),
}

/// Why a target cannot be logged in to or out of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// There is no session.
    Idle,
    /// A login is under way.
    LoggingIn,
    /// There is a session.
    Up,
    /// A logout is under way.
    Closing,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.lock() = phase;
        self.changed.notify_waiters();
    }

    /// Begins a login, if nothing else is under way.
    ///
    /// # Errors
    /// What is.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Attempt, Busy> {
        let mut phase = self.lock();
        match &*phase {
            Phase::Idle => {
                let cancel = CancellationToken::new();
                *phase = Phase::LoggingIn(cancel.clone());
                Ok(Attempt { slot: self.clone(), cancel, over: false })
            }
            Phase::LoggingIn(_) => Err(Busy::LoggingIn),
            Phase::Up(_) => Err(Busy::Up),
            Phase::Closing(_) => Err(Busy::Closing),
        }
    }

    /// Begins to close the session.
    ///
    /// # Errors
    /// What the target is doing instead of being logged in.
    pub(crate) fn close(self: &Arc<Self>) -> Result<Closing, Busy> {
        let mut phase = self.lock();
        match &*phase {
            Phase::Up(live) => {
                let live = live.clone();
                *phase = Phase::Closing(live.clone());
                Ok(Closing { slot: self.clone(), live, stays: false })
            }
            Phase::Idle => Err(Busy::Idle),
            Phase::LoggingIn(_) => Err(Busy::LoggingIn),
            Phase::Closing(_) => Err(Busy::Closing),
        }
    }

    /// The session, while there is one; also on its way out.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        match &*self.lock() {
            Phase::Up(live) | Phase::Closing(live) => Some(live.clone()),
            Phase::Idle | Phase::LoggingIn(_) => None,
        }
    }

    /// Whether there is a session, or one on its way in or out.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(&*self.lock(), Phase::Idle)
    }

    /// Whether the session is on its way out.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(&*self.lock(), Phase::Closing(_))
    }

    /// Ends a login that is under way, and waits until nothing is under way any more: a login or
    /// logout that cannot be cancelled is bounded by its own timer.
    pub(crate) async fn settle(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match &*self.lock() {
                Phase::LoggingIn(cancel) => cancel.cancel(),
                Phase::Closing(_) => {}
                Phase::Idle | Phase::Up(_) => return,
            }
            changed.await;
        }
    }

    /// Waits until no logout is under way, which its own timer bounds. One of a disk in use is refused, and the session stays.
    async fn decided(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_closing() {
                return;
            }
            changed.await;
        }
    }
}

/// A login under way. Dropped without [`up`](Attempt::up), the target is idle again.
#[derive(Debug)]
pub(crate) struct Attempt {
    slot: Arc<Slot>,
    cancel: CancellationToken,
    over: bool,
}

impl Attempt {
    /// Whether somebody wants it to end.
    pub(crate) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// It has worked.
    pub(crate) fn up(mut self, live: Arc<Live>) {
        self.over = true;
        self.slot.set(Phase::Up(live));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.over {
            self.slot.set(Phase::Idle);
        }
    }
}

/// A logout under way; when it is dropped, the session is gone.
#[derive(Debug)]
pub(crate) struct Closing {
    slot: Arc<Slot>,
    live: Arc<Live>,
    stays: bool,
}

impl Closing {
    /// The session that ends.
    pub(crate) const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// It is to stay after all.
    pub(crate) fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.slot.set(if self.stays { Phase::Up(self.live.clone()) } else { Phase::Idle });
    }
}

/// A session.
#[derive(Debug)]
pub(crate) struct Live {
    /// The target's normalised name.
    pub(crate) target: String,
    /// When its first login came about.
    pub(crate) since: Instant,
    /// Ends its recovery (see [`super::recovery`]).
    pub(crate) stop: CancellationToken,
    /// The recovery has ended.
    pub(crate) recovery_ended: CancellationToken,
    /// The network is another: the recovery looks at once whether the target answers, or tries at once to log in again, and
    /// earlier failures do not count.
    pub(crate) look: Notify,
    /// Somebody wants the next login now, by `notify_waiters`: it cuts a wait short, and nothing else. A login under way
    /// goes on, and failures count: whoever asks each second is no reason to begin each second anew.
    pub(crate) hurry: Notify,
    /// Why its connection was lost, each time.
    pub(crate) lost: watch::Sender<String>,
    /// Its units may have changed, or have not been seen yet: they are to be looked for.
    pub(crate) changed: Notify,
    /// Whether its units may be attached. Attaching and detaching lock it, so that a session
    /// that is being closed gets no new disk.
    pub(crate) attachable: tokio::sync::Mutex<bool>,
    /// What its logins did otherwise than others.
    pub(crate) seen: Seen,
    facts: Mutex<Facts>,
}

/// What changes when a connection is replaced.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The bridge's number of the session.
    pub(crate) id: SessionId,
    /// What it is doing.
    pub(crate) state: SessionState,
    /// Since when it has no connection, and why that is so still; nothing while it has one.
    pub(crate) lost: Option<(Instant, String)>,
    /// What was agreed on.
    pub(crate) handoff: Handoff,
    /// Where it is connected to, `address:port`, redirections followed.
    pub(crate) portal: String,
    /// The portal as configured.
    pub(crate) via: String,
    /// TargetAlias.
    pub(crate) alias: Option<String>,
    /// `None`, or `CHAP` and the algorithm.
    pub(crate) authentication: String,
    /// What was negotiated.
    pub(crate) keys: Vec<(String, String)>,
}

impl Facts {
    /// The facts of a connection whose socket was just handed to the bridge.
    pub(crate) fn new(id: SessionId, opened: OpenedFacts) -> Facts {
        let OpenedFacts { handoff, portal, via, alias, authentication, keys } = opened;
        Facts { id, state: SessionState::Active, lost: None, handoff, portal, via, alias, authentication, keys }
    }
}

/// An [`Opened`] without its socket.
#[derive(Debug)]
pub(crate) struct OpenedFacts {
    /// For the bridge.
    pub(crate) handoff: Handoff,
    portal: String,
    via: String,
    alias: Option<String>,
    authentication: String,
    keys: Vec<(String, String)>,
}

impl Opened {
    /// The socket for the bridge, and the rest.
    pub(crate) fn split(self) -> (std::net::TcpStream, OpenedFacts) {
        let Opened {
            stream,
            handoff,
            portal,
            via,
            alias,
            authentication,
            keys,
            declared_tag: _,
            md5_alone: _,
            lapses: _,
        } = self;
        (stream, OpenedFacts { handoff, portal, via, alias, authentication, keys })
    }
}

impl Live {
    /// A session whose first connection has these facts.
    pub(crate) fn new(target: &str, facts: Facts) -> Arc<Live> {
        Arc::new(Live {
            target: target.to_owned(),
            since: Instant::now(),
            stop: CancellationToken::new(),
            recovery_ended: CancellationToken::new(),
            look: Notify::new(),
            hurry: Notify::new(),
            lost: watch::Sender::new(String::new()),
            changed: Notify::new(),
            attachable: tokio::sync::Mutex::new(true),
            seen: Seen::default(),
            facts: Mutex::new(facts),
        })
    }

    /// What a login of it did otherwise than others.
    pub(crate) fn shows(&self, md5_alone: bool, lapses: &Lapses) {
        if md5_alone {
            self.seen.note(&self.target, Quirk::RefusesAlgorithmList, "");
        }
        if lapses.unterminated {
            self.seen.note(&self.target, Quirk::LeavesOutLastZero, "");
        }
        if let Some(wrong) = &lapses.alias {
            self.seen.note(&self.target, Quirk::GarblesAlias, &wrong.to_string());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts of its connection, or of the last one.
    pub(crate) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// The bridge's number of it.
    pub(crate) fn id(&self) -> SessionId {
        self.lock().id
    }

    /// Whether it has left its place, once a logout that is under way has been done or refused.
    pub(crate) async fn has_left(self: &Arc<Self>, slot: &Slot) -> bool {
        slot.decided().await;
        !matches!(&*slot.lock(), Phase::Up(live) if Arc::ptr_eq(live, self))
    }

    /// It has no connection, or is to leave the one that it has; why, and why that is so still.
    pub(crate) fn recovers(&self, why: &str) {
        let mut facts = self.lock();
        facts.state = SessionState::Recovering;
        let since = facts.lost.take().map_or_else(Instant::now, |(since, _)| since);
        facts.lost = Some((since, why.to_owned()));
    }

    /// It has another connection.
    pub(crate) fn set_facts(&self, facts: Facts) {
        *self.lock() = facts;
    }
}
