use nix::sys::signal::Signal;

use crate::mac::mac;
use crate::{TARGET, log_in, started, target};

#[test]
fn a_daemon_that_is_told_to_end_knows_whether_its_mac_ends() {
    for ends in [false, true] {
        let Some((mac, home)) = mac() else { return };
        let target = started(target());
        let daemon = mac.start(home);
        log_in(&daemon, &target);
        if ends {
            mac.set(&["shutdown-begun"]);
        }
        daemon.signal(Signal::SIGTERM);
        let log = daemon.home().dir().join("iscsid.log");
        let (status, _home) = daemon.ended();
        let log = std::fs::read_to_string(log).expect("a log");
        assert!(status.success(), "{status}\n{log}");
        let expected = if ends { "SIGTERM: the machine ends" } else { "SIGTERM: logging out of all targets" };
        assert!(log.contains(expected) && log.contains(&format!("logged out of {TARGET}")), "{log}");
    }
}
