//! The list of targets that are logged in, on disk: the daemon that follows one that died, or ended under disks in use, logs in
//! to them again.
//!
//! ```text
//!   login ──► enter ──► sessions.json ◄── forget ◄── logout, end of the daemon
//!                          │ kill -9, crash
//!                          ▼
//!                       the next start pursues them
//! ```
//! It is in the runtime directory, which does not survive a restart of the machine: then only automatic
//! logins count.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use crate::regular_file;

const NAME: &str = "sessions.json";

/// More than the names of all targets that a daemon can have.
const LARGEST: u64 = 16 << 20;

/// The targets that are logged in, by their normalised names.
#[derive(Debug)]
pub(crate) struct Survivors {
    path: PathBuf,
    names: Mutex<BTreeSet<String>>,
    staying: Mutex<BTreeSet<String>>,
}

impl Survivors {
    /// An empty list in that runtime directory, and the names that the daemon before has left there.
    pub(crate) fn open(runtime_dir: &Path) -> (Survivors, BTreeSet<String>) {
        let path = runtime_dir.join(NAME);
        let left = match regular_file::read(&path, LARGEST) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!("{} is not a list of targets: {error}; it is not used", path.display());
                BTreeSet::new()
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                tracing::warn!("{} cannot be read: {error}; sessions do not come back by themselves", path.display());
                BTreeSet::new()
            }
        };
        (Survivors { path, names: Mutex::default(), staying: Mutex::default() }, left)
    }

    /// A target is logged in.
    pub(crate) fn enter(&self, target: &str) {
        self.change(|names| names.insert(target.to_owned()));
    }

    /// It is logged out: the next daemon does not log in to it.
    pub(crate) fn forget(&self, target: &str) {
        self.change(|names| names.remove(target));
    }

    /// The next daemon logs in to it again, although this one ends in good order.
    pub(crate) fn stay(&self, target: &str) {
        self.staying.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned());
    }

    /// It does not [stay](Self::stay) after all.
    pub(crate) fn go(&self, target: &str) {
        self.staying.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    /// Forgets every target but those that [stay](Self::stay).
    pub(crate) fn clear(&self) {
        let staying = self.staying.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.change(|names| {
            *names = staying;
            true
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut names)
            && let Err(error) = save(&self.path, &names)
        {
            let path = self.path.display();
            tracing::warn!("{path} cannot be written: {error}; after a crash, sessions do not come back by themselves");
        }
    }
}

/// Replaces the file. Not synced: it need not outlive the machine.
fn save(path: &Path, names: &BTreeSet<String>) -> std::io::Result<()> {
    if names.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let mut file = NamedTempFile::with_prefix_in(".sessions.", path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&serde_json::to_vec(names)?)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_and_not_forgotten_is_left_for_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let (survivors, left) = Survivors::open(dir.path());
        assert!(left.is_empty());
        survivors.enter("iqn.a:1");
        survivors.enter("iqn.a:2");
        survivors.forget("iqn.a:1");
        let (_, left) = Survivors::open(dir.path());
        assert_eq!(left.into_iter().collect::<Vec<_>>(), ["iqn.a:2"]);
        survivors.stay("iqn.a:2");
        survivors.clear();
        assert_eq!(Survivors::open(dir.path()).1.into_iter().collect::<Vec<_>>(), ["iqn.a:2"]);
        let (survivors, _) = Survivors::open(dir.path());
        survivors.clear();
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn a_list_that_is_none_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(NAME), b"{\xff").expect("written");
        assert!(Survivors::open(dir.path()).1.is_empty());
    }

    // check: file-of-another-kind
    #[test]
    fn nobody_waits_for_a_list_that_is_a_pipe_and_the_next_one_takes_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let (survivors, left) = Survivors::open(dir.path());
        assert!(left.is_empty());
        survivors.enter("iqn.a:1");
        assert!(path.metadata().expect("there").is_file());
        assert_eq!(Survivors::open(dir.path()).1.len(), 1);
    }
}
