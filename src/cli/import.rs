//! `iscsictl import`: reads what iscsi-osx has left on this machine, and asks iscsid to take it.
//!
//! ```text
//!   file ─► config::read_iscsi_osx ─► Import ─► in frames that fit ─► iscsid ─► what it took
//! ```
//! The command line reads it, not the daemon: its user may read files that the daemon may not, and the system can
//! ask the user for leave to use keychain items.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use crate::config::{self, IscsiOsxFile, IscsiOsxSecrets};
use crate::ipc::{ExitCode, Failure, Import, Imported, MAX_REQUEST, Request};
use crate::regular_file::another_kind;

/// More bytes than any settings of iscsi-osx have.
const LARGEST: u64 = 1 << 20;

/// What to do where it cannot be the file that is meant.
const NAME_IT: &str = "name the property list of iSCSIInitiator after `iscsictl import`";

/// What a request may hold, the words around it aside.
const ROOM: usize = MAX_REQUEST - 1024;

/// What `import` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// The file; `None` for the place where iscsi-osx keeps it.
    pub(super) file: Option<PathBuf>,
    /// Also what is configured here already.
    pub(super) replace: bool,
}

/// What was found, as requests that are each short enough, and what cannot be taken over.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) requests: Vec<Request>,
    pub(super) notes: Vec<String>,
}

/// Reads the file and the keychain.
///
/// # Errors
/// [`ExitCode::Data`]: there is no such file, or it is no file of iscsi-osx's;
/// [`ExitCode::NotPermitted`]: it may not be read.
pub(super) fn find(order: &Order, secrets: &dyn IscsiOsxSecrets) -> Result<Found, Failure> {
    let path = match &order.file {
        Some(file) => file.clone(),
        None if cfg!(target_os = "macos") => PathBuf::from(config::ISCSI_OSX_SETTINGS),
        None => {
            let what = "name the file to import; only macOS has a place where iSCSIInitiator keeps it";
            return Err(Failure::new(ExitCode::Usage, what));
        }
    };
    let shown = path.display();
    let bytes = read(&path)?;
    let found = config::read_iscsi_osx(&bytes, secrets).map_err(|failure| Failure {
        what: format!("nothing was imported from {shown}: {}", failure.what),
        ..failure
    })?;
    let IscsiOsxFile { mut import, mut notes, secrets_in_clear } = found;
    if secrets_in_clear {
        notes.push(format!("{shown} holds CHAP secrets in clear; delete it when all is imported"));
    }
    import.replace = order.replace;
    let requests = split(import, &mut notes)?;
    Ok(Found { requests, notes })
}

/// The whole file, if it is one: nobody waits for the other end of a pipe.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let shown = path.display();
    let not_read = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::new(ExitCode::Data, format!("there is no file {shown}")).advice(NAME_IT),
        ErrorKind::PermissionDenied => {
            Failure::new(ExitCode::NotPermitted, format!("this user may not read {shown}")).advice("try it with sudo")
        }
        _ => Failure::new(ExitCode::Data, format!("cannot read {shown}: {error}")).advice("look at where it is stored"),
    };
    let refuse_another_kind = |facts: std::io::Result<Metadata>| match another_kind(&facts.map_err(not_read)?) {
        Some(kind) => {
            Err(Failure::new(ExitCode::Data, format!("{shown} is {kind}, and no property list")).advice(NAME_IT))
        }
        None => Ok(()),
    };
    // To open a device may do something to it.
    refuse_another_kind(std::fs::metadata(path))?;
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(not_read)?;
    refuse_another_kind(file.metadata())?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(not_read)?;
    if bytes.len() as u64 > LARGEST {
        let what = format!("{shown} is larger than {LARGEST} bytes, so it holds no settings of iSCSIInitiator");
        return Err(Failure::new(ExitCode::Data, what).advice(NAME_IT));
    }
    Ok(bytes)
}

