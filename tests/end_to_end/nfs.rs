//! Units as NFS clients see them that nobody here wrote.

use std::process::Command;
use std::time::Duration;

use crate::common::process::{Process, eventually};
use crate::common::{Daemon, RandomFile, need, need_root, process, run, scratch_dir};
use crate::targets::{Spec, Tgt};
use iscsid::ipc;

const TOOLS: [&str; 3] = ["nfs-cp", "nfs-cat", "nfs-ls"];

fn uri(lun: &ipc::Lun) -> &str {
    lun.nfs.as_deref().unwrap_or_else(|| panic!("{}/{} is not exported: {:?}", lun.target, lun.lun, lun.problem))
}

#[test]
fn libnfs_lists_writes_and_reads_a_unit() {
    if !need(Tgt::TOOLS) || !need(&TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().disks(2)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let (directory, rest) = uri(&disks[0]).rsplit_once('/').expect("a path");
    let (_, port) = rest.split_once('?').expect("ports");
    let listed = run("nfs-ls", [&format!("{directory}?{port}")]);
    for number in 1..=2 {
        assert!(listed.contains(&format!("{},{number}", tgt.iqn)), "{listed}");
    }

    let (random, dir) = (RandomFile::of_bytes(disks[0].bytes), scratch_dir());
    run("nfs-cp", [random.name(), uri(&disks[0])]);
    random.assert_same_as(&tgt.disks[0].file, "what the target has");
    let copy = dir.path().join("copy");
    run("nfs-cp", [uri(&disks[0]), copy.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&copy, "what was read back");
    let other = process::output(Command::new("nfs-cat").arg(uri(&disks[1])));
    assert_eq!(other.code, 0, "{}", other.stderr);
    assert!(other.stdout.bytes().all(|byte| byte == 0), "the other unit is untouched");
}

#[test]
fn a_unit_of_4k_blocks_takes_writes_of_any_length() {
    if !need(Tgt::TOOLS) || !need(&TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new().block_size(4096)), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let dir = scratch_dir();
    let part = dir.path().join("part");
    let bytes: Vec<u8> = (0..1_000_001u32).map(|at| (at % 251) as u8 + 1).collect();
    std::fs::write(&part, &bytes).expect("a scratch file");
    run("nfs-cp", [part.to_str().expect("a path in UTF-8"), uri(&disks[0])]);
    let content = std::fs::read(&tgt.disks[0].file).expect("the backing file");
    assert!(content[..bytes.len()] == bytes && content[bytes.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_uri_stays_good_over_a_crash_and_none_is_after_logout() {
    if !need(Tgt::TOOLS) || !need(&TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let random = RandomFile::of_bytes(disks[0].bytes);
    run("nfs-cp", [random.name(), uri(&disks[0])]);

    let daemon = Daemon::start_in(daemon.crash());
    let before = uri(&disks[0]).to_owned();
    let disks = process::eventually("the session of the life before", crate::common::daemon::LIMIT, || {
        let disks = daemon.disks(&tgt.iqn);
        (!disks.is_empty()).then_some(disks)
    });
    assert_eq!(uri(&disks[0]), before);
    let dir = scratch_dir();
    let copy = dir.path().join("copy");
    run("nfs-cp", [&before, copy.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&copy, "what was written in the life before");

    daemon.ctl_ok(["logout", &tgt.iqn]);
    let gone = process::output(Command::new("nfs-cat").arg(&before));
    assert_ne!(gone.code, 0, "{}", gone.stdout.len());
}

/// As a user who has no business here.
fn of_a_stranger(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

// check: nfs-strangers-are-turned-away
#[test]
fn another_user_gets_nothing_of_a_unit_whatever_he_has_heard_and_keeps_nobody_out() {
    if !need_root() || !need(Tgt::TOOLS) || !need(&TOOLS) || !need(&["bash"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    let random = RandomFile::of_bytes(disks[0].bytes);
    run("nfs-cp", [random.name(), uri(&disks[0])]);

    let theirs = process::output(of_a_stranger("nfs-cat").arg(uri(&disks[0])));
    assert!(theirs.code != 0 && theirs.stdout.is_empty(), "{} {}", theirs.code, theirs.stderr);
    let told = process::output(of_a_stranger("cat").arg(daemon.home().config().with_file_name("nfs.plist")));
    assert_ne!(told.code, 0, "the secret of all handles");

    // More connections than the export has places, as fast as they can be made, and none is given up.
    let (_, port) = uri(&disks[0]).rsplit_once("mountport=").expect("a port");
    let crowd = format!(
        "ulimit -n 1024; for n in {{1..300}}; do exec {{held}}<>/dev/tcp/127.0.0.1/{port}; done; echo held; exec sleep 300"
    );
    let dir = scratch_dir();
    let mut crowd = Process::start(of_a_stranger("bash").args(["-c", &crowd]), &dir.path().join("crowd"));
    eventually("a crowd", Duration::from_secs(120), || crowd.log().contains("held").then_some(()));
    let copy = dir.path().join("copy");
    run("nfs-cp", [uri(&disks[0]), copy.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&copy, "what root reads meanwhile");
    crowd.kill();
    let secret = uri(&disks[0]).split('/').nth(3).expect("a path");
    assert!(!daemon.log().contains(secret), "{}", daemon.log());
}
