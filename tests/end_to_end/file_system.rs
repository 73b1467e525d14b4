//! A disk with a file system on it: the main job, end to end.

use std::path::Path;
use std::time::Duration;

use iscsid::ipc::{self, ExitCode};

use crate::common::mounted::name;
use crate::common::process::eventually;
use crate::common::{Daemon, Mounted, need, need_loop, run};
use crate::targets::{Spec, Tgt};

const TOOLS: &[&str] = &["mkfs.ext4", "fsck.ext4", "mount", "umount", "sha256sum", "fusermount3"];

/// Attaches the one disk; gives its device.
fn attach(daemon: &Daemon, iqn: &str) -> String {
    daemon.ctl_ok(["attach", iqn]);
    let disks = daemon.disks(iqn);
    assert_eq!(disks.len(), 1);
    disks[0].device.clone().unwrap_or_else(|| panic!("no device: {:?}", disks[0]))
}

/// A disk of so many bytes, attached, with an empty file system on it.
fn formatted(bytes: u64) -> (Tgt, Daemon, String) {
    let (tgt, daemon) = (Tgt::start(&Spec::new().bytes(bytes)), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let device = attach(&daemon, &tgt.iqn);
    run("mkfs.ext4", ["-q", &device]);
    (tgt, daemon, device)
}

/// Files of many sizes in nested directories.
fn write_tree(root: &Path) {
    for directory in 0..8 {
        let directory = root.join(format!("a/b{directory}/c"));
        std::fs::create_dir_all(&directory).expect("a directory");
        for file in 0..24_usize {
            let mut content = vec![0; file * file * 977];
            getrandom::fill(&mut content).expect("entropy");
            std::fs::write(directory.join(format!("file {file}")), content).expect("a file");
        }
    }
}

/// The checksum of every file, by its name.
fn checksums(root: &Path) -> String {
    run("sh", ["-c", "cd \"$1\" && find a -type f -exec sha256sum {} + | sort -k 2", "sh", name(root)])
}

#[test]
fn a_tree_of_files_survives_logout_and_login() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(TOOLS) {
        return;
    }
    let (tgt, daemon, device) = formatted(128 << 20);
    let mounted = Mounted::new(&device);
    write_tree(&mounted.at);
    let written = checksums(&mounted.at);
    assert_eq!(written.lines().count(), 8 * 24);
    mounted.unmount();

    daemon.ctl_ok(["logout", &tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);
    daemon.ctl_ok(["login", &tgt.iqn]);
    let device = attach(&daemon, &tgt.iqn);
    run("fsck.ext4", ["-f", "-n", &device]);
    let mounted = Mounted::new(&device);
    assert_eq!(checksums(&mounted.at), written);
    mounted.unmount();
    daemon.ctl_ok(["detach", &tgt.iqn]);
    assert_eq!(daemon.disks(&tgt.iqn)[0].device, None);
}

#[test]
fn a_login_attaches_where_the_target_says_so() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().block_size(4096)), Daemon::start());
    daemon.ctl_ok(["add", "target", &tgt.iqn, "--portal", &tgt.ipv4()]);
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--attach", "yes"]);
    daemon.ctl_ok(["login", &tgt.iqn]);
    let device = eventually("a device", Duration::from_secs(10), || daemon.disks(&tgt.iqn)[0].device.clone());
    assert_eq!(run("blockdev", ["--getss", &device]).trim(), "4096");
    assert_eq!(run("blockdev", ["--getsize64", &device]).trim(), (4 << 20).to_string());
    daemon.ctl_ok(["logout", &tgt.iqn]);
    let attached = run("losetup", ["--noheadings", "--output", "NAME,BACK-FILE"]);
    assert!(!attached.contains(name(daemon.home().dir())), "{attached}");
}

#[test]
fn what_is_mounted_is_neither_detached_nor_logged_out() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(TOOLS) {
        return;
    }
    let (tgt, daemon, device) = formatted(32 << 20);
    let mounted = Mounted::new(&device);
    for command in ["detach", "logout"] {
        let refused = daemon.ctl([command, &tgt.iqn]);
        assert_eq!(refused.code, ExitCode::TryAgain as i32, "{refused:?}");
        assert!(refused.stderr.contains(name(&mounted.at)), "{command} names the mount point: {}", refused.stderr);
    }
    // It goes on working.
    std::fs::write(mounted.at.join("file"), "still here").expect("a write");
    assert_eq!(tgt.sessions(), 1);
    mounted.unmount();
    daemon.ctl_ok(["logout", &tgt.iqn]);
}

// check: detach-refused-changes-nothing
#[test]
fn a_logout_that_is_refused_leaves_every_disk_as_it_was() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(2).bytes(32 << 20)), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    daemon.ctl_ok(["attach", &tgt.iqn]);
    let devices = || daemon.disks(&tgt.iqn).into_iter().map(|lun| lun.device).collect::<Vec<_>>();
    let before = devices();
    let last = before[1].clone().expect("a device");
    // Nothing is mounted: a program reads.
    let reads = std::fs::File::open(&last).expect("opens");
    let process = format!("(process {})", std::process::id());
    for command in ["detach", "logout"] {
        let refused = daemon.ctl([command, &tgt.iqn]);
        assert_eq!(refused.code, ExitCode::TryAgain as i32, "{refused:?}");
        assert!(refused.stderr.contains(&process), "{command} does not name the program: {}", refused.stderr);
        assert_eq!(devices(), before);
    }
    drop(reads);
    run("mkfs.ext4", ["-q", &last]);
    Mounted::new(&last).unmount();
    assert_eq!(devices(), before, "it went with the program that had read");
    daemon.ctl_ok(["logout", &tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);
}

#[test]
fn force_logs_out_what_is_mounted() {
    if !need_loop() || !need(Tgt::TOOLS) || !need(TOOLS) {
        return;
    }
    let (tgt, daemon, device) = formatted(32 << 20);
    let mounted = Mounted::new(&device);
    daemon.ctl_ok(["logout", &tgt.iqn, "--force"]);
    assert_eq!(tgt.sessions(), 0);
    let sessions: Vec<ipc::Session> = daemon.ctl_json(&["list", "sessions"]);
    assert_eq!(sessions, []);
    drop(mounted);
}
