//! Connections that are lost under a session.

use std::process::Command;
use std::time::Duration;

use iscsid::ipc;

use crate::common::daemon::uri;
use crate::common::process::{self, Process, eventually};
use crate::common::{Daemon, RandomFile, need, need_root, run, scratch_dir};
use crate::targets::{Spec, Tgt};

fn stats(daemon: &Daemon, iqn: &str) -> ipc::Stats {
    let stats: Vec<ipc::Stats> = daemon.ctl_json(&["stats", iqn]);
    stats.into_iter().next().unwrap_or_else(|| panic!("no counters of {iqn}"))
}

/// Resets all connections to a port, as a firewall that forgot them would.
fn cut(port: u16) {
    run("ss", ["--kill", "--tcp", "state", "established", "dport", "=", &format!(":{port}")]);
}

// check: recovery-replay-order, stream-end
#[test]
fn connections_cut_under_load_lose_no_data() {
    if !need_root() || !need(Tgt::TOOLS) || !need(&["fio", "ss"]) {
        return;
    }
    let (tgt, daemon, dir) = (Tgt::start(&Spec::new().bytes(64 << 20)), Daemon::start(), scratch_dir());
    daemon.add(&tgt.iqn, &tgt.ipv4());
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--default-time2wait", "0"]);
    daemon.ctl_ok(["login", &tgt.iqn]);
    let disks = daemon.disks(&tgt.iqn);

    let mut fio = Command::new("fio");
    fio.args(["--name=cut", "--ioengine=nbd", "--rw=randwrite", "--bs=16k", "--iodepth=16", "--size=64M", "--loops=4"]);
    fio.args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--rate=,16m"]);
    fio.arg(format!("--uri={}", uri(&disks[0])));
    let mut fio = Process::start(&fio, &dir.path().join("fio.log"));
    for cuts in 1..=3 {
        let written = stats(&daemon, &tgt.iqn).counters.bytes_written;
        eventually("more data", Duration::from_secs(30), || {
            assert!(fio.exited().is_none(), "fio ended before it was disturbed:\n{}", fio.log());
            (stats(&daemon, &tgt.iqn).counters.bytes_written > written + (1 << 20)).then_some(())
        });
        cut(tgt.port());
        eventually("another connection", Duration::from_secs(30), || {
            (stats(&daemon, &tgt.iqn).counters.reconnects >= cuts).then_some(())
        });
    }
    let status = eventually("the end of fio", Duration::from_secs(100), || fio.exited());
    assert!(status.success() && !fio.log().contains("verify:"), "{}", fio.log());
    assert_eq!(tgt.sessions(), 1, "the old sessions are replaced, not left");
}

#[test]
fn data_waits_for_a_target_that_is_down_for_a_while() {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    let disks = daemon.log_in(&tgt.iqn, &tgt.ipv4());
    tgt.freeze();
    let random = RandomFile::of_bytes(disks[0].bytes);
    std::thread::scope(|scope| {
        let copy =
            scope.spawn(|| process::output(Command::new("nbdcopy").args(["--flush", random.name(), uri(&disks[0])])));
        eventually("a lost connection", Duration::from_secs(30), || {
            daemon.session(&tgt.iqn).filter(|session| session.state == ipc::SessionState::Recovering)
        });
        tgt.thaw();
        let copy = copy.join().expect("nbdcopy");
        assert_eq!(copy.code, 0, "{}", copy.stderr);
    });
    random.assert_same_as(&tgt.disks[0].file, "what the target has");
}
