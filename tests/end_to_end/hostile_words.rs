//! A target's strings do not reach a terminal or a log as they are.
//!
//! ```text
//!   sim-target ── "@VENDOR@" ──► the wire ── "\x1b[2J…" ──► iscsid ──► table, plist, JSON, sentences, log
//! ```

use std::net::SocketAddr;

use iscsid::ipc::{DiscoveryPortal, Lun};
use sim_target::{Builder, Chap, LoginAction, SimDisk, SimTarget};

use crate::common::process::Output;
use crate::common::rewriting::{Word, rewriting};
use crate::common::{Daemon, process};

const IQN: &str = "iqn.2026-11.org.example:words";

/// Something of everything: an escape sequence, a line's end, C1 in both spellings, a bidirectional
/// override, a line separator, bytes that are no UTF-8.
static NASTY: [&[u8; 12]; 7] = [
    b"\x1b]0;owned\x07==",
    b"\r\nforged ===",
    b"\xc2\x9b2J========",
    b"\x9b2J=========",
    b"\xe2\x80\xae=========",
    b"\xe2\x80\xa8=========",
    b"\xff\xfe\xc0\x80========",
];

fn start(builder: Builder) -> SimTarget {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(builder.own_thread().start()).expect("a target")
}

/// A daemon with the target behind such a wire; the portal's address.
fn behind(target: &SimTarget, words: &[Word]) -> (Daemon, SocketAddr) {
    (Daemon::start(), rewriting(target.address(), words))
}

/// What was printed is UTF-8, and nothing in it does anything but end its line or indent it.
fn assert_harmless(what: &str, text: &str) {
    let harmful = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
    };
    assert_eq!(text.chars().find(|&c| harmful(c)), None, "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("forged")), "{what}: {text:?}");
}

/// Everything that can be listed and shown, in all formats, and the log.
fn all_output_is_harmless(daemon: &Daemon) {
    let session = daemon.session(IQN).map(|session| session.id.to_string());
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["list", "targets"],
        vec!["list", "luns"],
        vec!["list", "sessions"],
        vec!["list", "discovery-portals"],
        vec!["stats"],
    ];
    if daemon.ctl(["show", "target", IQN]).code == 0 {
        commands.push(vec!["show", "target", IQN]);
    }
    commands.extend(session.iter().map(|session| vec!["show", "session", session]));
    for command in commands {
        for format in ["table", "plist", "json"] {
            let Output { code, stdout, stderr } = daemon.ctl(command.iter().copied().chain(["--format", format]));
            assert_eq!(code, 0, "{command:?}: {stderr}");
            assert_harmless(&format!("{command:?} as {format}"), &stdout);
        }
    }
    assert_harmless("the log", &daemon.log());
}

#[test]
fn names_of_units() {
    for nasty in NASTY {
        // The first eight bytes of each, and all twelve.
        let (short, long): (&'static [u8], &'static [u8]) = (&nasty[..8], nasty);
        let target = start(
            SimTarget::builder(IQN)
                .lun(0, SimDisk::new(64, 512).names("@VENDOR@", "@PRODUCT@12@", "@RE@").serial("@SERIAL@@12@")),
        );
        let revision: &'static [u8] = &nasty[..4];
        let words: [Word; 4] =
            [(b"@VENDOR@", short), (b"@PRODUCT@12@", long), (b"@RE@", revision), (b"@SERIAL@@12@", long)];
        let (daemon, portal) = behind(&target, &words);
        let luns: Vec<Lun> = daemon.log_in(IQN, &portal.to_string());
        let unit = &luns[0];
        let serial = unit.serial.as_deref().unwrap_or_default();
        for name in [&unit.vendor, &unit.product, &unit.revision, serial] {
            assert!(!name.contains('@'), "the wire did not change {name:?}");
        }
        all_output_is_harmless(&daemon);
    }
}

