//! From "log in" to attached disks.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::back_off::back_off;
use super::first_look::first_look;
use super::group_tag;
use super::recovery;
use super::slot::{Busy, Facts, Live};
use super::spec::spec;
use super::units::attach_found;
use crate::config::Portal;
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::ipc::{ExitCode, Failure, SessionState};
use crate::login::failure::{Again, Cause, Failed};
use crate::login::plan::{Opened, Plan, TargetLogin, open_any};
use crate::quirks::Quirk;

/// How often a target that says "later" (03xx) is asked again while a command waits for it.
const PATIENT_ROUNDS: u32 = 3;

/// Why there is no login.
#[derive(Debug)]
pub(crate) struct NoLogin {
    /// For the user.
    pub(crate) failure: Failure,
    /// Whether another attempt makes sense.
    pub(crate) again: Again,
}

impl From<Failure> for NoLogin {
    fn from(failure: Failure) -> NoLogin {
        NoLogin { failure, again: Again::Never }
    }
}

/// Logs in to a target of the configuration, over `only` or whichever portal answers, looks for its
/// units and attaches them. Returns sentences for the user or, where its units could not be looked for, the reason: there is a
/// session then all the same.
pub(crate) async fn log_in(
    daemon: &Arc<Daemon>,
    target: &str,
    only: Option<&Portal>,
    progress: &Progress,
) -> Result<Result<Vec<String>, Failure>, NoLogin> {
    let slot = daemon.slot(target);
    let attempt = slot
        .begin()
        .map_err(|busy| NoLogin { failure: refusal(target, busy, slot.live().as_deref()), again: Again::Later })?;
    let current = daemon.settings.current();
    let TargetLogin { plan, effective, portals } = TargetLogin::new(&current, target, &daemon.seed)?;
    let portals = only.map_or(portals, |only| vec![only.clone()]);
    let opened = tokio::select! {
        biased;
        () = attempt.cancel().cancelled() => {
            Err(Failed { portal: "every portal".to_owned(), cause: Cause::Cancelled })
        }
        opened = open_patiently(daemon, &plan, &portals, progress) => opened,
    };
    let no_login = |failed: Failed| NoLogin { failure: failed.failure(&plan.what()), again: failed.cause.again() };
    let opened = opened.map_err(no_login)?;
    let portal = opened.portal.clone();
    let (via, declared_tag) = (opened.via.clone(), opened.declared_tag);
    let (md5_alone, lapses) = (opened.md5_alone, opened.lapses.clone());
    let (stream, facts) = opened.split();
    let id = match daemon.bridge.handoff(spec(target, &effective), facts.handoff, stream, None).await {
        Ok(id) => id,
        Err(error) => return Err(no_login(Failed { portal, cause: Cause::Kernel(error.to_string()) })),
    };
    let live = Live::new(target, Facts::new(id, facts));
    let mut lost = live.lost.subscribe();
    let (sender, events) = mpsc::unbounded_channel();
    daemon.router.subscribe(id, sender.clone());
    attempt.up(live.clone());
    daemon.survivors.enter(target);
    tokio::spawn(recovery::recover(daemon.clone(), live.clone(), sender, events));
    info!("logged in to {target} over {portal}");
    progress.say(format!("logged in to {target} over {portal}"));
    if plan.target.as_ref().is_some_and(|name| name.irregular().is_some()) {
        live.seen.note(target, Quirk::IrregularName, "");
    }
    live.shows(md5_alone, &lapses);
    if let Some(declared) = declared_tag {
        group_tag::learn(daemon, &live, &via, declared).await;
    }
    let found = match first_look(daemon, &live, &mut lost, progress).await {
        Ok(units) => Ok(attach_found(daemon, &live, units, effective.attach, progress).await),
        Err(failure) => Err(failure),
    };
    if live.has_left(&slot).await {
        let message = format!("{target} was logged in to, and logged out of again before its units were looked for");
        let failure = Failure::new(ExitCode::TryAgain, message).advice("log in again if that was not meant");
        return Err(NoLogin { failure, again: Again::Later });
    }
    Ok(found.inspect_err(|failure| warn!("{failure}")))
}

/// Tries all portals; those of a target that says "later" (03xx) again, after a while.
async fn open_patiently(
    daemon: &Daemon,
    plan: &Plan,
    portals: &[Portal],
    progress: &Progress,
) -> Result<Opened, Failed> {
    let mut round = 0;
    loop {
        let failed = match open_any(&*daemon.opener, plan, portals, |sentence| progress.say(sentence)).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        round += 1;
        if !matches!(failed.cause, Cause::Refused { class: 3, .. }) || round >= PATIENT_ROUNDS {
            return Err(failed);
        }
        let wait = back_off(round, Again::Later);
        progress.say(format!("{} {failed}; again in {} s", plan.what(), wait.as_secs().max(1)));
        tokio::time::sleep(wait).await;
    }
}

/// Why a target cannot be logged in to now.
fn refusal(target: &str, busy: Busy, live: Option<&Live>) -> Failure {
    match busy {
        Busy::Up if live.is_some_and(|live| live.facts().state == SessionState::Recovering) => {
            // Whoever asks has a reason to believe that it works now.
            live.inspect(|live| live.hurry.notify_waiters());
            let message = format!("the connection to {target} is lost, and iscsid tries at once to replace it");
            Failure::new(ExitCode::TryAgain, message).advice("`iscsictl list sessions` shows when it is active again")
        }
        Busy::Idle => Failure::new(ExitCode::Internal, format!("{target} is idle, yet not to be logged in to")),
        Busy::Up => {
            let message = format!("{target} is logged in already");
            Failure::new(ExitCode::Data, message).advice("`iscsictl list sessions` shows it")
        }
        Busy::LoggingIn => {
            let message = format!("a login to {target} is under way");
            Failure::new(ExitCode::TryAgain, message).advice("wait for it, or end it with `iscsictl logout`")
        }
        Busy::Closing => {
            let message = format!("a logout of {target} is under way");
            Failure::new(ExitCode::TryAgain, message).advice("log in again when it is done")
        }
    }
}
