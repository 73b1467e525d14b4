//! The port of the NFS export as launchd and systemd hold it: bound before the daemon runs and after it has died.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::process;

/// What a service manager does between fork and exec: the socket becomes descriptor 3, and the process is told.
const MANAGER: &str = "
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='NFS')
os.execv(sys.argv[2], sys.argv[2:])
";

/// A socket that is held for the daemon, for as long as this lives.
pub(crate) struct HeldPort {
    socket: TcpListener,
}

impl HeldPort {
    /// Any port. The processes that this one starts from now on inherit it.
    pub(crate) fn take() -> HeldPort {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("a flag of a descriptor");
        HeldPort { socket }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("bound").port()
    }

    /// The daemon's command, with the socket handed over. It takes python3.
    pub(crate) fn handed_to(&self, daemon: &Command) -> Command {
        let mut command = Command::new("python3");
        command.args(["-c", MANAGER]).arg(self.socket.as_raw_fd().to_string()).arg(daemon.get_program());
        process::continue_with(&mut command, daemon);
        command
    }
}
