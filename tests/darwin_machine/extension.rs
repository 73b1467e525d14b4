//! The real calls of IOKit, over the extension's own sources in their harness.

use std::process::Command;

use iscsid::ipc;

use crate::common::daemon::{Daemon, Home, LIMIT};
use crate::common::kernel_sim::KernelSim;
use crate::common::process::eventually;
use crate::common::{RandomFile, need, run};
use crate::mac::{Mac, mac};
use crate::{TARGET, log_in, started, target};

/// The home's kernel, with the extension loaded.
fn loaded(home: &Home) -> KernelSim {
    KernelSim::start(home.dir())
}

const DISKUTIL: &str = "/usr/sbin/diskutil";

/// It unmounts what the system has mounted of a unit; here it writes down what it is called with.
const WRITES_DOWN: &str = "#!/bin/sh\necho \"$*\" >> \"$0-called\"\n";

/// What diskutil was called with.
fn called(mac: &Mac) -> String {
    std::fs::read_to_string(mac.path_of(&format!("{DISKUTIL}-called"))).unwrap_or_default()
}

/// The command of a daemon whose sessions run in that kernel.
pub(crate) fn with_extension(mac: &Mac, home: &Home, kernel: &KernelSim) -> Command {
    mac.install(DISKUTIL, WRITES_DOWN);
    let mut command = mac.daemon(home);
    command.args(["--bridge", "kext"]).env("DARWIN_KERNEL_SIM", kernel.socket());
    command
}

fn start(mac: &Mac, home: Home, kernel: &KernelSim) -> Daemon {
    let command = with_extension(mac, &home, kernel);
    Daemon::start_as(home, &command)
}

/// Logs out and ends the daemon, then unloads the extension, which has to have let go of everything.
fn end(daemon: Daemon, kernel: KernelSim) {
    daemon.ctl_ok(["logout", TARGET]);
    let (status, _home) = daemon.stop();
    assert!(status.success(), "{status}");
    drop(kernel);
}

fn device(daemon: &Daemon) -> Option<String> {
    let disks: Vec<ipc::Lun> = daemon.ctl_json(&["list", "luns"]);
    disks.into_iter().next()?.device
}

#[test]
fn without_an_extension_sessions_run_in_the_daemon_and_nothing_is_released_that_was_not_given() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let mut command = mac.daemon(&home);
    command.args(["--bridge", "auto"]);
    let daemon = Daemon::start_as(home, &command);
    log_in(&daemon, &target);
    daemon.stop();
}

#[test]
fn who_asks_for_the_extension_is_told_that_there_is_none() {
    let Some((mac, home)) = mac() else { return };
    let mut command = mac.daemon(&home);
    let output = crate::common::process::output(command.args(["--bridge", "kext"]));
    assert_eq!(output.code, 69, "{output:?}");
    assert!(output.stderr.contains("no kernel extension is loaded"), "{output:?}");
}

#[test]
fn a_session_runs_in_the_extension_and_its_unit_has_the_device_that_the_registry_names() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let kernel = loaded(&home);
    let daemon = start(&mac, home, &kernel);
    log_in(&daemon, &target);
    let device = eventually("a device", LIMIT, || device(&daemon));
    assert_eq!(device, "/dev/disk4");
    assert_eq!(called(&mac), "", "macOS has made the disk, and mounts it");
    daemon.ctl_ok(["logout", TARGET]);
    assert_eq!(called(&mac), "unmountDisk /dev/disk4\n");
    assert_eq!(target.violations(), [""; 0]);
    daemon.ctl_ok(["login", TARGET]);
    end(daemon, kernel);
}

#[test]
fn the_disk_of_the_extension_keeps_what_is_written_though_its_connection_is_cut() {
    let Some((mac, home)) = mac() else { return };
    if !need(&["nbdcopy"]) {
        return;
    }
    let target = started(target());
    let kernel = loaded(&home);
    let nbd = format!("nbd+unix:///1%2f0?socket={}", home.dir().join("kernel-nbd.sock").display());
    let daemon = start(&mac, home, &kernel);
    log_in(&daemon, &target);
    eventually("a device", LIMIT, || device(&daemon));
    let random = RandomFile::of_bytes(8192 * 512);
    run("nbdcopy", ["--flush", random.name(), &nbd]);
    // The extension says that the connection is lost, by its notice; the daemon logs in again and hands the next one
    // over.
    target.disconnect_all(true);
    eventually("another login", LIMIT, || (target.logins().len() == 2).then_some(()));
    let read = daemon.home().dir().join("read");
    run("nbdcopy", [nbd.as_str(), read.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&read, "what was read back");
    end(daemon, kernel);
}

#[test]
fn sessions_in_the_extension_outlive_the_daemon_and_the_next_one_takes_them_over() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let kernel = loaded(&home);
    let daemon = start(&mac, home, &kernel);
    log_in(&daemon, &target);
    let home = daemon.crash();
    let daemon = start(&mac, home, &kernel);
    Mac::said(&daemon, "a session that an earlier iscsid has left goes on");
    eventually("the session", LIMIT, || daemon.session(TARGET));
    assert_eq!(target.sessions().len(), 1, "the session is the same, over another connection");
    end(daemon, kernel);
}

#[test]
fn an_extension_that_goes_is_noticed_at_once() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let kernel = loaded(&home);
    let daemon = start(&mac, home, &kernel);
    log_in(&daemon, &target);
    kernel.crash();
    Mac::said(&daemon, "the kernel extension is gone, and its sessions with it");
    let state = daemon.session(TARGET).map(|session| session.state);
    assert_ne!(state, Some(ipc::SessionState::Active));
}
