//! What the daemon holds of Core Foundation and of IOKit: it gives back what it was handed, however often that happens.

use std::collections::BTreeMap;
use std::process::Command;

use crate::common::daemon::{Daemon, Home};
use crate::common::kernel_sim::KernelSim;
use crate::extension::with_extension;
use crate::mac::mac;
use crate::{TARGET, log_in, started, target};

/// How many there are of each kind at a daemon's end.
type Held = BTreeMap<String, usize>;

/// What a daemon that has done so much holds at its end.
fn held(home: Home, mut command: Command, times: usize, work: &dyn Fn(&Daemon, usize)) -> (Held, Home) {
    let list = home.dir().join(format!("objects-{times}"));
    command.env("DARWIN_OBJECTS", &list);
    let daemon = Daemon::start_as(home, &command);
    work(&daemon, times);
    let (status, home) = daemon.stop();
    assert!(status.success(), "{status}");
    let list = std::fs::read_to_string(list).expect("a list");
    let mut held = Held::new();
    for kind in list.lines().filter_map(|line| line.split(' ').nth(1)) {
        *held.entry(kind.to_owned()).or_default() += 1;
    }
    (held, home)
}

/// Fewer and more times that something is done.
const TIMES: [usize; 2] = [2, 20];

/// The daemon holds as much after many times as after few: what is left behind each time would be that many more. At
/// its end it may or may not have ended its thread for the extension's notices, with what that holds.
fn leaves_nothing_behind(home: Home, command: impl Fn(&Home) -> Command, work: &dyn Fn(&Daemon, usize)) -> Home {
    let first = command(&home);
    let (few, home) = held(home, first, TIMES[0], work);
    let second = command(&home);
    let (many, home) = held(home, second, TIMES[1], work);
    assert!(few.contains_key("SCDynamicStore"), "{few:?}");
    for (kind, count) in &many {
        let before = few.get(kind).copied().unwrap_or(0);
        assert!(*count < before + TIMES[1] - TIMES[0], "{kind}: {few:?}, {many:?}");
    }
    home
}

#[test]
fn changes_of_the_network_and_of_secrets_leave_nothing_behind() {
    let Some((mac, home)) = mac() else { return };
    let work = |daemon: &Daemon, times: usize| {
        daemon.add(TARGET, "127.0.0.1:9");
        for time in 0..times {
            mac.tell(&["network"], "told of 1");
            let secret = format!("a secret of the time {time:02}");
            daemon.ctl_ok(["modify", "target", TARGET, "--chap-name", "joe", "--chap-secret", &secret]);
        }
        daemon.ctl_ok(["remove", "target", TARGET]);
    };
    leaves_nothing_behind(home, |home| mac.daemon(home), &work);
}

#[test]
fn a_look_for_devices_in_the_registry_leaves_nothing_behind() {
    let Some((mac, home)) = mac() else { return };
    let target = started(target());
    let kernel = KernelSim::start(home.dir());
    let work = |daemon: &Daemon, times: usize| {
        log_in(daemon, &target);
        for _ in 0..times {
            daemon.disks(TARGET);
        }
        daemon.ctl_ok(["logout", TARGET]);
        daemon.ctl_ok(["remove", "target", TARGET]);
    };
    let _home = leaves_nothing_behind(home, |home| with_extension(&mac, home, &kernel), &work);
    drop(kernel);
}
