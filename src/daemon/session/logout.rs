//! From "log out" to a target that is idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use super::slot::{Busy, Closing, Live};
use crate::block::name_parts;
use crate::config::Portal;
use crate::daemon::disks::Afterlife;
use crate::daemon::progress::Progress;
use crate::daemon::state::{Daemon, all};
use crate::ipc::{ExitCode, Failure, SessionState};
use crate::kernel_bridge::unit_name;

/// How long a target that is left by force may take to show that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_millis(300);

/// How long it may take to see who uses a disk when the daemon ends, which has little time.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// How long it may take before somebody waits in vain who wants the disk away.
const USERS_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked at whether a disk is still in use.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Logs out of a target, by its normalised name. Refused while a unit is in use, unless `force`.
/// Returns sentences for the user.
pub(crate) async fn log_out(
    daemon: &Arc<Daemon>,
    target: &str,
    only: Option<&Portal>,
    force: bool,
    progress: &Progress,
) -> Result<Vec<String>, Failure> {
    let pursued = daemon.give_up(target);
    let slot = daemon.slot(target);
    let closing = loop {
        match slot.close() {
            Ok(closing) => break closing,
            Err(Busy::Idle) if pursued => {
                daemon.survivors.forget(target);
                return Ok(vec![format!(
                    "{target} was not logged in; the automatic login is given up until iscsid starts again"
                )]);
            }
            Err(Busy::Idle) => {
                let message = format!("{target} is not logged in");
                return Err(Failure::new(ExitCode::Data, message).advice("`iscsictl list sessions` shows what is"));
            }
            Err(Busy::LoggingIn) => {
                slot.settle().await;
                if slot.live().is_none() {
                    return Ok(vec![format!("the login to {target} that was under way is cancelled")]);
                }
            }
            Err(Busy::Closing) => {
                let message = format!("a logout of {target} is under way already");
                return Err(Failure::new(ExitCode::TryAgain, message).advice("wait for it"));
            }
            // It came up in between.
            Err(Busy::Up) => {}
        }
    };
    let live = closing.live().clone();
    let via = live.facts().via;
    if let Some(only) = only.filter(|only| only.endpoint() != via) {
        closing.stay();
        let message = format!("{target} is not logged in over {}, but over {via}", only.endpoint());
        return Err(Failure::new(ExitCode::Data, message));
    }
    let names = unit_names(daemon, &live);
    let dead = force && !answers(daemon, &live).await;
    if dead {
        live.stop.cancel();
        // Programs that still use its units get errors at once, instead of waiting for a target that is gone.
        daemon.bridge.abandon(live.id());
    }
    let mut notes = match detach_all(daemon, &live, &names, force).await {
        Ok(notes) => notes,
        Err(failure) => {
            *live.attachable.lock().await = true;
            closing.stay();
            return Err(failure);
        }
    };
    notes.extend(if dead {
        stop_recovery(daemon, &live).await;
        // It may have come back at the last moment.
        daemon.bridge.abandon(live.id());
        vec![format!("the session with {target} is ended without a logout: the target does not answer")]
    } else {
        end(daemon, &live).await
    });
    daemon.survivors.forget(target);
    drop(closing);
    info!("logged out of {target}");
    progress.say(format!("logged out of {target}"));
    let name = target.to_owned();
    if !daemon.settings.current().effective(target).persistent {
        daemon.settings.edit(move |config, secrets| Ok(config.logged_out(secrets, &name))).await?;
    }
    Ok(notes)
}

/// Whether the target of a session is there: the session has a connection, and the target answers over it.
async fn answers(daemon: &Daemon, live: &Live) -> bool {
    live.facts().state == SessionState::Active
        && matches!(daemon.bridge.is_alive(live.id(), SIGN_OF_LIFE).await, Ok(true))
}

/// Takes all disks of a session away, for good: none, if one of them is in use and `force` is not given. Says what was done
/// to their users.
async fn detach_all(daemon: &Daemon, live: &Live, names: &[String], force: bool) -> Result<Vec<String>, Failure> {
    let mut attachable = live.attachable.lock().await;
    *attachable = false;
    if !force {
        return detach_all_or_none(daemon, names).await;
    }
    let mut said = Vec::new();
    for name in names {
        match daemon.disks.detach(name, true).await {
            Ok(sentences) => said.extend(sentences),
            Err(failure) => {
                warn!("{failure}");
                said.push(failure.what);
            }
        }
    }
    Ok(said)
}

/// Takes disks away that nobody uses. Says what the user should know of it.
///
/// # Errors
/// If one of them is in use, also where that shows late: then all are there as before.
pub(crate) async fn detach_all_or_none(daemon: &Daemon, names: &[String]) -> Result<Vec<String>, Failure> {
    for name in names {
        refuse_in_use(daemon, name).await?;
    }
    let (mut said, mut taken) = (Vec::new(), Vec::new());
    for name in names {
        let device = daemon.disks.device(name);
        match daemon.disks.detach(name, false).await {
            Ok(sentences) => {
                said.extend(sentences);
                taken.extend(device.map(|device| (name, device)));
            }
            Err(mut failure) => {
                for (name, device) in taken {
                    failure.others.extend(give_back(daemon, name, &device).await);
                }
                return Err(failure);
            }
        }
    }
    Ok(said)
}

