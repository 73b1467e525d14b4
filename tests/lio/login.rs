//! Logins without authentication: keys, digests, data through each of them.

use std::time::Duration;

use crate::common::daemon::{key, uri};
use crate::common::process::eventually;
use crate::common::{Daemon, RandomFile, run, scratch_dir};
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::Spec;

const LIMIT: Duration = Duration::from_secs(30);

/// Writes the whole disk, compares what the target has, reads it back.
pub(crate) fn copy_there_and_back(daemon: &Daemon, lio: &Lio, what: &str) {
    let disks = daemon.disks(&lio.iqn);
    let random = RandomFile::of_bytes(disks[0].bytes);
    run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
    assert_eq!(lio.guest.sha256("/disks/disk0"), crate::sha256(random.name()), "what the target has, {what}");
    let back = scratch_dir();
    let read = back.path().join("read");
    run("nbdcopy", [uri(&disks[0]), read.to_str().expect("a path in UTF-8")]);
    random.assert_same_as(&read, &format!("what was read back, {what}"));
}

// check: login-digests-negotiated
#[test]
fn every_pair_of_digests_carries_data() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(1 << 20)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    for (header, data) in [("None", "None"), ("CRC32C", "None"), ("None", "CRC32C"), ("CRC32C", "CRC32C")] {
        let digests = ["--header-digest", header, "--data-digest", data];
        daemon.ctl_ok([&["modify", "target", &lio.iqn][..], &digests].concat());
        daemon.ctl_ok(["login", &lio.iqn]);
        let negotiated = daemon.negotiated(&lio.iqn);
        assert_eq!((key(&negotiated, "HeaderDigest"), key(&negotiated, "DataDigest")), (header, data));
        assert_eq!(negotiated.authentication, "None");
        copy_there_and_back(&daemon, &lio, &format!("HeaderDigest={header} DataDigest={data}"));
        daemon.ctl_ok(["logout", &lio.iqn]);
        // LIO lets go of a session after it has answered.
        eventually("the end of the session at the target", LIMIT, || (lio.sessions() == 0).then_some(()));
    }
}

// check: login-flags, data-out-unsolicited
#[test]
fn every_pair_of_initial_r2t_and_immediate_data_carries_data() {
    let Some(guest) = Guest::get("lio") else { return };
    let daemon = Daemon::start();
    let lio = Lio::start(&guest, &Spec::new().bytes(1 << 20).key("InitialR2T", "No"));
    daemon.add(&lio.iqn, &lio.portal());
    for (initial_r2t, immediate) in [("Yes", "Yes"), ("Yes", "No"), ("No", "Yes"), ("No", "No")] {
        let pair = ["--initial-r2t", initial_r2t, "--immediate-data", immediate];
        daemon.ctl_ok([&["modify", "target", &lio.iqn][..], &pair].concat());
        daemon.ctl_ok(["login", &lio.iqn]);
        let negotiated = daemon.negotiated(&lio.iqn);
        assert_eq!((key(&negotiated, "InitialR2T"), key(&negotiated, "ImmediateData")), (initial_r2t, immediate));
        copy_there_and_back(&daemon, &lio, &format!("InitialR2T={initial_r2t} ImmediateData={immediate}"));
        daemon.ctl_ok(["logout", &lio.iqn]);
    }
}

// check: login-numbers
#[test]
fn small_bursts_and_segments_carry_data() {
    let Some(guest) = Guest::get("lio") else { return };
    let spec = Spec::new().bytes(1 << 20).key("InitialR2T", "No").key("MaxRecvDataSegmentLength", "512");
    let spec = spec.key("FirstBurstLength", "1024").key("MaxBurstLength", "2048").key("MaxOutstandingR2T", "1");
    let (lio, daemon) = (Lio::start(&guest, &spec), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    daemon.ctl_ok(["modify", "target", &lio.iqn, "--max-recv-data-segment-length", "1024"]);
    daemon.ctl_ok(["login", &lio.iqn]);
    let negotiated = daemon.negotiated(&lio.iqn);
    assert_eq!((key(&negotiated, "FirstBurstLength"), key(&negotiated, "MaxBurstLength")), ("1024", "2048"));
    copy_there_and_back(&daemon, &lio, "small bursts");
}

// check: r2t-several
#[test]
fn several_requests_for_data_at_once_are_answered() {
    let Some(guest) = Guest::get("lio") else { return };
    let spec = Spec::new().bytes(1 << 20).key("MaxOutstandingR2T", "8").key("MaxBurstLength", "4096");
    let spec = spec.key("FirstBurstLength", "4096").key("ImmediateData", "No");
    let (lio, daemon) = (Lio::start(&guest, &spec), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    daemon.ctl_ok(["modify", "target", &lio.iqn, "--max-outstanding-r2t", "8"]);
    daemon.ctl_ok(["login", &lio.iqn]);
    assert_eq!(key(&daemon.negotiated(&lio.iqn), "MaxOutstandingR2T"), "8");
    copy_there_and_back(&daemon, &lio, "eight requests at once");
}

// check: login-numbers
#[test]
fn a_target_that_offers_error_recovery_level_2_gets_0() {
    let Some(guest) = Guest::get("lio") else { return };
    let spec = Spec::new().bytes(1 << 20).key("ErrorRecoveryLevel", "2").key("MaxConnections", "4");
    let (lio, daemon) = (Lio::start_with(&guest, &spec, "attribute default_erl=2"), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    daemon.ctl_ok(["login", &lio.iqn]);
    let negotiated = daemon.negotiated(&lio.iqn);
    assert_eq!((key(&negotiated, "ErrorRecoveryLevel"), key(&negotiated, "MaxConnections")), ("0", "1"));
    copy_there_and_back(&daemon, &lio, "ErrorRecoveryLevel 2 refused");
}

// check: window-opens
#[test]
fn a_target_that_takes_one_command_at_a_time_gets_one_at_a_time() {
    let Some(guest) = Guest::get("lio") else { return };
    let narrow = "attribute default_cmdsn_depth=1";
    let (lio, daemon) = (Lio::start_with(&guest, &Spec::new().bytes(1 << 20), narrow), Daemon::start());
    daemon.log_in(&lio.iqn, &lio.portal());
    copy_there_and_back(&daemon, &lio, "a window of one command");
    assert_eq!(crate::counters(&daemon, &lio).errors, 0);
}

// check: recovery-isid
#[test]
fn two_daemons_on_one_machine_have_a_session_each() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, one, two) = (Lio::start(&guest, &Spec::new().bytes(64 << 10)), Daemon::start(), Daemon::start());
    one.log_in(&lio.iqn, &lio.portal());
    two.log_in(&lio.iqn, &lio.portal());
    copy_there_and_back(&one, &lio, "by the first");
    copy_there_and_back(&two, &lio, "by the second");
    assert_ne!(one.session(&lio.iqn).expect("a session").isid, two.session(&lio.iqn).expect("a session").isid);
    one.ctl_ok(["logout", &lio.iqn]);
    copy_there_and_back(&two, &lio, "by the second alone");
}
