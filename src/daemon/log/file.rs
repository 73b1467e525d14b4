//! The file that standard error leads to: launchd opens it before the daemon starts, and newsyslog puts it aside when it
//! has grown. After that the daemon opens it again (SIGHUP), or it would go on writing to the one that was put aside.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::regular_file;

/// The file that standard error leads to now; `None` where it is a terminal, a pipe or the like.
pub(in crate::daemon) fn behind_standard_error() -> Option<PathBuf> {
    let path = path_of_standard_error()?;
    path.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(path)
}

#[cfg(target_os = "macos")]
fn path_of_standard_error() -> Option<PathBuf> {
    let mut path = PathBuf::new();
    nix::fcntl::fcntl(io::stderr(), nix::fcntl::FcntlArg::F_GETPATH(&mut path)).ok()?;
    Some(path)
}

#[cfg(not(target_os = "macos"))]
fn path_of_standard_error() -> Option<PathBuf> {
    std::fs::read_link("/proc/self/fd/2").ok()
}

/// Lets standard error lead to the file that is at `path` now, which is made where there is none.
pub(in crate::daemon) fn open_again(path: &Path) -> io::Result<()> {
    nix::unistd::dup2_stderr(open(path)?)?;
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // No link, and nothing else than a file: whoever may put one there must not choose what root writes to.
    Ok(regular_file::open(path, options.append(true).create(true).mode(0o644))?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_file_is_made_anew_and_never_found_through_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("iscsid.log");
        writeln!(open(&path).expect("opened"), "before").expect("written");
        std::fs::rename(&path, dir.path().join("iscsid.log.0")).expect("put aside");
        writeln!(open(&path).expect("opened again"), "after").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("the log"), "after\n");
        std::os::unix::fs::symlink(dir.path().join("another"), dir.path().join("link")).expect("a link");
        assert!(open(&dir.path().join("link")).is_err());
        assert!(!dir.path().join("another").exists());
    }
}
