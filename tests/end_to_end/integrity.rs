//! What was written is what the target has, and what is read back.

use crate::common::daemon::uri;
use crate::common::{Daemon, RandomFile, need, run, scratch_dir};
use crate::targets::{Istgt, Spec, Target, Tgt};

const LARGE: u64 = 256 << 20;

fn copy_there_and_back(target: &Target) {
    let daemon = Daemon::start();
    let disks = daemon.log_in(&target.iqn, &target.ipv4());
    let (random, back) = (RandomFile::of_bytes(LARGE), scratch_dir());
    run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
    random.assert_same_as(&target.disks[0].file, "what the target has");
    let read = back.path().join("read");
    run("nbdcopy", [uri(&disks[0]), read.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&read, "what was read back");
}

/// Block sizes from 512 bytes to 4 MiB at any multiple of 512, 32 under way, each block with its checksum.
fn mix_block_sizes(target: &Target) {
    let daemon = Daemon::start();
    let disks = daemon.log_in(&target.iqn, &target.ipv4());
    let mut fio = std::process::Command::new("fio");
    fio.args(["--name=mixed", "--ioengine=nbd", "--rw=randwrite", "--iodepth=32", "--size=128M"]);
    fio.args(["--bsrange=512-4M", "--blockalign=512", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1"]);
    fio.arg("--verify_state_save=0"); // or it leaves a file behind
    fio.arg(format!("--uri={}", uri(&disks[0])));
    let output = crate::common::process::output(&mut fio);
    assert!(output.code == 0 && !output.stderr.contains("verify:"), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("READ:") && output.stdout.contains("WRITE:"), "{}", output.stdout);
}

#[test]
fn tgt_keeps_256_mib_of_random_data() {
    if need(Tgt::TOOLS) && need(&["nbdcopy"]) {
        copy_there_and_back(&Tgt::start(&Spec::new().bytes(LARGE)));
    }
}

#[test]
fn istgt_keeps_256_mib_of_random_data() {
    if need(Istgt::TOOLS) && need(&["nbdcopy"]) {
        copy_there_and_back(&Istgt::start(&Spec::new().bytes(LARGE)));
    }
}

#[test]
fn tgt_keeps_blocks_of_mixed_sizes_written_32_at_a_time() {
    if need(Tgt::TOOLS) && need(&["fio"]) {
        mix_block_sizes(&Tgt::start(&Spec::new().bytes(LARGE)));
    }
}

#[test]
fn istgt_keeps_blocks_of_mixed_sizes_written_32_at_a_time() {
    if need(Istgt::TOOLS) && need(&["fio"]) {
        mix_block_sizes(&Istgt::start(&Spec::new().bytes(LARGE)));
    }
}
