//! The files on disk: what is read, what is written, and what stays when something goes wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::ipc::{ChapChanges, ExitCode, Secret, TargetChanges};

const TARGET: &str = "iqn.2026-11.org.example:disk1";

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(path: &Path) -> Store {
    Store::open(path).expect("opens")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn without_a_file_the_defaults_hold_and_a_name_is_made_once_and_kept() {
    let directory = directory();
    let path = directory.path().join("new/iscsid.plist");
    let name = open(&path).config().initiator.name.clone();
    assert!(name.starts_with("iqn.2026-11.org.iscsid:"), "{name}");
    assert_eq!(open(&path).config().initiator.name, name);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_is_edited_is_there_after_a_restart() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    let changes = TargetChanges {
        auto_login: Some(true),
        keys: vec![("HeaderDigest".into(), "CRC32C,None".into()), ("ImmediateData".into(), "No".into())],
        timers: vec![("NopInterval".into(), 0)],
        chap: ChapChanges {
            name: Some("me".into()),
            secret: Some(Secret("correct horse battery".into())),
            ..ChapChanges::default()
        },
        ..TargetChanges::default()
    };
    store
        .edit(|config, secrets| {
            config.add_target(TARGET, "[2001:db8::1]:3261", Some("lo"))?;
            config.add_discovery_portal("nas.example", None)?;
            config.modify_target(secrets, TARGET, &changes)
        })
        .expect("saved");
    let (config, secrets) = (store.config().clone(), store.secrets().clone());
    drop(store);

    let store = open(&path);
    assert_eq!(*store.config(), config);
    assert_eq!(*store.secrets(), secrets);
    let effective = store.config().effective(TARGET, false);
    assert!(effective.auto_login);
    assert!(effective.timers.nop_interval.is_zero());
    assert_eq!(effective.keys.get("HeaderDigest").map(String::as_str), Some("CRC32C,None"));
    let credentials = store.config().credentials(store.secrets(), Some(TARGET)).expect("whole").expect("CHAP");
    assert_eq!(credentials.secret.as_bytes(), b"correct horse battery");
}

#[test]
fn secrets_are_in_a_file_of_their_own_that_nobody_else_reads_and_never_print() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let mut store = open(&path);
    let chap = ChapChanges { secret: Some(Secret("correct horse battery".into())), ..ChapChanges::default() };
    store
        .edit(|config, secrets| {
            config.add_target(TARGET, "192.0.2.1", None)?;
            config.modify_target(secrets, TARGET, &TargetChanges { chap, ..TargetChanges::default() })
        })
        .expect("saved");
    assert!(!fs::read_to_string(&path).expect("readable").contains("correct horse"));
    assert_eq!(mode(&secrets_path(&path)), 0o600);
    assert!(!format!("{store:?}").contains("correct horse"));

    drop(store);
    fs::set_permissions(secrets_path(&path), fs::Permissions::from_mode(0o640)).expect("chmod");
    let failure = Store::open(&path).expect_err("others may read it");
    assert_eq!(failure.code, ExitCode::Configuration);
    assert!(failure.message.contains("secrets.plist has mode 0640"), "{failure}");
}

#[test]
fn a_file_with_an_error_is_named_with_its_key_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>Version</key><integer>1</integer>\
         <key>Targets</key><dict><key>{TARGET}</key><dict><key>Timers</key><dict><key>NopIntervall</key><integer>5</integer>\
         </dict></dict></dict></dict></plist>"
    );
    fs::write(&path, &text).expect("written");
    let failure = Store::open(&path).expect_err("no such timer");
    assert_eq!(failure.code, ExitCode::Configuration);
    let expected = format!(
        "{}: Targets → {TARGET} → Timers → NopIntervall: there is no timer `NopIntervall`; the timers are LoginTimeout, \
         LogoutTimeout, NopInterval, NopTimeout, ReplacementTimeout; correct it, or move the file away",
        path.display()
    );
    assert_eq!(failure.message, expected);
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
}

#[test]
fn only_one_daemon_has_a_file() {
    let directory = directory();
    let path = directory.path().join("iscsid.plist");
    let first = open(&path);
    let failure = Store::open(&path).expect_err("in use");
    assert_eq!(failure.code, ExitCode::TryAgain);
    drop(first);
    open(&path);
}
