//! What a program was told to be on stable storage is there: flush, FUA and fsync of programs that
//! nobody here wrote, against a target that knows what a power cut would take.

use std::process::Command;

use iscsi_proto::scsi::{Sense, SenseKey};
use sim_target::{Action, SimDisk, SimTarget};
use tokio::runtime::Runtime;

use iscsid::ipc::{Lun, LunState};
use nix::sys::signal::Signal;

use crate::common::daemon::{LIMIT, uri};
use crate::common::program::is_a_macs;
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

/// The disk, with a new file system on it, which is mounted.
fn mounted(daemon: &Daemon) -> (String, Mounted) {
    let device = attach(daemon);
    run("mkfs.ext4", ["-q", &device]);
    let mounted = Mounted::new(&device);
    (device, mounted)
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
    let (device, mounted) = mounted(&daemon);
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
    let (before, mounted) = mounted(&daemon);
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

// check: attach-lost-mount
#[test]
fn a_lost_disk_is_named_without_a_daemon_and_after_a_logout_and_cleared_away_when_it_is_unmounted() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    daemon.log_in(TARGET, &target.address().to_string());
    let (_, mounted) = mounted(&daemon);
    let point = mounted.at.display().to_string();

    let home = daemon.crash();
    let doctor = home.ctl(["doctor"]);
    let named = doctor.stdout.lines().any(|line| line.contains("PROBLEM  disks") && line.contains(&point));
    assert!(named && doctor.code != 0, "{}", doctor.stdout);

    let daemon = Daemon::start_in(home);
    logged_in_again(&daemon);
    daemon.ctl_ok(["logout", TARGET]);
    let luns: Vec<Lun> = daemon.ctl_json(&["list", "luns"]);
    assert!(luns.len() == 1 && luns[0].state == LunState::Lost && luns[0].session.is_none(), "{luns:?}");
    let table = daemon.ctl_ok(["list", "luns"]);
    assert!(table.contains("lun 0: lost") && table.contains(&point), "{table}");

    mounted.unmount();
    let luns = daemon.home().runtime_dir().join("luns");
    process::eventually("nothing is left of it", LIMIT, || {
        (std::fs::read_dir(&luns).expect("the directory").count() == 0).then_some(())
    });
    let table = String::from_utf8_lossy(&std::fs::read("/proc/self/mounts").expect("mounts")).into_owned();
    assert!(!table.contains(luns.to_str().expect("text")), "{table}");
    assert_eq!(daemon.ctl_json::<Vec<Lun>>(&["list", "luns"]), []);
    assert!(!daemon.ctl(["doctor"]).stdout.contains("lost"));
}

// check: doctor-names-what-fails-now
#[test]
fn a_disk_whose_unit_is_gone_is_listed_keeps_the_session_and_is_made_anew_when_the_unit_is_back() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    runtime.block_on(async { target.add_lun(1, SimDisk::new(32_768, 512)) });
    daemon.log_in(TARGET, &target.address().to_string());
    let (device, mounted) = mounted(&daemon);
    let point = mounted.at.display().to_string();
    runtime.block_on(async { target.remove_lun(0) });
    daemon.ctl_ok(["rescan", TARGET]);
    let first = || daemon.ctl_json::<Vec<Lun>>(&["list", "luns"]).remove(0);
    let gone = first();
    assert_eq!((gone.lun, gone.state, gone.device), (0, LunState::Lost, Some(device.clone())));
    let doctor = daemon.ctl(["doctor"]);
    assert!(doctor.code == 69 && doctor.stdout.contains(&device), "{}", doctor.stdout);
    for command in [&["logout", TARGET][..], &["detach", TARGET, "--lun", "0"]] {
        let refused = daemon.ctl(command);
        assert!(refused.code == 75 && refused.stderr.contains(&point), "{command:?}: {refused:?}");
    }

    // It comes back, and is another one for us: what is mounted fails for ever.
    runtime.block_on(async { target.add_lun(0, SimDisk::new(32_768, 512)) });
    daemon.ctl_ok(["rescan", TARGET]);
    let back = first();
    assert_eq!((back.lun, back.state), (0, LunState::Lost), "its disk does not work again: {back:?}");
    let attach = ["attach", TARGET, "--lun", "0"];
    assert!(daemon.ctl(attach).stderr.contains(&point));
    mounted.unmount();
    daemon.ctl_ok(attach);
    let back = first();
    assert_eq!((back.state, back.lost), (LunState::Ok, vec![]));
    run("mkfs.ext4", ["-q", &back.device.expect("a device")]);
    daemon.ctl_ok(["logout", TARGET]);
}

// check: doctor-names-what-fails-now
#[test]
fn what_fails_now_and_what_has_failed_is_named() {
    if !need(&["qemu-io"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime), Daemon::start());
    let disk = daemon.log_in(TARGET, &target.address().to_string()).remove(0);
    let healthy = daemon.ctl(["doctor"]);
    assert!(healthy.stdout.contains("session        1 session is up"), "{}", healthy.stdout);
    let reads = |command: &sim_target::Command| [0x28, 0x88].contains(&command.opcode());
    // MEDIUM ERROR, UNRECOVERED READ ERROR.
    let broken = Sense::new(SenseKey::MediumError, 0x11, 0);
    target.on_command(move |command| if reads(command) { Action::CheckCondition(broken) } else { Action::Proceed });
    let read = || {
        let mut line = Command::new("qemu-io");
        process::output(line.args(["--format=raw", "-r", "-c", "read 0 4k"]).arg(uri(&disk)))
    };
    read();
    let shown = daemon.disks(TARGET).remove(0);
    let failed = shown.failed.expect("failures");
    assert!(shown.state == LunState::Failing && failed.last.contains("3/11/00"), "{failed:?}");
    let doctor = daemon.ctl(["doctor"]);
    assert!(doctor.code == 69 && doctor.stdout.contains("3/11/00"), "{}", doctor.stdout);
    target.clear_command_hook();
    read();
    let shown = daemon.disks(TARGET).remove(0);
    assert!(shown.state == LunState::Ok && shown.failed.is_some(), "{shown:?}");
    let doctor = daemon.ctl(["doctor"]);
    let warned = doctor.stdout.lines().any(|line| line.starts_with("warning") && line.contains("3/11/00"));
    // A Mac's program misses the tools of macOS here.
    assert!(warned && (is_a_macs() || doctor.stdout.ends_with("nothing else is wrong.\n")), "{}", doctor.stdout);

    // The target goes.
    drop(target);
    process::eventually("the loss is noticed", LIMIT, || daemon.session(TARGET)?.recovery);
    let shown = daemon.disks(TARGET).remove(0);
    assert!(shown.state == LunState::Waiting && shown.problem.is_some_and(|why| why.contains("waits")));
    let doctor = daemon.ctl(["doctor"]);
    assert!(doctor.code != 0 && doctor.stdout.contains("there has been no connection for"), "{}", doctor.stdout);
    let refused = daemon.ctl(["logout", TARGET, "--force"]);
    assert_eq!(refused.code, 0, "{refused:?}");
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
