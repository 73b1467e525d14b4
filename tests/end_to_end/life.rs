//! The daemon's own life: how it starts, refuses to start, keeps its configuration and ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use iscsid::ipc::{self, ExitCode};
use nix::sys::signal::Signal;

use crate::common::daemon::Home;
use crate::common::process::{self, Process, eventually};
use crate::common::{Daemon, need, need_root, run};
use crate::targets::{Spec, Tgt};

const IQN: &str = "iqn.2026-11.org.example:nobody";

/// Starts a daemon that has to refuse, with one sentence on standard error that has all of the words.
fn does_not_start(home: &Home, code: ExitCode, words: &[&str]) {
    let output = process::output(&mut home.daemon());
    assert_eq!(output.code, code as i32, "{}", output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "it does not say {word:?}: {}", output.stderr);
    }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn no_daemon_is_said_with_how_to_start_one() {
    let output = Home::new().ctl(["list", "targets"]);
    assert_eq!(output.code, ExitCode::Unavailable as i32, "{}", output.stderr);
    assert!(output.stderr.contains("iscsid"), "{}", output.stderr);
}

#[test]
fn a_second_daemon_on_the_same_runtime_directory_refuses() {
    let daemon = Daemon::start();
    does_not_start(daemon.home(), ExitCode::TryAgain, &["another iscsid is running"]);
    daemon.ctl_ok(["list", "targets"]);
}

#[test]
fn a_runtime_directory_that_cannot_be_made_is_named() {
    let home = Home::new();
    std::fs::write(home.runtime_dir(), "a file where a directory should be").expect("a file");
    does_not_start(&home, ExitCode::Configuration, &[name(&home.runtime_dir()), "is a file, and no directory"]);
}

#[test]
fn a_daemon_killed_without_warning_leaves_nothing_that_stops_the_next() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    let home = daemon.crash();
    let daemon = Daemon::start_in(home);
    assert!(daemon.ctl_ok(["list", "targets"]).starts_with(IQN));
}

#[test]
fn sigterm_logs_out_and_leaves_no_socket_behind() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    assert_eq!(tgt.sessions(), 1);
    let (status, home) = daemon.stop();
    assert!(status.success(), "{status}");
    assert_eq!(tgt.sessions(), 0);
    let left: Vec<_> = std::fs::read_dir(home.runtime_dir()).into_iter().flatten().flatten().collect();
    let sockets = left.iter().filter(|entry| entry.file_name().to_string_lossy().ends_with(".sock"));
    assert_eq!(sockets.count(), 0, "{left:?}");
}

// check: logout-unanswered
#[test]
fn sigterm_is_not_held_up_by_a_target_that_is_gone() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (mut tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    tgt.kill();
    let (status, _home) = daemon.stop();
    assert!(status.success(), "{status}");
}

// check: recovery-restart
#[test]
fn a_restart_keeps_the_configuration_and_logs_in_by_itself() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.add(&tgt.iqn, &tgt.ipv4());
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--auto-login", "yes", "--header-digest", "CRC32C"]);
    daemon.ctl_ok(["add", "discovery-portal", "127.0.0.1:3261"]);
    daemon.ctl_ok(["modify", "initiator", "--alias", "kept"]);
    let before: ipc::TargetDetails = daemon.ctl_json(&["show", "target", &tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);

    let daemon = Daemon::start_in(daemon.stop().1);
    eventually("an automatic login", Duration::from_secs(20), || {
        daemon.session(&tgt.iqn).filter(|session| session.state == ipc::SessionState::Active)
    });
    assert_eq!(tgt.sessions(), 1);
    let mut after: ipc::TargetDetails = daemon.ctl_json(&["show", "target", &tgt.iqn]);
    after.target.session = None;
    for portal in &mut after.target.portals {
        portal.cid = None;
        portal.group_tag = None; // learnt by logging in
    }
    after.target.alias = None;
    assert_eq!(after, before);
    let initiator: ipc::Initiator = daemon.ctl_json(&["show", "initiator"]);
    assert_eq!(initiator.alias, "kept");
    let portals: Vec<ipc::DiscoveryPortal> = daemon.ctl_json(&["list", "discovery-portals"]);
    assert_eq!(portals.len(), 1);
}

