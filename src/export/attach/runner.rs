//! Commands of the operating system, run one by one: tests put a transcript in their place.

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::AttachError;
use super::mac_tools::MacTools;
use super::program::Program;

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

impl Runner for System {
    fn run(&self, program: Program, arguments: Vec<OsString>, limit: Duration) -> Running<'_> {
        let program = self.tools.path(program);
        Box::pin(async move { run(&program, &arguments, limit).await })
    }

    fn has(&self, program: Program) -> bool {
        self.tools.path(program).exists()
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
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let program = program.display();
    match timeout(limit, command.output()).await {
        Ok(Ok(output)) => Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Ok(Err(error)) => Err(AttachError::Failed(format!("{program} cannot be run: {error}"))),
        Err(_) => {
            let seconds = limit.as_secs();
            Err(AttachError::Failed(format!("{program} did not end within {seconds} seconds")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_s_end_is_told_and_one_without_end_is_ended() {
        let shell = |script: &str| ["-c".into(), script.into()];
        let (sh, nowhere) = (Path::new("/bin/sh"), Path::new("/nowhere"));
        let long = Duration::from_secs(10);
        let outcome = run(sh, &shell("echo out; echo err >&2; exit 3"), long).await.expect("a shell");
        assert_eq!((outcome.code, outcome.ok(), outcome.reason().as_str()), (3, false, "out; err"));
        let slow = run(sh, &shell("sleep 60"), Duration::from_millis(50)).await;
        assert!(matches!(slow, Err(AttachError::Failed(why)) if why.contains("did not end")));
        assert!(matches!(run(nowhere, &[], long).await, Err(AttachError::Failed(_))));
    }
}
