//! What the extension's way costs, beside the user kernel's: the same target, the same I/O, one after the other.
//!
//! `cargo nextest run --release --test kernel_sim --run-ignored only cost --no-capture`, with `ISCSI_KERNEL_SIM` a build without sanitizers
//! (`make -C kext-shim harness SANITIZE=`) and `ISCSI_KERNEL_SIM_SEED=0`.

use std::time::{Duration, Instant};

use bytemuck::{bytes_of, pod_read_unaligned};
use iscsi_proto::keys::Offer;
use iscsid::block::{Op, run};
use iscsid::selftest::lab::Lab;
use nix::sys::resource::{UsageWho, getrusage};

use crate::client::{FRAME_BENCH, FrameBench, FrameBenched, SUCCESS};
use crate::common::process::need;
use crate::sim::{Sim, disk, log_in_to};
use crate::targets::{Spec, Target, Tgt};

const SPAN: Duration = Duration::from_secs(3);

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    let span = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    span(usage.user_time()) + span(usage.system_time())
}

/// I/O per second and microseconds of CPU per I/O of the user kernel.
async fn user_kernel(target: &Target, bytes: u32, depth: u32) -> (f64, f64) {
    let lab = Lab::log_in(&target.iqn, target.ipv4().parse().expect("an address"), &Offer::default(), None)
        .await
        .expect("a login");
    let disk = lab.disk().expect("a disk");
    let places = disk.geometry().blocks * 512 / u64::from(bytes);
    let (begin, before) = (Instant::now(), cpu());
    let workers: Vec<_> = (0..depth)
        .map(|worker| {
            let disk = disk.clone();
            tokio::spawn(async move {
                let (mut ios, mut random) = (0u64, 88_172_645_463_325_252 + u64::from(worker));
                while begin.elapsed() < SPAN {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let buffer = disk.pool().try_get(bytes as usize).expect("budget");
                    let lba = random % places * u64::from(bytes / 512);
                    run(&*disk, Op::Read, lba, bytes / 512, Some(buffer)).await.expect("read");
                    ios += 1;
                }
                ios
            })
        })
        .collect();
    let mut ios = 0;
    for worker in workers {
        ios += worker.await.expect("no panic");
    }
    let (span, used) = (begin.elapsed(), cpu() - before);
    lab.log_out().await.expect("a logout");
    (ios as f64 / span.as_secs_f64(), used.as_secs_f64() * 1e6 / ios as f64)
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cost() {
    assert!(need(Tgt::TOOLS), "a target");
    let target = Tgt::start(&Spec::new().bytes(256 << 20));
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let connection = log_in_to(&target.iqn, target.ipv4().parse().expect("an address"), "None").await;
    let created = daemon.create(&connection, 0).expect("a session");
    drop(connection);
    disk(&mut daemon);
    const LOADS: [(u32, u32); 4] = [(4096, 1), (4096, 32), (65_536, 8), (262_144, 8)];
    for (bytes, depth) in LOADS {
        let asked = FrameBench { bytes, depth, milliseconds: SPAN.as_millis() as u32, writes: 0 };
        let (code, data) = daemon.call(FRAME_BENCH, bytes_of(&asked), size_of::<FrameBenched>() as u32, &[]);
        assert_eq!(code, SUCCESS);
        let done: FrameBenched = pod_read_unaligned(&data);
        assert_eq!(done.failed, 0);
        show(
            "extension",
            bytes,
            depth,
            (done.ios as f64 / (done.nanoseconds as f64 / 1e9), done.cpu_nanoseconds as f64 / 1e3 / done.ios as f64),
        );
    }
    daemon.log_out(created.session);
    sim.end(&mut daemon);
    // Not before: it logs in as the same initiator port.
    for (bytes, depth) in LOADS {
        show("user kernel", bytes, depth, user_kernel(&target, bytes, depth).await);
    }
}

fn show(who: &str, bytes: u32, depth: u32, (rate, each): (f64, f64)) {
    println!("{who:>12}, {bytes:>6} bytes, depth {depth:>2}: {rate:>7.0} I/O per s, {each:>5.1} us of CPU each");
}
