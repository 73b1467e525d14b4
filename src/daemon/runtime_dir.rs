//! The runtime directory: one daemon's at a time, with its sockets in it.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::config::{STICKY, safe_way_to_runtime_dir};
use crate::ipc::{ExitCode, Failure};
use crate::regular_file;
use crate::trust::is_trusted;

/// The longest name of a socket in it.
const LONGEST: &str = "control.sock";

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A runtime directory that belongs to this process. Its sockets go away with it; the lock file
/// stays, since removing it could let two daemons each lock one.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    sockets: Vec<PathBuf>,
    _lock: Flock<std::fs::File>,
}

impl RuntimeDir {
    /// Creates the directory where it is missing, and takes possession of it. Root's is open to
    /// every user of the machine, anybody else's only to himself.
    ///
    /// # Errors
    /// [`ExitCode::TryAgain`] if another daemon has it, [`ExitCode::NotPermitted`] if it may not be
    /// written or others may write to it, [`ExitCode::Configuration`] if it cannot be a runtime directory for another
    /// reason, such as a path too long for its sockets.
    pub(crate) fn take(path: &Path) -> Result<RuntimeDir, Failure> {
        let own = nix::unistd::geteuid();
        check_length(path)?;
        refuse_a_stranger_s_link(path)?;
        safe_way_to_runtime_dir(path)?;
        if !path.is_dir() {
            if let Some(kind) = std::fs::metadata(path).ok().and_then(|facts| what_it_is(&facts)) {
                let message = format!("the runtime directory {} is {kind}, and no directory", path.display());
                return Err(Failure::new(ExitCode::Configuration, message)
                    .advice("give a directory by --runtime-dir, or one that is not there yet"));
            }
            let mode = if own.is_root() { 0o755 } else { 0o700 };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                // The umask of the calling process does not apply to this.
                .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
                .map_err(|error| unusable(path, "created", &error))?;
            // What was missing may have been made by somebody else meanwhile.
            safe_way_to_runtime_dir(path)?;
        }
        let directory = std::fs::metadata(path).map_err(|error| unusable(path, "used", &error))?;
        if !is_trusted(directory.uid()) {
            // The directory's owner could put his own socket in the place of ours.
            let message = format!("the runtime directory {} belongs to another user", path.display());
            return Err(Failure::new(ExitCode::NotPermitted, message).advice("give one of your own by --runtime-dir"));
        }
        let mode = directory.mode() & 0o7777;
        if mode & 0o022 != 0 {
            // And so could everybody who may write to it.
            let path = path.display();
            let message = format!("other users may write to the runtime directory {path}, which has mode {mode:o}");
            let another = "give one of your own by --runtime-dir";
            // What is sticky is everybody's on purpose, as /tmp is.
            let advice =
                if mode & STICKY == 0 { format!("{another}, or say `chmod go-w {path}`") } else { another.into() };
            return Err(Failure::new(ExitCode::NotPermitted, message).advice(advice));
        }
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = regular_file::open(&path.join("iscsid.lock"), &mut options)
            .map_err(|unopened| unusable(path, "locked by its iscsid.lock", &unopened.into()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Failure::new(
                ExitCode::TryAgain,
                format!("another iscsid is running on the runtime directory {}", path.display()),
            )
            .advice("stop it first, or give this one another by --runtime-dir"),
            errno => unusable(path, "locked", &errno.into()),
        })?;
        // For who sends signals, such as newsyslog. Who cannot read it finds the process by its name.
        let told = lock.set_len(0).and_then(|()| (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes()));
        told.map_err(|error| unusable(path, "written", &error))?;
        Ok(RuntimeDir { path: path.to_owned(), sockets: Vec::new(), _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Listens on a socket of that name in it. What a dead daemon left there is replaced. The socket
    /// has its mode before the first client can connect.
    ///
    /// # Errors
    /// As for [`take`](RuntimeDir::take).
    pub(crate) fn listen(&mut self, name: &str, mode: u32) -> Result<UnixListener, Failure> {
        let path = self.path.join(name);
        let listener = bind(&path, mode).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => too_long(&path),
            _ => unusable(&self.path, &format!("given the socket {name}"), &error),
        })?;
        self.sockets.push(path);
        Ok(listener)
    }

    /// Takes a socket of that name which somebody else has opened for us, and will take away himself.
    /// `None`, and why in the log, if that is not where it listens, or nobody would find it there.
    pub(crate) fn adopt(&self, name: &str, listener: std::os::unix::net::UnixListener) -> Option<UnixListener> {
        let path = self.path.join(name);
        let adopted = || {
            let at = listener.local_addr()?;
            let at = at.as_pathname().map(std::fs::canonicalize).transpose()?;
            if at != Some(std::fs::canonicalize(&path)?) {
                return Err(io::Error::other("it listens elsewhere"));
            }
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener.try_clone()?)
        };
        match adopted() {
            Ok(adopted) => {
                tracing::info!("the control socket was handed over: {}", path.display());
                Some(adopted)
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!("the socket that was handed over is not used: {error}; iscsid opens its own at {path}");
                None
            }
        }
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        for socket in &self.sockets {
            if let Err(error) = std::fs::remove_file(socket) {
                tracing::warn!("the socket {} could not be removed: {error}", socket.display());
            }
        }
    }
}

