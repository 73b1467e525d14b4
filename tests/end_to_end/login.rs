//! Every way to log in, on every target, and data through each of them.

use std::ops::Deref;

use crate::common::daemon::{key, uri};
use crate::common::{Daemon, RandomFile, need, run, scratch_dir};
use crate::targets::{Auth, CHAP_NAME, CHAP_SECRET, Istgt, MUTUAL_NAME, MUTUAL_SECRET, Spec, Target, Tgt};

/// Logs in sixteen times: digests {none, header, data, both} × the four InitialR2T/ImmediateData pairs.
/// Each session writes and reads the whole disk and is logged out. The daemon's log comes back.
fn log_in_every_way(target: &Target, portal: &str, auth: Auth, initial_r2t_may_be_no: bool) -> String {
    let daemon = Daemon::start();
    let iqn = target.iqn.as_str();
    daemon.add(iqn, portal);
    daemon.set_chap(iqn, auth);
    let back = scratch_dir();
    for (header, data) in [("None", "None"), ("CRC32C", "None"), ("None", "CRC32C"), ("CRC32C", "CRC32C")] {
        for (initial_r2t, immediate) in [("Yes", "Yes"), ("Yes", "No"), ("No", "Yes"), ("No", "No")] {
            let cell =
                format!("HeaderDigest={header} DataDigest={data} InitialR2T={initial_r2t} ImmediateData={immediate}");
            let digests = ["--header-digest", header, "--data-digest", data];
            let pair = ["--initial-r2t", initial_r2t, "--immediate-data", immediate];
            daemon.ctl_ok([&["modify", "target", iqn][..], &digests, &pair].concat());
            daemon.ctl_ok(["login", iqn]);

            let negotiated = daemon.negotiated(iqn);
            let initial_r2t = if initial_r2t_may_be_no { initial_r2t } else { "Yes" };
            let expected = [
                ("HeaderDigest", header),
                ("DataDigest", data),
                ("InitialR2T", initial_r2t),
                ("ImmediateData", immediate),
            ];
            for (name, value) in expected {
                assert_eq!(key(&negotiated, name), value, "{name}, {cell}");
            }
            // Both targets know no other algorithm.
            let authentication = match auth {
                Auth::None => "None",
                Auth::Chap => "CHAP MD5",
                Auth::Mutual => "mutual CHAP MD5",
            };
            assert_eq!(negotiated.authentication, authentication, "{cell}");
            assert!(!daemon.log().contains(CHAP_SECRET) && !daemon.log().contains(MUTUAL_SECRET), "{cell}");

            let disks = daemon.disks(iqn);
            assert_eq!(disks.len(), 1, "{cell}: {disks:?}");
            let random = RandomFile::of_bytes(disks[0].bytes);
            run("nbdcopy", ["--flush", random.name(), uri(&disks[0])]);
            random.assert_same_as(&target.disks[0].file, &format!("what the target has, {cell}"));
            let read = back.path().join("read");
            run("nbdcopy", [uri(&disks[0]), read.to_str().expect("a path in UTF-8")]);
            random.assert_same_as(&read, &format!("what was read back, {cell}"));

            daemon.ctl_ok(["logout", iqn]);
            assert_eq!(daemon.session(iqn), None, "{cell}");
        }
    }
    daemon.log()
}

fn with_tgt(auth: Auth, portal: impl Fn(&Target) -> String) {
    if !need(Tgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let tgt = Tgt::start(&Spec::new().auth(auth).key("InitialR2T", "No").key("ImmediateData", "Yes"));
    // It picks SHA-256 and then cannot do it.
    let log = log_in_every_way(&tgt, &portal(&tgt), auth, true);
    assert_eq!(log.contains("trying once more with MD5 alone"), auth != Auth::None);
    assert_eq!(tgt.sessions(), 0);
}

fn with_istgt(auth: Auth, portal: impl Fn(&Target) -> String) {
    if !need(Istgt::TOOLS) || !need(&["nbdcopy"]) {
        return;
    }
    let istgt = Istgt::start(&Spec::new().auth(auth));
    log_in_every_way(istgt.deref(), &portal(&istgt), auth, false);
}

#[test]
fn tgt_without_authentication_over_ipv4() {
    with_tgt(Auth::None, Target::ipv4);
}

#[test]
fn tgt_without_authentication_over_ipv6() {
    with_tgt(Auth::None, Target::ipv6);
}

// check: chap-md5-retry, chap-secret-log, login-digests-after
#[test]
fn tgt_with_chap_over_ipv4() {
    with_tgt(Auth::Chap, Target::ipv4);
}

#[test]
fn tgt_with_chap_over_ipv6() {
    with_tgt(Auth::Chap, Target::ipv6);
}

#[test]
fn tgt_with_mutual_chap_over_ipv4() {
    with_tgt(Auth::Mutual, Target::ipv4);
}

#[test]
fn tgt_with_mutual_chap_over_ipv6() {
    with_tgt(Auth::Mutual, Target::ipv6);
}

#[test]
fn istgt_without_authentication_over_ipv4() {
    with_istgt(Auth::None, Target::ipv4);
}

#[test]
fn istgt_without_authentication_over_ipv6() {
    with_istgt(Auth::None, Target::ipv6);
}

#[test]
fn istgt_with_chap_over_ipv4() {
    with_istgt(Auth::Chap, Target::ipv4);
}

#[test]
fn istgt_with_chap_over_ipv6() {
    with_istgt(Auth::Chap, Target::ipv6);
}

// check: chap-algorithms, chap-challenge
#[test]
fn istgt_with_mutual_chap_over_ipv4() {
    with_istgt(Auth::Mutual, Target::ipv4);
}

#[test]
fn istgt_with_mutual_chap_over_ipv6() {
    with_istgt(Auth::Mutual, Target::ipv6);
}

impl Daemon {
    /// The secrets that [`Spec::auth`] gave the target.
    pub(crate) fn set_chap(&self, iqn: &str, auth: Auth) {
        let ours = ["--chap-name", CHAP_NAME, "--chap-secret", CHAP_SECRET];
        let theirs = ["--chap-mutual-name", MUTUAL_NAME, "--chap-mutual-secret", MUTUAL_SECRET];
        let target = ["modify", "target", iqn];
        match auth {
            Auth::None => return,
            Auth::Chap => self.ctl_ok([&target[..], &ours].concat()),
            Auth::Mutual => self.ctl_ok([&target[..], &ours, &theirs].concat()),
        };
    }
}
