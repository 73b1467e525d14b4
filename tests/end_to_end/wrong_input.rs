//! What is wrong gets one sentence and an exit code, and changes nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use iscsid::ipc::ExitCode;

use crate::common::daemon::Home;
use crate::common::process::Output;
use crate::common::{Daemon, need};
use crate::targets::{Auth, CHAP_NAME, CHAP_SECRET, Spec, Target, Tgt};

const IQN: &str = "iqn.2026-11.org.example:nobody";

/// Runs a command that has to fail so, in one sentence with all of the words, and leave the
/// configuration as it is; gives the sentence.
fn refused(daemon: &Daemon, arguments: &[&str], code: ExitCode, words: &[&str]) -> String {
    let before = std::fs::read(daemon.home().config()).ok();
    let Output { code: actual, stdout, stderr } = daemon.ctl(arguments);
    assert_eq!(actual, code as i32, "iscsictl {arguments:?} said: {stderr}{stdout}");
    assert_eq!(stdout, "", "{arguments:?}");
    // That others see a secret there is said beforehand.
    let sentences = stderr.lines().filter(|line| !line.starts_with("iscsictl: a secret on the command line"));
    assert_eq!(sentences.count(), 1, "one sentence for {arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "iscsictl {arguments:?} does not say {word:?}: {stderr}");
    }
    assert_eq!(std::fs::read(daemon.home().config()).ok(), before, "the configuration after {arguments:?}");
    stderr
}

#[test]
fn malformed_names() {
    let daemon = Daemon::start();
    let names = ["..", "../nobody", "x/y", "a b", "iqn.2026-11.org.example:$(x)", "iqn.2026-11.org..example"];
    for name in names {
        refused(&daemon, &["add", "target", name, "--portal", "127.0.0.1"], ExitCode::Usage, &[name]);
    }
    let long = format!("iqn.2026-11.org.example:{}", "x".repeat(223));
    refused(&daemon, &["add", "target", &long, "--portal", "127.0.0.1"], ExitCode::Usage, &["223"]);
    // Our own name is an iSCSI name.
    for name in ["nobody", "iqn.2026-13.org.example:x", "iqn.26-11.org", "eui.12", "naa.123", "Target-911data"] {
        refused(&daemon, &["modify", "initiator", "--name", name], ExitCode::Usage, &[name]);
    }
}

#[test]
fn malformed_portals() {
    let daemon = Daemon::start();
    for portal in ["127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:iscsi", "[::1", "[::1]x", "", "a b", ":3260"] {
        refused(&daemon, &["add", "target", IQN, "--portal", portal], ExitCode::Usage, &["portal"]);
        refused(&daemon, &["add", "discovery-portal", portal], ExitCode::Usage, &["portal"]);
    }
}

#[test]
fn an_interface_that_is_not_there() {
    let daemon = Daemon::start();
    let add = ["add", "target", IQN, "--portal", "127.0.0.1", "--interface", "nosuch0"];
    refused(&daemon, &add, ExitCode::Data, &["nosuch0"]);
}

#[test]
fn a_port_nobody_listens_on() {
    let daemon = Daemon::start();
    let port = crate::common::port::Port::reserve();
    let portal = format!("127.0.0.1:{}", port.number);
    daemon.add(IQN, &portal);
    refused(&daemon, &["login", IQN], ExitCode::Unavailable, &[&portal, "refused"]);
    refused(&daemon, &["discover", &portal], ExitCode::Unavailable, &[&portal, "refused"]);
}

#[test]
fn a_host_nobody_knows() {
    let daemon = Daemon::start();
    daemon.add(IQN, "no-such-host.invalid");
    refused(&daemon, &["login", IQN], ExitCode::NoHost, &["no-such-host.invalid"]);
    refused(&daemon, &["discover", "no-such-host.invalid"], ExitCode::NoHost, &["no-such-host.invalid"]);
}

