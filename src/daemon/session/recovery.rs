//! A session's recovery: one task each, which hears the bridge's events and puts things right.
//!
//! ```text
//!              UnitsChanged: scan, beside all this
//!                  ┌──┐
//!      login ──► Watch ◄───────────────────────── reinstated
//!                  │ │                                │
//!   ConnectionLost │ │ LogoutRequested                │
//!                  ▼ │ log out, keep the units        │
//!                Wait └──────────────────────────► Replace      (at once when the machine has woken or
//!                                                                 its network has changed: Live::look;
//!                                                                 when a user asks for it: Live::hurry)
//!                  │ Time2Wait, then back-off         ▲ │
//!                  └──────────────────────────────────┘ │ no login
//!                  ▲────────────────────────────────────┘
//! ```
//! A connection that ends soon after its login counts as a login that failed (`lives`), and a target that says without
//! end that its units have changed is looked at less and less often (`pace`).
//!
//! A session is reinstated with the same ISID and TSIH 0 (RFC 7143 §6.3.5), over a portal of the same
//! portal group. The bridge holds the I/O meanwhile; when it has waited long enough, it fails it, and
//! recovery goes on trying, soon over the portals of every group: there is nothing left that a second session could
//! overtake. It ends when the session is to be closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::back_off::back_off;
use super::group_tag;
use super::lives::{Lives, PATTERN};
use super::pace::Pace;
use super::slot::{Facts, Live};
use super::slow_look::look_slowly;
use super::spec::spec;
use super::units;
use crate::config::{Effective, Portal};
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::kernel_bridge::{BridgeError, BridgeEvent};
use crate::login::failure::{Again, Cause, Failed};
use crate::login::plan::{Continues, Opened, TargetLogin, open_any};
use crate::quirks::Quirk;

/// How long a target may take to answer when there is reason to doubt that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// The longest time that is waited because a target asks for it (DefaultTime2Wait, RFC 7143 §13.15): an announcement has
/// room for eighteen hours.
const LONGEST_TIME2WAIT: Duration = Duration::from_secs(3600);

/// A wait that somebody may want to cut short.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// Keeps a session alive until it is to be closed. `sender` is the other end of `events`, for the case that
/// the session gets another number.
pub(crate) async fn recover(
    daemon: Arc<Daemon>,
    live: Arc<Live>,
    sender: mpsc::UnboundedSender<BridgeEvent>,
    events: mpsc::UnboundedReceiver<BridgeEvent>,
) {
    let _ended = live.recovery_ended.clone().drop_guard();
    let stop = live.stop.clone();
    let _look = AbortOnDropHandle::new(tokio::spawn(look_slowly(daemon.clone(), live.clone())));
    let _scans = AbortOnDropHandle::new(tokio::spawn(scans(daemon.clone(), live.clone())));
    let lives = Lives::begin(daemon.short_life);
    let mut recovery = Recovery { daemon, live, sender, events, lives, gone: false, down: None };
    let mut step = Step::Watch;
    loop {
        // A hand-over to the bridge is not interrupted: the step itself looks at the token.
        step = match step {
            Step::End => return,
            Step::Replace { failures } => recovery.replace(failures).await,
            Step::Watch => tokio::select! {
                biased;
                () = stop.cancelled() => Step::End,
                step = recovery.watch() => step,
            },
            Step::Wait { failures, wait } => tokio::select! {
                biased;
                () = stop.cancelled() => Step::End,
                () = recovery.live.look.notified() => Step::Replace { failures: 0 },
                () = recovery.live.hurry.notified() => Step::Replace { failures },
                () = tokio::time::sleep(wait) => Step::Replace { failures },
            },
        };
    }
}

/// Looks for units whenever they may have changed. A task of its own: a scan over a connection that
/// is lost meanwhile waits for the recovery to replace it.
async fn scans(daemon: Arc<Daemon>, live: Arc<Live>) {
    let mut pace = Pace::default();
    loop {
        live.changed.notified().await;
        let asked = Instant::now();
        tokio::time::sleep_until(pace.due()).await;
        let attach = daemon.settings.current().effective(&live.target).attach;
        if let Err(failure) = units::scan_and_attach(&daemon, &live, attach, &Progress::default()).await {
            warn!("{failure}");
        }
        if pace.looked(asked) {
            live.seen.note(&live.target, Quirk::ChangesWithoutEnd, "");
        }
    }
}

/// What the recovery does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All is well: wait for an event.
    Watch,
    /// The connection is lost; do not try before that.
    Wait { failures: u32, wait: Duration },
    /// Log in again.
    Replace { failures: u32 },
    /// The session is to be closed.
    End,
}

