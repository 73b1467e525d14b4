//! The user kernel against the simulated target's null mode, over loopback TCP.
//!
//! The target runs in a process of its own (this program, started again), so that what is counted here
//! is ours alone: I/Os per second, system calls and allocations per I/O, CPU time per I/O. With `--test`
//! the rounds are short, and the program fails if the counts (never the times) exceed their budgets.

use std::alloc::System;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use iscsi_proto::keys::{DigestOffer, Offer};
use iscsid::load::Load;
use iscsid::selftest::lab::Lab;
use nix::sys::resource::UsageWho;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use self::again::Again;
use self::shape::Shape;
use self::usage::cpu_time;

#[path = "shared/again.rs"]
mod again;
#[path = "shared/shape.rs"]
mod shape;
#[path = "shared/target.rs"]
mod target;
#[path = "shared/usage.rs"]
mod usage;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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
    again::serve(&[("target", target::serve)]);
    let target = Again::start("target");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let check = std::env::args().any(|word| word == "--test");
    let ok = runtime.block_on(measure(target.address, check));
    drop(target);
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(address: SocketAddr, check: bool) -> bool {
    let span = if check { Duration::from_millis(500) } else { Duration::from_secs(3) };
    println!(
        "{:<30} {:>10} {:>9} {:>10} {:>13} {:>12}",
        "", "I/Os per s", "MB/s", "CPU us/I/O", "syscalls/I/O", "allocs/I/O"
    );
    let mut ok = true;
    for (name, write, bytes, depth, digests) in CASES {
        let digest = if digests { DigestOffer::Crc32c } else { DigestOffer::None };
        let offer = Offer { header_digest: digest, data_digest: digest, ..Offer::default() };
        let lab = Lab::log_in(target::NAME, address, &offer, None).await.expect("a login");
        let disk = lab.disk().expect("the null disk");
        let mut load = Load::new(disk, Shape { write, bytes, depth }.job()).expect("a shape that fits");
        load.prepare().await;
        load.run(span / 4).await.expect("the null target does all");
        let warm = load.measured().operations;
        let (before, cpu, region) = (lab.stats(), cpu_time(UsageWho::RUSAGE_SELF), Region::new(ALLOCATOR));
        let started = Instant::now();
        load.run(span).await.expect("the null target does all");
        let seconds = started.elapsed().as_secs_f64();
        let (allocated, after) = (region.change(), lab.stats());
        let cpu = cpu_time(UsageWho::RUSAGE_SELF) - cpu;
        let done = (load.measured().operations - warm) as f64;
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
        drop(load);
        lab.log_out().await.expect("a logout");
    }
    ok
}