/// Makes a unit the disk again that was taken away for nothing. What the user should know of that.
async fn give_back(daemon: &Daemon, name: &str, before: &str) -> Option<Failure> {
    let block = daemon.registry.get(name).ok_or_else(|| {
        Failure::new(ExitCode::Unavailable, format!("{name} is not attached any more, and cannot be again"))
            .advice("`iscsictl list luns` shows why")
    });
    match daemon.disks.attach(name, block).await {
        Ok(device) if device == before => None,
        Ok(device) => {
            let message = format!("{name}, which nobody used, is {device} now, and was {before}");
            Some(Failure::new(ExitCode::TryAgain, message))
        }
        Err(failure) => Some(failure),
    }
}

/// Takes those disks of a session away that nobody uses, for good, and says who uses the others. One of which that does not
/// show within `limit` counts as used: what hangs there hangs over something.
async fn detach_unused(daemon: &Arc<Daemon>, live: &Live, names: &[String], limit: Duration) -> Vec<String> {
    let mut attachable = live.attachable.lock().await;
    *attachable = false;
    let looks = all(names.to_vec(), |name| {
        let disks = daemon.disks.clone();
        async move {
            let users = tokio::time::timeout(limit, disks.in_use(&name)).await;
            let users = users.unwrap_or_else(|_| vec![does_not_show(limit)]);
            if users.is_empty() {
                return disks.detach(&name, false).await.err().map(|failure| failure.what);
            }
            Some(format!("{name} is in use ({})", users.join(", ")))
        }
    });
    looks.await.into_iter().flatten().collect()
}

/// The disks that are in use and fail when the daemon ends, and who uses them: sentences. None where they wait for the next
/// one. What does not show within a moment is not waited for.
pub(crate) async fn would_fail(daemon: &Arc<Daemon>) -> Vec<String> {
    if daemon.disks.afterlife() != Afterlife::None {
        return Vec::new();
    }
    let lives: Vec<Arc<Live>> = daemon.slots().into_iter().filter_map(|(_, slot)| slot.live()).collect();
    let names = lives.iter().flat_map(|live| unit_names(daemon, live)).collect::<Vec<_>>();
    let looks = all(names, |name| {
        let disks = daemon.disks.clone();
        async move {
            let users = tokio::time::timeout(LOOK_LIMIT, disks.in_use(&name)).await.unwrap_or_default();
            (!users.is_empty()).then(|| format!("{name} is in use ({})", users.join(", ")))
        }
    });
    looks.await.into_iter().flatten().collect()
}

