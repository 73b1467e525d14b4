//! A Mac's tools, with a state of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Daemon, HeldPort, daemon, process, scratch_dir};
use crate::guest::Guest;

/// What the daemon may call.
const TOOLS: [&str; 12] = [
    "cat",
    "diskutil",
    "hdiutil",
    "iscsid",
    "kmutil",
    "lsof",
    "mount",
    "mount_nfs",
    "stat",
    "sync",
    "sysctl",
    "umount",
];

/// The directory in which tests/fake_mac remembers things (`state.py` says which).
pub(crate) struct Mac {
    dir: tempfile::TempDir,
    /// Where the interpreter of the tools is, and not a wrapper that looks for it.
    path: String,
    /// The port of the NFS export, which launchd holds.
    port: HeldPort,
}

impl Mac {
    /// One whose kernel is the guest.
    pub(crate) fn new(guest: &Guest) -> Mac {
        let dir = scratch_dir();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_mac/fake_mac");
        for directory in ["bin", "habits", "sysctl"] {
            fs::create_dir(dir.path().join(directory)).expect("a directory");
        }
        for tool in TOOLS {
            std::os::unix::fs::symlink(&program, dir.path().join("bin").join(tool)).expect("a link");
        }
        fs::write(dir.path().join("guest"), guest.portal(7000)).expect("written");
        let interpreter = process::run("python3", ["-c", "import os, sys; print(os.path.dirname(sys.executable))"]);
        let path = format!("{}:{}", interpreter.trim(), std::env::var("PATH").expect("a path"));
        Mac { dir, path, port: HeldPort::take() }
    }

    /// The tools' directory.
    pub(crate) fn tools(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// A daemon that makes disks by these tools: as launchd starts it, with a process group and the export's port.
    pub(crate) fn start(&self, home: daemon::Home) -> Daemon {
        let mut daemon = home.daemon();
        daemon.args(["--attach", "diskimage", "--mac-tools"]).arg(self.tools()).env("PATH", &self.path);
        let daemon = self.port.handed_to(&daemon);
        let mut command = Command::new("setsid");
        command.arg(daemon.get_program());
        process::continue_with(&mut command, &daemon);
        Daemon::start_as(home, &command)
    }

    /// Calls a tool as a person does, or the Finder; its exit code and what it printed.
    pub(crate) fn call(&self, tool: &str, words: &[&str]) -> process::Output {
        process::output(Command::new(self.tools().join(tool)).args(words).env("PATH", &self.path))
    }

    /// Switches a habit of the tools on; what it says, `state.py` tells.
    pub(crate) fn habit(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("habits").join(name), text).expect("written");
    }

    /// Switches it off again.
    pub(crate) fn habit_ends(&self, name: &str) {
        fs::remove_file(self.dir.path().join("habits").join(name)).expect("a habit");
    }

    /// The kernel's variables.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        fs::write(self.dir.path().join("sysctl").join(name), value).expect("written");
    }

    /// What was called, a line each.
    pub(crate) fn calls(&self) -> String {
        self.text("calls")
    }

    /// What is attached, by name.
    pub(crate) fn disks(&self) -> Vec<String> {
        let listed = self.call("hdiutil", &["info", "-plist"]).stdout;
        let names = listed.split("<string>/dev/").skip(1).filter_map(|rest| rest.split('<').next());
        names.filter(|name| !name.trim_start_matches("disk").contains('s')).map(str::to_owned).collect()
    }

    /// The disk that is made of a file.
    pub(crate) fn disk_of(&self, file: &str) -> String {
        let listed = self.call("hdiutil", &["info", "-plist"]).stdout;
        let (_, rest) = listed.split_once(&format!("<string>{file}</string>")).unwrap_or_else(|| panic!("{listed}"));
        let (_, name) = rest.split_once("<string>/dev/").expect("a disk");
        name.split('<').next().expect("its name").to_owned()
    }

    /// What is mounted, as `mount` tells it, but for the system's own.
    pub(crate) fn mounts(&self) -> Vec<String> {
        self.call("mount", &[]).stdout.lines().skip(1).map(str::to_owned).collect()
    }

    /// What launchd does when a job has died: whatever is left of its process group is killed.
    pub(crate) fn clear_group(&self, group: u32) {
        let group = Pid::from_raw(-i32::try_from(group).expect("a process"));
        match kill(group, Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => panic!("the process group {group}: {error}"),
        }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        for helper in self.text("helpers").lines().filter_map(|line| line.parse().ok()) {
            let _ = kill(Pid::from_raw(helper), Signal::SIGKILL);
        }
        let unknown = self.text("unknown");
        if std::thread::panicking() {
            eprintln!("---- what was called\n{}---- what of it is not played\n{unknown}", self.calls());
        } else {
            assert_eq!(unknown, "", "tests/fake_mac does not play this");
        }
    }
}