struct Recovery {
    daemon: Arc<Daemon>,
    live: Arc<Live>,
    sender: mpsc::UnboundedSender<BridgeEvent>,
    events: mpsc::UnboundedReceiver<BridgeEvent>,
    lives: Lives,
    /// The bridge does not have the session any more: there is nothing to reinstate.
    gone: bool,
    /// When the first login was tried since the connection was lost.
    down: Option<Instant>,
}

impl Recovery {
    async fn watch(&mut self) -> Step {
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            () = self.live.look.notified() => return self.check().await,
        };
        let Some(event) = event else { return Step::End };
        self.daemon.router.taken(&event);
        let target = self.live.target.clone();
        match event {
            BridgeEvent::ConnectionLost { why, .. } => {
                self.live.recovers(&why);
                let wait = self.rest(&why, self.default_time2wait());
                warn!("the connection to {target} is lost: {why}; {}", again_in(wait));
                Step::Wait { failures: 0, wait }
            }
            BridgeEvent::DropAnnounced { time2wait, .. } => {
                let ours = self.daemon.settings.current().effective(&target).timers.logout;
                warn!("{target} announces that it will drop the connection; logging out before it does");
                let wait = self.log_out("it has announced that it drops the connection", ours, time2wait.into()).await;
                Step::Wait { failures: 0, wait }
            }
            BridgeEvent::LogoutRequested { seconds, .. } => self.log_out_as_asked(seconds).await,
            BridgeEvent::UnitsChanged { .. } => {
                info!("the units of {target} may have changed");
                self.live.changed.notify_one();
                Step::Watch
            }
        }
    }

    /// The machine has slept, or its network has changed: a connection that does not answer is replaced
    /// now, not when pings and Time2Wait have run out.
    async fn check(&mut self) -> Step {
        let (target, id) = (&self.live.target, self.live.id());
        match self.daemon.bridge.is_alive(id, SIGN_OF_LIFE).await {
            Ok(true) => Step::Watch,
            Ok(false) | Err(_) => {
                warn!("{target} does not answer any more; logging in again at once");
                let lost = "it does not answer any more";
                self.live.recovers(lost);
                self.live.lost.send_replace(lost.to_owned());
                // The connection gives no answers: it is closed at once, and its I/O waits for the next one.
                if let Err(error) = self.daemon.bridge.suspend(id, Duration::ZERO).await {
                    debug!("the old connection to {target} is left: {error}");
                }
                Step::Replace { failures: 0 }
            }
        }
    }

    /// The target wants a logout within `seconds` (RFC 7143 §11.9.1, events 1 and 4): it gets it, and then
    /// a login again. Units stay, and their I/O waits.
    async fn log_out_as_asked(&mut self, seconds: u16) -> Step {
        let target = &self.live.target;
        info!("{target} wants a logout; logging out and in again");
        // The target may give more time than that; no logout gets more than its timer.
        let ours = self.daemon.settings.current().effective(target).timers.logout;
        let within = ours.min(Duration::from_secs(seconds.max(1).into()));
        let wait = self.log_out("it has asked for a logout", within, self.default_time2wait()).await;
        Step::Wait { failures: 0, wait }
    }

    /// Logs out of a connection that the target will end, and keeps the units. What is under way is waited for; what is
    /// not waits for the next connection. How long to wait for that.
    async fn log_out(&mut self, why: &str, within: Duration, time2wait: u64) -> Duration {
        let target = self.live.target.clone();
        self.live.recovers(why);
        let wait = self.rest(why, time2wait);
        if let Err(error) = self.daemon.bridge.suspend(self.live.id(), within).await {
            warn!("{target} did not confirm the logout: {error}");
        }
        info!("the connection to {target} is left; {}", again_in(wait));
        wait
    }

    fn default_time2wait(&self) -> u64 {
        self.live.facts().handoff.default_time2wait.into()
    }

    /// The connection is over: how long to wait before the next login.
    fn rest(&mut self, why: &str, time2wait: u64) -> Duration {
        let target = &self.live.target;
        self.live.lost.send_replace(why.to_owned());
        if self.lives.over() == PATTERN {
            let name = self.daemon.settings.current().config.initiator.name.clone();
            let detail = format!("{PATTERN} in a row, the last because {why}; our name is {name}");
            self.live.seen.note(target, Quirk::EndsConnectionsEarly, &detail);
        }
        let time2wait = Duration::from_secs(time2wait);
        if time2wait > LONG_WAIT {
            self.live.seen.note(target, Quirk::AsksForALongWait, &format!("{} s", time2wait.as_secs()));
        }
        time2wait.min(LONGEST_TIME2WAIT).max(self.lives.wait())
    }

    async fn replace(&mut self, failures: u32) -> Step {
        let stop = self.live.stop.clone();
        let down = self.down.get_or_insert_with(Instant::now).elapsed();
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Step::End,
            opened = self.open(down) => opened,
            // An attempt over the network of before may wait for an answer that cannot come.
            () = self.live.look.notified() => return Step::Replace { failures: 0 },
        };
        let result = match opened {
            Ok((opened, effective)) => self.hand_over(opened, &effective).await,
            Err(trouble) => Err(trouble),
        };
        let Err((why, again)) = result else { return Step::Watch };
        self.live.recovers(&why);
        let failures = failures.saturating_add(1);
        // The target has let us in before. While it starts, it may not know its own targets yet.
        let again = if again == Again::Elsewhere { Again::Later } else { again };
        let wait = back_off(failures, again);
        warn!("{} is not logged in again: {why}; the next attempt is in {} s", self.live.target, wait.as_secs().max(1));
        Step::Wait { failures, wait }
    }

    /// Logs in over a portal of the same group, the last one first; over any, once that can harm nobody any more.
    async fn open(&self, down: Duration) -> Result<(Opened, Effective), (String, Again)> {
        let current = self.daemon.settings.current();
        let target = &self.live.target;
        let TargetLogin { mut plan, effective, portals } = TargetLogin::new(&current, target, &self.daemon.seed)
            .map_err(|failure| (failure.to_string(), Again::Never))?;
        let facts = self.live.facts();
        let over = down >= over_after(&effective, &facts);
        let (portals, continues) = in_order(&portals, &facts, over);
        plan.continues = continues;
        match open_any(&*self.daemon.opener, &plan, &portals, |sentence| info!("{sentence}")).await {
            Ok(opened) => Ok((opened, effective)),
            Err(failed) => Err((failed.to_string(), failed.cause.again())),
        }
    }

    async fn hand_over(&mut self, opened: Opened, effective: &Effective) -> Result<(), (String, Again)> {
        let target = self.live.target.clone();
        let before = self.live.id();
        let portal = opened.portal.clone();
        let (via, declared_tag) = (opened.via.clone(), opened.declared_tag);
        self.live.shows(opened.md5_alone, &opened.lapses);
        let (stream, facts) = opened.split();
        // Earlier events of the connection do not concern the new one. Those of the units do.
        while let Ok(event) = self.events.try_recv() {
            self.daemon.router.taken(&event);
            if matches!(event, BridgeEvent::UnitsChanged { .. }) {
                self.live.changed.notify_one();
            }
        }
        let replaces = (!self.gone).then_some(before);
        match self.daemon.bridge.handoff(spec(&target, effective), facts.handoff, stream, replaces).await {
            Ok(id) => {
                self.live.set_facts(Facts::new(id, facts));
                self.lives.reborn();
                self.down = None;
                if id != before {
                    self.daemon.router.forget(before);
                    self.daemon.router.subscribe(id, self.sender.clone());
                }
                info!("logged in to {target} again, over {portal}");
                if let Some(declared) = declared_tag {
                    group_tag::learn(&self.daemon, &self.live, &via, declared).await;
                }
                if std::mem::take(&mut self.gone) {
                    self.live.changed.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                self.gone |= error == BridgeError::NoSession;
                let failed = Failed { portal, cause: Cause::Kernel(error.to_string()) };
                Err((failed.to_string(), failed.cause.again()))
            }
        }
    }
}