// check: login-shown-only
#[test]
fn an_alias() {
    for nasty in NASTY {
        let target = start(SimTarget::builder(IQN).alias("@ALIAS@12345").lun(0, SimDisk::new(64, 512)));
        let (daemon, portal) = behind(&target, &[(b"@ALIAS@12345", nasty)]);
        daemon.add(IQN, &portal.to_string());
        daemon.ctl_ok(["login", IQN]);
        // Control characters and what is not UTF-8 break RFC 7143 §6.1; the rest is text.
        let is_text = str::from_utf8(nasty).is_ok_and(|text| !text.contains(char::is_control));
        let told = daemon.ctl_ok(["show", "target", IQN]).contains("this target has an alias that is no text");
        assert_eq!(told, !is_text, "{}", nasty.escape_ascii());
        all_output_is_harmless(&daemon);
    }
}

#[test]
fn a_name_and_an_address_in_discovery() {
    for nasty in NASTY {
        for word in [&b"@TARGET@1234"[..], b"@ADDRESS@123"] {
            let name = "iqn.2026-11.org.example:@TARGET@1234";
            let target = start(
                SimTarget::builder(IQN).lun(0, SimDisk::new(64, 512)).also_list(name, &["@ADDRESS@123.example:3260,1"]),
            );
            let (daemon, portal) = behind(&target, &[(word, nasty)]);
            // The bad record is left out, and named.
            let output = daemon.ctl(["discover", &portal.to_string()]);
            assert_eq!(output.code, 0, "{}", output.stderr);
            assert!(!output.stdout.contains("@1234") && output.stderr.contains("is left out"), "{}", output.stderr);
            assert_harmless("the answer", &(output.stdout + &output.stderr));
            // Asked in the background too, which says why not in the log and in the list.
            daemon.ctl_ok(["modify", "discovery", "--send-targets", "yes"]);
            daemon.ctl_ok(["add", "discovery-portal", &portal.to_string()]);
            process::eventually("a problem", std::time::Duration::from_secs(20), || {
                let portals: Vec<DiscoveryPortal> = daemon.ctl_json(&["list", "discovery-portals"]);
                portals[0].problem.as_ref().map(|_| ())
            });
            all_output_is_harmless(&daemon);
        }
    }
}

/// A login that fails by what the target says in place of that word.
fn a_login_fails(target: Builder, chap: bool, word: Word) {
    let target = start(target);
    let (daemon, portal) = behind(&target, &[word]);
    daemon.add(IQN, &portal.to_string());
    if chap {
        let ours = ["modify", "target", IQN, "--chap-name", "us", "--chap-secret", "a-secret-of-ours"];
        let theirs = ["--chap-mutual-name", "them", "--chap-mutual-secret", "a-secret-of-theirs"];
        daemon.ctl_ok(ours.iter().chain(&theirs));
    }
    let output = daemon.ctl(["login", IQN]);
    assert_ne!(output.code, 0, "{}", word.1.escape_ascii());
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert_harmless("the login", &output.stderr);
    all_output_is_harmless(&daemon);
}

fn target() -> Builder {
    SimTarget::builder(IQN).lun(0, SimDisk::new(64, 512))
}

#[test]
fn the_name_of_a_key() {
    for nasty in NASTY {
        a_login_fails(target().extra_login_key("X-at.KEY@1234", "x"), false, (b"at.KEY@1234=", nasty));
    }
}

#[test]
fn the_values_of_keys() {
    for nasty in NASTY {
        for key in ["MaxBurstLength", "HeaderDigest", "AuthMethod", "TargetPortalGroupTag"] {
            a_login_fails(target().rewrite_login_key(key, Some("@VALUE@12345")), false, (b"@VALUE@12345", nasty));
        }
    }
}

#[test]
fn the_targets_name_in_chap() {
    for nasty in NASTY {
        let chap = Chap::new("us", "a-secret-of-ours").mutual("@CHAPNAME@12", "a-secret-of-theirs");
        a_login_fails(target().chap(chap), true, (b"@CHAPNAME@12", nasty));
    }
}

#[test]
fn the_address_of_a_redirection() {
    for nasty in NASTY {
        let address = "@ADDRESS@123.invalid:3260,1".to_owned();
        let redirect = move |_: &_| LoginAction::Redirect { address: Some(address.clone()), permanent: false };
        a_login_fails(target().on_login(redirect), false, (b"@ADDRESS@123", nasty));
    }
}
