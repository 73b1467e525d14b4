//! A Mac for one home's daemons.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::common::daemon::{Daemon, Home, LIMIT};
use crate::common::process::{self, Output, eventually};
use crate::common::{need_root, program};

/// Where a machine is, in its daemons' home.
pub(crate) struct Mac {
    directory: PathBuf,
}

/// A Mac and a home on it; `None` where the program under test is no Mac's, or this is not root, whose daemon it is.
pub(crate) fn mac() -> Option<(Mac, Home)> {
    if !program::is_a_macs() {
        iscsid::testing::cannot("the program under test is not a Mac's");
        return None;
    }
    if !need_root() {
        return None;
    }
    let home = Home::new();
    let directory = home.dir().join("mac");
    let keychains = directory.join("Library/Keychains");
    std::fs::create_dir_all(&keychains).expect("a directory");
    std::fs::write(keychains.join("System.keychain"), []).expect("a file");
    Some((Mac { directory }, home))
}

impl Mac {
    /// The daemon's command on this machine.
    pub(crate) fn daemon(&self, home: &Home) -> Command {
        let mut command = home.daemon();
        command.env("DARWIN_MACHINE", &self.directory);
        command
    }

    /// A daemon on this machine.
    pub(crate) fn start(&self, home: Home) -> Daemon {
        let command = self.daemon(&home);
        Daemon::start_as(home, &command)
    }

    /// A tool of the machine's, by a script in its place.
    pub(crate) fn install(&self, tool: &str, script: &str) {
        let path = self.path_of(tool);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a script to run");
    }

    /// Where it has what macOS calls that.
    pub(crate) fn path_of(&self, absolute: &str) -> PathBuf {
        self.directory.join(absolute.trim_start_matches('/'))
    }

    /// Something happens to the machine; what the programs answered, and whether one has heard it.
    pub(crate) fn told(&self, words: &[&str]) -> Output {
        // Beside the program under test, which make has built with it.
        let loader = program::under_test().with_file_name("x86_64").join("machrun");
        process::output(Command::new(loader).arg("--machine").arg(&self.directory).args(words))
    }

    /// Something happens, and the daemon gives this answer.
    pub(crate) fn tell(&self, words: &[&str], answer: &str) {
        let told = self.told(words);
        let answered = told.stdout.lines().next().and_then(|line| Some(line.split_once(' ')?.1));
        assert!(told.code == 0 && answered == Some(answer), "{words:?}: {told:?}");
    }

    /// Something happens that is told to no program.
    pub(crate) fn set(&self, words: &[&str]) {
        let told = self.told(words);
        assert!(told.code == 0 && told.stdout.is_empty(), "{words:?}: {told:?}");
    }

    /// What the daemons did towards it, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        let whole = std::fs::read_to_string(self.directory.join("log")).expect("a log");
        whole.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
    }

    /// Waits for a line of the daemon's log.
    pub(crate) fn said(daemon: &Daemon, what: &str) {
        eventually(what, LIMIT, || daemon.log().contains(what).then_some(()));
    }
}
