//! `iscsictl bench`: units measured by the daemon, and units that it leaves alone.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use iscsid::ipc::{self, ExitCode};
use nix::sys::signal::Signal;
use sim_target::{Action, SimDisk, SimTarget};
use tokio::runtime::Runtime;

use crate::common::daemon::uri;
use crate::common::process::{self, Output, Process, eventually};
use crate::common::{Daemon, Mounted, RandomFile, need, need_loop, run};
use crate::targets::{Spec, Tgt};

const SIM: &str = "iqn.2026-11.test.sim:bench";
const WRITE_16: u8 = 0x8a;
const LIMIT: Duration = Duration::from_secs(30);

/// A target with that disk, on the runtime's own threads; it keeps no list of commands.
fn target(runtime: &Runtime, disk: SimDisk) -> SimTarget {
    let builder = SimTarget::builder(SIM).lun(0, disk).record_commands(false).own_thread();
    runtime.block_on(builder.start()).expect("a free port")
}

/// 16 MiB in 4096-byte blocks.
fn disk() -> SimDisk {
    SimDisk::new(4096, 4096)
}

/// A target with that disk, and a daemon that is logged in to it.
fn scene(runtime: &Runtime, disk: SimDisk) -> (SimTarget, Daemon) {
    let (target, daemon) = (target(runtime, disk), Daemon::start());
    daemon.log_in(SIM, &target.address().to_string());
    (target, daemon)
}

/// A benchmark that has to fail so, in one sentence with all of the words.
#[track_caller]
fn refused(daemon: &Daemon, options: &str, code: ExitCode, words: &[&str]) {
    let arguments: Vec<&str> = ["bench"].into_iter().chain(options.split(' ')).collect();
    assert_failed(&daemon.ctl(&arguments), code, words);
}

#[track_caller]
fn assert_failed(Output { code: actual, stdout, stderr }: &Output, code: ExitCode, words: &[&str]) {
    assert_eq!(*actual, code as i32, "it said: {stderr}{stdout}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.trim_end().lines().count(), 1, "one sentence: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
}

/// A benchmark beside the test.
struct Running(Process);

impl Running {
    /// Starts it, and waits until I/O is under way.
    fn start(daemon: &Daemon, options: &str) -> Running {
        let (home, before) = (daemon.home(), commands(daemon));
        let mut command = home.command(home.dir().join("iscsictl"));
        command.arg("bench").args(options.split(' '));
        let number = std::fs::read_dir(home.dir()).expect("the home").count();
        let mut running = Running(Process::start(&command, &home.dir().join(format!("bench-{number}.log"))));
        eventually("I/O of the benchmark", LIMIT, || {
            assert!(running.0.exited().is_none(), "it ended at once: {}", running.0.log());
            (commands(daemon) > before + 100).then_some(())
        });
        running
    }

    /// How it ended by itself.
    fn end(mut self) -> Output {
        let status = eventually("the end of the benchmark", LIMIT, || self.0.exited());
        // Standard output and standard error are one file here: what failed has printed to one of them only.
        Output { code: status.code().expect("an exit code"), stdout: String::new(), stderr: self.0.log() }
    }
}

fn counters(daemon: &Daemon) -> iscsid::ipc::SessionStats {
    let stats: Vec<ipc::Stats> = daemon.ctl_json(&["stats", SIM]);
    stats.first().unwrap_or_else(|| panic!("no counters of {SIM}")).counters
}

fn commands(daemon: &Daemon) -> u64 {
    counters(daemon).commands
}

/// Waits until nothing is under way and nothing new comes.
fn assert_quiet(daemon: &Daemon) {
    let mut before = None;
    eventually("silence", LIMIT, || {
        let now = counters(daemon);
        let moved = Some((now.bytes_read, now.bytes_written));
        let quiet = now.in_flight == 0 && before == moved;
        before = moved;
        quiet.then_some(())
    });
}

#[test]
fn reads_are_measured_and_told_by_the_names_that_are_promised() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = scene(&runtime, disk());
    let report: serde_json::Value =
        daemon.ctl_json(&["bench", SIM, "--rw", "randread", "--bs", "8k", "--depth", "16", "--seconds", "1"]);
    let mut names: Vec<&String> = report.as_object().expect("an object").keys().collect();
    names.sort();
    let promised = "block_size cpu_us_per_io depth iops latency_us mb_per_s rw seconds syscalls_per_io";
    assert_eq!(names, promised.split(' ').collect::<Vec<_>>());
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("no number: {value}"));
    assert_eq!((report["rw"].as_str(), report["block_size"].as_u64()), (Some("randread"), Some(8192)));
    assert_eq!(report["depth"], 16);
    assert!((1.0..30.0).contains(&number(&report["seconds"])), "{report}");
    let (iops, mb_per_s) = (number(&report["iops"]), number(&report["mb_per_s"]));
    assert!(iops > 100.0 && (mb_per_s - iops * 8192.0 / 1e6).abs() < 0.01, "{report}");
    let latency = ["p50", "p99", "p999", "max"].map(|name| number(&report["latency_us"][name]));
    assert!(latency[0] > 0.0 && latency.is_sorted(), "{report}");
    assert!(number(&report["cpu_us_per_io"]) > 0.0, "{report}");
    assert!((0.0..8.0).contains(&number(&report["syscalls_per_io"])), "{report}");
    assert_eq!(counters(&daemon).bytes_written, 0);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[test]
