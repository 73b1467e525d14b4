//! The NFS export under the client in the Linux kernel, with a disk made of its file, as a Mac makes one; `make test-nfs`
//! runs it.
//!
//! ```text
//!   QEMU guest: ext4 ── loop ── NFS client ══ 10.0.2.2 is 127.0.0.1 ══ iscsid ◄── iSCSI ──► tgt
//!                  └── words of targets/nfs/nfs.sh: what is written, what is there afterwards
//! ```
//! Without the guest each test lists itself as skipped.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod common;
#[path = "../targets/guest.rs"]
#[allow(dead_code, reason = "shared with the tests against LIO")]
mod guest;
#[path = "../targets/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other end-to-end tests")]
mod targets;

use std::time::Duration;

use iscsid::ipc;

use crate::common::{Daemon, need, process};
use crate::guest::Guest;
use crate::targets::{Spec, Tgt};

/// How long something may take that an emulated machine does.
const LIMIT: Duration = Duration::from_secs(120);

/// A unit on tgt, a daemon that exports it, a guest that can mount it.
struct Stage {
    guest: Guest,
    tgt: Tgt,
    place: String,
}

impl Stage {
    /// `None` where there is no guest or no target.
    fn set(spec: &Spec, settings: &[&str]) -> Option<(Stage, Daemon)> {
        let guest = Guest::get("nfs")?;
        if !need(Tgt::TOOLS) {
            return None;
        }
        let (tgt, daemon) = (Tgt::start(spec), Daemon::start());
        daemon.add(&tgt.iqn, &tgt.ipv4());
        if !settings.is_empty() {
            daemon.ctl_ok(["modify", "target", &tgt.iqn].iter().chain(settings));
        }
        daemon.ctl_ok(["login", &tgt.iqn]);
        let place = place(&daemon.disks(&tgt.iqn)[0]);
        Some((Stage { guest, tgt, place }, daemon))
    }

    /// Runs a script in the guest that has to succeed; gives what it printed.
    fn script(&self, script: &str) -> String {
        self.guest.script(&format!("{}\n{script}", self.place))
    }

    fn written(&self) -> u32 {
        self.script("written").trim().parse().expect("a number")
    }

    /// Until the load has written so many files more, without an error.
    fn await_progress(&self, files: u32) {
        let enough = self.written() + files;
        process::eventually("more files", LIMIT, || {
            assert_eq!(self.script("cat /tmp/failed 2>/dev/null || true"), "", "a write failed");
            (self.written() >= enough).then_some(())
        });
    }

    /// Ends the load, and checks everything: the file system, and each file that was on stable storage.
    fn end_and_verify(&self) {
        self.script("touch /tmp/stop");
        process::eventually("the end of the load", LIMIT, || {
            (self.script("[ -e /tmp/load ] && echo runs || echo over").trim() == "over").then_some(())
        });
        assert_eq!(self.script("cat /tmp/failed 2>/dev/null || true"), "", "a write failed");
        let checked = self.script(
            "umount /mnt; echo 3 >/proc/sys/vm/drop_caches; /programs/e2fsck -fn /dev/loop0 2>&1; disk_up; sha256sum -c -s /tmp/written; down",
        );
        assert!(checked.contains("disk: ") || checked.contains("/dev/loop0: "), "{checked}");
        assert!(!checked.contains("FIXED") && !checked.contains("WARNING"), "{checked}");
    }
}

/// The first line of a script.
fn place(unit: &ipc::Lun) -> String {
    let uri = unit.nfs.as_deref().expect("it is exported by NFS");
    let rest = uri.strip_prefix("nfs://127.0.0.1/").expect("on this machine");
    let (path, ports) = rest.split_once('?').expect("ports");
    let (secret, file) = path.split_once('/').expect("a file");
    let port = ports.rsplit_once('=').expect("a port").1;
    format!("place {port} /{secret} {file}")
}

fn spec() -> Spec {
    Spec::new().bytes(64 << 20)
}

#[test]
fn a_disk_is_made_of_the_file_and_what_is_written_to_it_is_on_the_target() {
    let Some((stage, _daemon)) = Stage::set(&spec(), &[]) else { return };
    stage.script("nfs_up; ls -l /nfs; loop_up; /programs/mke2fs -q -t ext4 -L disk /dev/loop0; disk_up");
    stage.script("rm -f /tmp/stop; load");
    stage.await_progress(20);
    stage.end_and_verify();
    // What the target has is the same file system, seen without us.
    let file = stage.tgt.disks[0].file.to_str().expect("a path in UTF-8").to_owned();
    let checked = process::output(std::process::Command::new("e2fsck").args(["-fn", &file]));
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn a_unit_of_4k_blocks_is_a_disk_as_well() {
    let Some((stage, _daemon)) = Stage::set(&spec().block_size(4096), &["--flush-policy", "on-commit"]) else { return };
    stage.script("nfs_up; loop_up; /programs/mke2fs -q -t ext4 -L disk /dev/loop0; disk_up; rm -f /tmp/stop; load");
    stage.await_progress(10);
    stage.end_and_verify();
}

#[test]
fn a_mount_survives_a_daemon_that_is_killed_under_load_and_started_again() {
    let Some((stage, mut daemon)) = Stage::set(&spec(), &[]) else { return };
    stage.script("nfs_up; loop_up; /programs/mke2fs -q -t ext4 -L disk /dev/loop0; disk_up; rm -f /tmp/stop; load");
    for _ in 0..3 {
        stage.await_progress(5);
        let home = daemon.crash();
        daemon = Daemon::start_in(home);
        assert_eq!(place(&process::eventually("the unit", LIMIT, || daemon.disks(&stage.tgt.iqn).pop())), stage.place);
    }
    stage.await_progress(5);
    stage.end_and_verify();
}

/// A NAS that is away for longer than the session waits for it: a local disk would have failed.
#[test]
fn a_mount_survives_a_target_that_is_away_for_long() {
    let away = ["--replacement-timeout", "1", "--nop-interval", "1", "--nop-timeout", "1"];
    let Some((stage, daemon)) = Stage::set(&spec(), &away) else { return };
    stage.script("nfs_up; loop_up; /programs/mke2fs -q -t ext4 -L disk /dev/loop0; disk_up; rm -f /tmp/stop; load");
    stage.await_progress(5);
    stage.tgt.freeze();
    process::eventually("the loss of the session", LIMIT, || {
        let session = daemon.session(&stage.tgt.iqn).expect("it is pursued");
        (session.state != ipc::SessionState::Active).then_some(())
    });
    // Beyond ReplacementTimeout reads fail at once; from here on the client is told to try again later.
    process::eventually("the end of the session's patience", LIMIT, || {
        let bench = ["bench", &stage.tgt.iqn, "--rw", "read", "--seconds", "1"];
        (daemon.ctl(bench).code != 0).then_some(())
    });
    stage.tgt.thaw();
    stage.await_progress(5);
    stage.end_and_verify();
}
