//! `make install` on Linux, into a directory in place of /; and what systemd says of the units.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::process::need;

fn make(goal: &str, destination: &Path, more: &[&str]) -> Output {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", goal]).arg(format!("DESTDIR={}", destination.display())).args(more);
    make.env("BINARY", env!("CARGO_BIN_EXE_iscsid")).output().expect("make runs")
}

fn made(goal: &str, destination: &Path, more: &[&str]) -> String {
    let out = make(goal, destination, more);
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    said
}

/// Paths of what is no directory below a directory.
fn files(root: &Path) -> BTreeSet<String> {
    let out = Command::new("find").args([".", "!", "-type", "d"]).current_dir(root).output().expect("find");
    String::from_utf8_lossy(&out.stdout).lines().map(|line| line.trim_start_matches('.').to_owned()).collect()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

const UNIT: &str = "packaging/systemd/iscsid.service";

fn value(unit: &str, key: &str) -> Option<String> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
}

#[test]
fn everything_is_where_linux_looks_for_it_and_goes_again() {
    let root = tempfile::tempdir().expect("a directory");
    let said = made("install", root.path(), &[]);
    let below = format!("Installed below {}/usr/local: sbin/iscsid, bin/iscsictl, manual pages", root.path().display());
    assert!(said.contains(&below) && said.contains("systemctl enable --now iscsid"), "what is next to do: {said}");
    let expected = [
        "bin/iscsictl",
        "lib/systemd/system/iscsid-nfs.socket",
        "lib/systemd/system/iscsid.service",
        "lib/systemd/system/iscsid.socket",
        "sbin/iscsid",
        "share/bash-completion/completions/iscsictl",
        "share/bash-completion/completions/iscsid",
        "share/fish/vendor_completions.d/iscsictl.fish",
        "share/fish/vendor_completions.d/iscsid.fish",
        "share/man/man5/iscsid.plist.5",
        "share/man/man8/iscsictl.8",
        "share/man/man8/iscsid.8",
        "share/zsh/site-functions/_iscsictl",
    ];
    let at = |prefix: &str| expected.iter().map(|path| format!("{prefix}/{path}")).collect::<BTreeSet<_>>();
    assert_eq!(files(root.path()), at("/usr/local"));
    for path in files(root.path()) {
        let mode =
            fs::metadata(root.path().join(path.trim_start_matches('/'))).expect("its facts").permissions().mode();
        let program = path.ends_with("/sbin/iscsid") || path.ends_with("/bin/iscsictl");
        assert_eq!(mode & 0o7777, if program { 0o755 } else { 0o644 }, "{path}");
    }
    let ctl = root.path().join("usr/local/bin/iscsictl");
    let said = Command::new(&ctl).arg("--version").output().expect("it runs");
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("iscsictl "), "{said:?}");
    let unit = text(root.path().join("usr/local/lib/systemd/system/iscsid.service"));
    assert_eq!(value(&unit, "ExecStart").as_deref(), Some("/usr/local/sbin/iscsid"));

    // Once more is an upgrade; and settings are nobody's to remove.
    made("install", root.path(), &[]);
    fs::create_dir_all(root.path().join("etc/iscsid")).expect("a directory");
    fs::write(root.path().join("etc/iscsid/iscsid.plist"), "mine").expect("written");
    let said = made("uninstall", root.path(), &[]);
    assert!(said.contains("Removed below") && said.contains("/etc/iscsid"), "{said}");
    assert_eq!(files(root.path()), BTreeSet::from(["/etc/iscsid/iscsid.plist".to_owned()]));

    made("install", root.path(), &["PREFIX=/usr"]);
    made("uninstall", root.path(), &[]);
    assert!(files(root.path()).is_superset(&at("/usr")), "another prefix's is not touched");
}

#[test]
fn what_was_not_built_and_a_prefix_that_is_none_are_said() {
    let root = tempfile::tempdir().expect("a directory");
    for (more, word) in [("BINARY=/nowhere/iscsid", "make build"), ("PREFIX=usr", "begin with a slash")] {
        let out = make("install", root.path(), &[more]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(word), "{said}");
        assert_eq!(files(root.path()), BTreeSet::new());
    }
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if !need(&["systemd-analyze"]) {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    made("install", root.path(), &[]);
    let units = root.path().join("usr/local/lib/systemd/system");
    // The program has to be where the unit says it is.
    let service = units.join("iscsid.service");
    let there = root.path().join("usr/local/sbin");
    fs::write(&service, text(&service).replace("/usr/local/sbin", there.to_str().expect("text"))).expect("written");
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["verify", "--man=no"])
        .arg(&service)
        .args(["iscsid.socket", "iscsid-nfs.socket"].map(|unit| units.join(unit)));
    let out = analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", units.display())).output().expect("systemd-analyze");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let ours = said.lines().filter(|line| line.contains("iscsid")).collect::<Vec<_>>();
    assert!(out.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_service_keeps_the_machines_mount_namespace_and_its_runtime_directory() {
    let unit = text(UNIT);
    // systemd.exec(5): each of these gives the service a mount namespace of its own, from which no mount comes out.
    for key in [
        "BindPaths",
        "InaccessiblePaths",
        "MountFlags",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateTmp",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "TemporaryFileSystem",
    ] {
        assert_eq!(value(&unit, key), None, "{key}");
    }
    // Loop devices come and go, and a list of devices would have to name them all.
    assert!(value(&unit, "DeviceAllow").is_none() && value(&unit, "ProtectClock").is_none());
    assert_eq!(value(&unit, "RuntimeDirectoryPreserve").as_deref(), Some("yes"));
    assert_eq!(value(&unit, "Type").as_deref(), Some("notify"));
    let socket = text("packaging/systemd/iscsid.socket");
    assert_eq!(value(&socket, "ListenStream").as_deref(), Some("/run/iscsid/control.sock"));
}

#[test]
fn the_port_of_the_nfs_export_is_held_for_the_service_where_that_is_wanted() {
    let socket = text("packaging/systemd/iscsid-nfs.socket");
    assert_eq!(value(&socket, "ListenStream").as_deref(), Some(crate::launchd::HELD));
    assert_eq!(value(&socket, "Service").as_deref(), Some("iscsid.service"));
    assert_eq!(value(&socket, "Accept"), None, "one socket, not one process for each client");
    // Nothing enables it with the service: a machine that mounts nothing by NFS has no such port.
    let unit = text(UNIT);
    assert!(!unit.contains("iscsid-nfs"), "{unit}");
}

#[test]
fn mounts_from_its_disks_come_after_the_daemon_and_go_before_it() {
    let unit = text(UNIT);
    let words = |key| value(&unit, key).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(words("Before").contains(&"remote-fs-pre.target".to_owned()));
    assert!(words("Wants").contains(&"network-online.target".to_owned()));
}