fn a_table_is_for_people_and_a_pipe_gets_no_progress_bar() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let output = daemon.ctl(["bench", SIM, "--seconds", "1"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.starts_with("Load  ") && output.stdout.contains("read, 4096 bytes each, 32 under way"));
    let plist = daemon.ctl_ok(["bench", SIM, "--seconds", "1", "--format", "plist"]);
    assert!(plist.contains("<key>p999</key>") && plist.contains("<key>syscalls_per_io</key>"), "{plist}");
}

#[test]
fn what_is_written_to_tgt_is_verified() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    for (rw, bs) in [("randwrite", "4k"), ("write", "64k"), ("randrw", "512")] {
        let options = ["--rw", rw, "--bs", bs, "--seconds", "1", "--destroy-data", "--verify", "--format", "json"];
        let output = daemon.ctl(["bench", &tgt.iqn].iter().chain(&options));
        assert_eq!(output.code, 0, "{rw}: {}", output.stderr);
        assert!(output.stderr.contains("were read back and hold what was written"), "{rw}: {}", output.stderr);
        let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        assert!(report["iops"].as_f64().is_some_and(|iops| iops > 0.0), "{report}");
    }
    assert!(std::fs::read(&tgt.disks[0].file).expect("the backing file").iter().any(|byte| *byte != 0));
}

/// Its unit 0 is no disk.
#[test]
fn the_only_disk_of_tgt_is_found_and_of_two_one_has_to_be_named() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(2)), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    refused(&daemon, &tgt.iqn, ExitCode::Usage, &["several disks (1, 2)", "--lun"]);
    daemon.ctl_ok(["bench", &tgt.iqn, "--lun", "2", "--seconds", "1"]);
    refused(&daemon, &format!("{} --lun 7", tgt.iqn), ExitCode::Data, &["no unit 7"]);
    refused(&daemon, &format!("{} --lun 0", tgt.iqn), ExitCode::Data, &["/0", "not a disk"]);
}

#[test]
fn a_target_that_forgets_what_it_is_told_is_found_out() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk().null());
    let options = format!("{SIM} --rw write --seconds 1 --destroy-data --verify");
    refused(&daemon, &options, ExitCode::Data, &["block 0 does not hold what was written to it"]);
    let options = format!("{SIM} --rw randrw --seconds 20 --destroy-data --verify");
    refused(&daemon, &options, ExitCode::Data, &["does not hold what was written to it"]);
    assert_quiet(&daemon);
}

#[test]
fn nothing_is_written_without_consent() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    for rw in ["write", "randwrite", "randrw"] {
        refused(&daemon, &format!("{SIM} --rw {rw}"), ExitCode::Usage, &[rw, "--destroy-data"]);
    }
    assert_eq!(counters(&daemon).bytes_written, 0);
}

#[test]
fn wrong_arguments_are_told_in_one_sentence() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    for (options, words) in [
        ("--bs 6000", &["6000", "multiple", "4096"][..]),
        ("--bs 512", &["512", "multiple", "4096"]),
        ("--bs 2m", &["2097152", "1048576"]),
        ("--bs 1m --depth 33", &["34603008", "33554432", "67108864"]),
        ("--bs 4x", &["--bs"]),
        ("--bs 0", &["--bs"]),
        ("--depth 0", &["1 to 1024"]),
        ("--depth 1025", &["1 to 1024"]),
        ("--seconds 0", &["1 to 86400"]),
        ("--rw sideways", &["sideways"]),
        ("--verify", &["writes nothing"]),
        ("--rw randread --verify --destroy-data", &["writes nothing"]),
        ("--rw write --verify --destroy-data --bs 1m --depth 17", &["16 operations", "17"]),
    ] {
        refused(&daemon, &format!("{SIM} {options}"), ExitCode::Usage, words);
    }
    refused(&daemon, "iqn.2026-11.org.example:nobody", ExitCode::Data, &["iqn.2026-11.org.example:nobody"]);
    assert_eq!(counters(&daemon).bytes_written, 0);
}

