//! The units of a session: looked for, and attached as disks.

use std::time::Duration;

use tracing::{info, warn};

use super::slot::Live;
use crate::block::Use;
use crate::daemon::progress::Progress;
use crate::daemon::state::Daemon;
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::{UnitInfo, unit_name};

/// How long the search for units may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks for the units of a session and attaches them. A unit that cannot be used is only reported.
pub(crate) async fn scan_and_attach(
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
        let attach =
            daemon.disks.attach_at_login() && (attach || daemon.disks.device(&unit_name(target, unit.lun)).is_some());
        if attach && unit.geometry.is_some() {
            match attach_unit(daemon, live, &unit).await {
                Ok(device) => {
                    info!("{} is attached as {device}", unit_name(target, unit.lun));
                    progress.say(format!("unit {} of {target} is {device}", unit.lun));
                }
                Err(failure) => note(failure.to_string()),
            }
        }
    }
    Ok(notes)
}

/// Looks for the units of a session, within a bound.
pub(crate) async fn scan(daemon: &Daemon, live: &Live) -> Result<Vec<UnitInfo>, Failure> {
    let failed = |why: String| {
        let message = format!("the units of {} could not be looked for: {why}", live.target);
        Failure::new(ExitCode::TryAgain, message).advice("try `iscsictl rescan`")
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
        return Err(Failure::new(ExitCode::TryAgain, message));
    }
    let block = daemon.registry.get(&name).ok_or_else(|| {
        let why = unit.problem.as_deref().unwrap_or("it is not a disk");
        Failure::new(ExitCode::Data, format!("unit {} of {target} cannot be attached: {why}", unit.lun))
    });
    if daemon.registry.is_claimed(&name, Use::Writing) {
        let message = format!("unit {} of {target} cannot be attached: a benchmark writes to it", unit.lun);
        return Err(Failure::new(ExitCode::TryAgain, message));
    }
    daemon.disks.attach(&name, block).await
}
