//! The units of a session: looked for, and attached as disks.

use std::time::Duration;

use tracing::{info, warn};

use super::slot::Live;
use crate::block::{Use, name_parts};
use crate::daemon::control::view::nbd_of;
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::{UnitInfo, unit_name};

/// How long the search for units may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(60);

/// Units of a target that are attached without being named. Each takes a mount, threads and memory, and how many there
/// are is the target's to say.
pub(crate) const MOST_OF_A_TARGET: usize = 64;

/// Units of all targets that are attached without being named.
pub(crate) const MOST_IN_ALL: usize = 256;

/// Sentences about units of one look: who reads more of them?
const MOST_NOTES: usize = 32;

/// Looks for the units of a session and attaches them. A unit that cannot be used is only reported.
pub(crate) async fn scan_and_attach(
    daemon: &Daemon,
    live: &Live,
    attach: bool,
    progress: &Progress,
) -> Result<Vec<String>, Failure> {
    let units = scan(daemon, live).await?;
    Ok(attach_found(daemon, live, units, attach, progress).await)
}

/// Says how many units a scan has found, and attaches them. A unit that cannot be used is only reported.
pub(crate) async fn attach_found(
    daemon: &Daemon,
    live: &Live,
    units: Vec<UnitInfo>,
    attach: bool,
    progress: &Progress,
) -> Vec<String> {
    let target = &live.target;
    let count = units.len();
    progress.say(format!("{target} has {count} {}", if count == 1 { "unit" } else { "units" }));
    let mut notes = Vec::new();
    let mut unsaid = 0_usize;
    let mut note = |sentence: String| {
        if notes.len() == MOST_NOTES {
            unsaid += 1;
            return;
        }
        warn!("{sentence}");
        notes.push(sentence);
    };
    // All disks that are there, those of units among them that the target does not list any more: it could list others
    // each time.
    let attached = daemon.disks.attached();
    let of_target = attached.iter().filter(|(name, _)| name_parts(name).0 == target).count();
    let mut room = MOST_OF_A_TARGET.saturating_sub(of_target).min(MOST_IN_ALL.saturating_sub(attached.len()));
    let (mut left, mut told) = (0_usize, 0_usize);
    for unit in units {
        if let Some(problem) = &unit.problem {
            note(format!("unit {} of {target} cannot be used: {problem}", unit.lun));
        }
        // One that is attached already gets the size that the unit has now.
        let is_attached = daemon.disks.device(&unit_name(target, unit.lun)).is_some();
        if daemon.disks.attach_at_login() && (attach || is_attached) && unit.geometry.is_some() {
            if !is_attached && room == 0 {
                left += 1;
                continue;
            }
            match attach_unit(daemon, live, &unit).await {
                Ok(device) => {
                    room = room.saturating_sub(usize::from(!is_attached));
                    info!("{} is attached as {device}", unit_name(target, unit.lun));
                    progress.say(format!("unit {} of {target} is {device}", unit.lun));
                }
                Err(failure) => note(failure.to_string()),
            }
        } else if unit.geometry.is_some()
            && told < MOST_NOTES
            && daemon.registry.get(&unit_name(target, unit.lun)).is_some()
        {
            told += 1;
            let at = nbd_of(daemon, &unit_name(target, unit.lun));
            progress.say(format!("unit {} of {target} is not attached; NBD clients find it at {at}", unit.lun));
        }
    }
    if unsaid > 0 {
        notes.push(format!(
            "{unsaid} more things could be said of units of {target}; `iscsictl list luns` has them all"
        ));
    }
    if left > 0 {
        let sentence = format!(
            "{left} more units of {target} are not attached: by themselves, {MOST_OF_A_TARGET} of a target and \
             {MOST_IN_ALL} in all are; `iscsictl attach {target} --lun NUMBER` attaches another one"
        );
        warn!("{sentence}");
        notes.push(sentence);
    }
    notes
}

/// Looks for the units of a session, within a bound.
pub(crate) async fn scan(daemon: &Daemon, live: &Live) -> Result<Vec<UnitInfo>, Failure> {
    let failed = |why: String| {
        let message = format!("the units of {} could not be looked for: {why}", live.target);
        // Not another rescan: this may have been one, and what it says is no better then.
        let advice = match live.facts().lost {
            Some((_, why)) => format!(
                "it has no connection now ({why}): repeat that once `iscsictl list sessions` shows it as active"
            ),
            None => format!(
                "see what the target says of it; where it is well, `iscsictl logout {0}`, then `iscsictl login {0}`",
                live.target
            ),
        };
        Failure::new(ExitCode::TryAgain, message).advice(advice)
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
    let attachable = live.attachable.lock().await;
    if !*attachable {
        let message = format!("unit {} of {target} cannot be attached: a logout is under way", unit.lun);
        return Err(Failure::new(ExitCode::TryAgain, message).advice("wait until it has ended, then log in again"));
    }
    let block = daemon.registry.get(&name).ok_or_else(|| {
        let why = unit.problem.as_deref().unwrap_or("it is not a disk");
        Failure::new(ExitCode::Data, format!("unit {} of {target} cannot be attached: {why}", unit.lun))
            .advice("`iscsictl list luns` shows which units are disks")
    });
    if daemon.registry.is_claimed(&name, Use::Writing) {
        let message = format!("unit {} of {target} cannot be attached: a benchmark writes to it", unit.lun);
        return Err(Failure::new(ExitCode::TryAgain, message).advice("wait until that has ended, or end it"));
    }
    daemon.disks.attach(&name, block).await
}