#[test]
fn a_target_that_is_not_logged_in_cannot_be_measured() {
    let daemon = Daemon::start();
    daemon.add(SIM, "127.0.0.1");
    refused(&daemon, SIM, ExitCode::Data, &["not logged in"]);
}

#[test]
fn a_read_only_unit_is_read_and_not_written() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk().read_only());
    refused(&daemon, &format!("{SIM} --rw write --destroy-data"), ExitCode::NotPermitted, &["read-only"]);
    daemon.ctl_ok(["bench", SIM, "--seconds", "1"]);
}

#[test]
fn an_attached_unit_is_read_and_not_written() {
    if !need_loop() || !need(&["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    daemon.ctl_ok(["attach", SIM]);
    let device = daemon.disks(SIM)[0].device.clone().expect("a device");
    let write = format!("{SIM} --rw write --seconds 1 --destroy-data");
    let detach = format!("iscsictl detach {SIM} --lun 0");
    refused(&daemon, &write, ExitCode::TryAgain, &[&device, &detach]);
    run("mkfs.ext4", ["-q", &device]);
    let mounted = Mounted::new(&device);
    let at = mounted.at.display().to_string();
    refused(&daemon, &write, ExitCode::TryAgain, &[&device, &at, "unmount it", &detach]);
    daemon.ctl_ok(["bench", SIM, "--seconds", "1"]);
    mounted.unmount();
    run("fsck.ext4", ["-fn", &device]);
    daemon.ctl_ok(["detach", SIM]);
    daemon.ctl_ok(["bench", SIM, "--rw", "write", "--seconds", "1", "--destroy-data"]);
}

/// An NBD client that connects to the unit and does nothing.
fn nbd_client(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.home().runtime_dir().join("nbd.sock")).expect("a connection");
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).expect("the greeting");
    let name = format!("{SIM}/0");
    // Fixed newstyle, no zeroes; EXPORT_NAME.
    stream.write_all(&3u32.to_be_bytes()).expect("the flags");
    let option = [&b"IHAVEOPT"[..], &1u32.to_be_bytes(), &(name.len() as u32).to_be_bytes(), name.as_bytes()];
    stream.write_all(&option.concat()).expect("the option");
    let mut export = [0; 10];
    stream.read_exact(&mut export).expect("its size and flags");
    stream
}

#[test]
fn a_unit_with_an_nbd_client_is_read_and_not_written() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let client = nbd_client(&daemon);
    let write = format!("{SIM} --rw randwrite --seconds 1 --destroy-data");
    refused(&daemon, &write, ExitCode::TryAgain, &["NBD client", "disconnect"]);
    daemon.ctl_ok(["bench", SIM, "--seconds", "1"]);
    drop(client);
    eventually("a free unit", LIMIT, || {
        let output = daemon.ctl(["bench"].into_iter().chain(write.split(' ')));
        assert!(output.code == 0 || output.code == ExitCode::TryAgain as i32, "{}", output.stderr);
        (output.code == 0).then_some(())
    });
}

#[test]
fn a_unit_that_is_written_to_has_no_other_users() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let lun = daemon.disks(SIM).remove(0);
    let running = Running::start(&daemon, &format!("{SIM} --rw randwrite --seconds 60 --destroy-data"));
    refused(&daemon, SIM, ExitCode::TryAgain, &["another benchmark writes"]);
    refused(&daemon, &format!("{SIM} --rw write --destroy-data"), ExitCode::TryAgain, &["another benchmark writes"]);
    let attached = daemon.ctl(["attach", SIM]);
    assert_failed(&attached, ExitCode::TryAgain, &["cannot be attached", "benchmark"]);
    if need(&["nbdinfo"]) {
        let client = process::output(Command::new("nbdinfo").args(["--size", uri(&lun)]));
        assert_ne!(client.code, 0, "{}", client.stdout);
        assert!(client.stderr.contains("policy"), "{}", client.stderr);
    }
    drop(running);
}

