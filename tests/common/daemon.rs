//! The daemon under test, with a configuration and a runtime directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use iscsid::ipc;
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::kernel_sim::{self, KernelSim};
use super::process::{self, Output, Process};
use super::program;

/// How long the daemon may take to come up, and to go down with every session logged out.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Where a daemon keeps its things, and the command line that belongs to it; the daemon need not run.
pub(crate) struct Home {
    /// Where sessions run, if not in the daemon: begun with the first daemon, ended with the home.
    kernel: OnceLock<KernelSim>,
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Home {
        let dir = super::scratch_dir();
        std::os::unix::fs::symlink(program::under_test(), dir.path().join("iscsictl")).expect("the symlink iscsictl");
        Home { kernel: OnceLock::new(), dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("iscsid.plist")
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// A command in this home's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("ISCSID_CONFIG", self.config()).env("ISCSID_RUNTIME_DIR", self.runtime_dir());
        command
    }

    /// `iscsictl`, as a user calls it.
    pub(crate) fn ctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        process::output(self.command(self.dir.path().join("iscsictl")).args(arguments))
    }

    /// The daemon's command.
    pub(crate) fn daemon(&self) -> Command {
        let mut command = self.command(program::under_test());
        command.arg("--config").arg(self.config()).arg("--runtime-dir").arg(self.runtime_dir());
        command.env("ISCSID_LOG", "debug").env("ISCSID_NFS", "yes");
        // Connections are lost on purpose, many a minute: no login waits because of that.
        command.env("ISCSID_SHORT_LIFE", "0");
        if kernel_sim::is_wanted() {
            let kernel = self.kernel.get_or_init(|| KernelSim::start(self.dir()));
            command.args(["--bridge", "kext"]).env("ISCSID_KERNEL_SIM", kernel.socket());
        }
        command
    }
}

impl Drop for Home {
    /// Takes away what a daemon that was killed left attached.
    fn drop(&mut self) {
        let home = self.dir.path();
        for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let backing = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
            if Path::new(backing.trim_end()).starts_with(home) {
                let device = Path::new("/dev").join(entry.file_name());
                let _ = Command::new("losetup").arg("--detach").arg(device).status();
            }
        }
        let mounts = std::fs::read("/proc/self/mounts").unwrap_or_default();
        let mounts = String::from_utf8_lossy(&mounts);
        let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for at in mounted.filter(|at| Path::new(at).starts_with(home)) {
            let _ = Command::new("umount").arg("--lazy").arg(at).status();
        }
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    process: Process,
    home: Home,
}

impl Daemon {
    /// One without a configuration.
    pub(crate) fn start() -> Daemon {
        Daemon::start_in(Home::new())
    }

    /// One in a home that is there.
    pub(crate) fn start_in(home: Home) -> Daemon {
        Daemon::start_with(home, &[] as &[&str])
    }

    /// One in a home that is there, with more words on its command line.
    pub(crate) fn start_with(home: Home, words: &[impl AsRef<OsStr>]) -> Daemon {
        let mut command = home.daemon();
        command.args(words);
        Daemon::start_as(home, &command)
    }

    /// One that may have no more than so many descriptors.
    pub(crate) fn start_with_descriptors(descriptors: usize) -> Daemon {
        Daemon::start_with_limits(descriptors, descriptors)
    }

    /// One with that soft and that hard limit of descriptors.
    pub(crate) fn start_with_limits(soft: usize, hard: usize) -> Daemon {
        let home = Home::new();
        let daemon = home.daemon();
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={soft}:{hard}")).arg(daemon.get_program());
        process::continue_with(&mut command, &daemon);
        Daemon::start_as(home, &command)
    }

    /// One by that command, which is of that home.
    pub(crate) fn start_as(home: Home, command: &Command) -> Daemon {
        let log = home.dir().join("iscsid.log");
        let mut process = Process::start(command, &log);
        process::eventually("an answer of the daemon", LIMIT, || {
            if let Some(status) = process.exited() {
                panic!("the daemon did not start: {status}");
            }
            let answers = home.ctl(["show", "initiator"]).code == 0;
            answers.then_some(())
        });
        Daemon { process, home }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Memory of its process that is really there, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        process::resident_bytes(self.process.id())
    }