/// When the next login is, in words.
fn again_in(wait: Duration) -> String {
    let when = format!("logging in again in {} s", wait.as_secs());
    if wait < LONG_WAIT { when } else { format!("{when}; `iscsictl login` does it at once") }
}

/// How long after its connection a session is over on both sides: what waited for another connection has failed here
/// (ReplacementTimeout), and the target keeps nothing of the session (DefaultTime2Retain, RFC 7143 §13.15).
fn over_after(effective: &Effective, facts: &Facts) -> Duration {
    effective.timers.replacement + Duration::from_secs(facts.handoff.default_time2retain.into())
}

/// The portals to try for a session that was connected with these facts: the one it used, then the
/// others of its portal group, which they must confirm; then also the rest, if there is none of the group any more, or the
/// session is `over`: then there is no session to continue.
fn in_order(portals: &[Portal], facts: &Facts, over: bool) -> (Vec<Portal>, Option<Continues>) {
    let group_tag = facts.handoff.target_portal_group_tag;
    let of_group = |portal: &Portal| portal.group_tag.is_none_or(|tag| tag == group_tag);
    let mut order = portals.to_vec();
    let bound = !over && portals.iter().any(of_group);
    if bound {
        order.retain(of_group);
    }
    order.sort_by_key(|portal| (portal.endpoint() != facts.via, !of_group(portal)));
    // 0 is what a target that declares no group has, nearly always.
    let continues = (bound && group_tag != 0).then(|| Continues { group_tag, via: facts.via.clone() });
    (order, continues)
}
