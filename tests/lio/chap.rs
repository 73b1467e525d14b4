//! CHAP, with each algorithm LIO knows.

use iscsid::ipc::ExitCode;

use super::login::copy_there_and_back;
use crate::common::Daemon;
use crate::guest::Guest;
use crate::lio::Lio;
use crate::targets::{Auth, CHAP_NAME, CHAP_SECRET, MUTUAL_NAME, MUTUAL_SECRET, Spec};

const ALGORITHMS: [&str; 4] = ["MD5", "SHA1", "SHA-256", "SHA3-256"];
const OURS: [&str; 4] = ["--chap-name", CHAP_NAME, "--chap-secret", CHAP_SECRET];
const THEIRS: [&str; 4] = ["--chap-mutual-name", MUTUAL_NAME, "--chap-mutual-secret", MUTUAL_SECRET];

fn modify(daemon: &Daemon, lio: &Lio, arguments: &[&str]) {
    daemon.ctl_ok([&["modify", "target", &lio.iqn], arguments].concat());
}

/// A login that has to fail so; gives the sentence.
fn refused(daemon: &Daemon, lio: &Lio) -> String {
    let login = daemon.ctl(["login", &lio.iqn]);
    assert_eq!(login.code, ExitCode::NotPermitted as i32, "{}{}", login.stdout, login.stderr);
    assert_eq!(login.stderr.trim_end().lines().count(), 1, "one sentence: {}", login.stderr);
    assert_eq!(daemon.session(&lio.iqn), None);
    assert_eq!(lio.sessions(), 0);
    login.stderr
}

// check: chap-algorithms
#[test]
fn one_way_with_each_algorithm() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10).auth(Auth::Chap)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &OURS);
    for algorithm in ALGORITHMS {
        modify(&daemon, &lio, &["--chap-algorithms", algorithm]);
        daemon.ctl_ok(["login", &lio.iqn]);
        assert_eq!(daemon.negotiated(&lio.iqn).authentication, format!("CHAP {algorithm}"));
        copy_there_and_back(&daemon, &lio, algorithm);
        daemon.ctl_ok(["logout", &lio.iqn]);
    }
}

// check: chap-algorithms
#[test]
fn mutual_with_each_algorithm() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().bytes(64 << 10).auth(Auth::Mutual)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &[OURS, THEIRS].concat());
    for algorithm in ALGORITHMS {
        modify(&daemon, &lio, &["--chap-algorithms", algorithm]);
        daemon.ctl_ok(["login", &lio.iqn]);
        assert_eq!(daemon.negotiated(&lio.iqn).authentication, format!("mutual CHAP {algorithm}"));
        copy_there_and_back(&daemon, &lio, algorithm);
        daemon.ctl_ok(["logout", &lio.iqn]);
    }
}

#[test]
fn the_strongest_is_taken_where_nothing_is_configured() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Mutual)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &[OURS, THEIRS].concat());
    daemon.ctl_ok(["login", &lio.iqn]);
    assert_eq!(daemon.negotiated(&lio.iqn).authentication, "mutual CHAP SHA3-256");
}

// check: login-02xx
#[test]
fn a_wrong_secret_is_refused_by_the_target() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Chap)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &["--chap-name", CHAP_NAME, "--chap-secret", "not the secret at all"]);
    let sentence = refused(&daemon, &lio);
    assert!(sentence.contains("secret"), "{sentence}");
    assert!(!sentence.contains("not the secret at all"), "{sentence}");
}

#[test]
fn a_wrong_name_is_refused_by_the_target() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Chap)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &["--chap-name", "somebody", "--chap-secret", CHAP_SECRET]);
    refused(&daemon, &lio);
}

// check: chap-wrong-response
#[test]
fn a_target_with_a_wrong_secret_is_refused_by_us() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Mutual)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &OURS);
    modify(&daemon, &lio, &["--chap-mutual-name", MUTUAL_NAME, "--chap-mutual-secret", "another secret"]);
    refused(&daemon, &lio);
}

// check: chap-target-silent
#[test]
fn a_target_that_does_not_authenticate_itself_is_refused_by_us() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Chap)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    modify(&daemon, &lio, &[OURS, THEIRS].concat());
    refused(&daemon, &lio);
}

/// LIO closes the connection without a word, so that nobody can say more than a guess.
#[test]
fn a_login_without_a_secret_fails_with_a_hint_where_one_is_required() {
    let Some(guest) = Guest::get("lio") else { return };
    let (lio, daemon) = (Lio::start(&guest, &Spec::new().auth(Auth::Chap)), Daemon::start());
    daemon.add(&lio.iqn, &lio.portal());
    let login = daemon.ctl(["login", &lio.iqn]);
    assert_eq!(login.code, ExitCode::Unavailable as i32, "{}{}", login.stdout, login.stderr);
    assert!(login.stderr.contains("brings no CHAP secret"), "{}", login.stderr);
    assert_eq!((daemon.session(&lio.iqn), lio.sessions()), (None, 0));
}