/// It accepts the connection (the kernel does) and never says a word.
#[test]
fn a_host_that_is_silent_is_not_waited_for_for_ever() {
    let daemon = Daemon::start();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let portal = silent.local_addr().expect("its address").to_string();
    daemon.add(IQN, &portal);
    let started = Instant::now();
    refused(&daemon, &["login", IQN], ExitCode::NoHost, &[&portal]);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn a_service_that_does_not_speak_iscsi() {
    let daemon = Daemon::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let portal = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut request = [0; 48];
            // A web server answers what it takes for a bad request, and closes.
            if connection.read_exact(&mut request).is_ok() {
                let answer =
                    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html></html>";
                connection.write_all(answer).expect("an answer");
            }
        }
    });
    daemon.add(IQN, &portal);
    refused(&daemon, &["login", IQN], ExitCode::Protocol, &[&portal]);
    refused(&daemon, &["discover", &portal], ExitCode::Protocol, &[&portal]);
}

#[test]
fn a_target_name_that_is_not_there() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.add(IQN, &tgt.ipv4());
    refused(&daemon, &["login", IQN], ExitCode::Data, &[IQN, "not found"]);
}

/// A target that wants CHAP, and a daemon that knows it.
fn target_with_chap(auth: Auth) -> (Tgt, Daemon) {
    let (tgt, daemon) = (Tgt::start(&Spec::new().auth(auth)), Daemon::start());
    daemon.add(&tgt.iqn, &Target::ipv4(&tgt));
    (tgt, daemon)
}

// check: chap-secret-log, login-02xx
#[test]
fn a_wrong_secret() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = target_with_chap(Auth::Chap);
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--chap-name", CHAP_NAME, "--chap-secret", "not-the-secret"]);
    let sentence = refused(&daemon, &["login", &tgt.iqn], ExitCode::NotPermitted, &[&tgt.iqn, "CHAP"]);
    assert!(!sentence.contains("not-the-secret"), "{sentence}");
    assert!(!daemon.log().contains("not-the-secret"), "the log has the secret");
}

// check: chap-not-configured
#[test]
fn no_secret_where_the_target_wants_one() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = target_with_chap(Auth::Chap);
    refused(&daemon, &["login", &tgt.iqn], ExitCode::NotPermitted, &[&tgt.iqn, "CHAP"]);
}

#[test]
fn a_name_without_its_secret() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = target_with_chap(Auth::Chap);
    daemon.ctl_ok(["modify", "target", &tgt.iqn, "--chap-name", CHAP_NAME]);
    refused(&daemon, &["login", &tgt.iqn], ExitCode::Configuration, &[&tgt.iqn, "secret"]);
}

// check: chap-evaded
#[test]
fn a_secret_where_the_target_wants_none() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = target_with_chap(Auth::None);
    daemon.set_chap(&tgt.iqn, Auth::Chap);
    refused(&daemon, &["login", &tgt.iqn], ExitCode::NotPermitted, &[&tgt.iqn, "CHAP"]);
}

// check: chap-target-silent
#[test]
fn a_target_that_cannot_prove_itself() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = target_with_chap(Auth::Chap);
    daemon.set_chap(&tgt.iqn, Auth::Mutual);
    refused(&daemon, &["login", &tgt.iqn], ExitCode::NotPermitted, &[&tgt.iqn]);
    assert_eq!(tgt.sessions(), 0);
}

// check: chap-equal-secrets
#[test]
fn equal_secrets_in_both_directions() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    let ours = ["--chap-name", "us", "--chap-secret", CHAP_SECRET];
    let theirs = ["--chap-mutual-name", "them", "--chap-mutual-secret", CHAP_SECRET];
    refused(&daemon, &[&["modify", "target", IQN][..], &ours, &theirs].concat(), ExitCode::Usage, &["secret"]);
}

#[test]
fn adding_twice() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    refused(&daemon, &["add", "target", IQN, "--portal", "127.0.0.1"], ExitCode::Data, &[IQN, "already"]);
    daemon.ctl_ok(["add", "discovery-portal", "127.0.0.1"]);
    refused(&daemon, &["add", "discovery-portal", "127.0.0.1:3260"], ExitCode::Data, &["127.0.0.1", "already"]);
}

#[test]
fn a_target_that_is_not_configured() {
    let daemon = Daemon::start();
    for command in ["login", "logout", "attach", "detach"] {
        refused(&daemon, &[command, IQN], ExitCode::Data, &[IQN]);
    }
    refused(&daemon, &["remove", "target", IQN], ExitCode::Data, &[IQN]);
    refused(&daemon, &["show", "target", IQN], ExitCode::Data, &[IQN]);
    refused(&daemon, &["modify", "target", IQN, "--auto-login", "yes"], ExitCode::Data, &[IQN]);
    refused(&daemon, &["show", "session", "7"], ExitCode::Data, &["7"]);
}

