//! A session as Wireshark's dissector sees it: every PDU well formed, every digest good.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::daemon::uri;
use crate::common::process::{self, Process, eventually};
use crate::common::{Daemon, RandomFile, need, need_root, run, scratch_dir};
use crate::targets::{Istgt, Spec, Target, Tgt};

/// Captures what `session` sends and receives on a port.
fn capture(port: u16, file: &Path, session: impl FnOnce()) {
    let mut dumpcap = Command::new("dumpcap");
    dumpcap.args(["-q", "-i", "lo", "-B", "64", "-f", &format!("tcp port {port}"), "-w"]).arg(file);
    let mut capture = Process::start(&dumpcap, &file.with_extension("log"));
    // It names the file once it captures.
    eventually("a running capture", Duration::from_secs(20), || {
        assert!(capture.exited().is_none(), "dumpcap ended: {}", capture.log());
        (capture.log().contains("File:") && file.is_file()).then_some(())
    });
    session();
    // The system hands packets over in blocks, a while after they passed. Not every target answers a logout.
    eventually("the end of the session in the capture", Duration::from_secs(20), || {
        (!dissect(port, file, "iscsi.opcode == 0x06").1.is_empty()).then_some(())
    });
    capture.stop(Signal::SIGINT, Duration::from_secs(20));
    let log = capture.log();
    assert!(log.contains("received/dropped") && log.contains("/0 ("), "packets were lost: {log}");
}

/// What the dissector says of the PDUs a filter lets through, and how it ended.
fn dissect(port: u16, file: &Path, filter: &str) -> (i32, String) {
    let mut tshark = Command::new("tshark");
    tshark.args(["-o", &format!("iscsi.target_ports:{port}"), "-V", "-Y", filter, "-r"]).arg(file);
    let output = process::output(&mut tshark);
    (output.code, output.stdout)
}

fn every_pdu_is_well_formed(target: &Target) {
    let (daemon, dir) = (Daemon::start(), scratch_dir());
    let iqn = target.iqn.as_str();
    let file = dir.path().join("session.pcapng");
    capture(target.port(), &file, || {
        daemon.add(iqn, &target.ipv4());
        daemon.ctl_ok(["modify", "target", iqn, "--header-digest", "CRC32C", "--data-digest", "CRC32C"]);
        // Or the whole of a write may come along with its command.
        daemon.ctl_ok(["modify", "target", iqn, "--initial-r2t", "Yes", "--immediate-data", "No"]);
        daemon.ctl_ok(["login", iqn]);
        let disks = daemon.disks(iqn);
        let random = RandomFile::of_bytes(disks[0].bytes);
        run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
        run("nbdcopy", [uri(&disks[0]), "null:"]);
        daemon.ctl_ok(["logout", iqn]);
    });
    let (code, dissected) = dissect(target.port(), &file, "iscsi");
    assert_eq!(code, 0, "tshark");
    for opcode in
        ["Login Command", "SCSI Command", "SCSI Data Out", "Ready To Transfer", "SCSI Data In", "Logout Command"]
    {
        assert!(dissected.contains(&format!("Opcode: {opcode}")), "no {opcode} in the capture");
    }
    let bad: Vec<_> =
        dissected.lines().filter(|line| line.contains("Bad CRC32") || line.contains("Malformed")).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let good = dissected.matches("Good CRC32").count();
    let pdus = dissected.matches("Opcode: SCSI").count();
    assert!(good > pdus && pdus > 32, "{good} good digests in {pdus} SCSI PDUs");
}

// check: command-fields, login-digests-after, digest-padding
#[test]
fn a_session_with_digests_on_tgt() {
    if need_root() && need(Tgt::TOOLS) && need(&["dumpcap", "tshark", "nbdcopy"]) {
        every_pdu_is_well_formed(&Tgt::start(&Spec::new()));
    }
}

#[test]
fn a_session_with_digests_on_istgt() {
    if need_root() && need(Istgt::TOOLS) && need(&["dumpcap", "tshark", "nbdcopy"]) {
        every_pdu_is_well_formed(&Istgt::start(&Spec::new()));
    }
}