    /// How many descriptors its process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("its descriptors").count()
    }

    /// `iscsictl`, however it ends.
    pub(crate) fn ctl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.home.ctl(arguments)
    }

    /// `iscsictl` that has to succeed; gives what it printed.
    pub(crate) fn ctl_ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let Output { code, stdout, stderr } = self.ctl(&arguments);
        assert!(code == 0, "iscsictl {arguments:?} exited with {code}\n{stdout}{stderr}");
        stdout
    }

    /// `iscsictl … --format json`.
    pub(crate) fn ctl_json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.ctl_ok(arguments.iter().chain(&["--format", "json"]));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("iscsictl {arguments:?}: {error} in\n{text}"))
    }

    /// Logs in, without disks attached to this machine; gives the disks found, by number.
    pub(crate) fn log_in(&self, target: &str, portal: &str) -> Vec<ipc::Lun> {
        self.add(target, portal);
        self.ctl_ok(["login", target]);
        self.disks(target)
    }

    /// Adds a target whose units are not attached to this machine.
    pub(crate) fn add(&self, target: &str, portal: &str) {
        self.ctl_ok(["add", "target", target, "--portal", portal]);
        self.ctl_ok(["modify", "target", target, "--attach", "no"]);
    }

    /// The disks of a target that is logged in, by number.
    pub(crate) fn disks(&self, target: &str) -> Vec<ipc::Lun> {
        let mut luns: Vec<ipc::Lun> = self.ctl_json(&["list", "luns"]);
        luns.retain(|lun| lun.target == target && lun.r#type == 0);
        luns
    }

    /// The session with a target.
    pub(crate) fn session(&self, target: &str) -> Option<ipc::Session> {
        let sessions: Vec<ipc::Session> = self.ctl_json(&["list", "sessions"]);
        sessions.into_iter().find(|session| session.target == target)
    }

    /// What was negotiated with a target.
    pub(crate) fn negotiated(&self, target: &str) -> ipc::SessionDetails {
        let session = self.session(target).unwrap_or_else(|| panic!("no session with {target}"));
        self.ctl_json(&["show", "session", &session.id.to_string()])
    }

    /// SIGTERM, and the clean end it has to bring; the home stays.
    pub(crate) fn stop(mut self) -> (ExitStatus, Home) {
        let status = self.process.stop(Signal::SIGTERM, LIMIT);
        (status, std::mem::replace(&mut self.home, Home::new()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.exited().is_some()
    }

    /// Its end, which is waited for; the home stays.
    pub(crate) fn ended(mut self) -> (ExitStatus, Home) {
        let status = process::eventually("the end of the daemon", LIMIT, || self.process.exited());
        (status, std::mem::replace(&mut self.home, Home::new()))
    }

    /// Ends it as a power cut would; the home stays.
    pub(crate) fn crash(mut self) -> Home {
        self.process.kill();
        std::mem::replace(&mut self.home, Home::new())
    }
}

impl Drop for Daemon {
    /// A clean end, or its disks would stay attached to this machine; [`Process`] sees to the rest.
    fn drop(&mut self) {
        if self.process.exited().is_none() {
            self.process.signal(Signal::SIGTERM);
            let deadline = Instant::now() + LIMIT;
            while self.process.exited().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The NBD URI of a unit.
pub(crate) fn uri(lun: &ipc::Lun) -> &str {
    lun.nbd.as_deref().unwrap_or_else(|| panic!("{}/{} is not exported: {:?}", lun.target, lun.lun, lun.problem))
}

/// The value of a negotiated key.
pub(crate) fn key<'a>(details: &'a ipc::SessionDetails, name: &str) -> &'a str {
    let found = details.keys.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is not among {:?}", details.keys))
}
