//! Many sessions, many tasks, and none: what one more costs.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use iscsi_proto::keys::Offer;
use iscsid::load::Load;
use iscsid::selftest::lab::Lab;
use nix::sys::resource::UsageWho;
use tokio::task::JoinSet;

use super::shape::Shape;
use super::usage::cpu_time;
use super::{Run, target};

/// Runs `shape` on each of `sessions` sessions at the same time, over as many threads as there are processors,
/// as the daemon's lanes do.
pub(crate) fn run(address: SocketAddr, sessions: usize, shape: Shape, span: Duration) -> Run {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(sessions);
    // Once when all have logged in and warmed up, once when all have ended.
    let gate = Arc::new(Barrier::new(threads + 1));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (gate, share) = (gate.clone(), (sessions + thread) / threads);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let mut loads = Vec::new();
                runtime.block_on(async {
                    for _ in 0..share {
                        let lab = Lab::log_in(target::NAME, address, &Offer::default(), None).await.expect("a login");
                        let disk = lab.disk().expect("the null disk");
                        let mut load = Load::new(disk, shape.job()).expect("a shape that fits");
                        load.prepare().await;
                        load.run(Duration::from_millis(20)).await.expect("the null target does all");
                        loads.push((lab, load));
                    }
                });
                gate.wait();
                let (done, labs) = runtime.block_on(async {
                    let mut running = JoinSet::new();
                    for (lab, mut load) in loads {
                        running.spawn(async move {
                            let warm = load.measured().operations;
                            load.run(span).await.expect("the null target does all");
                            (load.measured().operations - warm, lab)
                        });
                    }
                    running.join_all().await.into_iter().unzip::<_, _, Vec<u64>, Vec<Lab>>()
                });
                gate.wait();
                runtime.block_on(async {
                    for lab in labs {
                        lab.log_out().await.expect("a logout");
                    }
                });
                done.into_iter().sum::<u64>()
            })
        })
        .collect();
    gate.wait();
    let (cpu, started) = (cpu_time(UsageWho::RUSAGE_SELF), Instant::now());
    gate.wait();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_time(UsageWho::RUSAGE_SELF) - cpu);
    let done = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum::<u64>() as f64;
    Run { done, seconds, cpu, calls: None }
}

/// Processor seconds that so many sessions take in `span` without any I/O.
pub(crate) async fn idle(address: SocketAddr, sessions: usize, span: Duration) -> f64 {
    let mut labs = Vec::new();
    for _ in 0..sessions {
        labs.push(Lab::log_in(target::NAME, address, &Offer::default(), None).await.expect("a login"));
    }
    let cpu = cpu_time(UsageWho::RUSAGE_SELF);
    // What is measured is the passing of time.
    tokio::time::sleep(span).await;
    let cpu = cpu_time(UsageWho::RUSAGE_SELF) - cpu;
    for lab in labs {
        lab.log_out().await.expect("a logout");
    }
    cpu
}
