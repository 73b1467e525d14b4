//! One file, saved whole or not at all.
//!
//! ```text
//!   .iscsid.plist.XXXXXX  created 0600 beside it → written → fsync → rename over iscsid.plist → fsync of the directory
//! ```
//! A failure before the rename leaves the old file as it was.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

use super::place::{self, Refusal};
use crate::ipc::{ExitCode, Failure};

/// More than any configuration has; a larger file is not one.
const LARGEST: u64 = 16 << 20;

/// A failure of the configuration, exit code 78.
pub(super) fn failure(message: String) -> Failure {
    Failure::new(ExitCode::Configuration, message)
}

/// The whole file; `None` where there is none. One that others could exchange is refused ([`place`]).
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    Ok(read_with_mode(path)?.map(|(bytes, _)| bytes))
}

/// The whole file and its permissions.
fn read_with_mode(path: &Path) -> Result<Option<(Vec<u8>, u32)>, Failure> {
    let shown = path.display();
    let unreadable = |error: &io::Error| {
        failure(format!("cannot read {shown}: {error}"))
            .advice("make it readable for the user iscsid runs as, or move it away")
    };
    let file = match place::open(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(Refusal::System(error)) => return Err(unreadable(&error)),
        Err(Refusal::Unsafe(what, advice)) => {
            return Err(failure(format!("{shown} is not read: {what}")).advice(advice));
        }
        Err(Refusal::Kind(kind)) => {
            let example = match kind {
                "a directory" => format!(", such as {}", path.join("iscsid.plist").display()),
                _ => String::new(),
            };
            return Err(failure(format!("{shown} is {kind}, and no property list"))
                .advice(format!("name a file{example}, or move it away")));
        }
    };
    let mode = file.metadata().map_err(|error| unreadable(&error))?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(failure(format!("{shown} is larger than {LARGEST} bytes, so it is not a configuration"))
            .advice("move it away"));
    }
    Ok(Some((bytes, mode)))
}

/// The whole file, as [`read`], of one that only its owner may read; `None` where there is none. Else it is refused:
/// others may read `what` is in it, and `advice` says what to do about that.
pub(super) fn read_private(path: &Path, what: &str, advice: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let Some((bytes, mode)) = read_with_mode(path)? else { return Ok(None) };
    let bytes = Zeroizing::new(bytes);
    let shown = path.display();
    if mode & 0o077 != 0 {
        return Err(
            failure(format!("{shown} has mode {:04o}, so others may read {what} in it", mode & 0o7777)).advice(advice)
        );
    }
    Ok(Some(bytes))
}

/// Refuses to write what could not be read again: a daemon that starts with it would not come up. `reads` is how it is read.
pub(super) fn readable(
    path: &Path,
    bytes: &[u8],
    reads: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<(), Failure> {
    let size = bytes.len();
    let read = if size as u64 > LARGEST { Err(format!("{size} bytes are more than {LARGEST}")) } else { reads(bytes) };
    read.map_err(|why| {
        failure(format!(
            "{} is not written, because it could not be read again: {why}; it is as it was",
            path.display()
        ))
        .advice("remove targets that are not needed, or discover fewer at once")
    })
}

/// Replaces the file by these bytes, mode 0600; creates its directory, mode 0755, where there is none.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    stage(path, bytes)?.commit()
}

/// Bytes that are on stable storage beside the file that they are to replace. Dropped, they are gone.
#[derive(Debug)]
pub(super) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

/// Does all of [`save`] that may run out of room, and leaves the file as it is.
pub(super) fn stage(path: &Path, bytes: &[u8]) -> Result<Staged, Failure> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match write_beside(&target, bytes) {
        Ok(file) => Ok(Staged { file, path: target }),
        Err(error) => Err(not_saved(path, &error)),
    }
}

impl Staged {
    /// Puts the bytes in the file's place.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let Staged { file, path } = self;
        file.persist(&path).map_err(|error| not_saved(&path, &error.error))?;
        sync_directory(&path);
        Ok(())
    }
}

fn not_saved(path: &Path, error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room and repeat the command",
        io::ErrorKind::PermissionDenied => "run iscsid as a user that may write there",
        io::ErrorKind::ReadOnlyFilesystem => "name a place that can be written to with --config",
        _ => "repair that and repeat the command",
    };
    failure(format!("cannot save {}: {error}; the file is as it was", path.display())).advice(what)
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let directory = directory(path);
    DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut file =
        Builder::new().prefix(&prefix).permissions(fs::Permissions::from_mode(0o600)).tempfile_in(&directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Writes a change of a file's name to stable storage. An error is only logged: the change has been made,
/// although a power cut could undo it.
pub(super) fn sync_directory(path: &Path) {
    if let Err(error) = File::open(directory(path)).and_then(|directory| directory.sync_all()) {
        tracing::warn!("{} may not be on stable storage yet: {error}", path.display());
    }
}

/// The directory a file is in; `.` for a bare name.
pub(super) fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
