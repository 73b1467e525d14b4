//! A unit on tgt with ext4 on it, a Mac to attach it to, and a daemon that does.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Daemon, daemon::Home, need, need_root, process, scratch_dir};
use crate::guest::Guest;
use crate::mac::Mac;
use crate::targets::{Spec, Tgt};

/// How long something may take that an emulated machine does.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The volume's name, by which the system mounts it.
pub(crate) const VOLUME: &str = "/Volumes/disk";

/// Goes in this order: the disks, then the Mac, then the target.
pub(crate) struct Stage {
    pub(crate) mac: Mac,
    pub(crate) guest: Guest,
    pub(crate) tgt: Tgt,
}

/// A disk of 32 MiB.
pub(crate) fn spec() -> Spec {
    Spec::new().bytes(32 << 20)
}

impl Stage {
    /// Everything but the daemon. `None` where there is no guest, no root or no target.
    pub(crate) fn set(spec: &Spec) -> Option<Stage> {
        let guest = Guest::get("mac")?;
        if !need_root() || !need(Tgt::TOOLS) || !need(&["python3", "mke2fs", "e2fsck", "debugfs", "setsid"]) {
            return None;
        }
        // A scenario before this one may have failed.
        if guest.script("stuck && echo stuck || true").contains("stuck") {
            guest.power_cut();
        }
        let mac = Mac::new(&guest);
        Some(Stage { mac, guest, tgt: Tgt::start(spec) })
    }

    /// The same, with a file system on the first unit, whose label is `disk`.
    pub(crate) fn formatted(spec: &Spec) -> Option<Stage> {
        let stage = Stage::set(spec)?;
        let file = stage.file();
        process::run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "disk", &file]);
        Some(stage)
    }

    /// Where the first unit's data really are.
    pub(crate) fn file(&self) -> String {
        self.tgt.disks[0].file.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A daemon that is logged in to the target, with these settings of it.
    pub(crate) fn log_in(&self, settings: &[&str]) -> Daemon {
        let daemon = self.mac.start(Home::new());
        daemon.ctl_ok(["add", "target", &self.tgt.iqn, "--portal", &self.tgt.ipv4()]);
        if !settings.is_empty() {
            daemon.ctl_ok(["modify", "target", &self.tgt.iqn].iter().chain(settings));
        }
        daemon.ctl_ok(["login", &self.tgt.iqn]);
        daemon
    }

    /// The first unit's device, when it has one.
    pub(crate) fn device(&self, daemon: &Daemon) -> String {
        process::eventually("a disk", LIMIT, || daemon.disks(&self.tgt.iqn).first()?.device.clone())
    }

    /// Runs a script in the guest that has to succeed; gives what it printed.
    pub(crate) fn script(&self, script: &str) -> String {
        self.guest.script(script)
    }

    /// Begins to write files on the volume.
    pub(crate) fn load(&self) {
        self.script("load");
        self.await_progress(3);
    }

    pub(crate) fn written(&self) -> u32 {
        self.script("written").trim().parse().expect("a number")
    }

    /// Until the load has written so many files more, without an error.
    pub(crate) fn await_progress(&self, files: u32) {
        let enough = self.written() + files;
        process::eventually("more files", LIMIT, || {
            self.nothing_failed();
            (self.written() >= enough).then_some(())
        });
    }

    pub(crate) fn nothing_failed(&self) {
        assert_eq!(self.script("cat /tmp/failed 2>/dev/null || true"), "", "a write failed");
    }

    /// Ends the load, which has met no error.
    pub(crate) fn end_load(&self) {
        self.load_ends();
        self.nothing_failed();
    }

    /// Ends the load, if nothing else has.
    pub(crate) fn load_ends(&self) {
        self.script("touch /tmp/stop");
        process::eventually("the end of the load", LIMIT, || {
            (self.script("[ -e /tmp/load ] && echo runs || echo over").trim() == "over").then_some(())
        });
    }

    /// No disk was taken away under its users.
    pub(crate) fn nothing_torn(&self) {
        assert_eq!(self.script("ls /torn"), "", "a disk was torn out");
    }

    /// Nothing is left of it on the Mac: no disk, no volume, no mount of its file.
    pub(crate) fn nothing_left(&self) {
        assert_eq!(self.mac.disks(), [""; 0]);
        assert_eq!(self.mac.mounts(), [""; 0]);
    }

    /// What the target has, seen without us: a file system that is in order, and on it each file that was on stable storage
    /// when its sum was noted.
    pub(crate) fn verify(&self) {
        self.verify_at(0);
    }

    /// The same, of a file system that begins at that byte.
    pub(crate) fn verify_at(&self, offset: u64) {
        let noted = self.script("cat /tmp/written");
        assert!(!noted.is_empty(), "nothing was written");
        let copy = scratch_dir();
        let file = format!("{}?offset={offset}", self.file());
        let checked = process::output(Command::new("e2fsck").args(["-fn", &file]));
        assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
        let out = copy.path().to_str().expect("a path in UTF-8");
        let dumped = process::output(Command::new("debugfs").args(["-R", &format!("rdump / {out}"), &file]));
        assert_eq!(dumped.code, 0, "{}", dumped.stderr);
        let sums = copy.path().join("sums");
        fs::write(&sums, noted.replace(&format!("{VOLUME}/"), &format!("{out}/"))).expect("written");
        process::run("sha256sum", ["--check", "--quiet", sums.to_str().expect("a path in UTF-8")]);
    }

    /// Logs out, which ends everything, and looks at what is left: nothing here, all that was written there.
    pub(crate) fn log_out_and_verify(&self, daemon: &Daemon) {
        daemon.ctl_ok(["logout", &self.tgt.iqn]);
        self.nothing_left();
        self.nothing_torn();
        self.verify();
    }
}

/// Asserts that it takes no longer than that.
pub(crate) fn within<T>(limit: Duration, what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    let took = began.elapsed();
    assert!(took <= limit, "{what} took {took:?}, and may take {limit:?}");
    result
}
