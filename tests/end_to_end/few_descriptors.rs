//! Few descriptors, and another user of the machine who keeps as many of them busy as he can.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use iscsid::ipc::SessionState;
use sim_target::{SimDisk, SimTarget};

use crate::common::daemon::LIMIT;
use crate::common::process::{Process, eventually};
use crate::common::{Daemon, need, need_root};

const TARGET: &str = "iqn.2026-11.test.sim:descriptors";
const TOOLS: [&str; 3] = ["perl", "prlimit", "setpriv"];

/// Keeps as many connections as it is told, and opens a new one for each that is closed, for ever.
const CROWD: &str = r#"
    use Socket;
    $| = 1;
    my ($path, $most) = @ARGV;
    my (@held, $made);
    while (1) {
        socket(my $one, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
        unless (connect($one, sockaddr_un($path))) { select(undef, undef, undef, 0.01); next; }
        push @held, $one;
        shift @held if @held > $most;
        print "all are there\n" if ++$made == $most;
        select(undef, undef, undef, 0.005) if $made > $most;
    }
"#;

/// The crowd, as another user.
fn crowd(socket: &Path, clients: usize, log: &Path) -> Process {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "/usr/bin/perl", "-e", CROWD]);
    let crowd = Process::start(command.arg(socket).arg(clients.to_string()), log);
    eventually("a crowd", LIMIT, || crowd.log().contains("all are there").then_some(()));
    crowd
}

/// Root's commands are answered and a session that breaks is had again, with so many descriptors and so many clients of
/// another user.
fn root_is_served(descriptors: usize, clients: usize) {
    if !need_root() || !need(&TOOLS) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let builder = SimTarget::builder(TARGET).lun(0, SimDisk::new(32_768, 512)).own_thread();
    let target = runtime.block_on(builder.start()).expect("a free port");
    let daemon = Daemon::start_with_descriptors(descriptors);
    daemon.log_in(TARGET, &target.address().to_string());
    // Other users get to the socket, as they do to that of an installation.
    let home = daemon.home().dir().to_owned();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).expect("the home is ours");
    let _crowd = crowd(&daemon.home().runtime_dir().join("control.sock"), clients, &home.join("crowd.log"));

    let started = Instant::now();
    for _ in 0..5 {
        daemon.ctl_ok(["list", "sessions"]);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "root waited for {:?}", started.elapsed());
    target.disconnect_all(true);
    eventually("the session again", LIMIT, || {
        let again = target.logins().iter().filter(|login| login.succeeded).count() == 2;
        let up = || daemon.session(TARGET).is_some_and(|session| session.state == SessionState::Active);
        (again && up()).then_some(())
    });
    assert!(daemon.descriptors() < descriptors, "{} descriptors", daemon.descriptors());
    let warnings: Vec<String> = daemon.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    assert!(warnings.len() < 12, "{warnings:#?}");
}

// check: strangers-take-no-descriptors
#[test]
fn with_256_descriptors_363_clients_of_another_user_keep_nothing_from_root() {
    root_is_served(256, 363);
}

// check: strangers-take-no-descriptors
#[test]
fn with_40_descriptors_120_clients_of_another_user_keep_nothing_from_root() {
    root_is_served(40, 120);
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    if !need(&["prlimit"]) {
        return;
    }
    let (soft, hard) = (64, 5000);
    let daemon = Daemon::start_with_limits(soft, hard);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("its limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("that of descriptors");
    assert_eq!(line.split_whitespace().filter(|word| *word == "5000").count(), 2, "{line}");
}
