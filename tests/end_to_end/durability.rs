//! What a program was told to be on stable storage is there: flush, FUA and fsync of programs that
//! nobody here wrote, against a target that knows what a power cut would take.

use std::process::Command;

use sim_target::{SimDisk, SimTarget};
use tokio::runtime::Runtime;

use iscsid::ipc::Lun;
use nix::sys::signal::Signal;

use crate::common::daemon::{LIMIT, uri};
use crate::common::{Daemon, Mounted, need, need_loop, process, run};

const TARGET: &str = "iqn.2026-11.test.sim:durable";
const SYNCHRONIZE_CACHE: [u8; 2] = [0x35, 0x91];

/// The target runs on the runtime's own threads.
fn target(runtime: &Runtime) -> SimTarget {
    let builder = SimTarget::builder(TARGET).lun(0, SimDisk::new(32_768, 512)).own_thread();
    runtime.block_on(builder.start()).expect("a free port")
}

fn syncs(target: &SimTarget) -> usize {
    target.commands().iter().filter(|command| SYNCHRONIZE_CACHE.contains(&command.opcode())).count()
}

/// Attaches the one disk; gives its device.
fn attach(daemon: &Daemon) -> String {
    daemon.ctl_ok(["attach", TARGET]);
    daemon.disks(TARGET)[0].device.clone().expect("a device")
}

