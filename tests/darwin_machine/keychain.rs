use std::fs;
use std::process::Command;

use sim_target::Chap;

use crate::common::daemon::{Daemon, Home};
use crate::common::process::{self, Output};
use crate::common::program;
use crate::mac::{Mac, mac};
use crate::signature::sign_again;
use crate::{TARGET, started, target};

const NAME: &str = "joe";
const SECRET: &str = "twelve bytes and more";

fn set_secret(daemon: &Daemon, portal: &str) {
    daemon.add(TARGET, portal);
    daemon.ctl_ok(["modify", "target", TARGET, "--chap-name", NAME, "--chap-secret", SECRET]);
}

fn has_file(home: &Home) -> bool {
    home.dir().join("secrets.plist").exists()
}

#[test]
fn a_secret_is_kept_in_the_system_keychain_and_the_next_daemon_logs_in_with_it() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let daemon = mac.start(home);
    set_secret(&daemon, &target.address().to_string());
    let account = format!("keychain took {TARGET} ours");
    assert!(mac.log().contains(&account), "{:?}", mac.log());
    assert!(!has_file(daemon.home()));
    let (status, home) = daemon.stop();
    assert!(status.success());
    let daemon = mac.start(home);
    daemon.ctl_ok(["login", TARGET]);
    assert_eq!(daemon.negotiated(TARGET).authentication, "CHAP SHA3-256");
    assert!(mac.log().contains(&format!("keychain gave {TARGET} ours")), "{:?}", mac.log());
    daemon.ctl_ok(["logout", TARGET]);
    daemon.ctl_ok(["remove", "target", TARGET]);
    assert_eq!(mac.log().last().map(String::as_str), Some("keychain let go of an item"));
    daemon.stop();
}

#[test]
fn a_secret_that_the_keychain_does_not_take_is_in_the_file_and_that_is_said() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let daemon = mac.start(home);
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

/// What a keychain that gives nothing comes to: one sentence, with what to do.
fn is_one_sentence(output: &Output, why: &str) {
    assert_eq!((output.code, output.stderr.lines().count()), (78, 1), "{output:?}");
    let what = format!("the keychain does not give the CHAP secret `{TARGET} ours` ({why})");
    assert!(output.stderr.contains(&what), "{output:?}");
    assert!(!output.stderr.contains(SECRET), "{output:?}");
}

#[test]
fn a_locked_keychain_is_told_in_one_sentence_until_it_is_unlocked() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let daemon = mac.start(home);
    set_secret(&daemon, &target.address().to_string());
    let (_, home) = daemon.stop();
    mac.set(&["keychain", "locked"]);
    let output = process::output(mac.daemon(&home).env("ISCSID_LOG", "warn"));
    is_one_sentence(&output, "User interaction is not allowed.");
    mac.set(&["keychain", "works"]);
    let daemon = mac.start(home);
    daemon.ctl_ok(["login", TARGET]);
    daemon.stop();
}

/// An upgrade of a program that is signed ad hoc: to securityd it is somebody else.
#[test]
fn a_program_that_was_signed_again_is_refused_its_secret_and_says_so_in_one_sentence() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target().chap(Chap::new(NAME, SECRET)));
    let daemon = mac.start(home);
    set_secret(&daemon, &target.address().to_string());
    let (_, home) = daemon.stop();
    let again = home.dir().join("upgraded");
    fs::copy(program::under_test(), &again).expect("a copy");
    sign_again(&again);
    let old = mac.daemon(&home);
    let mut upgraded = Command::new(&again);
    process::continue_with(&mut upgraded, &old);
    let output = process::output(upgraded.env("ISCSID_LOG", "warn"));
    is_one_sentence(&output, "User interaction is not allowed.");
    assert!(mac.log().contains(&format!("keychain refused {TARGET} ours: -25308")), "{:?}", mac.log());
}
