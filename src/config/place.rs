//! The way to a file of settings: nobody but root and the user whom iscsid runs as may put another file in its place, or into it.
//!
//! ```text
//!   / ─► directory ─► directory ─► file      each is root's or our own, and others may not write to it
//!            └─► link ─► …                   gone as the system would go, and looked at in the same way
//! ```
//! Whom this machine logs in to, with which secrets, is in these files. A directory like /tmp, where everybody may put
//! something and only its owner may take it away, is a good one as long as what is in it is ours.
//!
//! The way to the runtime directory is looked at in the same way: who may put another one in its place is asked and told
//! what iscsid is.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::libc;
use nix::unistd::geteuid;

use crate::ipc::{ExitCode, Failure};
use crate::regular_file::{self, Unopened};
use crate::trust::is_trusted;

/// How many links may be on the way, as many as Linux follows.
const MOST_LINKS: u32 = 40;

/// Directory in which only the owner of something may remove or rename it.
pub(crate) const STICKY: u32 = 0o1000;

/// What lies at the end of a way.
#[derive(Debug, Clone, Copy)]
struct Aim {
    /// What others could do who can exchange it.
    danger: &'static str,
    /// What to do instead.
    elsewhere: &'static str,
    /// Groups that may write to directories on the way.
    groups: &'static [u32],
}

/// The group of macOS whose members may become root.
#[cfg(target_os = "macos")]
const ADMIN: u32 = 80;

/// That of the system's own daemons, which may write to /var/run there.
#[cfg(target_os = "macos")]
const DAEMON: u32 = 1;

/// A file of settings.
const SETTINGS: Aim = Aim {
    danger: "could exchange the settings",
    elsewhere: "name a file in another place with --config",
    #[cfg(target_os = "macos")]
    groups: &[ADMIN],
    #[cfg(not(target_os = "macos"))]
    groups: &[],
};

/// The runtime directory.
const RUNTIME_DIR: Aim = Aim {
    danger: "could put another daemon in the place of this one",
    elsewhere: "give another directory by --runtime-dir",
    #[cfg(target_os = "macos")]
    groups: &[ADMIN, DAEMON],
    #[cfg(not(target_os = "macos"))]
    groups: &[],
};

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The system's error.
    System(io::Error),
    /// Others could exchange it: what is wrong, a clause, and what to do about it.
    Unsafe(String, String),
    /// It is no file, but that.
    Kind(&'static str),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::System(error)
    }
}

/// Opens a file for reading, if the way to it and the file itself are safe. `None` where there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>, Refusal> {
    let Some(real) = resolve(path, SETTINGS)? else { return Ok(None) };
    // Nobody else can have put a link there since; if it is one all the same, it is not followed.
    let file = match regular_file::open(&real, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(Unopened::System(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(Unopened::System(error)) => return Err(error.into()),
        Err(Unopened::Kind(kind)) => return Err(Refusal::Kind(kind)),
    };
    check(&real, &file.metadata()?, false, SETTINGS)?;
    Ok(Some(file))
}

/// Looks at the way to a runtime directory, as far as there is one; at the directory itself, whoever takes it looks.
///
/// # Errors
/// What is wrong, and what to do about it.
pub(crate) fn safe_way_to_runtime_dir(path: &Path) -> Result<(), Failure> {
    match resolve(path, RUNTIME_DIR) {
        Ok(_) => Ok(()),
        Err(Refusal::Unsafe(what, advice)) => {
            let message = format!("the runtime directory {} is not used: {what}", path.display());
            Err(Failure::new(ExitCode::NotPermitted, message).advice(advice))
        }
        Err(Refusal::System(error)) => {
            let code = match error.kind() {
                io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
                _ => ExitCode::Configuration,
            };
            let message = format!("the runtime directory {} cannot be used: {error}", path.display());
            Err(Failure::new(code, message).advice(RUNTIME_DIR.elsewhere))
        }
        Err(Refusal::Kind(kind)) => {
            let message = format!("the runtime directory {} is {kind}", path.display());
            Err(Failure::new(ExitCode::Configuration, message).advice(RUNTIME_DIR.elsewhere))
        }
    }
}

/// The path without links of what a way leads to, which itself is not looked at; `None` where there is no such thing.
fn resolve(path: &Path, aim: Aim) -> Result<Option<PathBuf>, Refusal> {
    let mut at = PathBuf::from("/");
    let mut ahead = steps(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(step);
        let facts = match fs::symlink_metadata(&next) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if facts.is_symlink() {
            check_owner(&next, &facts, aim)?;
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP).into());
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(steps(&target));
            continue;
        }
        if facts.is_dir() && !ahead.is_empty() {
            check(&next, &facts, true, aim)?;
        }
        at = next;
    }
    Ok(Some(at))
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let step = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

