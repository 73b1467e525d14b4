//! Files that are opened as files: nobody waits for the other end of a pipe, no device is touched, and no link is followed.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

/// What is there instead of a file that may be read; `None` of a file.
pub(crate) fn another_kind(facts: &Metadata) -> Option<&'static str> {
    let kind: FileType = facts.file_type();
    Some(match () {
        () if kind.is_file() => return None,
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_symlink() => "a link",
        () => "a device",
    })
}

/// Why no file was opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// The system says.
    System(io::Error),
    /// There is something else: that.
    Kind(&'static str),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Unopened {
        Unopened::System(error)
    }
}

impl From<Unopened> for io::Error {
    fn from(unopened: Unopened) -> io::Error {
        match unopened {
            Unopened::System(error) => error,
            Unopened::Kind(kind) => io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, and no file")),
        }
    }
}

/// Opens a file, as `options` say.
///
/// # Errors
/// The system's, or what there is instead of a file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> Result<File, Unopened> {
    // Before it is opened: that alone may do something to a device.
    match std::fs::symlink_metadata(path) {
        Ok(facts) => only_a_file(&facts)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    // And afterwards, since it may be another one by then.
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    only_a_file(&file.metadata()?)?;
    Ok(file)
}

/// The whole of a file, if it has no more bytes than `most`.
///
/// # Errors
/// As [`open`], and for one that is longer.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

fn only_a_file(facts: &Metadata) -> Result<(), Unopened> {
    another_kind(facts).map_or(Ok(()), |kind| Err(Unopened::Kind(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: file-of-another-kind
    #[test]
    fn nobody_waits_for_the_other_end_of_a_pipe_and_no_device_is_opened() {
        let scratch = tempfile::tempdir().expect("a directory");
        let at = |name: &str| scratch.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let _listener = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        std::os::unix::fs::symlink("pipe", at("link")).expect("a link");
        for (path, kind) in [
            (at("pipe"), "a named pipe"),
            (at("socket"), "a socket"),
            (at("link"), "a link"),
            (scratch.path().to_owned(), "a directory"),
            ("/dev/null".into(), "a device"),
        ] {
            for options in [OpenOptions::new().read(true), OpenOptions::new().write(true).create(true)] {
                let error = io::Error::from(open(&path, options).expect_err("no file"));
                assert_eq!(error.to_string(), format!("it is {kind}, and no file"), "{}", path.display());
            }
        }
        assert_eq!(read(&at("none"), 1).expect_err("nothing").kind(), io::ErrorKind::NotFound);
        std::fs::write(at("file"), "four").expect("written");
        assert_eq!(read(&at("file"), 4).expect("a file"), b"four");
        assert!(read(&at("file"), 3).is_err());
    }
}
