//! From "log in" to attached disks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::control::Progress;
use super::keeper::{self, back_off};
use super::slot::{Busy, Facts, Live};
use super::state::Daemon;
use crate::block::Use;
use crate::config::{Effective, Portal};
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::unit_name;
use crate::kernel_bridge::{SessionSpec, UnitInfo};
use crate::login::failure::{Again, Cause, Failed};
use crate::login::plan::{Opened, Plan, open_any};

/// How many commands of a session may be under way.
const DEPTH: u16 = 128;

/// How often a target that says "later" (03xx) is asked again while a command waits for it.
const PATIENT_ROUNDS: u32 = 3;

/// How long the search for units may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no login.
#[derive(Debug)]
pub(crate) struct NoLogin {
    /// For the user.
    pub(crate) failure: Failure,
    /// For whoever tries again.
    pub(crate) again: Again,
}

impl From<Failure> for NoLogin {
    fn from(failure: Failure) -> NoLogin {
        NoLogin { failure, again: Again::Never }
    }
}

/// Logs in to a target of the configuration, over `only` or whichever portal answers, looks for its
/// units and attaches them. Returns sentences for the user.
pub(crate) async fn log_in(
    daemon: &Arc<Daemon>,
    target: &str,
    only: Option<&Portal>,
    progress: &Progress,
) -> Result<Vec<String>, NoLogin> {
    let slot = daemon.slot(target);
    let attempt = slot.begin().map_err(|busy| NoLogin { failure: refusal(target, busy), again: Again::Later })?;
    let current = daemon.settings.current();
    let (_, settings) = current.config.find_target(target)?;
    let plan = Plan::new(&current, Some(target), &daemon.seed)?;
    let effective = current.config.effective(target, daemon.as_root);
    let portals = only.map_or_else(|| settings.portals.clone(), |only| vec![only.clone()]);
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
    let (stream, facts) = opened.split();
    let id = match daemon.bridge.handoff(spec(target, &effective), facts.handoff, stream, None).await {
        Ok(id) => id,
        Err(error) => return Err(no_login(Failed { portal, cause: Cause::Kernel(error.to_string()) })),
    };
    let live = Live::new(target, Facts::new(id, facts));
    let (keeper, events) = mpsc::unbounded_channel();
    daemon.router.subscribe(id, keeper.clone());
    attempt.up(live.clone());
    daemon.roster.enter(target);
    tokio::spawn(keeper::keep(daemon.clone(), live.clone(), keeper, events));
    info!("logged in to {target} over {portal}");
    progress.say(format!("logged in to {target} over {portal}"));
    // What the target has is of no matter to whether it let us in.
    Ok(furnish(daemon, &live, effective.attach, progress).await.unwrap_or_else(|failure| {
        warn!("{failure}");
        vec![failure.message]
    }))
}

/// What the kernel must know.
pub(crate) fn spec(target: &str, effective: &Effective) -> SessionSpec {
    SessionSpec {
        target: target.to_owned(),
        depth: DEPTH,
        nop_interval: effective.timers.nop_interval,
        nop_timeout: effective.timers.nop_timeout,
        replacement_timeout: effective.timers.replacement,
        task_timeout: effective.timers.task,
    }
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

/// Looks for the units of a session and attaches them. A unit that cannot be used is said, and no more.
pub(crate) async fn furnish(
    daemon: &Daemon,
    live: &Live,
    attach: bool,
    progress: &Progress,
) -> Result<Vec<String>, Failure> {
    let target = &live.target;
    let mut notes = Vec::new();
    let mut note = |sentence: String| {
        warn!("{sentence}");
        notes.push(sentence);
    };
    let units = scan(daemon, live).await?;
    progress.say(format!("{target} has {} units", units.len()));
    for unit in units {
        if let Some(problem) = &unit.problem {
            note(format!("unit {} of {target} cannot be used: {problem}", unit.lun));
        }
        // One that is attached already gets the size that the unit has now.
        let attach = attach || daemon.disks.device(&unit_name(target, unit.lun)).is_some();
        let attach = attach && !daemon.bridge.makes_disks();
        if attach && unit.geometry.is_some() {
            match attach_unit(daemon, live, &unit).await {
                Ok(device) => {
                    info!("{} is attached as {device}", unit_name(target, unit.lun));
                    progress.say(format!("unit {} of {target} is {device}", unit.lun));
                }
                Err(failure) => note(failure.message),
            }
        }
    }
    Ok(notes)
}

/// Looks for the units of a session, within a bound.
pub(crate) async fn scan(daemon: &Daemon, live: &Live) -> Result<Vec<UnitInfo>, Failure> {
    let failed = |why: String| {
        let message = format!("the units of {} could not be looked for: {why}; try `iscsictl rescan`", live.target);
        Failure::new(ExitCode::TryAgain, message)
    };
    match tokio::time::timeout(SCAN_TIMEOUT, daemon.bridge.scan(live.id())).await {
        Ok(Ok(units)) => Ok(units),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("the target did not answer within {} seconds", SCAN_TIMEOUT.as_secs()))),
    }
}

/// Makes a unit a disk; what the disk is called.
pub(crate) async fn attach_unit(daemon: &Daemon, live: &Live, unit: &UnitInfo) -> Result<String, Failure> {
    let target = &live.target;
    let name = unit_name(target, unit.lun);
    if daemon.bridge.makes_disks() {
        return daemon.bridge.device(live.id(), unit.lun).ok_or_else(|| {
            let why = "the system makes a disk of it by itself, and has not done so yet; try again in a moment";
            Failure::new(ExitCode::TryAgain, format!("unit {} of {target} is not attached: {why}", unit.lun))
        });
    }
    let attachable = live.attachable.lock().await;
    if !*attachable {
        let message = format!("unit {} of {target} cannot be attached: a logout is under way", unit.lun);
        return Err(Failure::new(ExitCode::TryAgain, message));
    }
    let Some(block) = daemon.registry.get(&name) else {
        let why = unit.problem.as_deref().unwrap_or("it is not a disk");
        return Err(Failure::new(ExitCode::Data, format!("unit {} of {target} cannot be attached: {why}", unit.lun)));
    };
    if daemon.registry.is_claimed(&name, Use::Writing) {
        let message = format!("unit {} of {target} cannot be attached: a benchmark writes to it", unit.lun);
        return Err(Failure::new(ExitCode::TryAgain, message));
    }
    daemon.disks.attach(&name, block).await
}

/// Why a target cannot be logged in to now.
fn refusal(target: &str, busy: Busy) -> Failure {
    match busy {
        Busy::Idle => Failure::new(ExitCode::Internal, format!("{target} is idle, yet not to be logged in to")),
        Busy::Up => {
            let message = format!("{target} is logged in already; `iscsictl list sessions` shows it");
            Failure::new(ExitCode::Data, message)
        }
        Busy::LoggingIn => {
            let message = format!("a login to {target} is under way; wait for it, or end it with `iscsictl logout`");
            Failure::new(ExitCode::TryAgain, message)
        }
        Busy::Closing => {
            let message = format!("a logout of {target} is under way; log in again when it is done");
            Failure::new(ExitCode::TryAgain, message)
        }
    }
}
