//! `iscsid --write-back PATH …`: what was written there and is not on stable storage yet goes there, and is waited for.
//!
//! A directory stands for the file system that is mounted there, a file for itself. The daemon runs it for its disks, in a
//! process that may wait without an end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::ipc::{ExitCode, Failure};

/// Writes all of it back, one after the other.
///
/// # Errors
/// [`ExitCode::Unavailable`]: what was not written back, and why; the rest was.
pub(crate) fn write_back(paths: &[PathBuf]) -> Result<(), Failure> {
    let failed: Vec<String> =
        paths.iter().filter_map(|path| Some(format!("{}: {}", path.display(), one(path).err()?))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Unavailable, format!("not everything is written back: {}", failed.join("; "))))
}

fn one(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return volume(path);
    }
    // F_FULLFSYNC on macOS, which goes through a disk's own cache.
    File::open(path)?.sync_all()
}

#[cfg(target_os = "macos")]
use super::macos_sys::sync_volume as volume;

#[cfg(target_os = "linux")]
fn volume(point: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(point)?)?)
}

#[cfg(not(any(target_os = "macos", target_os = "linux")))]
fn volume(_point: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_are_written_back_and_what_is_not_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, gone) = (dir.path().join("file"), dir.path().join("gone"));
        std::fs::write(&file, "data").expect("a file");
        write_back(&[dir.path().to_owned(), file.clone()]).expect("both are there");
        let failure = write_back(&[gone.clone(), file]).expect_err("one is not");
        assert_eq!(failure.code, ExitCode::Unavailable);
        assert!(failure.what.contains(&gone.display().to_string()) && !failure.what.contains("file:"), "{failure}");
    }
}