fn qemu_io(disk: &Lun, commands: &[&str]) {
    let mut line = Command::new("qemu-io");
    // "writeback": a write may stay in the cache until a flush, as with any disk.
    line.args(["--format=raw", "--cache=writeback"]);
    for command in commands {
        line.args(["-c", command]);
    }
    let output = process::output(line.arg(uri(disk)));
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn a_flush_over_nbd_is_a_synchronize_cache() {
    if !need(&["qemu-io"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    let disks = daemon.log_in(TARGET, &target.address().to_string());
    let before = syncs(&target);
    qemu_io(&disks[0], &["write -P 0xa5 64k 1M", "flush"]);
    assert!(syncs(&target) > before);
    assert_eq!(target.volatile_bytes(), 0);
    assert_eq!(target.content(0, 64 << 10, 1 << 20), vec![0xa5; 1 << 20]);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[test]
fn fua_over_nbd_is_fua_at_the_target() {
    if !need(&["qemu-io"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    let disks = daemon.log_in(TARGET, &target.address().to_string());
    target.forget_commands();
    qemu_io(&disks[0], &["write -f -P 0x5a 0 64k"]);
    let writes: Vec<_> = target.commands().into_iter().filter(|command| command.opcode() == 0x8a).collect();
    assert!(!writes.is_empty() && writes.iter().all(|write| write.fua), "{writes:?}");
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[test]
fn fsync_on_the_attached_disk_is_a_synchronize_cache() {
    if !need_loop() || !need(&["dd"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let device = attach(&daemon);
    let before = syncs(&target);
    run("dd", ["if=/dev/urandom", &format!("of={device}"), "bs=64k", "count=32", "conv=fsync", "status=none"]);
    assert!(syncs(&target) > before);
    assert_eq!(target.volatile_bytes(), 0);
    let read = run("sha256sum", [&device]);
    daemon.ctl_ok(["logout", TARGET]);

    runtime.block_on(async { target.power_cut() });
    daemon.ctl_ok(["login", TARGET]);
    let device = attach(&daemon);
    let digest = |line: &str| line.split_whitespace().next().map(str::to_owned);
    assert_eq!(digest(&run("sha256sum", [&device])), digest(&read), "a power cut took nothing");
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[test]
fn the_end_of_the_daemon_under_a_mounted_file_system_loses_nothing_that_was_written() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let device = attach(&daemon);
    run("mkfs.ext4", ["-q", &device]);
    let mounted = Mounted::new(&device);
    let mut content = vec![0; 1 << 20];
    getrandom::fill(&mut content).expect("entropy");
    // Nobody says fsync: it is in the page cache.
    std::fs::write(mounted.at.join("file"), &content).expect("written");
    let (status, home) = daemon.stop();
    assert_eq!(status.code(), Some(75), "disks were lost: {status}");
    assert_eq!(target.volatile_bytes(), 0);

    runtime.block_on(async { target.power_cut() });
    let daemon = Daemon::start_in(home);
    logged_in_again(&daemon);
    assert!(!daemon.log().contains("died"), "{}", daemon.log());
    assert_lost(&daemon, &device, &mounted);
    mounted.unmount();
    let device = attach(&daemon);
    let mounted = Mounted::new(&device);
    assert!(std::fs::read(mounted.at.join("file")).expect("the file") == content, "the file has other bytes");
    mounted.unmount();
}

/// Waits until the daemon is logged in as the one before was.
fn logged_in_again(daemon: &Daemon) {
    process::eventually("the session", LIMIT, || {
        daemon.session(TARGET).filter(|_| !daemon.disks(TARGET).is_empty()).map(drop)
    });
}

/// The disk that an earlier daemon made fails, is still mounted, and everybody who could be asked says so.
fn assert_lost(daemon: &Daemon, device: &str, mounted: &Mounted) {
    let late = mounted.at.join("late");
    let written = std::fs::File::create(&late).and_then(|file| file.sync_all());
    assert!(written.is_err(), "what is written to a lost disk fails");
    let point = mounted.at.display().to_string();
    let lost = daemon.disks(TARGET).into_iter().flat_map(|lun| lun.lost).collect::<Vec<_>>();
    assert!(lost.len() == 1 && lost[0].device == device && lost[0].uses[0].contains(&point), "{lost:?}");
    let table = daemon.ctl_ok(["list", "luns"]);
    let named = table.lines().any(|line| line.contains(device) && line.contains(&point) && line.contains("unmount it"));
    assert!(named, "{table}");
    let doctor = daemon.ctl(["doctor"]);
    assert!(doctor.code != 0 && doctor.stdout.contains(&point) && doctor.stdout.contains("lost"), "{}", doctor.stdout);
    let log = daemon.log();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains(&point)), "{log}");
}

// check: attach-lost-mount
#[test]
fn a_mount_whose_daemon_was_killed_fails_is_named_and_can_be_mounted_again() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let before = attach(&daemon);
    run("mkfs.ext4", ["-q", &before]);
    let mounted = Mounted::new(&before);
    std::fs::write(mounted.at.join("file"), "written").expect("written");
    run("sync", ["--file-system", mounted.at.to_str().expect("text")]);
    let daemon = Daemon::start_in(daemon.crash());
    logged_in_again(&daemon);
    assert_lost(&daemon, &before, &mounted);
    // The unit is a disk again although the lost one is still mounted, also after one more crash.
    let now = attach(&daemon);
    assert_ne!(now, before);
    let daemon = Daemon::start_in(daemon.crash());
    logged_in_again(&daemon);
    assert_lost(&daemon, &before, &mounted);
    let now = attach(&daemon);
    assert_ne!(now, before);
    let at = mounted.at.clone();
    mounted.unmount();
    assert_eq!(std::fs::read_dir(&at).map(Iterator::count).unwrap_or(0), 0, "nothing has landed on the disk below");
    let mounted = Mounted::new(&now);
    assert_eq!(std::fs::read_to_string(mounted.at.join("file")).expect("the file"), "written");
    assert_eq!(daemon.disks(TARGET)[0].lost, []);
    let said = daemon.ctl_ok(["logout", TARGET, "--force"]);
    assert!(said.contains(&format!("{} is unmounted", mounted.at.display())), "{said}");
}

// check: end-disk-in-use
#[test]
fn the_first_ctrl_c_waits_for_mounted_disks_and_the_second_does_not() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, mut daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let device = attach(&daemon);
    run("mkfs.ext4", ["-q", &device]);
    for second in [false, true] {
        let mounted = Mounted::new(&attach(&daemon));
        daemon.signal(Signal::SIGINT);
        let point = format!("mounted on {}", mounted.at.display());
        process::eventually("what is in use", LIMIT, || daemon.log().contains(&point).then_some(()));
        assert!(!daemon.has_ended());
        std::fs::write(mounted.at.join("file"), "goes on").expect("it serves");
        run("sync", ["--file-system", mounted.at.to_str().expect("text")]);
        assert_eq!(daemon.disks(TARGET).len(), 1, "it answers");
        if second {
            daemon.signal(Signal::SIGINT);
        } else {
            mounted.unmount();
        }
        let (status, home) = daemon.ended();
        assert_eq!(status.code(), Some(if second { 75 } else { 0 }), "{status}");
        daemon = Daemon::start_in(home);
        if !second {
            assert!(daemon.session(TARGET).is_none(), "a clean end logs out for good");
            daemon.ctl_ok(["login", TARGET]);
        }
    }
    logged_in_again(&daemon);
}

#[test]
fn an_attached_disk_grows_with_its_unit() {
    if !need_loop() || !need(&["blockdev"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let device = attach(&daemon);
    let bytes = || run("blockdev", ["--getsize64", &device]).trim().parse::<u64>().expect("a number");
    assert_eq!(bytes(), 32_768 * 512);
    target.resize(0, 65_536);
    daemon.ctl_ok(["rescan", TARGET]);
    assert_eq!(bytes(), 65_536 * 512);
    assert_eq!(daemon.disks(TARGET)[0].blocks, 65_536);
}
