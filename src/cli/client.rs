//! The client's end of the control socket. Plain blocking I/O: there is one thing to wait for, and
//! Ctrl-C ends it.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;

use crate::ipc::{BenchProgress, ExitCode, Failure, Frame, Hello, MAX_FRAME, MAX_REQUEST, Reply, Request, VERSION};
use crate::trust::is_trusted;

/// How long a refusal is not believed. Where Linux lets a client wait, xnu refuses one at a listener that has as many
/// waiting as it takes (`uipc_usrreq.c`, `unp_connect`), which looks like nobody listening.
const PATIENCE: Duration = if cfg!(target_os = "linux") { Duration::ZERO } else { Duration::from_secs(1) };

/// How long until the next try: neither system tells when there is room.
const NEXT_TRY: Duration = Duration::from_millis(20);

/// What the daemon says before it answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meanwhile {
    /// Something to show.
    Sentence(String),
    /// How far a benchmark is.
    Bench(BenchProgress),
}

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    socket: PathBuf,
    /// Where nobody answered before.
    instead: Option<PathBuf>,
}

impl Client {
    /// Connects to the daemon of the first of these runtime directories that has one.
    ///
    /// # Errors
    /// [`ExitCode::Unavailable`]: none has, and how to start one. [`ExitCode::NotPermitted`]: this
    /// user may not.
    pub(super) fn connect(runtime_dirs: &[PathBuf]) -> Result<Client, Failure> {
        let mut failure = None;
        let mut instead = None;
        for directory in runtime_dirs {
            let socket = directory.join("control.sock");
            let connected = trusted(directory).and_then(|()| connect(&socket, PATIENCE)).and_then(|stream| {
                server_is_trusted(&stream)?;
                Ok(stream)
            });
            match connected {
                Ok(stream) => {
                    let mut client = Client { stream, socket, instead };
                    client.send(&Hello { version: VERSION })?;
                    return Ok(client);
                }
                Err(error) => {
                    instead = instead.or(Some(socket.clone()));
                    // A daemon that refuses says more than one that is missing.
                    let absent = error.kind() == io::ErrorKind::NotFound;
                    if failure.is_none() || !absent {
                        failure = Some(not_connected(&socket, &error));
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| Failure::new(ExitCode::Internal, "there is no runtime directory to look in")))
    }

    /// The runtime directory of the daemon that answers.
    pub(super) fn runtime_dir(&self) -> PathBuf {
        self.socket.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// The connection, for who ends it early.
    ///
    /// # Errors
    /// [`ExitCode::Internal`]: the system has no more descriptors.
    pub(super) fn connection(&self) -> Result<UnixStream, Failure> {
        self.stream.try_clone().map_err(|error| {
            Failure::new(ExitCode::Internal, format!("the system does not let the connection be shared: {error}"))
        })
    }

    /// A sentence for a user whose own daemon does not answer, so that another one does.
    pub(super) fn note(&self) -> Option<String> {
        let (own, other) = (self.instead.as_ref()?.display(), self.socket.display());
        Some(format!("no iscsid of your own runs (nobody listens at {own}); the one at {other} answers"))
    }

    /// Waits no longer than that for each piece of an answer.
    ///
    /// # Errors
    /// [`ExitCode::Internal`]: the system does not let it be bounded.
    pub(super) fn be_patient_for(&mut self, patience: Duration) -> Result<(), Failure> {
        self.stream.set_read_timeout(Some(patience)).map_err(|error| {
            Failure::new(ExitCode::Internal, format!("the system does not let the wait for iscsid be bounded: {error}"))
        })
    }

    /// Asks one thing and waits for the answer, however long it takes; `meanwhile` gets what the
    /// daemon says until then.
    ///
    /// # Errors
    /// The daemon's own, or what went wrong on the way.
    pub(super) fn ask(&mut self, request: &Request, meanwhile: &mut dyn FnMut(Meanwhile)) -> Result<Reply, Failure> {
        self.send(request)?;
        let mut parts: Option<Reply> = None;
        loop {
            match self.receive()? {
                Frame::Part(part) => parts = Some(self.together(parts.take(), part)?),
                Frame::Reply(Ok(last)) => return self.together(parts, last),
                Frame::Reply(Err(failure)) => return Err(failure),
                Frame::Progress(sentence) => meanwhile(Meanwhile::Sentence(sentence)),
                Frame::Bench(progress) => meanwhile(Meanwhile::Bench(progress)),
            }
        }
    }

    /// What has come of a list, and the next part of it.
    fn together(&self, parts: Option<Reply>, next: Reply) -> Result<Reply, Failure> {
        let Some(mut whole) = parts else { return Ok(next) };
        match whole.append(next) {
            true => Ok(whole),
            false => Err(self.garbage("parts of several answers")),
        }
    }

    fn send(&mut self, message: &impl Serialize) -> Result<(), Failure> {
        // Room for all of it at once: a vector that grows leaves a copy of a secret behind.
        let mut json = zeroize::Zeroizing::new(Vec::with_capacity(MAX_REQUEST));
        serde_json::to_writer(&mut *json, message).map_err(|error| {
            Failure::new(ExitCode::Internal, format!("the request cannot be written as JSON: {error}"))
        })?;
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_REQUEST);
        let Some(length) = length else {
            return Err(Failure::new(
                ExitCode::Usage,
                format!("the command is longer than the {MAX_REQUEST} bytes iscsid takes"),
            )
            .advice("give fewer or shorter values"));
        };
        let frame = zeroize::Zeroizing::new([&length.to_be_bytes()[..], &json].concat());
        match self.stream.write_all(&frame) {
            Ok(()) => Ok(()),
            // It may have said why before it hung up: that is read next.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn receive(&mut self) -> Result<Frame, Failure> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|error| self.lost(&error))?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(self.garbage(&format!("a frame of {length} bytes")));
        }
        let mut json = vec![0; length];
        self.stream.read_exact(&mut json).map_err(|error| self.lost(&error))?;
        serde_json::from_slice(&json).map_err(|error| self.garbage(&error.to_string()))
    }

    fn lost(&self, error: &io::Error) -> Failure {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "it hung up".to_owned()
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it keeps silent".to_owned(),
            _ => error.to_string(),
        };
        let socket = self.socket.display();
        let message = format!("the iscsid at {socket} went away before it answered ({why})");
        Failure::new(ExitCode::Unavailable, message).advice("look at its log, and see what it did")
    }

    fn garbage(&self, what: &str) -> Failure {
        let socket = self.socket.display();
        let message = format!("what listens at {socket} does not speak iscsid's language ({what})");
        Failure::new(ExitCode::Protocol, message).advice("restart iscsid")
    }
}

/// Whether a runtime directory is root's or one's own, and nobody else puts sockets in it: a stranger's daemon would be
/// told secrets.
fn trusted(directory: &Path) -> io::Result<()> {
    // The link itself: in a directory for everybody anybody may have made it.
    let link = std::fs::symlink_metadata(directory)?;
    let itself = std::fs::metadata(directory)?;
    for owner in [link.uid(), itself.uid()] {
        if !is_trusted(owner) {
            return Err(untrusted(format!("its directory belongs to user {owner}, neither root nor you")));
        }
    }
    match itself.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(untrusted(format!("others may write to its directory, which has mode {:o}", itself.mode() & 0o7777))),
    }
}