#[test]
fn logging_out_of_what_is_not_logged_in() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    refused(&daemon, &["logout", IQN], ExitCode::Data, &[IQN, "not logged in"]);
}

#[test]
fn logging_in_twice_and_removing_what_is_logged_in() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (tgt, daemon) = (Tgt::start(&Spec::new()), Daemon::start());
    daemon.log_in(&tgt.iqn, &tgt.ipv4());
    refused(&daemon, &["login", &tgt.iqn], ExitCode::Data, &[&tgt.iqn, "already"]);
    refused(&daemon, &["remove", "target", &tgt.iqn], ExitCode::TryAgain, &[&tgt.iqn, "logged in"]);
    assert_eq!(tgt.sessions(), 1);
}

#[test]
fn values_that_no_key_takes() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    for (option, value) in [
        ("--header-digest", "MD5"),
        ("--max-burst-length", "511"),
        ("--max-burst-length", "16777216"),
        ("--auto-login", "perhaps"),
        ("--error-recovery-level", "3"),
    ] {
        refused(&daemon, &["modify", "target", IQN, option, value], ExitCode::Usage, &[value]);
    }
    refused(&daemon, &["modify", "discovery", "--interval", "29"], ExitCode::Usage, &["29"]);
}

#[test]
fn values_that_would_have_no_effect() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    for (option, old, neutral, value) in [
        ("--max-connections", "-MaxConnections", "1", "4"),
        ("--error-recovery-level", "-ErrorRecoveryLevel", "0", "2"),
        ("--data-pdu-in-order", "", "Yes", "No"),
        ("--data-sequence-in-order", "", "Yes", "No"),
    ] {
        let words = [value, "would have no effect: this iscsid", "leave it at", neutral];
        refused(&daemon, &["modify", "target", IQN, option, value], ExitCode::Usage, &words);
        if !old.is_empty() {
            let other = "iqn.2026-11.org.example:other";
            refused(&daemon, &["modify", "target-config", IQN, old, value], ExitCode::Usage, &words);
            refused(&daemon, &["-modify", "-target", IQN, old, value], ExitCode::Usage, &words);
            let add = ["-add", "-target", other, "-portal", "127.0.0.1", old, value];
            refused(&daemon, &add, ExitCode::Usage, &words);
        }
        daemon.ctl_ok(["modify", "target", IQN, option, neutral]);
    }
}

/// As an older iscsid took them.
#[test]
fn a_file_with_values_without_effect_is_taken_with_a_warning_and_shown_as_what_is_used() {
    let home = Home::new();
    let file = format!(
        "<plist version=\"1.0\"><dict><key>Version</key><integer>1</integer><key>Targets</key><dict><key>{IQN}</key>\
         <dict><key>Portals</key><array><dict><key>Address</key><string>127.0.0.1</string></dict></array>\
         <key>Session</key><dict><key>MaxConnections</key><integer>4</integer></dict></dict></dict></dict></plist>"
    );
    std::fs::write(home.config(), file).expect("written");
    let daemon = Daemon::start_in(home);
    let path = format!("Targets → {IQN} → Session → MaxConnections: 4 has no effect");
    let log = daemon.log();
    let warning = log.lines().find(|line| line.contains(&path)).unwrap_or_else(|| panic!("{path}: {log}"));
    assert!(warning.contains("WARN") && warning.contains("1 is used"), "{warning}");
    let shown: iscsid::ipc::TargetDetails = daemon.ctl_json(&["show", "target", IQN]);
    assert!(shown.keys.contains(&("MaxConnections".to_owned(), "1".to_owned())), "{:?}", shown.keys);
    daemon.ctl_ok(["modify", "target", IQN, "--header-digest", "CRC32C"]);
    let saved = std::fs::read_to_string(daemon.home().config()).expect("the file");
    let saved: String = saved.split_whitespace().collect();
    assert!(saved.contains("<key>MaxConnections</key><integer>4</integer>"), "{saved}");
    // As the doctor advises.
    daemon.ctl_ok(["modify", "target", IQN, "--max-connections", ""]);
    let saved = std::fs::read_to_string(daemon.home().config()).expect("the file");
    assert!(!saved.contains("MaxConnections"), "{saved}");
}

