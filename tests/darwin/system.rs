//! Each scenario is a word of `programs/system.rs`.

use std::fs::File;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::machrun::{self, Program};

fn holds(scenario: &str) {
    machrun::holds("system", scenario);
}

#[test]
fn an_error_has_darwin_s_number_and_words() {
    holds("errors");
}

#[test]
fn the_users_and_groups_of_every_mac_are_there() {
    holds("users");
}

#[test]
fn a_name_of_sysctl_that_nobody_has_is_not_found() {
    holds("names");
}

#[test]
fn what_is_mounted_is_told_as_a_mac_tells_it() {
    holds("mounts");
}

#[test]
fn a_terminal_no_longer_echoes_and_is_otherwise_as_it_was() {
    let Some(program) = Program::named("system") else { return };
    let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).expect("a terminal");
    let before = tcgetattr(&pty.slave).expect("attributes");
    let terminal = File::from(pty.slave.try_clone().expect("another one"));
    let output = program.command(&["terminal"]).stdin(Stdio::from(terminal)).output().expect("ran");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said, "33 rows, 99 columns\n");
    let after = tcgetattr(&pty.slave).expect("attributes");
    assert_eq!(after.local_flags, before.local_flags - LocalFlags::ECHO);
    assert_eq!((after.input_flags, after.output_flags), (before.input_flags, before.output_flags));
    assert_eq!((after.control_flags, after.control_chars), (before.control_flags, before.control_chars));
}