/// Before anything is made: whether the longest name of a socket in it fits the system's addresses.
fn check_length(path: &Path) -> Result<(), Failure> {
    let longest = path.join(LONGEST);
    SockAddr::unix(&longest).map(drop).map_err(|_| too_long(&longest))
}

fn too_long(socket: &Path) -> Failure {
    let message = format!("the path of the socket {} is too long for a socket", socket.display());
    Failure::new(ExitCode::Configuration, message).advice("give a shorter --runtime-dir")
}

/// In a directory for everybody, such as /tmp, anybody may have put a link where ours is to be.
fn refuse_a_stranger_s_link(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && !is_trusted(found.uid()) => {
            let message = format!("the runtime directory {} is a link that another user has made", path.display());
            Err(Failure::new(ExitCode::NotPermitted, message).advice("remove it, or give another by --runtime-dir"))
        }
        Ok(found) if found.is_symlink() => {
            let leads = std::fs::read_link(path).unwrap_or_default();
            tracing::info!("the runtime directory {} is a link to {}", path.display(), leads.display());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What is there instead of a directory.
fn what_it_is(facts: &std::fs::Metadata) -> Option<&'static str> {
    if facts.is_file() { Some("a file") } else { regular_file::another_kind(facts).filter(|_| !facts.is_dir()) }
}

fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
        _ => ExitCode::Configuration,
    };
    let message = format!("the runtime directory {} cannot be {what}: {error}", path.display());
    Failure::new(code, message).advice("give a directory that this user may write by --runtime-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a scratch directory")
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let scratch = scratch();
        let first = RuntimeDir::take(scratch.path()).expect("the first");
        let refusal = RuntimeDir::take(scratch.path()).expect_err("the second");
        assert_eq!(refusal.code, ExitCode::TryAgain);
        assert!(refusal.to_string().contains("another iscsid is running"), "{refusal}");
        drop(first);
        RuntimeDir::take(scratch.path()).expect("the next");
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_ours_goes_away_with_us() {
        let scratch = scratch();
        let path = scratch.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
        let mut runtime = RuntimeDir::take(scratch.path()).expect("the directory");
        let _listener = runtime.listen("control.sock", 0o666).expect("the socket");
        std::os::unix::net::UnixStream::connect(&path).expect("somebody listens");
        assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o666);
        drop(runtime);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_is_handed_over_is_served_and_left_behind() {
        let scratch = scratch();
        let path = scratch.path().join("control.sock");
        let handed = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let runtime = RuntimeDir::take(scratch.path()).expect("the directory");
        let adopted = runtime.adopt("control.sock", handed).expect("it is ours");
        let client = tokio::net::UnixStream::connect(&path).await.expect("somebody listens");
        adopted.accept().await.expect("a client");
        drop((client, runtime));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_listens_elsewhere_or_that_nobody_finds_is_not_used() {
        let (scratch, elsewhere) = (scratch(), scratch());
        let runtime = RuntimeDir::take(scratch.path()).expect("the directory");
        let socket = |path: &Path| std::os::unix::net::UnixListener::bind(path).expect("a socket");
        assert!(runtime.adopt("control.sock", socket(&elsewhere.path().join("control.sock"))).is_none());
        let path = scratch.path().join("control.sock");
        let lost = socket(&path);
        std::fs::remove_file(&path).expect("removed");
        assert!(runtime.adopt("control.sock", lost).is_none());
    }

    #[test]
    fn a_missing_directory_is_created() {
        let scratch = scratch();
        let path = scratch.path().join("a/b");
        assert_eq!(RuntimeDir::take(&path).expect("the directory").path(), path);
    }

    #[test]
    fn what_is_no_directory_is_a_matter_of_configuration() {
        let scratch = scratch();
        let path = scratch.path().join("file");
        std::fs::write(&path, "").expect("a file");
        let refusal = RuntimeDir::take(&path).expect_err("a file is no directory");
        assert_eq!(refusal.code, ExitCode::Configuration);
        let said = format!("{} is a file, and no directory; give a directory", path.display());
        assert!(refusal.to_string().contains(&said), "{refusal}");
        assert_eq!(RuntimeDir::take(&path.join("below")).expect_err("nor below").code, ExitCode::Configuration);
    }

    // check: file-of-another-kind
    #[test]
    fn nobody_waits_for_a_lock_file_that_is_a_pipe() {
        let scratch = scratch();
        let pipe = scratch.path().join("iscsid.lock");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let refusal = RuntimeDir::take(scratch.path()).expect_err("no file");
        assert_eq!(refusal.code, ExitCode::Configuration);
        assert!(refusal.to_string().contains("it is a named pipe, and no file"), "{refusal}");
    }

    // check: runtime-dir-way
    #[test]
    fn a_directory_whose_parent_others_may_write_to_is_refused_and_not_made() {
        let scratch = scratch();
        let parent = scratch.path().join("for-all");
        std::fs::create_dir(&parent).expect("a directory");
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        for path in [parent.join("iscsid"), parent.join("a/b")] {
            let refusal = RuntimeDir::take(&path).expect_err("anybody can put another in its place");
            assert_eq!(refusal.code, ExitCode::NotPermitted);
            assert!(refusal.to_string().contains("could put another daemon in the place"), "{refusal}");
        }
        assert_eq!(std::fs::read_dir(&parent).expect("a directory").count(), 0, "something was made in it");
    }

    // check: runtime-dir-too-long
    #[test]
    fn a_path_too_long_for_a_socket_is_said_before_anything_is_made() {
        let scratch = scratch();
        let path = scratch.path().join("x".repeat(120));
        let refusal = RuntimeDir::take(&path).expect_err("too long");
        assert_eq!(refusal.code, ExitCode::Configuration);
        assert!(refusal.to_string().contains("too long"), "{refusal}");
        assert!(!path.exists());
    }

    // check: runtime-dir-of-everybody
    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let scratch = scratch();
        for mode in [0o777, 0o1777, 0o775, 0o702] {
            let path = scratch.path().join(format!("{mode:o}"));
            std::fs::create_dir(&path).expect("a directory");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
            let refusal = RuntimeDir::take(&path).expect_err("anybody's");
            assert_eq!(refusal.code, ExitCode::NotPermitted);
            assert!(refusal.to_string().contains(&format!("mode {mode:o}")), "{refusal}");
            assert_eq!(refusal.to_string().contains("chmod"), mode & STICKY == 0, "/tmp stays as it is: {refusal}");
            assert_eq!(std::fs::read_dir(&path).expect("a directory").count(), 0, "something was made in it");
        }
    }

    // check: runtime-dir-stranger-s-link
    #[test]
    fn a_link_of_another_user_is_refused_and_ones_own_is_followed() {
        let scratch = scratch();
        let (there, link) = (scratch.path().join("there"), scratch.path().join("link"));
        std::fs::DirBuilder::new().mode(0o700).create(&there).expect("a directory");
        std::os::unix::fs::symlink(&there, &link).expect("a link");
        drop(RuntimeDir::take(&link).expect("it is ours"));
        if !nix::unistd::geteuid().is_root() {
            crate::testing::skip("needs root");
            return;
        }
        std::os::unix::fs::lchown(&link, Some(54_321), None).expect("root may");
        let refusal = RuntimeDir::take(&link).expect_err("a stranger's link");
        assert_eq!(refusal.code, ExitCode::NotPermitted);
        assert!(refusal.to_string().contains("another user"), "{refusal}");
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let scratch = scratch();
        std::os::unix::fs::symlink(scratch.path().join("elsewhere"), scratch.path().join("iscsid.lock"))
            .expect("a link");
        RuntimeDir::take(scratch.path()).expect_err("a trap");
        assert!(!scratch.path().join("elsewhere").exists());
    }
}
