//! The user kernel against the simulated target's null mode, over loopback TCP.
//!
//! The target runs in a process of its own (this program, started again), so that what is counted here
//! is ours alone: I/Os per second, system calls and allocations per I/O, CPU time per I/O. With `--test`
//! the rounds are short, and the program fails if the counts (never the times) exceed their budgets.

use std::alloc::System;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use iscsid::kernel_bridge::user::block::{Block, Buffer, Completions, Io, Op};
use iscsid::lab::Lab;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use sim_target::{SimDisk, SimTarget};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TARGET: &str = "iqn.2026-11.org.iscsid.bench:null";
const SERVE: &str = "ISCSID_BENCH_SERVE";
const BLOCK: u32 = 4096;

/// What is measured: name, write, bytes, depth, keys.
const CASES: [(&str, bool, usize, usize, bool); 8] = [
    ("read 4 KiB, depth 1", false, 4 << 10, 1, false),
    ("read 4 KiB, depth 32", false, 4 << 10, 32, false),
    ("read 4 KiB, depth 128", false, 4 << 10, 128, false),
    ("write 4 KiB, depth 32", true, 4 << 10, 32, false),
    ("read 256 KiB, depth 32", false, 256 << 10, 32, false),
    ("write 256 KiB, depth 32", true, 256 << 10, 32, false),
    ("read 1 MiB, depth 8", false, 1 << 20, 8, false),
    ("read 1 MiB, depth 8, digests", false, 1 << 20, 8, true),
];

/// System calls per I/O at 4 KiB and depth 32: the budget.
const SYSCALLS_AT_DEPTH_32: f64 = 0.25;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if std::env::var_os(SERVE).is_some() {
        runtime.block_on(serve());
        return ExitCode::SUCCESS;
    }
    let check = std::env::args().any(|word| word == "--test");
    let mut target = Command::new(std::env::current_exe().expect("this program"))
        .env(SERVE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the target's process starts");
    let mut line = String::new();
    BufReader::new(target.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
    let address: SocketAddr = line.trim().parse().expect("an address");
    let ok = runtime.block_on(measure(address, check));
    drop(target.stdin.take());
    target.wait().expect("the target's process ends");
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The target: until standard input ends.
async fn serve() {
    let disk = SimDisk::new(1 << 28, BLOCK).null();
    let builder = SimTarget::builder(TARGET).lun(0, disk).record_commands(false);
    let target = builder.start().await.expect("a free port");
    println!("{}", target.address());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.expect("the pipe");
    assert_eq!(target.violations(), Vec::<String>::new());
}

async fn measure(address: SocketAddr, check: bool) -> bool {
    let span = if check { Duration::from_millis(500) } else { Duration::from_secs(3) };
    println!(
        "{:<30} {:>10} {:>9} {:>10} {:>13} {:>12}",
        "", "I/Os per s", "MB/s", "CPU us/I/O", "syscalls/I/O", "allocs/I/O"
    );
    let mut ok = true;
    for (name, write, bytes, depth, digests) in CASES {
        let keys: &[_] = if digests { &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")] } else { &[] };
        let lab = Lab::log_in(TARGET, address, keys, None).await.expect("a login");
        let disk = lab.disk().expect("the null disk");
        let mut load = Load::new(bytes, depth, write);
        load.run(&*disk, span / 4).await;
        let (before, cpu, region) = (lab.stats(), cpu_time(), Region::new(ALLOCATOR));
        let started = Instant::now();
        let done = load.run(&*disk, span).await as f64;
        let seconds = started.elapsed().as_secs_f64();
        let (allocated, cpu, after) = (region.change(), cpu_time() - cpu, lab.stats());
        let calls = (after.receives - before.receives + after.sends - before.sends) as f64 / done;
        let allocations = (allocated.allocations + allocated.reallocations) as f64;
        println!(
            "{name:<30} {:>10.0} {:>9.0} {:>10.2} {calls:>13.3} {:>12.5}",
            done / seconds,
            done * bytes as f64 / seconds / 1e6,
            cpu * 1e6 / done,
            allocations / done
        );
        // A handful per run is growth of a queue to its working size; per I/O there must be none.
        if allocations > 64.0 && allocations / done > 0.001 {
            println!("  too many allocations: {allocations} in {done} I/Os");
            ok = false;
        }
        if check && bytes == 4 << 10 && depth == 32 && calls > SYSCALLS_AT_DEPTH_32 {
            println!("  too many system calls: {calls:.3} per I/O, {SYSCALLS_AT_DEPTH_32} allowed");
            ok = false;
        }
        drop(disk);
        lab.log_out().await.expect("a logout");
    }
    ok
}

/// User and system time of this process, in seconds.
fn cpu_time() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("our own usage");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// Sequential I/O at a depth, with buffers of its own that are used again and again.
struct Load {
    completions: std::sync::Arc<Completions>,
    batch: Vec<Io>,
    done: Vec<iscsid::kernel_bridge::user::block::Done>,
    spare: Vec<Buffer>,
    bytes: usize,
    depth: usize,
    op: Op,
    lba: u64,
}

impl Load {
    fn new(bytes: usize, depth: usize, write: bool) -> Load {
        Load {
            completions: Completions::new(),
            batch: Vec::with_capacity(depth),
            done: Vec::with_capacity(depth),
            spare: Vec::with_capacity(depth),
            bytes,
            depth,
            op: if write { Op::Write { fua: false } } else { Op::Read },
            lba: 0,
        }
    }

    async fn run(&mut self, disk: &dyn Block, span: Duration) -> u64 {
        let blocks = self.bytes as u32 / BLOCK;
        let end = disk.geometry().blocks - u64::from(blocks);
        let until = Instant::now() + span;
        let (mut open, mut completed) = (0, 0);
        loop {
            let more = Instant::now() < until;
            if !more && open == 0 {
                return completed;
            }
            while more && open < self.depth {
                let buffer = match self.spare.pop() {
                    Some(buffer) => buffer,
                    None => disk.pool().get(self.bytes).await,
                };
                let completion = self.completions.completion(0);
                self.batch.push(Io { op: self.op, lba: self.lba, blocks, buffer: Some(buffer), completion });
                self.lba = if self.lba >= end - u64::from(blocks) { 0 } else { self.lba + u64::from(blocks) };
                open += 1;
            }
            disk.submit(&mut self.batch);
            self.completions.wait(&mut self.done).await;
            for done in self.done.drain(..) {
                done.result.expect("the null target does all");
                self.spare.extend(done.buffer);
                open -= 1;
                completed += 1;
            }
        }
    }
}
