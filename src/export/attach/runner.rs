//! Commands of the operating system, run one by one: tests put a transcript in their place.
//!
//! A command may leave a process behind that is the disk: on macOS, hdiutil leaves the one that serves the image. So each command
//! has a process group of its own, since launchd kills the group of a job that has ended (launchd.plist(5),
//! AbandonProcessGroup); and the end of a command is the end of its process, not of its pipes, which what it left may hold.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::AttachError;
use super::mac_tools::MacTools;
use super::program::Program;

/// How long what a command has said may still take to arrive when its process has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub(super) code: i32,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it said on standard error.
    pub(super) stderr: String,
}

impl Outcome {
    /// Whether it succeeded.
    pub(super) fn ok(&self) -> bool {
        self.code == 0
    }

    /// Nothing, if it succeeded, or why not.
    pub(super) fn done(&self) -> Result<(), AttachError> {
        if self.ok() { Ok(()) } else { Err(AttachError::Failed(self.reason())) }
    }

    /// What it printed, on either stream.
    pub(super) fn text(&self) -> String {
        format!("{}\n{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }

    /// Why it failed, on one line.
    pub(super) fn reason(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { format!("it ended with exit code {}", self.code) } else { lines.join("; ") }
    }
}

/// A command under way.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, AttachError>> + Send + 'a>>;

/// Who runs commands.
pub(super) trait Runner: Send + Sync + 'static {
    /// Runs a program with these arguments, for `limit` at most. A command that has ended, however that went, is no
    /// error.
    ///
    /// # Errors
    /// [`AttachError::TimedOut`] for one that was ended: what it has done by then is not known.
    /// [`AttachError::Failed`] for one that cannot be run.
    fn run(&self, program: Program, arguments: Vec<OsString>, limit: Duration) -> Running<'_>;

    /// Whether the system has a program.
    fn has(&self, program: Program) -> bool;

    /// Whether this process may mount.
    fn is_root(&self) -> bool;
}

/// The operating system.
#[derive(Debug)]
pub(super) struct System {
    pub(super) tools: MacTools,
}

impl System {
    fn path(&self, program: Program) -> PathBuf {
        match program {
            // Not by the name it was called by: that is looked for in PATH. A stand-in knows where the others have mounted
            // what they say they have.
            Program::Own => match self.tools.path(program) {
                stand_in if self.tools.are_stand_ins() && stand_in.exists() => stand_in,
                _ => std::env::current_exe().unwrap_or_else(|_| program.path().into()),
            },
            program => self.tools.path(program),
        }
    }
}

impl Runner for System {
    fn run(&self, program: Program, arguments: Vec<OsString>, limit: Duration) -> Running<'_> {
        let program = self.path(program);
        Box::pin(async move { run(&program, &arguments, limit).await })
    }

    fn has(&self, program: Program) -> bool {
        self.path(program).exists()
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }
}

/// Linux, with the programs of util-linux.
#[derive(Debug)]
pub(super) struct Linux;

impl Runner for Linux {
    fn run(&self, program: Program, arguments: Vec<OsString>, limit: Duration) -> Running<'_> {
        let path = program.on_linux();
        Box::pin(async move {
            if !path.is_file() {
                let why = format!("{} is not there: install util-linux", path.display());
                return Err(AttachError::Failed(why));
            }
            run(&path, &arguments, limit).await
        })
    }

    fn has(&self, program: Program) -> bool {
        program.on_linux().is_file()
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }
}

async fn run(program: &Path, arguments: &[OsString], limit: Duration) -> Result<Outcome, AttachError> {
    let mut command = Command::new(program);
    // What is understood must not be translated.
    command.args(arguments).env("LC_ALL", "C").kill_on_drop(true).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = program.display();
    match timeout(limit, outcome(command)).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(AttachError::Failed(format!("{program} cannot be run: {error}"))),
        Err(_) => {
            let seconds = limit.as_secs();
            Err(AttachError::TimedOut(format!("{program} did not end within {seconds} seconds")))
        }
    }
}

/// Runs a command to the end of its process.
async fn outcome(mut command: Command) -> io::Result<Outcome> {
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let reading = async { tokio::try_join!(drain(stdout, &mut out), drain(stderr, &mut err)) };
        tokio::pin!(reading);
        tokio::select! {
            status = child.wait() => {
                if let Ok(read) = timeout(DRAIN_LIMIT, reading).await {
                    read?;
                }
                status?
            }
            read = &mut reading => {
                read?;
                child.wait().await?
            }
        }
    };
    let stderr = String::from_utf8_lossy(&err).into_owned();
    Ok(Outcome { code: status.code().unwrap_or(-1), stdout: out, stderr })
}

/// Reads a pipe to its end. What was read by then is there also where somebody stops waiting.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, to: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(to).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::{Pid, getpgrp};

    use super::*;

    fn shell(script: &str) -> [OsString; 2] {
        ["-c".into(), script.into()]
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_command_s_end_is_told_and_one_without_end_is_ended() {
        let (sh, nowhere) = (Path::new("/bin/sh"), Path::new("/nowhere"));
        let outcome = run(sh, &shell("echo out; echo err >&2; exit 3"), LONG).await.expect("a shell");
        assert_eq!((outcome.code, outcome.ok(), outcome.reason().as_str()), (3, false, "out; err"));
        let slow = run(sh, &shell("sleep 60"), Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(AttachError::TimedOut(why)) if why.contains("did not end")));
        assert!(matches!(run(nowhere, &[], LONG).await, Err(AttachError::Failed(_))));
    }

    #[tokio::test]
    async fn an_answer_longer_than_a_pipe_arrives_whole() {
        let long = "head -c 1000000 /dev/zero | tr '\\0' x";
        let outcome = run(Path::new("/bin/sh"), &shell(long), LONG).await.expect("a shell");
        assert!(outcome.ok() && outcome.stdout.len() == 1_000_000, "{}", outcome.stdout.len());
    }

    /// A command that leaves a process behind, which holds its pipes; the number of that process.
    async fn leaves_behind() -> Pid {
        let script = "sleep 300 & echo $!";
        let outcome =
            run(Path::new("/bin/sh"), &shell(script), LONG).await.expect("it has ended, whoever holds its pipes");
        let text = String::from_utf8_lossy(&outcome.stdout).trim().to_owned();
        Pid::from_raw(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[tokio::test]
    async fn a_command_has_ended_when_its_process_has_though_another_holds_its_pipes() {
        let begun = std::time::Instant::now();
        let left = leaves_behind().await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        nix::sys::signal::kill(left, Signal::SIGKILL).expect("it is there");
    }

    #[tokio::test]
    async fn whoever_kills_the_daemon_s_process_group_leaves_what_a_command_left_alone() {
        let left = leaves_behind().await;
        let group = nix::unistd::getpgid(Some(left)).expect("it is there");
        assert_ne!(group, getpgrp());
        killpg(group, Signal::SIGKILL).expect("it is in its command's");
    }
}
