//! The way in which units become disks, chosen when the daemon starts.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use iscsid::ipc::ExitCode;
use nix::sys::signal::Signal;
use sim_target::{SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::{Home, LIMIT};
use crate::common::process::eventually;
use crate::common::program::is_a_macs;
use crate::common::{Daemon, need, need_loop, need_root, process, scratch_dir};

const TARGET: &str = "iqn.2026-11.test.sim:ways";
const BYTES: u64 = 16 << 20;

/// Stand-ins for the tools of macOS: each writes its line to `calls`, and answers as if one disk, disk9, came and went.
const STAND_IN: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
name=$(basename "$0")
echo "$name $*" >> calls
plist() { echo "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>$1</dict></plist>"; }
entities='<key>system-entities</key><array><dict><key>dev-entry</key><string>/dev/disk9</string></dict></array>'
wait_long() { while [ -e hold ]; do sleep 0.05; done; }
# What is on the disk is written to its file; not by the path of the mount, which was good for mount_nfs alone.
clean() { [ ! -e dirty ] || nfs-cp dirty "$(cat uri)" || exit 1; }
case "$name $1" in
"mount_nfs -o") for point; do :; done; echo "$point" > mounted ;;
"mount ")
    [ ! -e mounted ] || echo "127.0.0.1:/0a on $(cat mounted) (nfs, nodev)"
    [ ! -e volume ] || echo "/dev/disk9s1 on $(cat volume) (apfs, local)" ;;
"umount /Volumes/X") clean; rm volume ;;
umount*) rm mounted ;;
"sysctl -n") if [ -e ending ]; then echo 1; else echo 0; fi ;;
"diskutil unmountDisk") wait_long ;;
"hdiutil attach") for file; do :; done; echo "$file" > image; plist "$entities" ;;
"hdiutil info")
    [ ! -e volume ] || entities=${entities%</dict></array>}"<key>mount-point</key><string>$(cat volume)</string></dict></array>"
    image=; [ ! -e image ] || image="<dict><key>image-path</key><string>$(cat image)</string>$entities</dict>"
    plist "<key>images</key><array>$image</array>" ;;
"diskutil info") plist "<key>DeviceBlockSize</key><integer>512</integer><key>Size</key><integer>16777216</integer>" ;;
"diskutil eject") wait_long; clean; rm image ;;
"stat -f") echo 16777216 ;;
esac
"#;

fn stand_ins(directory: &Path) {
    let script = directory.join("stand-in");
    std::fs::write(&script, STAND_IN).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a script to run");
    for tool in ["diskutil", "hdiutil", "lsof", "mount", "mount_nfs", "stat", "sync", "sysctl", "umount"] {
        symlink("stand-in", directory.join(tool)).expect("a name");
    }
}

/// A daemon that makes disks by stand-ins, and has made one of the only unit.
fn attached(tools: &Path, target: &SimTarget) -> Daemon {
    stand_ins(tools);
    let words = ["--attach", "diskimage", "--mac-tools", tools.to_str().expect("text")];
    let daemon = Daemon::start_with(Home::new(), &words);
    daemon.log_in(TARGET, &target.address().to_string());
    daemon.ctl_ok(["attach", TARGET]);
    assert_eq!(daemon.disks(TARGET)[0].device.as_deref(), Some("/dev/disk9"));
    daemon
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
    let target = target(&runtime);
    let daemon = attached(tools.path(), &target);
    daemon.ctl_ok(["logout", TARGET]);
    let calls = std::fs::read_to_string(tools.path().join("calls")).expect("calls");
    for call in ["mount_nfs -o vers=3,tcp,port=", "hdiutil attach -plist", "diskutil eject /dev/disk9", "umount "] {
        assert!(calls.contains(call), "{call} is not among\n{calls}");
    }
    assert_eq!(std::fs::read_dir(daemon.home().runtime_dir().join("luns")).expect("luns").count(), 0);
}

#[test]
fn what_an_eject_writes_when_the_daemon_ends_reaches_the_target() {
    if !need_root() || !need(&["nfs-cp"]) {
        return;
    }
    let (runtime, tools) = (Runtime::new().expect("a runtime"), scratch_dir());
    let target = target(&runtime);
    let daemon = attached(tools.path(), &target);
    let written: Vec<u8> = (0..3 * 4096_u32).map(|at| (at % 251) as u8 + 1).collect();
    let uri = daemon.disks(TARGET)[0].nfs.clone().expect("it is exported");
    std::fs::write(tools.path().join("uri"), uri).expect("a file");
    std::fs::write(tools.path().join("dirty"), &written).expect("a file");
    let (status, home) = daemon.stop();
    assert!(status.success(), "{status}");
    assert!(target.content(0, 0, written.len() as u64) == written, "it was acknowledged, and is not there");
    assert!(!tools.path().join("image").exists() && !tools.path().join("mounted").exists(), "the disk is gone");
    assert!(!home.runtime_dir().join("sessions.json").exists(), "nothing is left for the next daemon");
}

#[test]
fn a_disk_that_is_still_there_when_the_daemon_ends_is_logged_in_to_by_the_next_one() {
    if !need_root() {
        return;
    }
    let (runtime, tools) = (Runtime::new().expect("a runtime"), scratch_dir());
    let target = target(&runtime);
    let mut daemon = attached(tools.path(), &target);
    let (hold, calls) = (tools.path().join("hold"), tools.path().join("calls"));
    std::fs::write(&hold, "").expect("a file");
    daemon.signal(Signal::SIGTERM);
    eventually("an eject", LIMIT, || {
        std::fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("eject")).then_some(())
    });
    assert!(!daemon.has_ended());
    // Whoever does not want to wait sends another one.
    daemon.signal(Signal::SIGTERM);
    let (_, home) = daemon.ended();
    let left = std::fs::read_to_string(home.runtime_dir().join("sessions.json")).expect("a list");
    assert!(left.contains(TARGET), "{left}");
    std::fs::remove_file(&hold).expect("the eject goes on");
}

#[test]
fn at_the_machine_s_end_volumes_are_unmounted_though_diskutil_does_not_answer() {
    if !need_root() || !need(&["nfs-cp"]) {
        return;
    }
    let (runtime, tools) = (Runtime::new().expect("a runtime"), scratch_dir());
    let target = target(&runtime);
    let daemon = attached(tools.path(), &target);
    let written = vec![0x5a; 64 << 10];
    let uri = daemon.disks(TARGET)[0].nfs.clone().expect("it is exported");
    std::fs::write(tools.path().join("uri"), uri).expect("a file");
    for (name, what) in [("dirty", written.as_slice()), ("volume", b"/Volumes/X\n"), ("hold", b""), ("ending", b"")] {
        std::fs::write(tools.path().join(name), what).expect("a file");
    }
    let (status, _home) = daemon.stop();
    assert!(status.success(), "{status}");
    assert!(target.content(0, 0, written.len() as u64) == written, "it was acknowledged, and is not there");
    let calls = std::fs::read_to_string(tools.path().join("calls")).expect("calls");
    let at = |call: &str| calls.find(call).unwrap_or_else(|| panic!("{call} is not among\n{calls}"));
    assert!(at("sysctl -n kern.willshutdown") < at("diskutil unmountDisk force /dev/disk9"), "{calls}");
    assert!(at("diskutil unmountDisk") < at("umount /Volumes/X"), "{calls}");
    assert!(!tools.path().join("mounted").exists(), "nothing of it is mounted");
}
