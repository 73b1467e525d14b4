use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sim_target::{Chap, SimDisk, SimTarget};

use crate::common::daemon::{Daemon, Home};
use crate::common::program;
use crate::mac::{Mac, mac};
use crate::signature::{sign_again, sign_by_a_team};
use crate::{TARGET, started, target};

const NAME: &str = "joe";
const SECRET: &str = "twelve bytes and more";

/// The program under test, as a team has signed it: the keychain knows its next version again.
fn signed_by_a_team(home: &Home) -> PathBuf {
    let signed = home.dir().join("signed");
    fs::copy(program::under_test(), &signed).expect("a copy");
    sign_by_a_team(&signed);
    signed
}

/// The next version of that program.
fn upgraded(home: &Home, program: &Path) -> PathBuf {
    let upgraded = home.dir().join("upgraded");
    fs::copy(program, &upgraded).expect("a copy");
    sign_again(&upgraded);
    upgraded
}

/// The daemon that is this program.
fn start(mac: &Mac, home: Home, program: &Path) -> Daemon {
    let usual = mac.daemon(&home);
    let mut command = Command::new(program);
    command.args(usual.get_args()).envs(usual.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Daemon::start_as(home, &command)
}

fn set_secret(daemon: &Daemon, portal: &str) {
    daemon.add(TARGET, portal);
    daemon.ctl_ok(["modify", "target", TARGET, "--chap-name", NAME, "--chap-secret", SECRET]);
}

fn secrets_file(home: &Home) -> PathBuf {
    home.dir().join("secrets.plist")
}

fn has_file(home: &Home) -> bool {
    secrets_file(home).exists()
}

/// A target without CHAP, which goes on whatever the keychain does.
fn log_in_to_another(daemon: &Daemon, name: &str) {
    let other = started(SimTarget::builder(name).lun(0, SimDisk::new(8192, 512)));
    daemon.add(name, &other.address().to_string());
    daemon.ctl_ok(["login", name]);
    daemon.ctl_ok(["logout", name]);
}

#[test]
fn a_program_that_a_team_has_signed_keeps_secrets_in_the_keychain_and_its_next_version_logs_in_with_them() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let program = signed_by_a_team(&home);
    let daemon = start(&mac, home, &program);
    Mac::said(&daemon, "CHAP secrets are kept in the System keychain");
    set_secret(&daemon, &target.address().to_string());
    let account = format!("keychain took {TARGET} ours");
    assert!(mac.log().contains(&account), "{:?}", mac.log());
    assert!(!has_file(daemon.home()));
    let (status, home) = daemon.stop();
    assert!(status.success());
    let program = upgraded(&home, &program);
    let daemon = start(&mac, home, &program);
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!(daemon.negotiated(TARGET).authentication, "CHAP SHA3-256");
    assert!(mac.log().contains(&format!("keychain gave {TARGET} ours")), "{:?}", mac.log());
    daemon.ctl_ok(["logout", TARGET]);
    daemon.ctl_ok(["remove", "target", TARGET]);
    assert_eq!(mac.log().last().map(String::as_str), Some("keychain let go of an item"));
    daemon.stop();
}

#[test]
fn a_program_that_no_team_has_signed_keeps_secrets_in_the_file_and_its_next_version_logs_in_with_them() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let daemon = mac.start(home);
    Mac::said(&daemon, "which nobody else may read, and not in the keychain");
    set_secret(&daemon, &target.address().to_string());
    assert_eq!(fs::metadata(secrets_file(daemon.home())).expect("a file").permissions().mode() & 0o7777, 0o600);
    assert!(!mac.log().iter().any(|line| line.starts_with("keychain took")), "{:?}", mac.log());
    let (_, home) = daemon.stop();
    let program = upgraded(&home, program::under_test());
    let daemon = start(&mac, home, &program);
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!(daemon.negotiated(TARGET).authentication, "CHAP SHA3-256");
    daemon.stop();
}

#[test]
fn a_secret_that_the_keychain_does_not_take_is_in_the_file_and_that_is_said() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let program = signed_by_a_team(&home);
    let daemon = start(&mac, home, &program);
    mac.set(&["keychain", "read-only"]);
    set_secret(&daemon, &target.address().to_string());
    assert!(has_file(daemon.home()));
    Mac::said(&daemon, "the keychain does not take the CHAP secrets (Write permissions error.)");
    daemon.ctl_ok(["login", TARGET]);
    // It moves there once the keychain takes it.
    mac.set(&["keychain", "works"]);
    daemon.ctl_ok(["modify", "target", TARGET, "--chap-name", NAME, "--chap-secret", "another secret of ours"]);
    assert!(!has_file(daemon.home()));
    daemon.stop();
}

/// What a login comes to whose secret the keychain does not give: one sentence, with what to do. Others go on.
fn fails_alone(daemon: &Daemon, why: &str) {
    let output = daemon.ctl(["login", TARGET]);
    assert_eq!((output.code, output.stderr.lines().count()), (78, 1), "{output:?}");
    let what = format!("the keychain does not give the CHAP secret `{TARGET} ours` ({why})");
    assert!(output.stderr.contains(&what), "{output:?}");
    assert!(output.stderr.contains(&format!("`iscsictl modify target {TARGET} --chap-secret`")), "{output:?}");
    assert!(!output.stderr.contains(SECRET), "{output:?}");
    Mac::said(daemon, &what);
    log_in_to_another(daemon, "iqn.2026-11.test.mac:other");
}

#[test]
fn a_locked_keychain_holds_up_one_login_until_it_is_unlocked() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let program = signed_by_a_team(&home);
    let daemon = start(&mac, home, &program);
    set_secret(&daemon, &target.address().to_string());
    let (_, home) = daemon.stop();
    mac.set(&["keychain", "locked"]);
    let daemon = start(&mac, home, &program);
    fails_alone(&daemon, "User interaction is not allowed.");
    mac.set(&["keychain", "works"]);
    let (_, home) = daemon.stop();
    let daemon = start(&mac, home, &program);
    daemon.ctl_ok(["login", TARGET]);
    daemon.stop();
}

/// An upgrade from a program that a team had signed to one that none has: to securityd it is somebody else. With somebody
/// at the screen, it would be him that securityd asks.
#[test]
fn a_program_that_is_refused_its_secret_starts_asks_nobody_and_takes_the_secret_again() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let program = signed_by_a_team(&home);
    let daemon = start(&mac, home, &program);
    set_secret(&daemon, &target.address().to_string());
    let (_, home) = daemon.stop();
    mac.set(&["keychain", "asks"]);
    // What removes an item that cannot be read.
    let said = home.dir().join("security");
    mac.install("/usr/bin/security", &format!("#!/bin/sh\necho \"$*\" >>'{}'\n", said.display()));
    let daemon = mac.start(home);
    assert!(mac.log().contains(&format!("keychain refused {TARGET} ours: -25308")), "{:?}", mac.log());
    fails_alone(&daemon, "User interaction is not allowed.");
    daemon.ctl_ok(["modify", "target", TARGET, "--chap-secret", SECRET]);
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!(daemon.negotiated(TARGET).authentication, "CHAP SHA3-256");
    assert!(has_file(daemon.home()));
    assert!(!mac.log().iter().any(|line| line == "keychain asks"), "{:?}", mac.log());
    let told = fs::read_to_string(&said).expect("it was run");
    assert!(told.starts_with("delete-generic-password -s org.iscsid.iscsid"), "{told}");
    assert!(told.contains(&format!(" -a {TARGET} ours /Library/Keychains/System.keychain")), "{told}");
    daemon.stop();
}
