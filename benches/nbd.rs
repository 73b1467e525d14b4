//! The NBD server alone: a client of our own on a Unix socket, a unit that completes every operation
//! at once.
//!
//! ```text
//!   this thread: client ── 32 requests, one write ──► a thread: serve ──► Null
//!                       ◄── replies, one read ───────
//! ```
//! The client sends as many requests as there is room for by one write and takes all replies that are
//! there by one read, so that what is measured is the server: I/Os per second, CPU time of its thread,
//! its reads, writes and sleeps, and allocations (of the client as well, which has none). With `--test`
//! the rounds are short, and the program fails if the counts (never the times) exceed their budgets.

use std::alloc::System;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscsid::block::{Block, Geometry, Io, Pool, Registry};
use iscsid::export::nbd::serve;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The client is not told the block size, and so gets no larger one without patching.
const BLOCK: u32 = 512;
const BLOCKS: u64 = 1 << 31;
const EXPORT: &str = "null/0";

/// What is measured: name, write, bytes, depth, reads and writes per I/O that `--test` allows.
const CASES: [(&str, bool, usize, usize, f64); 9] = [
    ("read 4 KiB, depth 1", false, 4 << 10, 1, 2.1),
    ("read 4 KiB, depth 32", false, 4 << 10, 32, 0.25),
    ("read 4 KiB, depth 128", false, 4 << 10, 128, 0.25),
    ("write 4 KiB, depth 1", true, 4 << 10, 1, 2.1),
    ("write 4 KiB, depth 32", true, 4 << 10, 32, 0.5),
    ("write 4 KiB, depth 128", true, 4 << 10, 128, 0.5),
    ("read 256 KiB, depth 8", false, 256 << 10, 8, 8.0),
    ("write 256 KiB, depth 8", true, 256 << 10, 8, 20.0),
    ("read 1 MiB, depth 1", false, 1 << 20, 1, 16.0),
];

/// A unit that has done everything before it is asked.
struct Null {
    pool: Pool,
}

impl Block for Null {
    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: BLOCK,
            blocks: BLOCKS,
            physical_block_size: 4096,
            max_transfer: 1 << 20,
            optimal_transfer: 1 << 20,
            max_unmap_blocks: 0,
            max_zero_blocks: 0,
            read_only: false,
            write_cache: true,
            rotational: false,
            slow_zeroes: false,
        }
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        for io in batch.drain(..) {
            io.completion.finish(Ok(()), io.buffer);
        }
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }
}

fn main() -> ExitCode {
    let check = std::env::args().any(|word| word == "--test");
    let span = if check { Duration::from_millis(300) } else { Duration::from_secs(2) };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nbd.sock");
    let stop = CancellationToken::new();
    let (ready, started) = std::sync::mpsc::channel();
    let server = std::thread::spawn({
        let (path, stop) = (path.clone(), stop.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let registry = Arc::new(Registry::default());
                registry.insert(EXPORT.to_owned(), Arc::new(Null { pool: Pool::new(64 << 20) }));
                let listener = tokio::net::UnixListener::bind(path).expect("a socket");
                ready.send(Thread::this()).expect("the client waits");
                serve(listener, 256, registry, stop).await;
            });
        }
    });
    let thread = started.recv().expect("the server starts");
    println!(
        "{:<24} {:>10} {:>9} {:>10} {:>15} {:>11} {:>12}",
        "", "I/Os per s", "MB/s", "CPU us/I/O", "reads, writes/I/O", "sleeps/I/O", "allocs/I/O"
    );
    let mut ok = true;
    for (name, write, bytes, depth, budget) in CASES {
        let mut client = Client::connect(&path, write, bytes, depth).expect("a handshake");
        client.run(span / 4).expect("replies");
        let (before, region, began) = (thread.usage(), Region::new(ALLOCATOR), Instant::now());
        let done = client.run(span).expect("replies") as f64;
        let (seconds, allocated, after) = (began.elapsed().as_secs_f64(), region.change(), thread.usage());
        let used = after.minus(&before);
        let calls = used.calls / done;
        let allocations = (allocated.allocations + allocated.reallocations) as f64;
        println!(
            "{name:<24} {:>10.0} {:>9.0} {:>10.2} {calls:>17.3} {:>11.3} {:>12.5}",
            done / seconds,
            done * bytes as f64 / seconds / 1e6,
            used.cpu * 1e6 / done,
            used.sleeps / done,
            allocations / done
        );
        // A handful per run is growth of a queue to its working size; per I/O there must be none.
        if allocations > 64.0 && allocations / done > 0.001 {
            println!("  too many allocations: {allocations} in {done} I/Os");
            ok = false;
        }
        if check && calls > budget {
            println!("  too many system calls: {calls:.3} per I/O, {budget} allowed");
            ok = false;
        }
    }
    stop.cancel();
    server.join().expect("the server's thread");
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The server's thread, as the system knows it.
struct Thread {
    #[cfg(target_os = "linux")]
    id: i32,
}

