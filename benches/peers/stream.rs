//! TCP without a protocol: what the system moves from one process to another.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;

use super::Run;
use super::usage::cpu_time;

/// Bytes taken at once at most, which count as an I/O.
pub(crate) const BUFFER: usize = 256 << 10;

pub(crate) fn run(address: SocketAddr, span: Duration) -> Run {
    let mut stream = TcpStream::connect(address).expect("the target pours");
    let mut buffer = vec![0; BUFFER];
    let (mut bytes, mut calls) = (0, 0.0);
    let (cpu, started) = (cpu_time(UsageWho::RUSAGE_SELF), Instant::now());
    while started.elapsed() < span {
        bytes += stream.read(&mut buffer).expect("bytes");
        calls += 1.0;
    }
    Run {
        done: bytes as f64 / BUFFER as f64,
        seconds: started.elapsed().as_secs_f64(),
        cpu: cpu_time(UsageWho::RUSAGE_SELF) - cpu,
        calls: Some(calls),
    }
}

/// Sends zeroes to each client, as many as fit, until standard input ends.
pub(crate) fn serve(ready: fn(SocketAddr)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    ready(listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let zeroes = vec![0; BUFFER];
            // Until the client has enough.
            while connection.write_all(&zeroes).is_ok() {}
        }
    });
    std::io::stdin().lines().for_each(drop);
}