// check: chap-secret-stored
#[test]
fn the_configuration_and_the_secrets_are_for_their_owner_alone() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    daemon.ctl_ok(["modify", "target", IQN, "--chap-name", "us", "--chap-secret", "a-secret-of-ours"]);
    let home = daemon.home();
    for file in ["iscsid.plist", "secrets.plist"] {
        let mode = std::fs::metadata(home.dir().join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let written = std::fs::read_to_string(home.config()).expect("the configuration");
    assert!(!written.contains("a-secret-of-ours"), "{written}");
    for shown in [vec!["show", "target", IQN], vec!["show", "target", IQN, "--format", "json"]] {
        assert!(!daemon.ctl_ok(shown).contains("a-secret-of-ours"));
    }
}

/// A configuration the daemon must not start with, nor touch.
fn refuses_configuration(written: &str, words: &[&str]) {
    let home = Home::new();
    std::fs::write(home.config(), written).expect("a configuration");
    let file = home.config();
    does_not_start(&home, ExitCode::Configuration, &[&[name(&file)], words].concat());
    assert_eq!(std::fs::read_to_string(home.config()).expect("the configuration"), written);
}

fn plist(inside: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Version</key><integer>1</integer>{inside}</dict></plist>
"#
    )
}

#[test]
fn a_configuration_that_is_no_property_list() {
    refuses_configuration("key = value\n", &[]);
}

#[test]
fn a_truncated_configuration() {
    let whole = plist("<key>Targets</key><dict/>");
    refuses_configuration(&whole[..whole.len() - 30], &[]);
}

#[test]
fn an_unknown_key_in_the_configuration() {
    refuses_configuration(
        &plist("<key>Discovery</key><dict><key>Frequency</key><integer>1</integer></dict>"),
        &["Frequency"],
    );
}

#[test]
fn a_wrong_type_in_the_configuration() {
    refuses_configuration(
        &plist("<key>Discovery</key><dict><key>Interval</key><string>often</string></dict>"),
        &["Interval"],
    );
}

#[test]
fn a_configuration_that_cannot_be_read() {
    let home = Home::new();
    std::fs::create_dir(home.config()).expect("a directory where a file should be");
    does_not_start(&home, ExitCode::Configuration, &[name(&home.config()), "is a directory, and no property list"]);
    assert!(home.config().is_dir());
}

/// A file system of its own, a few pages large.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> SmallDisk {
        let dir = crate::common::scratch_dir();
        run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", name(dir.path())]);
        SmallDisk(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_while_saving_leaves_the_old_configuration() {
    if !need_root() || !need(&["mount", "umount", "setpriv"]) {
        return;
    }
    let (home, disk) = (Home::new(), SmallDisk::mount());
    let config = disk.0.path().join("iscsid.plist");
    let mut command = home.command(crate::common::program::under_test());
    command.arg("--config").arg(&config).arg("--runtime-dir").arg(home.runtime_dir());
    let mut process = Process::start(&command, &home.dir().join("iscsid.log"));
    eventually("an answer", Duration::from_secs(20), || (home.ctl(["show", "initiator"]).code == 0).then_some(()));
    assert_eq!(home.ctl(["add", "target", IQN, "--portal", "127.0.0.1"]).code, 0);
    let before = std::fs::read(&config).expect("the configuration");

    let filler = disk.0.path().join("filler");
    let mut full = std::fs::File::create(&filler).expect("a filler");
    while std::io::Write::write_all(&mut full, &[0; 512]).is_ok() {}
    let refused = home.ctl(["add", "target", "iqn.2026-11.org.example:another", "--portal", "127.0.0.1"]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("space"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&config).expect("the configuration"), before);
    assert!(!home.ctl(["list", "targets"]).stdout.contains("another"), "it lists what it could not keep");

    drop(full);
    std::fs::remove_file(&filler).expect("the filler");
    let again = home.ctl(["add", "target", "iqn.2026-11.org.example:another", "--portal", "127.0.0.1"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    process.stop(Signal::SIGTERM, Duration::from_secs(20));
}
