//! Settings, secrets and sockets: there, whole, and nobody's but ours.

use std::io::ErrorKind;
use std::path::Path;

use super::finding::Finding;
use super::subject::Subject;
use super::world::World;
use crate::config::{Config, Secrets, default_config};
use crate::ipc::ExitCode;

/// Looks at the settings and the secrets; the settings, if they can be read.
pub(super) fn examine(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) -> Option<Config> {
    let path = &subject.config;
    let (check, shown) = ("configuration", path.display());
    match world.stat(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The usual one iscsid makes; a name that was typed may be mistyped.
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            if let Some(directory) = directory.filter(|_| subject.daemon.is_err() && *path != default_config())
                && world.stat(directory).is_err_and(|error| error.kind() == ErrorKind::NotFound)
            {
                let found = format!("there is no directory {} for the property list {shown}", directory.display());
                let advice = "create it, or give --config another name";
                findings.push(Finding::problem(check, ExitCode::Configuration, found, advice));
                return None;
            }
            findings.push(Finding::ok(check, format!("there is none yet at {shown}; the first change creates it")));
            return None;
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            findings.push(Finding::skipped(check, format!("this user may not look at {shown}; sudo may")));
            return None;
        }
        Err(error) => {
            let advice = "repair that, or name another file with --config";
            let found = format!("{shown} cannot be looked at: {error}");
            findings.push(Finding::problem(check, ExitCode::Configuration, found, advice));
            return None;
        }
        Ok(stat) => {
            if stat.mode & 0o022 != 0 {
                let found = format!("others may write to {shown}, and so to whom this machine logs in");
                let advice =
                    format!("chmod 600 {shown} if that is iscsid's own file, else name another one with --config");
                findings.push(Finding::problem(check, ExitCode::Configuration, found, advice));
            }
            if stat.owner != 0 && stat.owner != world.user() {
                let found = format!("{shown} belongs to user {}, neither root nor you", stat.owner);
                findings.push(Finding::warning(check, found, "chown it to the user iscsid runs as"));
            }
            let unreadable = stat.owner != world.user() && world.user() != 0 && stat.mode & 0o004 == 0;
            if unreadable {
                findings.push(Finding::skipped(check, format!("this user may not read {shown}; sudo may")));
                return None;
            }
        }
    }
    match world.settings(path) {
        Ok(None) => None,
        Ok(Some((config, secrets))) => {
            findings.push(Finding::ok(check, format!("{shown} is whole and names {}", targets(config.targets.len()))));
            for value in config.without_effect() {
                findings.push(Finding::warning(check, format!("{shown}: {}", value.what), value.advice));
            }
            credentials(&config, &secrets, findings);
            Some(config)
        }
        Err(failure) => {
            findings.push(Finding::failure(check, &failure));
            None
        }
    }
}

fn targets(count: usize) -> String {
    format!("{count} {}", if count == 1 { "target" } else { "targets" })
}

/// Room for a property list with some hundred targets, and for what is beside it.
const ROOM: u64 = 256 << 10;

/// Whether there is room for a change of the settings, where they are and where the sockets are.
pub(super) fn room(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let check = "room";
    let settings = subject.config.parent().filter(|directory| !directory.as_os_str().is_empty());
    let places = [settings.unwrap_or(Path::new(".")), &subject.runtime_dir];
    let mut seen = false;
    for place in places {
        // One that is not there yet is made, on the file system of the one above it.
        let Some(room) = place.ancestors().find_map(|place| world.room(place)) else { continue };
        seen = true;
        if room < ROOM {
            let found = format!("there are only {room} bytes left for {}, so no change can be saved", place.display());
            findings.push(Finding::problem(check, ExitCode::Configuration, found, "make room on that file system"));
        }
    }
    if seen && !findings.iter().any(|finding| finding.check == check) {
        findings.push(Finding::ok(check, "there is room for changes of the settings"));
    }
}

/// Whether everything that CHAP needs is there, for every target and for discovery.
fn credentials(config: &Config, secrets: &Secrets, findings: &mut Vec<Finding>) {
    let mut sound = 0;
    let discovery = config.discovery.send_targets().then_some(None);
    for target in config.targets.keys().map(Some).chain(discovery) {
        match config.credentials(secrets, target.map(String::as_str)) {
            Ok(Some(_)) => sound += 1,
            Ok(None) => {}
            Err(failure) => findings.push(Finding::failure("chap", &failure)),
        }
    }
    if sound > 0 {
        findings.push(Finding::ok("chap", format!("names and secrets are there for {sound} of them")));
    }
}

/// Looks at the runtime directory and the sockets in it.
pub(super) fn sockets(subject: &Subject, world: &dyn World, findings: &mut Vec<Finding>) {
    let (check, directory) = ("sockets", &subject.runtime_dir);
    let shown = directory.display();
    // One that answers has found its way.
    if subject.daemon.is_err()
        && let Err(failure) = world.way_to(directory)
    {
        findings.push(Finding::failure(check, &failure));
        return;
    }
    match world.stat(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            findings.push(Finding::skipped(check, format!("there is no {shown} yet; iscsid creates it")));
            return;
        }
        Err(error) => {
            findings.push(Finding::skipped(check, format!("{shown} cannot be looked at: {error}")));
            return;
        }
        Ok(stat) if stat.owner != 0 && stat.owner != world.user() => {
            let found = format!("{shown} belongs to user {}, who could put his own sockets there", stat.owner);
            let advice = "name a directory of root's or of your own with --runtime-dir";
            findings.push(Finding::problem(check, ExitCode::NotPermitted, found, advice));
            return;
        }
        Ok(stat) if stat.mode & 0o022 != 0 => {
            let found = format!("others may write to {shown}, and could put their own sockets there");
            let advice =
                format!("chmod go-w {shown} if that is iscsid's own, else name another directory with --runtime-dir");
            findings.push(Finding::problem(check, ExitCode::NotPermitted, found, advice));
            return;
        }
        Ok(_) => {}
    }
    if subject.daemon.is_err() {
        return;
    }
    socket(&directory.join("nbd.sock"), world, findings);
}

/// The socket of the NBD export: only for root, or for the user that runs the daemon.
fn socket(path: &Path, world: &dyn World, findings: &mut Vec<Finding>) {
    let (check, shown) = ("sockets", path.display());
    let again = "restart iscsid, which makes it again";
    match world.stat(path) {
        Ok(stat) if !stat.is_socket => {
            findings.push(Finding::problem(check, ExitCode::Unavailable, format!("{shown} is not a socket"), again));
        }
        Ok(stat) if stat.mode & 0o077 != 0 => {
            let found = format!("others may connect to {shown}, and so read and write every unit");
            findings.push(Finding::problem(check, ExitCode::NotPermitted, found, format!("chmod 600 {shown}")));
        }
        Ok(_) => match world.knock(path) {
            Ok(()) => findings.push(Finding::ok(check, format!("iscsid listens at {shown}"))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                findings.push(Finding::skipped(check, format!("only root may use {shown}")));
            }
            Err(error) => {
                let found = format!("nobody listens at {shown} ({error}), so NBD clients get nothing");
                findings.push(Finding::problem(check, ExitCode::Unavailable, found, again));
            }
        },
        Err(error) => {
            let found = format!("{shown} is not there ({error}), so NBD clients get nothing");
            findings.push(Finding::problem(check, ExitCode::Unavailable, found, again));
        }
    }
}