#[test]
fn commands_nobody_knows() {
    let daemon = Daemon::start();
    for arguments in [&["frobnicate"][..], &["list", "nothing"], &["-frobnicate"], &["login"], &["add", "target"]] {
        let output = daemon.ctl(arguments);
        assert_eq!(output.code, ExitCode::Usage as i32, "{arguments:?}: {}", output.stderr);
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

// check: failures-own-lines
#[test]
fn two_failures_of_one_command_are_two_lines() {
    let daemon = Daemon::start();
    let ports = [crate::common::port::Port::reserve(), crate::common::port::Port::reserve()];
    for (number, port) in ports.iter().enumerate() {
        daemon.add(&format!("{IQN}{number}"), &format!("127.0.0.1:{}", port.number));
    }
    let Output { code, stderr, .. } = daemon.ctl(["login", "--all"]);
    assert_eq!(code, ExitCode::Unavailable as i32, "{stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("failed")).collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines.iter().all(|line| line.starts_with("iscsictl: login to ")) && !stderr.contains("u{a}"), "{stderr}");
}

#[test]
fn a_named_property_list_in_a_directory_that_is_not_there_begins_no_empty_configuration() {
    let home = Home::new();
    let (directory, mut command) = (home.dir().join("ectiscsid"), home.command(crate::common::program::under_test()));
    command.arg("--config").arg(directory.join("iscsid.plist"));
    let Output { code, stderr, .. } = crate::common::process::output(&mut command);
    assert_eq!(code, ExitCode::Configuration as i32, "{stderr}");
    assert!(stderr.contains(&format!("there is no directory {}", directory.display())), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!directory.exists() && !home.runtime_dir().exists());
}

// check: plist-unreadable-words
#[test]
fn what_is_no_property_list_is_told_in_words_by_the_daemon_and_by_an_import() {
    let home = Home::new();
    for junk in [&b""[..], b"\x00\x01\x02", b"bplist00", b"<plist version=\"1.0\"><dict>", b"{ \"Version\": 1 }"] {
        std::fs::write(home.config(), junk).expect("written");
        let daemon = crate::common::process::output(&mut home.daemon());
        let import = home.ctl(["import".as_ref(), home.config().as_os_str()]);
        for (output, code) in [(daemon, ExitCode::Configuration), (import, ExitCode::Data)] {
            assert_eq!(output.code, code as i32, "{}", output.stderr);
            let sentence = output.stderr.trim_end().lines().last().unwrap_or_default();
            for debug in ["Error", "Io(", "Serde", "kind:", "Eof", "offset"] {
                assert!(!sentence.contains(debug), "{sentence}");
            }
        }
        assert_eq!(std::fs::read(home.config()).expect("it is still there"), junk);
    }
    let missing = home.ctl(["import", "/no/such/file.plist"]);
    assert_eq!(missing.code, ExitCode::Data as i32);
    assert!(missing.stderr.contains("there is no file /no/such/file.plist"), "{}", missing.stderr);
}

#[test]
fn an_option_of_the_daemon_that_is_wrong_gets_one_sentence() {
    let home = Home::new();
    for word in ["--frobnicate", "--bridge=kernel", "login"] {
        let Output { code, stderr, .. } = crate::common::process::output(home.daemon().arg(word));
        assert_eq!(code, ExitCode::Usage as i32, "{stderr}");
        assert!(stderr.starts_with("iscsid: ") && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_full_standard_output_is_no_bug_of_ours() {
    let daemon = Daemon::start();
    let mut command = daemon.home().command("sh");
    let iscsictl = daemon.home().dir().join("iscsictl");
    command.args(["-c", "\"$0\" show initiator > /dev/full"]).arg(iscsictl);
    let Output { code, stderr, .. } = crate::common::process::output(&mut command);
    assert_eq!(code, ExitCode::TryAgain as i32, "{stderr}");
    assert!(stderr.contains("make room"), "{stderr}");
}

#[test]
fn a_short_secret_is_stored_and_that_is_said() {
    let daemon = Daemon::start();
    daemon.add(IQN, "127.0.0.1");
    let said = daemon.ctl_ok(["modify", "target", IQN, "--chap-secret", "short"]);
    assert!(said.contains("the CHAP secret is stored, but it is shorter than the 12 bytes"), "{said}");
    let shown: iscsid::ipc::TargetDetails = daemon.ctl_json(&["show", "target", IQN]);
    assert!(shown.chap.secret_set);
}

#[test]
fn a_discovery_portal_that_is_added_is_asked_and_that_is_said() {
    let daemon = Daemon::start();
    let said = daemon.ctl_ok(["add", "discovery-portal", "127.0.0.1:1"]);
    assert!(said.contains("127.0.0.1:1 is asked for its targets from now on"), "{said}");
    let shown: iscsid::ipc::Discovery = daemon.ctl_json(&["show", "discovery"]);
    assert!(shown.send_targets);
}

// check: logout-during-scan
#[test]
fn a_login_that_a_logout_ends_while_units_are_looked_for_has_failed() {
    const REPORT_LUNS: u8 = 0xa0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let builder = sim_target::SimTarget::builder(IQN).lun(0, sim_target::SimDisk::new(512, 2048)).own_thread();
    let builder = builder.on_command(|command| match command.cdb[0] {
        REPORT_LUNS => sim_target::Action::Ignore,
        _ => sim_target::Action::Proceed,
    });
    let target = runtime.block_on(builder.start()).expect("a target");
    let daemon = Daemon::start();
    daemon.add(IQN, &target.address().to_string());
    let mut command = daemon.home().command(daemon.home().dir().join("iscsictl"));
    let mut login =
        crate::common::process::Process::start(command.args(["login", IQN]), &daemon.home().dir().join("login.log"));
    let patience = Duration::from_secs(30);
    crate::common::process::eventually("a session", patience, || daemon.session(IQN));
    daemon.ctl_ok(["logout", "--force", IQN]);
    let status = crate::common::process::eventually("the end of the login", patience, || login.exited());
    assert_eq!(status.code(), Some(ExitCode::TryAgain as i32), "{}", login.log());
    assert!(login.log().contains("logged out of again before its units were looked for"), "{}", login.log());
}

/// A target in memory with a disk, and a daemon that is logged in to it.
fn logged_in() -> (sim_target::SimTarget, Daemon, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let builder = sim_target::SimTarget::builder(IQN).lun(0, sim_target::SimDisk::new(512, 2048)).own_thread();
    let target = runtime.block_on(builder.start()).expect("a target");
    let daemon = Daemon::start();
    daemon.add(IQN, &target.address().to_string());
    let Output { code, stderr, .. } = daemon.ctl(["login", IQN]);
    assert_eq!(code, 0, "{stderr}");
    (target, daemon, stderr)
}

// check: nbd-address-told
#[test]
fn who_has_no_disk_is_told_where_nbd_clients_find_the_unit() {
    let (_target, daemon, said) = logged_in();
    let disks = daemon.disks(IQN);
    let uri = crate::common::daemon::uri(&disks[0]);
    assert!(said.contains(&format!("unit 0 of {IQN} is not attached; NBD clients find it at {uri}")), "{said}");
    assert!(said.contains("has 1 unit\n"), "{said}");
    let listed = daemon.ctl_ok(["list", "luns"]);
    assert!(listed.contains("not attached: ") && listed.contains(uri), "{listed}");
}

#[test]
fn what_holds_from_the_next_login_on_is_said_of_nothing_else() {
    let (_target, daemon, _) = logged_in();
    assert_eq!(daemon.ctl_ok(["modify", "target", IQN, "--auto-login", "yes"]), "");
    let said = daemon.ctl_ok(["modify", "target", IQN, "--header-digest", "CRC32C,None"]);
    assert!(said.contains("from its next login on"), "{said}");
}

// check: secret-no-core
#[test]
fn a_command_that_asks_for_a_secret_leaves_no_core() {
    let home = Home::new();
    let mut command = home.command(home.dir().join("iscsictl"));
    command.args(["modify", "initiator", "--chap-secret", "-"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut waiting = command.spawn().expect("it runs");
    // Both: what holds now, and what it could be raised to.
    crate::common::process::eventually("limits of 0", Duration::from_secs(20), || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", waiting.id())).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max core file size"))?;
        line.split_whitespace().skip(4).take(2).eq(["0", "0"]).then_some(())
    });
    drop(waiting.stdin.take());
    waiting.wait().expect("it ends with its standard input");
}
