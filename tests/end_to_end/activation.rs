//! What service managers do: a control socket that is there before the daemon, as of systemd and launchd; and what systemd is
//! told.

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::daemon::{Home, LIMIT};
use crate::common::process::{Process, eventually};
use crate::common::{need, program};

/// What a service manager does: it listens, and then the process becomes the daemon, which inherits.
const MANAGER: &str = "
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn the_daemon_answers_at_the_socket_that_it_inherits_and_leaves_it_behind() {
    if !need(&["python3"]) {
        return;
    }
    let home = Home::new();
    std::fs::create_dir(home.runtime_dir()).expect("a runtime directory");
    let socket = home.runtime_dir().join("control.sock");
    let mut command = Command::new("python3");
    command.args(["-c", MANAGER]).arg(&socket).arg(crate::common::program::under_test());
    command.arg("--config").arg(home.config()).arg("--runtime-dir").arg(home.runtime_dir());
    let mut daemon = Process::start(&command, &home.dir().join("iscsid.log"));
    eventually("the socket", LIMIT, || socket.exists().then_some(()));
    // Nobody is turned away meanwhile: the first attempt waits until the daemon is up.
    let output = home.ctl(["show", "initiator"]);
    assert_eq!(output.code, 0, "{}\n{}", output.stderr, daemon.log());
    assert!(daemon.log().contains("the control socket was handed over"), "{}", daemon.log());
    daemon.stop(Signal::SIGTERM, LIMIT);
    let kind = std::fs::metadata(&socket).expect("it belongs to who made it").file_type();
    assert!(kind.is_socket());
}

// check: end-service-manager
#[test]
fn systemd_is_told_when_the_daemon_answers_and_when_it_ends() {
    if !program::needs_linux("a Mac has no systemd to tell") {
        return;
    }
    let home = Home::new();
    let path = home.dir().join("notify.sock");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(LIMIT)).expect("a limit");
    let told = || {
        let mut text = [0; 4096];
        let length = manager.recv(&mut text).expect("a message");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut command = home.daemon();
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Process::start(&command, &home.dir().join("iscsid.log"));
    let ready = told();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert_eq!(home.ctl(["show", "initiator"]).code, 0, "it answers, as it says");
    assert!(daemon.stop(Signal::SIGTERM, LIMIT).success());
    let stopping = told();
    assert!(stopping.lines().any(|line| line == "STOPPING=1") && stopping.contains("STATUS="), "{stopping}");
}