fn check_owner(path: &Path, facts: &Metadata, aim: Aim) -> Result<(), Refusal> {
    let owner = facts.uid();
    if is_trusted(owner) {
        return Ok(());
    }
    let shown = path.display();
    let what = format!("{shown} belongs to user {owner}, who {}", aim.danger);
    let whom = if geteuid().is_root() { "root" } else { "the user iscsid runs as" };
    Err(Refusal::Unsafe(what, format!("chown it to {whom}, or {}", aim.elsewhere)))
}

fn check(path: &Path, facts: &Metadata, is_directory: bool, aim: Aim) -> Result<(), Refusal> {
    check_owner(path, facts, aim)?;
    let mode = facts.mode();
    let sticky = is_directory && mode & STICKY != 0;
    // A group of one: root's, that of those who may become root, or the user's own where the system gives each one.
    let group = facts.gid();
    let alone = group == 0 || aim.groups.contains(&group) || (group == facts.uid() && group == geteuid().as_raw());
    let others = mode & 0o002 != 0 || (mode & 0o020 != 0 && !alone);
    if sticky || !others {
        return Ok(());
    }
    let shown = path.display();
    let what = format!("others may write to {shown} (mode {:04o}), and so {}", mode & 0o7777, aim.danger);
    Err(Refusal::Unsafe(what, format!("chmod go-w {shown}, or {}", aim.elsewhere)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    /// By the path that a refusal names: on a Mac, /var is a link.
    fn scene() -> (tempfile::TempDir, PathBuf) {
        let temporary = std::env::temp_dir().canonicalize().expect("a place for temporary files");
        let scratch = tempfile::tempdir_in(temporary).expect("a directory");
        let directory = scratch.path().join("etc/iscsid");
        fs::create_dir_all(&directory).expect("directories");
        let file = directory.join("secrets.plist");
        fs::write(&file, "settings").expect("written");
        (scratch, file)
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own");
    }

    fn refused(path: &Path) -> String {
        match open(path) {
            Err(Refusal::Unsafe(what, advice)) => format!("{what}; {advice}"),
            other => panic!("{other:?}"),
        }
    }

    // check: settings-owner
    #[test]
    fn a_file_or_a_directory_above_it_that_others_may_write_to_is_refused() {
        let (scratch, file) = scene();
        assert!(open(&file).expect("safe").is_some());
        assert!(open(&file.with_file_name("none.plist")).expect("safe").is_none());
        for (path, mode) in [("etc/iscsid/secrets.plist", 0o602), ("etc/iscsid", 0o757), ("etc", 0o777)] {
            let path = scratch.path().join(path);
            let before = fs::metadata(&path).expect("there").permissions().mode();
            allow(&path, mode);
            let said = refused(&file);
            assert!(
                said.contains(&format!("others may write to {}", path.display())) && said.contains("chmod go-w"),
                "{said}"
            );
            // What is not there yet could be put there by others.
            assert_eq!(open(&file.with_file_name("none.plist")).is_err(), path.is_dir());
            allow(&path, before);
        }
        // As /tmp is.
        allow(&scratch.path().join("etc"), 0o1777);
        assert!(open(&file).expect("safe").is_some());
    }

    // check: file-of-another-kind
    #[test]
    fn what_is_no_file_is_told_as_what_it_is_and_nobody_waits_for_it() {
        let (scratch, _) = scene();
        let at = |name: &str| scratch.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        symlink("pipe", at("to-pipe")).expect("a link");
        // Who may write to a directory that is named for a file does not matter yet.
        fs::create_dir(at("for-all")).expect("a directory");
        allow(&at("for-all"), 0o777);
        for (path, kind) in [
            (at("pipe"), "a named pipe"),
            (at("to-pipe"), "a named pipe"),
            (at("etc"), "a directory"),
            (at("for-all"), "a directory"),
            ("/dev/null".into(), "a device"),
        ] {
            assert!(matches!(open(&path), Err(Refusal::Kind(told)) if told == kind), "{}", path.display());
        }
    }

    // check: runtime-dir-way
    #[test]
    fn the_way_to_a_runtime_directory_is_looked_at_even_where_it_is_not_there_yet() {
        let (scratch, _) = scene();
        let at = |name: &str| scratch.path().join(name);
        for path in ["etc/iscsid", "etc/none/yet", "etc"] {
            safe_way_to_runtime_dir(&at(path)).expect("safe");
        }
        allow(&at("etc"), 0o777);
        for path in ["etc/iscsid", "etc/none/yet"] {
            let refusal = safe_way_to_runtime_dir(&at(path)).expect_err("anybody can take it away");
            assert_eq!(refusal.code, ExitCode::NotPermitted);
            let said = refusal.to_string();
            assert!(said.contains("could put another daemon in the place") && said.contains("--runtime-dir"), "{said}");
            assert!(said.contains(&format!("chmod go-w {}", at("etc").display())), "{said}");
        }
        // As in /tmp, where only its owner may take it away.
        allow(&at("etc"), 0o1777);
        safe_way_to_runtime_dir(&at("etc/iscsid")).expect("safe");
    }

    // check: settings-owner
    #[test]
    fn links_are_gone_through_and_looked_at_at_each_step() {
        let (scratch, file) = scene();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("open")).expect("a directory");
        symlink("../etc", at("open/etc")).expect("a link");
        symlink("etc/./iscsid", at("safe")).expect("a link");
        symlink(at("open/etc/iscsid/secrets.plist"), at("through.plist")).expect("a link");
        assert!(open(&at("safe/secrets.plist")).expect("safe").is_some());
        assert!(open(&at("etc/../safe/../iscsid/secrets.plist")).expect("safe").is_some());
        assert!(open(&at("through.plist")).expect("safe").is_some());
        allow(&at("open"), 0o777);
        assert!(refused(&at("through.plist")).contains("open"), "a directory on the way of a link");
        assert!(open(&file).expect("safe").is_some());
        symlink("round", at("round")).expect("a link");
        assert!(matches!(open(&at("round")), Err(Refusal::System(error)) if error.raw_os_error() == Some(libc::ELOOP)));
    }

    // check: settings-owner
    #[test]
    fn what_belongs_to_another_user_is_refused() {
        if !geteuid().is_root() {
            crate::testing::skip("only root can give files away");
            return;
        }
        const ANOTHER: u32 = 65_533;
        // He owns the parent, and links root's own secrets into a directory of his.
        let (scratch, file) = scene();
        let his = scratch.path().join("his");
        fs::create_dir(&his).expect("a directory");
        symlink(&file, his.join("secrets.plist")).expect("a link");
        chown(&his, Some(ANOTHER), None).expect("given away");
        assert!(refused(&his.join("secrets.plist")).contains("belongs to user 65533"));
        // In a directory for everybody, a link or a file of his.
        allow(scratch.path(), 0o1777);
        let link = scratch.path().join("link.plist");
        symlink(&file, &link).expect("a link");
        std::os::unix::fs::lchown(&link, Some(ANOTHER), None).expect("given away");
        assert!(refused(&link).contains("chown it to root"));
        chown(&file, Some(ANOTHER), None).expect("given away");
        assert!(refused(&file).contains("secrets.plist belongs to user 65533"));
    }
}
