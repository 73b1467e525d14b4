//! What service managers do: a control socket that is there before the daemon, as of systemd and launchd, and a port that is
//! held when it is gone; and what systemd is told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::daemon::{Daemon, Home, LIMIT};
use crate::common::process::{Process, eventually};
use crate::common::{HeldPort, need, process, program};

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

/// Another user, who tries to listen at a port in every way that there is. Where he can he says so, and stays.
const ATTACKER: &str = "
import errno, itertools, os, socket, sys, time
port = int(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
mine = []
for (family, address), options in itertools.product(
        ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::'), (socket.AF_INET6, '::ffff:127.0.0.1')),
        ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT))):
    try:
        listener = socket.socket(family)
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, port))
        listener.listen()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        continue
    print('listens at', address, options, flush=True)
    mine.append(listener)
print('done', flush=True)
while mine:
    time.sleep(1)
";

/// He has tried everything; what he said.
fn attacked(home: &Home, port: u16) -> (Process, String) {
    let mut command = Command::new("python3");
    command.args(["-c", ATTACKER, &port.to_string()]);
    let attacker = Process::start(&command, &home.dir().join("attacker.log"));
    let said = eventually("the end of the attempts", LIMIT, || Some(attacker.log()).filter(|log| log.contains("done")));
    (attacker, said)
}

/// The NULL call of NFS version 3, without credentials (RFC 5531, RFC 1813 §3.3.0).
fn call_null(stream: &mut TcpStream, xid: u32) {
    let words = [1 << 31 | 40, xid, 0, 2, 100_003, 3, 0, 0, 0, 0, 0];
    let call: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    stream.write_all(&call).expect("it is sent");
}

fn heard_null(stream: &mut TcpStream, xid: u32) {
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut reply = [0; 28];
    stream.read_exact(&mut reply).expect("a reply");
    let words: Vec<u32> =
        reply.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("four bytes"))).collect();
    assert_eq!(words, [1 << 31 | 24, xid, 1, 0, 0, 0, 0]);
}

// check: held-port-is-never-free
#[test]
fn a_port_that_is_held_is_nobody_else_s_and_clients_wait_there_for_the_next_daemon() {
    if !need(&["python3"]) {
        return;
    }
    let (held, home) = (HeldPort::take(), Home::new());
    let command = held.handed_to(&home.daemon());
    let daemon = Daemon::start_as(home, &command);
    let exported = format!("units are exported by NFS at port {} of 127.0.0.1", held.port());
    assert!(daemon.log().contains(&exported) && daemon.log().contains("is held for iscsid"), "{}", daemon.log());
    let mut client = TcpStream::connect(("127.0.0.1", held.port())).expect("a connection");
    call_null(&mut client, 1);
    heard_null(&mut client, 1);

    let home = daemon.crash();
    let (_, said) = attacked(&home, held.port());
    assert_eq!(said, "done\n");
    let mut client = TcpStream::connect(("127.0.0.1", held.port())).expect("it waits in the backlog");
    call_null(&mut client, 2);

    let command = held.handed_to(&home.daemon());
    let daemon = Daemon::start_as(home, &command);
    heard_null(&mut client, 2);
    assert!(daemon.log().contains(&exported) && !daemon.log().contains("another program has port"), "{}", daemon.log());
}

// check: held-port-is-never-free
#[test]
fn a_port_that_only_the_daemon_holds_may_be_had_when_it_is_gone_and_the_next_one_goes_elsewhere() {
    if !need(&["python3"]) {
        return;
    }
    let port = |log: &str| -> u16 {
        let (_, rest) = log.split_once("units are exported by NFS at port ").expect("it is exported");
        rest.split(' ').next().and_then(|port| port.parse().ok()).expect("a port")
    };
    let daemon = Daemon::start();
    let before = port(&daemon.log());
    let home = daemon.crash();
    let (_attacker, said) = attacked(&home, before);
    assert!(said.starts_with("listens at 127.0.0.1"), "{said}");
    let daemon = Daemon::start_in(home);
    assert!(daemon.log().contains(&format!("another program has port {before}")), "{}", daemon.log());
    assert_ne!(port(&daemon.log()), before);
}

// check: held-port-is-loopback-tcp
#[test]
fn a_socket_that_others_may_reach_is_not_taken_for_the_export() {
    if !need(&["python3"]) {
        return;
    }
    let home = Home::new();
    let mut command = Command::new("python3");
    command.args(["-c", OPEN_TO_ALL]).arg(program::under_test());
    process::continue_with(&mut command, &home.daemon());
    let daemon = Daemon::start_as(home, &command);
    let why = "for its NFS export is not used: it is at 0.0.0.0:";
    assert!(daemon.log().contains(why) && !daemon.log().contains("is held for iscsid"), "{}", daemon.log());
}

/// A service manager whose unit says `ListenStream=PORT`, without an address.
const OPEN_TO_ALL: &str = "
import os, socket, sys
listener = socket.create_server(('0.0.0.0', 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='NFS')
os.execv(sys.argv[1], sys.argv[1:])
";
