//! The runtime directory: one daemon's at a time, with its sockets in it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::ipc::{ExitCode, Failure};

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
    /// written, [`ExitCode::Configuration`] if it cannot be a runtime directory for another reason.
    pub(crate) fn take(path: &Path) -> Result<RuntimeDir, Failure> {
        let own = nix::unistd::geteuid();
        if !path.is_dir() {
            let mode = if own.is_root() { 0o755 } else { 0o700 };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                // The umask of the calling process does not apply to this.
                .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
                .map_err(|error| unusable(path, "created", &error))?;
        }
        let owner = std::fs::metadata(path).map_err(|error| unusable(path, "used", &error))?.uid();
        if owner != 0 && owner != own.as_raw() {
            // The directory's owner could put his own socket in the place of ours.
            let message = format!("the runtime directory {} belongs to another user", path.display());
            return Err(Failure::new(ExitCode::NotPermitted, message).advice("give one of your own by --runtime-dir"));
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("iscsid.lock"))
            .map_err(|error| unusable(path, "written", &error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Failure::new(
                ExitCode::TryAgain,
                format!("another iscsid is running on the runtime directory {}", path.display()),
            )
            .advice("stop it first, or give this one another by --runtime-dir"),
            errno => unusable(path, "locked", &errno.into()),
        })?;
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
            io::ErrorKind::InvalidInput => Failure::new(
                ExitCode::Configuration,
                format!("the path of the socket {} is too long for a socket", path.display()),
            )
            .advice("give a shorter --runtime-dir"),
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
        assert!(refusal.to_string().contains(&path.display().to_string()), "{refusal}");
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_said_so() {
        let scratch = scratch();
        let path = scratch.path().join("x".repeat(120));
        let mut runtime = RuntimeDir::take(&path).expect("the directory");
        let refusal = runtime.listen("control.sock", 0o666).expect_err("too long");
        assert_eq!(refusal.code, ExitCode::Configuration);
        assert!(refusal.to_string().contains("too long"), "{refusal}");
    }
}
