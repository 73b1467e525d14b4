//! The soak: four sessions under load, faults of every kind, nothing lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::common::daemon::{Daemon, Home};
use crate::common::need;
use crate::endpoints::Endpoint;
use crate::faults::{self, Kind, Schedule};
use crate::pattern::Noise;
use crate::setting;
use crate::tally::Tally;
use crate::targets::Tgt;

/// Requests under way on each session.
const DEPTH: u64 = 32;

/// Blocks of a unit: 32 MiB.
const BLOCKS: usize = 8192;

/// How long what is under way at the end may take.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run by `make soak` and `make soak-short`"]
async fn soak() {
    if !need(Tgt::TOOLS) {
        return;
    }
    let (faults, seconds) = (setting("FAULTS", 500), setting("SECONDS", 7200));
    let seed = setting("SEED", u64::from(getrandom::u32().expect("entropy")));
    println!("soak: FAULTS={faults} SEED={seed} SECONDS={seconds}");

    let tally = Arc::new(Tally::default());
    let home = Home::new();
    let endpoints = Endpoint::all(&home, BLOCKS, &tally).await;
    let mut victim = Victim::new(block_in_place(|| Daemon::start_in(home)));
    block_in_place(|| endpoints.iter().for_each(|endpoint| endpoint.configure(victim.daemon())));

    let (mut dice, mut workers) = (Noise::new(seed), JoinSet::new());
    for endpoint in &endpoints {
        endpoint.load.start(DEPTH, dice.next(), &mut workers);
    }
    try_join_all(
        endpoints.iter().map(|endpoint| faults::step(endpoint, "its load runs", endpoint.load.progress.more(500))),
    )
    .await
    .expect("every session works before it is disturbed");
    let memory_at_start = victim.daemon().resident_bytes();

    let schedule = Schedule::new(faults, setting("KILL_EVERY", 50).max(1), seconds);
    let mut trouble = disturb(&endpoints, &schedule, &mut victim, &mut dice).await.err();
    let memory_at_end = victim.daemon().resident_bytes();
    if trouble.is_none() {
        trouble = finish(&endpoints, workers, &tally).await.err();
    } else {
        workers.abort_all();
    }

    for (kind, count) in schedule.by_kind() {
        println!("  {count:6}  {kind}");
    }
    println!("  {:6}  faults injected in {:.0} s", schedule.injected(), schedule.elapsed().as_secs_f64());
    let (reads, writes, flushes) = (tally.reads.load(Relaxed), tally.writes.load(Relaxed), tally.flushes.load(Relaxed));
    println!("  {:6}  I/Os done ({reads} reads, {writes} writes, {flushes} flushes)", reads + writes + flushes);
    println!("  {:6}  of them issued again after the daemon had been killed", tally.issued_again.load(Relaxed));
    for (what, count) in tally.must_be_zero() {
        println!("  {count:6}  {what}");
    }
    println!("  {:4.1} s  longest stall of a request", tally.longest_wait().as_secs_f64());
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "  {:.1} MiB at the start, {:.1} MiB at the end: the daemon's memory",
        mib(memory_at_start),
        mib(memory_at_end)
    );

    println!("the daemon's logs are in {}", victim.keep_logs().display());
    assert_eq!(trouble, None);
    for (what, count) in tally.must_be_zero() {
        assert_eq!(count, 0, "{what}");
    }
}

/// Breaks everything until the schedule is through.
async fn disturb(
    endpoints: &[Endpoint],
    schedule: &Schedule,
    victim: &mut Victim,
    dice: &mut Noise,
) -> Result<(), String> {
    let torments = try_join_all(endpoints.iter().map(|endpoint| faults::torment(endpoint, schedule, dice.next())));
    let kills = async {
        let mut kills = 0;
        while let Some(number) = schedule.kill_due(kills).await {
            let started = Instant::now();
            block_in_place(|| victim.kill());
            try_join_all(endpoints.iter().map(|endpoint| {
                faults::step(endpoint, "its load goes on without a command", endpoint.load.progress.more(faults::AGAIN))
            }))
            .await
            .map_err(|error| format!("fault {number}, {}: {error}", Kind::DaemonKilled))?;
            let seconds = started.elapsed().as_secs_f64();
            schedule.log(number, "iscsid", &format!("{}: all back after {seconds:.1} s", Kind::DaemonKilled));
            kills += 1;
        }
        Ok(())
    };
    tokio::pin!(torments);
    tokio::select! {
        result = &mut torments => result.map(|_| ()),
        Err(error) = kills => Err(error),
    }
}

/// Ends the load and compares everything: as the daemon reads it, and as the targets have it.
async fn finish(endpoints: &[Endpoint], mut workers: JoinSet<()>, tally: &Tally) -> Result<(), String> {
    endpoints.iter().for_each(|endpoint| endpoint.load.stop());
    let ended = async {
        while let Some(ended) = workers.join_next().await {
            ended.map_err(|error| format!("a worker: {error}"))?;
        }
        Ok::<(), String>(())
    };
    timeout(LIMIT, ended).await.map_err(|_| "requests are still under way long after the last fault".to_owned())??;
    for endpoint in endpoints {
        faults::step(endpoint, "everything is read back", endpoint.load.sweep()).await?;
        let memory = &endpoint.load.memory;
        let bytes = endpoint.medium().bytes(memory.bytes());
        let damage = memory.compare(&(0..BLOCKS as u64), &bytes);
        tally.damage(&format!("{} at the target", endpoint.load.unit), &damage);
    }
    Ok(())
}

/// The daemon that is killed again and again; its logs stay.
struct Victim {
    daemon: Option<Daemon>,
    lives: u32,
}

impl Victim {
    fn new(daemon: Daemon) -> Victim {
        Victim { daemon: Some(daemon), lives: 1 }
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it is there but for the moment of its death")
    }

    fn kill(&mut self) {
        let home = self.daemon.take().expect("a daemon").crash();
        let log = home.dir().join("iscsid.log");
        std::fs::rename(&log, home.dir().join(format!("iscsid-{}.log", self.lives))).expect("its log");
        self.lives += 1;
        self.daemon = Some(Daemon::start_in(home));
    }

    /// Copies the logs to where they outlast this run.
    fn keep_logs(&self) -> PathBuf {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).expect("a directory");
        for entry in std::fs::read_dir(self.daemon().home().dir()).expect("the daemon's directory").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                std::fs::copy(entry.path(), kept.join(entry.file_name())).expect("a copy");
            }
        }
        kept
    }
}
