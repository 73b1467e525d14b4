//! Data at depth, and the commands besides reading and writing.

use std::process::Command;

use iscsid::ipc;

use crate::common::daemon::uri;
use crate::common::process::{self, need};
use crate::common::{Daemon, RandomFile, run};
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::Spec;

/// Block sizes from 512 bytes to 1 MiB at any multiple of 512, 32 under way, each block with its checksum.
#[test]
fn blocks_of_mixed_sizes_written_32_at_a_time_are_kept() {
    if !need(&["fio"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let daemon = Daemon::start();
    let lio = Lio::start(&guest, &Spec::new().bytes(8 << 20).key("InitialR2T", "No"));
    daemon.add(&lio.iqn, &lio.portal());
    for digest in ["None", "CRC32C"] {
        daemon.ctl_ok(["modify", "target", &lio.iqn, "--header-digest", digest, "--data-digest", digest]);
        daemon.ctl_ok(["login", &lio.iqn]);
        let mut fio = Command::new("fio");
        fio.args(["--name=mixed", "--ioengine=nbd", "--rw=randwrite", "--iodepth=32", "--size=8M", "--loops=2"]);
        fio.args(["--bsrange=512-1M", "--blockalign=512", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1"]);
        fio.args(["--verify_state_save=0", &format!("--uri={}", uri(&daemon.disks(&lio.iqn)[0]))]);
        let output = process::output(&mut fio);
        assert!(output.code == 0 && !output.stderr.contains("verify:"), "{}\n{}", output.stdout, output.stderr);
        daemon.ctl_ok(["logout", &lio.iqn]);
    }
}

/// Commands to a disk by qemu-io.
fn qemu_io(uri: &str, commands: &[&str]) -> String {
    let mut arguments = vec!["-f", "raw", "-d", "unmap"];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    arguments.push(uri);
    run("qemu-io", arguments)
}

#[test]
fn trimmed_blocks_are_given_back_and_zeroed_ones_read_as_zeroes() {
    if !need(&["qemu-io", "nbdinfo"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let unit = "disk thin 1048576 512 emulate_tpu=1 emulate_tpws=1\nunit 0 thin";
    let (lio, daemon) = (Lio::start_with(&guest, &Spec::new().disks(0), unit), Daemon::start());
    let disks = daemon.log_in(&lio.iqn, &lio.portal());
    let shown = run("nbdinfo", [uri(&disks[0])]);
    for ability in ["can_trim: true", "can_zero: true", "can_flush: true", "can_fua: true"] {
        assert!(shown.contains(ability), "{shown}");
    }
    let content = RandomFile::of_bytes(1 << 20);
    run("nbdcopy", ["--flush", content.name(), uri(&disks[0])]);
    assert_eq!(guest.sha256("/disks/thin"), crate::sha256(content.name()));
    let kibibytes = || -> u64 {
        let used = guest.script("du -k /disks/thin");
        used.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    assert_eq!(kibibytes(), 1024);
    qemu_io(uri(&disks[0]), &["discard 256k 512k", "flush"]);
    assert_eq!(kibibytes(), 512, "the target has the blocks back");
    let zeroes = "write -z 0 128k";
    let shown = qemu_io(uri(&disks[0]), &[zeroes, "flush", "read -P 0 0 128k", "read -P 0 256k 512k"]);
    assert!(!shown.contains("verification failed"), "{shown}");
    guest.script("head -c 131072 /dev/zero | cmp -n 131072 - /disks/thin");
    let mut whole = std::fs::read(content.name()).expect("our file");
    whole[..128 << 10].fill(0);
    whole[256 << 10..768 << 10].fill(0);
    let dir = crate::common::scratch_dir();
    let expected = dir.path().join("expected");
    std::fs::write(&expected, whole).expect("a file");
    assert_eq!(guest.sha256("/disks/thin"), crate::sha256(expected.to_str().expect("a path in UTF-8")));
}

/// What was flushed, or written with FUA, is on the drive when the power fails.
#[test]
fn what_was_flushed_survives_a_power_cut() {
    if !need(&["qemu-io"]) {
        return;
    }
    let Some(guest) = Guest::get("lio") else { return };
    let (spec, unit) = (Spec::new().disks(0), "drive drive0 67108864 512\nunit 0 drive0");
    let (lio, daemon) = (Lio::start_with(&guest, &spec, unit), Daemon::start());
    let disks = super::loss::log_in_watchful(&daemon, &lio);
    let mut seed = [0];
    getrandom::fill(&mut seed).expect("entropy");
    let (one, two) = (seed[0] | 1, seed[0] ^ 0xff);
    qemu_io(uri(&disks[0]), &[&format!("write -P {one} 0 64k"), "flush", &format!("write -f -P {two} 64k 64k")]);
    guest.power_cut();
    Lio::start_with(&guest, &spec, unit);
    super::loss::await_state(&daemon, &lio, ipc::SessionState::Active);
    let shown = qemu_io(uri(&disks[0]), &[&format!("read -P {one} 0 64k"), &format!("read -P {two} 64k 64k")]);
    assert!(!shown.contains("verification failed"), "{shown}");
}