/// Connects, for `patience` against refusals.
fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && begun.elapsed() < patience => {
                std::thread::sleep(NEXT_TRY);
            }
            connected => return connected,
        }
    }
}

/// Whether who listens is root or oneself.
fn server_is_trusted(stream: &UnixStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    let server = getsockopt(stream, PeerCredentials)?.uid();
    #[cfg(not(target_os = "linux"))]
    let server = nix::unistd::getpeereid(stream)?.0.as_raw();
    match is_trusted(server) {
        true => Ok(()),
        false => Err(untrusted(format!("it runs as user {server}, neither root nor you"))),
    }
}

fn untrusted(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn not_connected(socket: &Path, error: &io::Error) -> Failure {
    let at = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let start = if cfg!(target_os = "macos") {
                "`sudo brew services start iscsid`, or `sudo iscsid`"
            } else {
                "`sudo iscsid`"
            };
            let message = format!("iscsid is not running (nobody listens at {at})");
            Failure::new(ExitCode::Unavailable, message)
                .advice(format!("start it with {start}, or say with --runtime-dir where it is"))
        }
        io::ErrorKind::InvalidInput => {
            let message = format!("the iscsid at {at} is not trusted ({error})");
            Failure::new(ExitCode::NotPermitted, message).advice("say with --runtime-dir where yours is")
        }
        io::ErrorKind::PermissionDenied => {
            let message = format!("this user may not talk to the iscsid at {at}");
            Failure::new(ExitCode::NotPermitted, message).advice("use sudo")
        }
        _ => Failure::new(ExitCode::Unavailable, format!("cannot talk to iscsid at {at}: {error}"))
            .advice("restart iscsid"),
    }
}

#[cfg(test)]
mod tests;
