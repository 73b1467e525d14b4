//! `iscsictl doctor`, with and without a daemon.

use crate::common::Daemon;
use crate::common::daemon::Home;
use crate::common::port::Port;

#[test]
fn the_doctor_says_what_is_wrong_with_and_without_a_daemon() {
    let home = Home::new();
    let output = home.ctl(["doctor", "--format", "json"]);
    assert_eq!(output.code, 69, "{}{}", output.stdout, output.stderr);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!((&report["healthy"], &report["exit_code"]), (&false.into(), &69.into()));

    let (daemon, port) = (Daemon::start_in(home), Port::reserve());
    let nobody = format!("127.0.0.1:{}", port.number);
    daemon.ctl_ok(["add", "target", "iqn.2026-11.org.example:gone", "--portal", &nobody]);
    let output = daemon.home().ctl(["doctor"]);
    assert_eq!(output.code, 69, "{}", output.stderr);
    let problem = format!("PROBLEM  target         iqn.2026-11.org.example:gone at {nobody}: ");
    assert!(output.stdout.contains(&problem), "{}", output.stdout);
    let version = env!("CARGO_PKG_VERSION");
    assert!(output.stdout.contains(&format!("iscsid {version} answers as ")), "{}", output.stdout);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}