#[test]
fn reads_go_side_by_side_and_a_write_waits_for_them() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let running = Running::start(&daemon, &format!("{SIM} --rw randread --seconds 60"));
    daemon.ctl_ok(["bench", SIM, "--seconds", "1"]);
    refused(&daemon, &format!("{SIM} --rw write --destroy-data"), ExitCode::TryAgain, &["another benchmark reads"]);
    // Together they may hold half of the session's buffers.
    refused(&daemon, &format!("{SIM} --bs 1m"), ExitCode::TryAgain, &["33554432", "131072"]);
    drop(running);
}

/// The load holds all the buffers that loads may hold.
#[test]
fn the_disk_next_door_is_served_meanwhile() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime, disk()), Daemon::start());
    target.add_lun(1, disk());
    let disks = daemon.log_in(SIM, &target.address().to_string());
    let mut running = Running::start(&daemon, &format!("{SIM} --lun 1 --bs 256k --depth 128 --seconds 600"));
    let random = RandomFile::of_bytes(disks[0].bytes);
    run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
    assert!(target.content(0, 0, disks[0].bytes) == random.bytes(), "other bytes than were written");
    assert!(running.0.exited().is_none(), "it was measured all the time: {}", running.0.log());
}

// check: bench-interrupted
#[test]
fn ctrl_c_stops_the_run_in_the_daemon_and_shows_what_was_measured() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let running = Running::start(&daemon, &format!("{SIM} --rw randwrite --seconds 600 --destroy-data"));
    running.0.signal(Signal::SIGINT);
    let Output { code, stderr, .. } = running.end();
    assert_eq!(code, ExitCode::Interrupted as i32, "{stderr}");
    // The figures so far, and that they are no whole run's.
    assert!(stderr.contains("I/Os per second") && stderr.contains("Ctrl-C ended the benchmark early"), "{stderr}");
    assert_quiet(&daemon);
    // And the unit is free.
    daemon.ctl_ok(["bench", SIM, "--rw", "write", "--seconds", "1", "--destroy-data"]);
}

#[test]
fn a_logout_ends_the_run() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = scene(&runtime, disk());
    let running = Running::start(&daemon, &format!("{SIM} --rw randrw --seconds 600 --destroy-data --verify"));
    daemon.ctl_ok(["logout", SIM]);
    assert_failed(&running.end(), ExitCode::Unavailable, &["ended early", "logged out"]);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[test]
fn a_lost_connection_ends_the_run() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = scene(&runtime, disk());
    let running = Running::start(&daemon, &format!("{SIM} --seconds 600"));
    runtime.block_on(async { target.disconnect_all(true) });
    assert_failed(&running.end(), ExitCode::Unavailable, &["ended early", "the connection", "was lost"]);
    eventually("another connection", LIMIT, || {
        daemon.session(SIM).filter(|session| session.state == ipc::SessionState::Active)
    });
    daemon.ctl_ok(["bench", SIM, "--seconds", "1"]);
}

#[test]
fn a_unit_that_goes_away_ends_the_run() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = (target(&runtime, disk()), Daemon::start());
    target.add_lun(1, disk());
    daemon.log_in(SIM, &target.address().to_string());
    let running = Running::start(&daemon, &format!("{SIM} --lun 1 --seconds 600"));
    target.remove_lun(1);
    assert_failed(&running.end(), ExitCode::Unavailable, &["ended early", "a read of block"]);
    daemon.ctl_ok(["bench", SIM, "--lun", "0", "--seconds", "1"]);
}

#[test]
fn an_error_of_the_unit_ends_the_run_and_names_the_block() {
    let runtime = Runtime::new().expect("a runtime");
    let (target, daemon) = scene(&runtime, disk());
    let sense = iscsi_proto::scsi::Sense::new(iscsi_proto::scsi::SenseKey::MediumError, 0x0c, 0);
    target.on_command(move |command| match command.opcode() {
        WRITE_16 if command.lba == 40 => Action::CheckCondition(sense),
        _ => Action::Proceed,
    });
    let options = format!("{SIM} --rw write --seconds 600 --destroy-data");
    refused(&daemon, &options, ExitCode::Unavailable, &["a write to block 40 failed", "3/0c/00"]);
}

#[test]
fn the_end_of_the_daemon_ends_the_run() {
    let runtime = Runtime::new().expect("a runtime");
    let (_target, daemon) = scene(&runtime, disk());
    let running = Running::start(&daemon, &format!("{SIM} --rw write --seconds 600 --destroy-data"));
    let (status, _home) = daemon.stop();
    assert!(status.success(), "{status}");
    assert_failed(&running.end(), ExitCode::Unavailable, &["went away"]);
}
