//! Processes of others: run to their end, or kept running and surely ended.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

pub(crate) use iscsid::testing::{need, skip};

/// Whether this test may mount and attach loop devices.
pub(crate) fn need_root() -> bool {
    nix::unistd::geteuid().is_root() || skip("needs root")
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Gives a command the words behind another one's program, and its environment.
pub(crate) fn continue_with(command: &mut Command, other: &Command) {
    command.args(other.get_args()).envs(other.get_envs().filter_map(|(key, value)| Some((key, value?))));
}

/// How long any command of a test may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    // coreutils' timeout, so that a hang is a failure with a name.
    let mut limited = Command::new("timeout");
    limited.arg("--kill-after=5").arg(COMMAND_LIMIT.as_secs().to_string());
    limited.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    let output = limited.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let code = output.status.code().unwrap_or_else(|| panic!("{shown} died: {}", output.status));
    assert!(code != 124, "{shown} was still running after {COMMAND_LIMIT:?}");
    Output {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command that has to succeed; gives what it wrote to standard output.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let Output { code, stdout, stderr } = output(&mut command);
    assert!(code == 0, "{command:?} exited with {code}\n{stdout}{stderr}");
    stdout
}

/// Asks again until the answer is there.
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Memory of a process that is really there (VmRSS), in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the state of a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes << 10
}

/// A process that runs beside the test and dies with it, even if the test is killed. Its output goes
/// to a file, which is printed if the test fails.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &Command, log: &Path) -> Process {
        let output = File::create(log).expect("a log file");
        // setpriv asks the system to kill the process with its parent: in Rust that would take `unsafe`.
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        continue_with(&mut guarded, command);
        guarded.stdin(Stdio::null()).stdout(output.try_clone().expect("a second descriptor")).stderr(output);
        let child = guarded.spawn().unwrap_or_else(|error| panic!("{guarded:?}: {error}"));
        Process { child, log: log.to_owned() }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        signal::kill(Pid::from_raw(pid), signal).expect("a signal to a child");
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        self.signal(signal);
        eventually("the end of a process", limit, || self.exited())
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if self.exited().is_none() {
            self.child.kill().expect("killing a child");
            self.child.wait().expect("the end of a child");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.log.display(), self.log());
        }
    }
}
