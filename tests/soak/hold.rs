//! Many sessions held for a while with I/O on every unit: what a session costs the daemon.
//!
//! ```text
//!   4 loads per session, a few requests under way on each ══ iscsid ══ 64 × sim-target
//! ```
//! Requests have two sizes, so that it is known how much of the memory is buffers: those grow with what is under
//! way, up to the budget of the pool.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sim_target::{SimDisk, SimTarget};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::common::daemon::{Daemon, Home};
use crate::load::Load;
use crate::memory::{Lengths, Memory};
use crate::pattern::{BLOCK, Noise};
use crate::setting;
use crate::tally::Tally;

/// Units of each session.
const UNITS: u32 = 4;

/// Requests under way on each unit.
const DEPTH: u64 = 2;

/// Blocks of a unit: 1 MiB.
const BLOCKS: usize = 256;

/// Requests of 4 KiB and of 64 KiB, which are sizes of the pool's buffers.
const LENGTHS: Lengths = Lengths::Either(1, 16);

/// What the pool of a session comes to hold: sooner or later all requests under way are of the one size,
/// and of the other.
const POOL: u64 = (UNITS as u64 * DEPTH * (4 + 64)) << 10;

/// What a session may cost beyond the buffer pool, in bytes.
const MOST_PER_SESSION: u64 = 1 << 20;

/// How long anything but the holding may take.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run by `make hold` and `make hold-short`"]
async fn hold() {
    let (sessions, seconds) = (setting("SESSIONS", 64), setting("SECONDS", 600));
    let seed = setting("SEED", u64::from(getrandom::u32().expect("entropy")));
    println!("hold: SESSIONS={sessions} SECONDS={seconds} SEED={seed}");

    let mut targets = Vec::new();
    for number in 0..sessions {
        let mut target = SimTarget::builder(&format!("iqn.2026-11.org.example:hold-{number}")).record_commands(false);
        for unit in 0..UNITS {
            target = target.lun(unit, SimDisk::new((BLOCKS * BLOCK / 512) as u64, 512));
        }
        targets.push(target.start().await.expect("a target"));
    }
    let home = Home::new();
    std::fs::write(home.config(), configuration(&targets)).expect("a configuration");
    let daemon = block_in_place(|| Daemon::start_in(home));
    let before = daemon.resident_bytes();
    block_in_place(|| daemon.ctl_ok(["login", "--all"]));
    let logged_in = daemon.resident_bytes();

    let (tally, mut dice, mut workers) = (Arc::new(Tally::default()), Noise::new(seed), JoinSet::new());
    let socket = daemon.home().runtime_dir().join("nbd.sock");
    let mut loads = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        for unit in 0..UNITS {
            let memory = Memory::new((number as u64) << 8 | u64::from(unit), BLOCKS, LENGTHS);
            let load = Load::new(socket.clone(), &format!("{}/{unit}", target.name()), memory, tally.clone());
            load.start(DEPTH, dice.next(), &mut workers);
            loads.push(load);
        }
    }
    let all_run = join_all(loads.iter().map(|load| load.progress.more(10)));
    timeout(LIMIT, all_run).await.expect("I/O on every unit of every session");

    let (until, mut most) = (Instant::now() + Duration::from_secs(seconds), 0);
    while Instant::now() < until {
        most = most.max(daemon.resident_bytes());
        tokio::time::sleep(Duration::from_secs(1).min(until.saturating_duration_since(Instant::now()))).await;
    }
    let at_end = daemon.resident_bytes();
    most = most.max(at_end);
    let still_run = join_all(loads.iter().map(|load| load.progress.more(10)));
    timeout(LIMIT, still_run).await.expect("I/O on every unit of every session, still");
    loads.iter().for_each(|load| load.stop());
    let ended = async { while workers.join_next().await.is_some_and(|ended| ended.is_ok()) {} };
    timeout(LIMIT, ended).await.expect("an end of the I/O");
    for load in &loads {
        timeout(LIMIT, load.sweep()).await.expect("everything is read back");
    }

    let (reads, writes) = (tally.reads.load(Relaxed), tally.writes.load(Relaxed));
    let kib = |bytes: u64| (bytes.saturating_sub(before) / sessions) >> 10;
    println!("  {sessions:6}  sessions, {} units, held for {seconds} s", sessions * u64::from(UNITS));
    println!("  {:6}  I/Os done ({reads} reads, {writes} writes)", reads + writes);
    for (what, count) in tally.must_be_zero() {
        println!("  {count:6}  {what}");
    }
    println!("  {:4.1} s  longest stall of a request", tally.longest_wait().as_secs_f64());
    println!("  {:.1} MiB the daemon before the first login", before as f64 / f64::from(1 << 20));
    println!("  {:6}  KiB per session after the login", kib(logged_in));
    println!("  {:6}  KiB per session at the most, with I/O and its NBD clients", kib(most));
    println!("  {:6}  KiB of it in the buffer pool", POOL >> 10);
    println!("  {:6}  KiB per session beyond the buffer pool", kib(most).saturating_sub(POOL >> 10));
    println!("  {:6}  KiB per session at the end", kib(at_end));
    for (what, count) in tally.must_be_zero() {
        assert_eq!(count, 0, "{what}");
    }
    let most_per_session = (most.saturating_sub(before) / sessions).saturating_sub(POOL);
    assert!(most_per_session < MOST_PER_SESSION, "{most_per_session} bytes per session beyond the buffer pool");
    for target in &targets {
        assert_eq!(target.violations(), Vec::<String>::new(), "{}", target.name());
    }
}

/// All targets, none logged in to by itself, no disk attached.
fn configuration(targets: &[SimTarget]) -> String {
    let mut all = String::new();
    for target in targets {
        let (name, port) = (target.name(), target.address().port());
        let portal = format!("<key>Address</key><string>127.0.0.1</string><key>Port</key><integer>{port}</integer>");
        write!(all, "<key>{name}</key><dict><key>Portals</key><array><dict>{portal}</dict></array>").expect("a text");
        all.push_str("<key>Attach</key><false/><key>AutoLogin</key><false/></dict>\n");
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Version</key><integer>1</integer><key>Targets</key><dict>
{all}</dict></dict></plist>
"#
    )
}
