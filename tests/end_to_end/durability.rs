//! What a program was told to be on stable storage is there: flush, FUA and fsync of programs that
//! nobody here wrote, against a target that knows what a power cut would take.

use std::process::Command;

use sim_target::{SimDisk, SimTarget};
use tokio::runtime::Runtime;

use iscsid::ipc::Lun;

use crate::common::daemon::uri;
use crate::common::{Daemon, Mounted, need, need_root, process, run};

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
    if !need_root() || !need(&["losetup", "dd"]) {
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
    if !need_root() || !need(&["mkfs.ext4", "mount", "umount", "losetup"]) {
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
    let (status, _home) = daemon.stop();
    assert!(status.success(), "{status}");
    assert_eq!(target.volatile_bytes(), 0);
    drop(mounted);

    runtime.block_on(async { target.power_cut() });
    let daemon = Daemon::start();
    daemon.log_in(TARGET, &target.address().to_string());
    let device = attach(&daemon);
    let mounted = Mounted::new(&device);
    assert!(std::fs::read(mounted.at.join("file")).expect("the file") == content, "the file has other bytes");
    mounted.unmount();
}

#[test]
fn an_attached_disk_grows_with_its_unit() {
    if !need_root() || !need(&["losetup", "blockdev"]) {
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