/// What a thread has used so far.
#[derive(Default)]
struct Usage {
    /// Seconds.
    cpu: f64,
    /// Reads and writes, of any kind.
    calls: f64,
    /// How often it went to sleep.
    sleeps: f64,
}

impl Usage {
    fn minus(&self, before: &Usage) -> Usage {
        Usage { cpu: self.cpu - before.cpu, calls: self.calls - before.calls, sleeps: self.sleeps - before.sleeps }
    }
}

#[cfg(target_os = "linux")]
impl Thread {
    fn this() -> Thread {
        Thread { id: nix::unistd::gettid().as_raw() }
    }

    /// What `/proc` says (proc_pid_io(5), proc_pid_status(5)); zeroes where this kernel does not count.
    fn usage(&self) -> Usage {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/self/task/{}/{file}", self.id)).unwrap_or_default();
        let field = |text: &str, name: &str| -> f64 {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            value.trim().parse().expect("a number")
        };
        let io = read("io");
        let running = read("schedstat");
        Usage {
            cpu: running.split(' ').next().unwrap_or_default().parse::<f64>().unwrap_or_default() / 1e9,
            calls: field(&io, "syscr:") + field(&io, "syscw:"),
            sleeps: field(&read("status"), "voluntary_ctxt_switches:"),
        }
    }
}

/// Elsewhere nothing tells of one thread.
#[cfg(not(target_os = "linux"))]
impl Thread {
    fn this() -> Thread {
        Thread {}
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// A client that does sequential I/O at a depth, with simple replies.
struct Client {
    stream: UnixStream,
    write: bool,
    bytes: usize,
    depth: usize,
    offset: u64,
    requests: Vec<u8>,
    replies: Vec<u8>,
    /// Received and not yet understood: where it ends in `replies`.
    filled: usize,
}

const REPLY_LEN: usize = 16;
const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const OPTION_EXPORT_NAME: u32 = 1;

impl Client {
    /// Connects and chooses the export by the protocol's oldest way, which has no replies to read.
    fn connect(path: &std::path::Path, write: bool, bytes: usize, depth: usize) -> io::Result<Client> {
        let mut stream = UnixStream::connect(path)?;
        stream.read_exact(&mut [0; 18])?;
        let mut greeting = 3u32.to_be_bytes().to_vec();
        greeting.extend_from_slice(OPTION_MAGIC);
        greeting.extend_from_slice(&OPTION_EXPORT_NAME.to_be_bytes());
        greeting.extend_from_slice(&(EXPORT.len() as u32).to_be_bytes());
        greeting.extend_from_slice(EXPORT.as_bytes());
        stream.write_all(&greeting)?;
        stream.read_exact(&mut [0; 10])?;
        let room = if write { 64 << 10 } else { (depth * (REPLY_LEN + bytes)).min(4 << 20) };
        Ok(Client {
            stream,
            write,
            bytes,
            depth,
            offset: 0,
            requests: Vec::with_capacity(depth * (28 + if write { bytes } else { 0 })),
            replies: vec![0; room],
            filled: 0,
        })
    }

    /// Keeps `depth` requests under way for `span`, and says how many were answered.
    fn run(&mut self, span: Duration) -> io::Result<u64> {
        let until = Instant::now() + span;
        let (mut open, mut done) = (0, 0);
        loop {
            if Instant::now() < until {
                self.requests.clear();
                for _ in open..self.depth {
                    self.request();
                }
                open = self.depth;
                self.stream.write_all(&self.requests)?;
            } else if open == 0 {
                return Ok(done);
            }
            let answered = self.receive()?;
            open -= answered;
            done += answered as u64;
        }
    }

    fn request(&mut self) {
        self.requests.extend_from_slice(&0x2560_9513u32.to_be_bytes());
        self.requests.extend_from_slice(&[0, 0, 0, u8::from(self.write)]);
        self.requests.extend_from_slice(&7u64.to_be_bytes());
        self.requests.extend_from_slice(&self.offset.to_be_bytes());
        self.requests.extend_from_slice(&(self.bytes as u32).to_be_bytes());
        if self.write {
            self.requests.resize(self.requests.len() + self.bytes, 0x5a);
        }
        self.offset = (self.offset + self.bytes as u64) % (BLOCKS * u64::from(BLOCK));
    }

    /// Waits for replies and says how many there were.
    fn receive(&mut self) -> io::Result<usize> {
        let length = REPLY_LEN + if self.write { 0 } else { self.bytes };
        let mut answered = 0;
        while answered == 0 {
            let n = self.stream.read(&mut self.replies[self.filled..])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += n;
            while self.filled >= (answered + 1) * length {
                let reply = &self.replies[answered * length..][..REPLY_LEN];
                assert_eq!(reply[..8], [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0], "a simple reply without an error");
                answered += 1;
            }
        }
        self.replies.copy_within(answered * length..self.filled, 0);
        self.filled -= answered * length;
        Ok(answered)
    }
}