/// Waits until no disk is in use that would fail when the daemon ends.
pub(crate) async fn until_nothing_would_fail(daemon: &Arc<Daemon>) {
    // Neither the mount table nor sysfs reports that a disk is let go of by all kinds of users: it is looked at this often.
    while !would_fail(daemon).await.is_empty() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The units of a session: those that its target has, and those of which there is a disk although it has them no more.
pub(crate) fn unit_names(daemon: &Daemon, live: &Live) -> Vec<String> {
    let units = daemon.bridge.units(live.id());
    let mut names: Vec<String> = units.iter().map(|unit| unit_name(&live.target, unit.lun)).collect();
    for (name, _) in daemon.disks.attached() {
        if name_parts(&name).0 == live.target && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Writes cached data of a session's disks back to the target, because the session ends under them.
async fn write_back(daemon: &Daemon, names: Vec<String>) {
    all(names, |name| {
        let disks = daemon.disks.clone();
        async move {
            if let Err(failure) = disks.write_back(&name).await {
                error!("{failure}");
            }
        }
    })
    .await;
}

/// Refuses to touch a disk that is in use. One whose users do not show in time counts as used: what hangs there hangs over
/// something, and so would the detach.
async fn refuse_in_use(daemon: &Daemon, unit: &str) -> Result<(), Failure> {
    let users = tokio::time::timeout(USERS_LIMIT, daemon.disks.in_use(unit)).await;
    let users = users.unwrap_or_else(|_| vec![does_not_show(USERS_LIMIT)]);
    if users.is_empty() {
        return Ok(());
    }
    let message = format!("{unit} is in use ({})", users.join(", "));
    Err(Failure::new(ExitCode::TryAgain, message)
        .advice("unmount it and end what has it open first, or add --force and lose what is not written yet"))
}

/// Who uses a disk, where that is not known.
fn does_not_show(limit: Duration) -> String {
    format!("by whom does not show within {} s", limit.as_secs())
}

/// Ends the recovery of a session: nothing logs in to its target again.
async fn stop_recovery(daemon: &Daemon, live: &Live) {
    live.stop.cancel();
    live.recovery_ended.cancelled().await;
    daemon.router.forget(live.id());
}

/// Ends a session that has no disks any more. An error of the target is reported, and changes nothing.
async fn end(daemon: &Daemon, live: &Live) -> Vec<String> {
    stop_recovery(daemon, live).await;
    let target = &live.target;
    let within = daemon.settings.current().effective(target).timers.logout;
    let id = live.id();
    match daemon.bridge.logout(id, within).await {
        Ok(()) => Vec::new(),
        Err(error) => {
            let sentence = format!("the session with {target} is ended, but the target did not confirm it: {error}");
            warn!("{sentence}");
            vec![sentence]
        }
    }
}

/// A target on its way out because the daemon ends: of its disks, those are gone that are to go.
pub(crate) struct Departure {
    closing: Closing,
    /// The disks that fail from now on: sentences.
    lost: Vec<String>,
    /// Its session goes on without the daemon.
    works_on: bool,
}

/// Takes away, because the daemon ends, the disks that nobody uses, within a bound; where the machine ends, also those that
/// would wait for the next daemon. Which targets that one logs in to again is noted.
pub(crate) async fn let_go_of_all(daemon: &Arc<Daemon>, machine_ends: bool, within: Duration) -> Vec<Departure> {
    let deadline = Instant::now() + within;
    let departures = all(daemon.slots(), |(target, slot)| {
        let daemon = daemon.clone();
        async move {
            // Until its disks are let go of: should that hang, the end does not wait for it.
            if slot.live().is_some() {
                daemon.survivors.stay(&target);
            }
            if timeout_at(deadline, slot.settle()).await.is_err() {
                warn!("a logout of {target} was under way when iscsid was told to end, and hangs");
                return None;
            }
            let Ok(closing) = slot.close() else {
                daemon.survivors.go(&target);
                return None;
            };
            daemon.survivors.stay(&target);
            let stays =
                timeout_at(deadline, let_go(&daemon, closing.live(), machine_ends)).await.unwrap_or_else(|_| {
                    vec![format!("the disks of {target} were not let go of within {} seconds", within.as_secs())]
                });
            if stays.is_empty() {
                daemon.survivors.go(&target);
            }
            let afterlife = daemon.disks.afterlife();
            for sentence in &stays {
                match afterlife {
                    Afterlife::None => error!(
                        "{sentence}; iscsid ends, and the disk fails: the next iscsid logs in to {target} again, then unmount what was mounted and mount it again"
                    ),
                    Afterlife::Waits => warn!("{sentence}; iscsid ends, and the disk waits for the next one"),
                    Afterlife::WorksOn => {
                        warn!("{sentence}; iscsid ends, and the session goes on in the kernel until the next one");
                    }
                }
            }
            let works_on = afterlife == Afterlife::WorksOn && !stays.is_empty();
            Some(Departure { closing, lost: if afterlife == Afterlife::None { stays } else { Vec::new() }, works_on })
        }
    });
    departures.await.into_iter().flatten().collect()
}

/// Takes the disks of a session away that nobody uses, and has the others written back. Why each of those stays: sentences.
async fn let_go(daemon: &Arc<Daemon>, live: &Live, machine_ends: bool) -> Vec<String> {
    let names = unit_names(daemon, live);
    let stays = match daemon.disks.afterlife() {
        // The next daemon takes over the whole session.
        Afterlife::WorksOn => {
            let kept = detach_all(daemon, live, &names, false).await.err();
            return kept.into_iter().map(|failure| failure.what).collect();
        }
        // Whatever holds a disk has no next daemon to wait for.
        Afterlife::Waits | Afterlife::None if machine_ends => return put_away(daemon, live, names).await,
        Afterlife::Waits => detach_unused(daemon, live, &names, USERS_LIMIT).await,
        Afterlife::None => detach_unused(daemon, live, &names, LOOK_LIMIT).await,
    };
    if !stays.is_empty() {
        write_back(daemon, names).await;
    }
    stays
}

/// Takes the disks of a session away because the machine ends, whoever uses them. Why each of those stays that do: sentences.
async fn put_away(daemon: &Arc<Daemon>, live: &Live, names: Vec<String>) -> Vec<String> {
    let mut attachable = live.attachable.lock().await;
    *attachable = false;
    let gone = all(names, |name| {
        let disks = daemon.disks.clone();
        async move { disks.put_away(&name).await.err().map(|failure| failure.what) }
    });
    gone.await.into_iter().flatten().collect()
}

/// Logs out of targets whose disks were let go of. Returns a sentence for each disk that fails from now on.
pub(crate) async fn depart_all(daemon: &Arc<Daemon>, departures: Vec<Departure>) -> Vec<String> {
    let lost = all(departures, |Departure { closing, lost, works_on }| {
        let daemon = daemon.clone();
        async move {
            let live = closing.live();
            if works_on {
                stop_recovery(&daemon, live).await;
            } else {
                end(&daemon, live).await;
                info!("logged out of {}", live.target);
            }
            lost
        }
    });
    lost.await.into_iter().flatten().collect()
}
