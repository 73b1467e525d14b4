use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::daemon::LIMIT;
use crate::common::need;
use crate::common::process::{self, Process, eventually};
use crate::common::program;
use crate::mac::mac;

/// What launchd does for a job with three sockets: it listens, and then its process becomes the daemon, which may take
/// them.
const LAUNCHD: &str = "
import os, socket, sys
listeners = [socket.socket(socket.AF_UNIX) for name in ('Other', 'Control')]
for listener, path in zip(listeners, sys.argv[1:3]):
    listener.bind(path)
    listener.listen()
listeners.append(socket.create_server(('127.0.0.1', 0)))
print('NFS is at port %d' % listeners[-1].getsockname()[1], flush=True)
for number, listener in enumerate(listeners, 3):
    os.dup2(listener.fileno(), number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_FDS='3', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='Other:Control:NFS')
os.execv(sys.argv[3], sys.argv[3:])
";

#[test]
fn the_daemon_takes_the_sockets_that_its_job_calls_control_and_nfs_and_no_other() {
    let Some((mac, home)) = mac() else { return };
    if !need(&["python3"]) {
        return;
    }
    std::fs::create_dir(home.runtime_dir()).expect("a runtime directory");
    let socket = home.runtime_dir().join("control.sock");
    let daemon = mac.daemon(&home);
    let mut command = Command::new("python3");
    command.args(["-c", LAUNCHD]).arg(home.dir().join("other.sock")).arg(&socket).arg(program::under_test());
    process::continue_with(&mut command, &daemon);
    let mut daemon = Process::start(&command, &home.dir().join("iscsid.log"));
    eventually("the socket", LIMIT, || socket.exists().then_some(()));
    // The first attempt waits until the daemon is up.
    let output = home.ctl(["show", "initiator"]);
    assert_eq!(output.code, 0, "{}\n{}", output.stderr, daemon.log());
    assert!(daemon.log().contains("the control socket was handed over"), "{}", daemon.log());
    let taken: Vec<_> = mac.log().into_iter().filter(|line| line.starts_with("launchd")).collect();
    assert_eq!(taken, ["launchd gave 1 of Control", "launchd gave 1 of NFS"]);
    let log = daemon.log();
    let port = log.lines().find_map(|line| line.strip_prefix("NFS is at port ")).expect("launchd says it");
    assert!(log.contains(&format!("units are exported by NFS at port {port} of 127.0.0.1")), "{log}");
    assert!(daemon.stop(Signal::SIGTERM, LIMIT).success());
    assert!(socket.exists(), "it belongs to who made it");
}

#[test]
fn a_daemon_that_launchd_did_not_start_listens_for_itself() {
    let Some((mac, home)) = mac() else { return };
    let daemon = mac.start(home);
    assert!(daemon.log().contains("launchd has no socket Control for iscsid"), "{}", daemon.log());
    assert_eq!(daemon.ctl(["show", "initiator"]).code, 0);
    daemon.stop();
}
