//! The extension against targets nobody here wrote: fio writes and verifies, over connections that come and go; a file
//! system is made, written and checked.

use std::process::Command;
use std::time::Duration;

use iscsi_kext_messages::*;

use crate::client::Client;
use crate::common::process::{Process, eventually, need, run};
use crate::sim::{Sim, disk, log_in_to};
use crate::targets::{Istgt, Spec, Target, Tgt};

const BYTES: u64 = 64 << 20;

fn spec() -> Spec {
    Spec::new().bytes(BYTES)
}

fn tools(of: &[&str]) -> bool {
    need(&[of, &["fio", "nbdcopy", "mkfs.ext4", "e2fsck", "debugfs"]].concat())
}

async fn connect(daemon: &mut Client, target: &Target, digest: &str) -> u32 {
    let connection = log_in_to(&target.iqn, target.ipv4().parse().expect("an address"), digest).await;
    daemon.create(&connection, 0).expect("a session").session
}

/// What fio wrote, it reads back, though the connection is cut twice meanwhile.
async fn verified_over_losses(target: &Target, digest: &str) {
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let session = connect(&mut daemon, target, digest).await;
    let unit = disk(&mut daemon);
    assert_eq!(unit.blocks * u64::from(unit.block_size), BYTES);
    let mut load = Command::new("fio");
    load.args(["--name=load", "--ioengine=nbd", "--rw=randwrite", "--bsrange=512-128k", "--iodepth=16", "--loops=2"]);
    load.args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1"]);
    load.arg(format!("--uri={}", sim.uri(&unit))).arg(format!("--size={BYTES}"));
    let mut load = Process::start(&load, &sim.dir.path().join("fio"));
    for _ in 0..2 {
        let before = daemon.statistics(session).expect("a session").commands;
        eventually("I/O", Duration::from_secs(30), || {
            let now = daemon.statistics(session).expect("a session").commands;
            (now > before + 50 || load.exited().is_some()).then_some(())
        });
        daemon.tell(ISCSI_DROP, &crate::client::of(session)).expect("a session");
        let again = log_in_to(&target.iqn, target.ipv4().parse().expect("an address"), digest).await;
        daemon.replace(session, &again, 0).expect("a session");
    }
    let status = eventually("fio's end", Duration::from_secs(100), || load.exited());
    assert!(status.success(), "{}\n{}", load.log(), sim.log());
    daemon.log_out(session);
    sim.end(&mut daemon);
}

/// A file system is made in a file, copied to the disk, copied back and checked.
async fn file_system(target: &Target) {
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let session = connect(&mut daemon, target, "None").await;
    let unit = disk(&mut daemon);
    let (image, back) = (sim.dir.path().join("image"), sim.dir.path().join("back"));
    let (image, back) = (image.to_str().expect("UTF-8"), back.to_str().expect("UTF-8"));
    run("truncate", ["-s", &BYTES.to_string(), image]);
    run("mkfs.ext4", ["-q", "-F", image]);
    run("debugfs", ["-w", "-R", &format!("write {} a-file", std::env::current_exe().expect("this").display()), image]);
    run("nbdcopy", ["--flush", image, &sim.uri(&unit)]);
    run("nbdcopy", [&sim.uri(&unit), back]);
    run("e2fsck", ["-f", "-n", back]);
    assert!(std::fs::read(image).expect("the image") == std::fs::read(back).expect("the copy"));
    assert!(std::fs::read(&target.disks[0].file).expect("the disk") == std::fs::read(back).expect("the copy"));
    daemon.log_out(session);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn tgt_keeps_what_is_written_over_lost_connections() {
    if tools(Tgt::TOOLS) {
        verified_over_losses(&Tgt::start(&spec()), "CRC32C").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn istgt_keeps_what_is_written_over_lost_connections() {
    if tools(Istgt::TOOLS) {
        verified_over_losses(&Istgt::start(&spec()), "None").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_on_tgt_is_whole() {
    if tools(Tgt::TOOLS) {
        file_system(&Tgt::start(&spec())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_on_istgt_is_whole() {
    if tools(Istgt::TOOLS) {
        file_system(&Istgt::start(&spec())).await;
    }
}
