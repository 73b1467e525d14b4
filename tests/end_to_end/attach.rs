//! The way in which units become disks, chosen when the daemon starts.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use iscsid::ipc::ExitCode;
use sim_target::{SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::Home;
use crate::common::program::is_a_macs;
use crate::common::{Daemon, need_loop, need_root, process, scratch_dir};

const TARGET: &str = "iqn.2026-11.test.sim:ways";
const BYTES: u64 = 16 << 20;

/// Stand-ins for the tools of macOS: each writes its line to `calls`, and answers as if one disk, disk9, came and went.
const STAND_IN: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
name=$(basename "$0")
echo "$name $*" >> calls
plist() { echo "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>$1</dict></plist>"; }
entities='<key>system-entities</key><array><dict><key>dev-entry</key><string>/dev/disk9</string></dict></array>'
case "$name $1" in
"mount_nfs -o") for point; do :; done; echo "$point" > mounted ;;
"mount ") [ ! -e mounted ] || echo "127.0.0.1:/0a on $(cat mounted) (nfs, nodev)" ;;
umount*) rm mounted ;;
"hdiutil attach") for file; do :; done; echo "$file" > image; plist "$entities" ;;
"hdiutil info")
    image=; [ ! -e image ] || image="<dict><key>image-path</key><string>$(cat image)</string>$entities</dict>"
    plist "<key>images</key><array>$image</array>" ;;
"diskutil info") plist "<key>DeviceBlockSize</key><integer>512</integer><key>Size</key><integer>16777216</integer>" ;;
"diskutil eject") rm image ;;
"stat -f") echo 16777216 ;;
esac
"#;

fn stand_ins(directory: &Path) {
    let script = directory.join("stand-in");
    std::fs::write(&script, STAND_IN).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a script to run");
    for tool in ["diskutil", "hdiutil", "lsof", "mount", "mount_nfs", "stat", "sync", "umount"] {
        symlink("stand-in", directory.join(tool)).expect("a name");
    }
}

fn target(runtime: &Runtime) -> SimTarget {
    let builder = SimTarget::builder(TARGET).lun(0, SimDisk::new(BYTES / 512, 512)).own_thread();
    runtime.block_on(builder.start()).expect("a free port")
}

#[test]
fn ways_that_are_not_here_or_contradict_each_other_are_refused() {
    let home = Home::new();
    let refused = |words: &[&str]| {
        let output = process::output(home.daemon().args(words));
        (output.code, output.stderr)
    };
    let (code, said) = refused(&["--attach", "diskimage"]);
    assert!(code == ExitCode::Configuration as i32 && said.contains("--mac-tools"), "{code}: {said}");
    let (code, said) = refused(&["--attach", "diskimage", "--nfs", "no"]);
    assert!(code == ExitCode::Usage as i32 && said.contains("leave one of them out"), "{code}: {said}");
    if is_a_macs() {
        let (code, said) = refused(&["--attach", "loop"]);
        assert!(code == ExitCode::Configuration as i32 && said.contains("leave it out"), "{code}: {said}");
    } else {
        // On a Mac they are what units are attached by, unless something else is said.
        let (code, said) = refused(&["--mac-tools", "/nowhere"]);
        assert!(code == ExitCode::Usage as i32 && said.contains("--attach diskimage"), "{code}: {said}");
    }
    assert_eq!(refused(&["--attach", "tape"]).0, ExitCode::Usage as i32);
}

#[test]
fn with_none_units_are_exported_and_nothing_is_attached() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start_with(Home::new(), &["--attach", "none"]));
    daemon.ctl_ok(["add", "target", TARGET, "--portal", &target.address().to_string()]);
    daemon.ctl_ok(["modify", "target", TARGET, "--attach", "yes"]);
    let said = daemon.ctl(["login", TARGET]);
    assert_eq!((said.code, said.stderr.contains("cannot be attached")), (0, false), "{}", said.stderr);
    assert!(said.stderr.contains("is not attached; NBD clients find it at nbd+unix:"), "{}", said.stderr);
    let disks = daemon.disks(TARGET);
    assert!(disks[0].nbd.is_some() && disks[0].device.is_none(), "{disks:?}");
    let refused = daemon.ctl(["attach", TARGET]);
    assert_eq!(refused.code, ExitCode::Configuration as i32, "{}", refused.stderr);
    assert!(refused.stderr.contains("--attach none"), "{}", refused.stderr);
}

#[test]
fn with_none_what_a_daemon_that_died_has_attached_is_cleared_away_as_well() {
    if !need_loop() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    daemon.ctl_ok(["attach", TARGET]);
    let device = daemon.disks(TARGET)[0].device.clone().expect("a loop device");
    let backing = Path::new("/sys/block").join(device.trim_start_matches("/dev/")).join("loop/backing_file");
    let file = || std::fs::read_to_string(&backing).unwrap_or_default();
    let luns = daemon.home().runtime_dir().join("luns");
    assert!(file().starts_with(&luns.display().to_string()), "{}", file());
    let daemon = Daemon::start_with(daemon.crash(), &["--attach", "none"]);
    assert!(daemon.log().contains("left behind by an earlier iscsid"), "{}", daemon.log());
    assert!(!file().starts_with(&luns.display().to_string()), "{device} still has {}", file());
}

#[test]
fn the_way_of_macos_can_be_gone_here_with_stand_ins_for_its_tools() {
    if !need_root() {
        return;
    }
    let (runtime, tools) = (Runtime::new().expect("a runtime"), scratch_dir());
    stand_ins(tools.path());
    let words = ["--attach", "diskimage", "--mac-tools", tools.path().to_str().expect("text")];
    let (target, daemon) = (target(&runtime), Daemon::start_with(Home::new(), &words));
    daemon.log_in(TARGET, &target.address().to_string());
    daemon.ctl_ok(["attach", TARGET]);
    assert_eq!(daemon.disks(TARGET)[0].device.as_deref(), Some("/dev/disk9"));
    daemon.ctl_ok(["logout", TARGET]);
    let calls = std::fs::read_to_string(tools.path().join("calls")).expect("calls");
    for call in
        ["mount_nfs -o nolocks,vers=3,tcp,port=", "hdiutil attach -plist", "diskutil eject /dev/disk9", "umount "]
    {
        assert!(calls.contains(call), "{call} is not among\n{calls}");
    }
    assert_eq!(std::fs::read_dir(daemon.home().runtime_dir().join("luns")).expect("luns").count(), 0);
}
