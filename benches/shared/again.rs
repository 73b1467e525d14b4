//! This program, started again as a server: what it does is not counted as ours.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// In its environment: which server it is to be.
const SERVE: &str = "ISCSID_BENCH_SERVE";

/// A server: it is to say where it listens, and to end with its standard input.
pub(crate) type Serve = fn(ready: fn(SocketAddr));

/// A server that runs until this is dropped.
pub(crate) struct Again {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// To be called before anything else: where this process is to be a server, it is, and ends with it.
pub(crate) fn serve(servers: &[(&str, Serve)]) {
    let Some(name) = std::env::var_os(SERVE) else { return };
    let (_, serve) = servers.iter().find(|(known, _)| name == *known).expect("a server of that name");
    serve(|address| println!("{address}"));
    std::process::exit(0);
}

impl Again {
    pub(crate) fn start(name: &str) -> Again {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .env(SERVE, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server's process starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        Again { process, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().expect("the server's process ends");
        assert!(status.success(), "the server has something to complain about");
    }
}