/// As few requests as the length of a frame allows; the settings of the initiator and of discovery go
/// in the first. A part that does not fit in one alone is left out, and reported.
fn split(import: Import, notes: &mut Vec<String>) -> Result<Vec<Request>, Failure> {
    let Import { initiator, targets, discovery, discovery_portals, replace } = import;
    let mut whole = vec![Import { initiator, discovery, replace, ..Import::default() }];
    let mut room = ROOM.saturating_sub(length(&whole)?);
    let mut place = |whole: &mut Vec<Import>, length: usize| {
        if length >= room {
            whole.push(Import { replace, ..Import::default() });
            room = ROOM;
        }
        room = room.saturating_sub(length + 1);
    };
    for portal in discovery_portals {
        let length = length(&portal)?;
        if length > ROOM {
            notes.push("a discovery portal has a name of more than 60 kB, and is left out".to_owned());
            continue;
        }
        place(&mut whole, length);
        whole.last_mut().into_iter().for_each(|import| import.discovery_portals.push(portal.clone()));
    }
    for target in targets {
        let length = length(&target)?;
        if length > ROOM {
            let name: String = target.name.chars().take(64).collect();
            notes.push(format!("target {name}: there is more than 60 kB about it, and it is left out"));
            continue;
        }
        place(&mut whole, length);
        whole.last_mut().into_iter().for_each(|import| import.targets.push(target.clone()));
    }
    whole.retain(|import| !import.is_empty());
    Ok(whole.into_iter().map(|import| Request::Import(Box::new(import))).collect())
}

fn length(value: &impl serde::Serialize) -> Result<usize, Failure> {
    let json = serde_json::to_vec(value).map(Zeroizing::new).map_err(|error| {
        Failure::new(ExitCode::Internal, format!("what was found cannot be written as JSON: {error}"))
    })?;
    Ok(json.len())
}

/// How the command ends: it fails if the file had settings and none of them could be taken.
///
/// # Errors
/// [`ExitCode::Data`], as said.
pub(super) fn outcome(imported: &Imported) -> Result<(), Failure> {
    if imported.taken.is_empty() && !imported.left.is_empty() {
        return Err(Failure::new(ExitCode::Data, "nothing was imported, for the reasons above"));
    }
    Ok(())
}

/// Where there is no keychain.
#[cfg(any(test, not(target_os = "macos")))]
#[derive(Debug)]
pub(super) struct NoKeychain;

#[cfg(any(test, not(target_os = "macos")))]
impl IscsiOsxSecrets for NoKeychain {
    fn secret(&self, _node: &str) -> Result<Option<crate::ipc::Secret>, String> {
        Err("it is in the keychain of the Mac that the file comes from".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ImportedPortal, ImportedTarget};

    fn target(number: usize, portals: usize) -> ImportedTarget {
        let portal = ImportedPortal { at: "192.0.2.1:3260".into(), interface: None };
        ImportedTarget {
            name: format!("iqn.2026-11.org.example:disk{number}"),
            portals: vec![portal; portals],
            ..ImportedTarget::default()
        }
    }

    fn order(file: &Path) -> Order {
        Order { file: Some(file.to_owned()), replace: false }
    }

    #[test]
    fn many_targets_are_asked_for_in_several_requests_that_each_fit_and_none_is_lost() {
        let targets: Vec<ImportedTarget> = (0..2000).map(|number| target(number, 1)).collect();
        let import = Import { targets: targets.clone(), replace: true, ..Import::default() };
        let mut notes = Vec::new();
        let requests = split(import, &mut notes).expect("requests");
        assert!(requests.len() > 1 && notes.is_empty());
        let mut arrived = Vec::new();
        for request in requests {
            assert!(serde_json::to_vec(&request).expect("JSON").len() <= MAX_REQUEST);
            let Request::Import(import) = request else { panic!("{request:?}") };
            assert!(import.replace);
            arrived.extend(import.targets);
        }
        assert_eq!(arrived, targets);
    }

    #[test]
    fn a_target_that_no_request_can_hold_is_named_and_the_others_are_taken() {
        let targets = vec![target(1, 10_000), target(2, 1)];
        let mut notes = Vec::new();
        let requests = split(Import { targets, ..Import::default() }, &mut notes).expect("requests");
        assert_eq!((requests.len(), notes.len()), (1, 1));
        assert!(notes[0].contains("disk1"), "{notes:?}");
    }

    #[test]
    fn what_is_no_file_or_too_large_or_not_there_is_one_sentence() {
        let directory = tempfile::tempdir().expect("a directory");
        let failure = |order: &Order| find(order, &NoKeychain).expect_err("refused");
        let refused = failure(&order(&directory.path().join("nothing.plist")));
        assert_eq!(refused.code, ExitCode::Data);
        assert!(refused.to_string().contains("there is no file"), "{refused}");
        assert!(failure(&order(directory.path())).to_string().contains("is a directory, and no property list"));
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        assert!(failure(&order(&pipe)).to_string().contains("is a named pipe, and no property list"));
        let large = directory.path().join("large.plist");
        File::create(&large).and_then(|file| file.set_len(LARGEST + 1)).expect("a large file");
        assert!(failure(&order(&large)).to_string().contains("larger than"));
    }
}
