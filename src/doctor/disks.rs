//! Sessions, their units, and the disks made of them: how they are now.

use std::io::ErrorKind;

use super::finding::Finding;
use super::subject::Subject;
use super::world::World;
use crate::ipc::{ExitCode, LunState, SessionState};

/// Whether the sessions have their connections.
pub(super) fn sessions(subject: &Subject, findings: &mut Vec<Finding>) {
    let check = "session";
    let Ok(answer) = &subject.daemon else { return };
    let mut sound = 0;
    for session in answer.targets.iter().filter_map(|target| target.session.as_ref()) {
        let target = &session.target;
        match &session.recovery {
            Some(recovery) => {
                let code = if recovery.io_fails { ExitCode::Unavailable } else { ExitCode::TryAgain };
                findings.push(Finding::problem(check, code, format!("{target}: {recovery}"), recovery.advice(target)));
            }
            None if session.state == SessionState::Active => sound += 1,
            None => findings.push(Finding::skipped(check, format!("{target} is on its way out"))),
        }
    }
    if sound > 0 {
        findings
            .push(Finding::ok(check, format!("{sound} {} up", if sound == 1 { "session is" } else { "sessions are" })));
    }
}

/// Whether units take I/O. What a session without a connection does to its units was said of it.
pub(super) fn units(subject: &Subject, findings: &mut Vec<Finding>) {
    let check = "unit";
    let Ok(answer) = &subject.daemon else { return };
    let mut sound = 0;
    for lun in &answer.luns {
        let name = format!("unit {} of {}", lun.lun, lun.target);
        let why = lun.problem.clone().into_iter().chain(lun.failed.as_ref().map(ToString::to_string));
        let found = format!("{name}: {}", why.collect::<Vec<_>>().join("; "));
        let advice = lun.advice.clone().unwrap_or_default();
        let recovers = answer.targets.iter().any(|target| {
            target.name == lun.target && target.session.as_ref().is_some_and(|session| session.recovery.is_some())
        });
        match lun.state {
            // A unit without a medium, or one that is no disk, is nothing that a disk needs.
            LunState::Offline if lun.r#type != 0 => {}
            LunState::Waiting | LunState::Failing if recovers => {}
            // What is lost and no more is said of the disk.
            LunState::Lost if lun.problem.is_none() => {}
            LunState::Offline | LunState::Waiting | LunState::Failing | LunState::Lost => {
                findings.push(Finding::problem(check, ExitCode::Unavailable, found, advice));
            }
            LunState::Ok if lun.failed.is_some() => {
                let advice = "it works again; see what the target says of that time, and check what was written then";
                findings.push(Finding::warning(check, found, advice));
            }
            LunState::Ok => sound += usize::from(lun.bytes > 0),
        }
    }
    if sound > 0 {
        findings
            .push(Finding::ok(check, format!("{sound} {} I/O", if sound == 1 { "disk takes" } else { "disks take" })));
    }
}

/// Disks that are gone and still in use: as the daemon says, or, where none runs, as the system does.
pub(super) fn lost(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "disks";
    match &subject.daemon {
        Ok(answer) => {
            for lost in &answer.initiator.lost {
                findings.push(Finding::problem(check, ExitCode::Unavailable, lost.to_string(), lost.advice()));
            }
        }
        Err(_) => {
            // One that only does not answer us serves its disks all the same.
            let nobody = world.knock(&subject.runtime_dir.join("control.sock"));
            let gone = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
            if !nobody.is_err_and(|error| gone.contains(&error.kind())) {
                return;
            }
            match world.lost(&subject.runtime_dir) {
                Ok(lost) => {
                    for lost in lost {
                        let advice = format!("start iscsid; {}", lost.advice());
                        findings.push(Finding::problem(check, ExitCode::Unavailable, lost.to_string(), advice));
                    }
                }
                Err(error) => {
                    findings.push(Finding::skipped(check, format!("whether one is lost does not show: {error}")))
                }
            }
        }
    }
}
