//! `iscsictl bench`: a load on a unit of a live session, by the way that its exports take.
//!
//! ```text
//!   Workload ──► which unit ──► claim ──► buffers ──► Load ═════════► BenchReport
//!                                                      ▲
//!      client hangs up, logout, connection lost ───────┘ ends it; what is under way is waited for
//! ```
//! A load that writes has its unit for itself: no disk of this machine, no client of an export, no other load. It
//! keeps the claim until its last operation is answered, even after its client has gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::block::{Claim, IoError, Use};
use crate::daemon::progress::Progress;
use crate::daemon::session::slot::Live;
use crate::daemon::state::Daemon;
use crate::ipc::{BenchPhase, BenchProgress, BenchReport, ExitCode, Failure, Latency, Rw, SessionState, Workload};
use crate::kernel_bridge::unit_name;
use crate::kernel_bridge::{SessionId, UnitInfo};
use crate::load::{Fault, Job, Load, Measured, Meter, Misfit, Mix};

/// How often progress is shown, and the connection looked at.
const TICK: Duration = Duration::from_millis(200);

/// How long an answer waits for operations that a run which ended early has left under way.
const SETTLE: Duration = Duration::from_millis(500);

/// Measures a unit, on the thread of its driver, as an export that serves it is.
pub(crate) async fn run(
    daemon: &Arc<Daemon>,
    workload: &Workload,
    progress: &Progress,
) -> Result<BenchReport, Failure> {
    let (daemon, workload, progress) = (daemon.clone(), workload.clone(), progress.clone());
    let lane = daemon.units(&workload.target, workload.lun).ok().and_then(|(live, units)| {
        let unit = choose(&live, &units).ok()?;
        daemon.registry.get(&unit_name(&live.target, unit.lun))?.lane()
    });
    let measured = async move { measure(&daemon, &workload, &progress).await };
    match lane {
        None => measured.await,
        Some(lane) => lane.spawn(measured).await.unwrap_or_else(|ended| {
            Err(Failure::new(ExitCode::Internal, format!("the benchmark ended by a bug: {ended}")))
        }),
    }
}

async fn measure(daemon: &Daemon, workload: &Workload, progress: &Progress) -> Result<BenchReport, Failure> {
    workload.check()?;
    let (live, units) = daemon.units(&workload.target, workload.lun)?;
    let unit = choose(&live, &units)?;
    let name = unit_name(&live.target, unit.lun);
    let link = Link::of(daemon, &live);
    if let Some(why) = link.broken() {
        let message = format!("{name} cannot be measured now: {why}");
        return Err(
            Failure::new(ExitCode::TryAgain, message).advice("`iscsictl list sessions` shows when it is active")
        );
    }
    let Some(block) = daemon.registry.get(&name).filter(|_| unit.geometry.is_some()) else {
        let (code, why) = match &unit.problem {
            Some(problem) => (ExitCode::Unavailable, problem.as_str()),
            None => (ExitCode::Data, "it is not a disk"),
        };
        return Err(Failure::new(code, format!("{name} cannot be measured: {why}"))
            .advice("`iscsictl list luns` shows which units are disks"));
    };
    let seed = getrandom::u64().map_err(|error| {
        Failure::new(ExitCode::Internal, format!("the system gives no random numbers for the data: {error}"))
    })?;
    let mut load = Load::new(block.clone(), job(workload, seed)).map_err(|misfit| unfit(&name, misfit))?;
    let claim = claim(daemon, &live, unit, workload.rw).await?;
    let held = daemon.bench_buffers.hold(live.id(), load.footprint(), block.pool())?;

    let meter = load.meter();
    let run = Run::new(workload, meter.clone());
    let outcome = tokio::select! {
        outcome = run.measure(&mut load, &link) => outcome.map_err(Ended::Fault),
        () = abandoned(progress, &meter) => Err(Ended::Because("its client has gone".to_owned())),
        why = link.until_broken(|| progress.show(run.progress())) => Err(Ended::Because(why)),
    };
    // The cause says more than the error that it led to.
    let outcome = match (outcome, link.broken()) {
        (Ok(_) | Err(Ended::Fault(Fault::Io { .. })), Some(why)) => Err(Ended::Because(why)),
        (outcome, _) => outcome,
    };
    let settled = tokio::spawn(async move {
        load.drain().await;
        drop((claim, held));
    });
    // The task waits for later results without the client.
    let _ = timeout(SETTLE, settled).await;

    let Taken { measured, costs, compared } = outcome.map_err(|ended| ended.failure(&name))?;
    if let Some(blocks) = compared {
        progress.say(format!("{blocks} blocks of {name} were read back and hold what was written to them"));
    }
    Ok(report(workload, &measured, &costs))
}

/// Ends a run whose client has had enough of it: what was measured until then is its result, for a client that has only
/// shut its side down. A target that answers no more is not waited for.
async fn abandoned(progress: &Progress, meter: &Meter) {
    progress.gone().await;
    meter.end();
    tokio::time::sleep(SETTLE).await;
}

fn job(workload: &Workload, seed: u64) -> Job {
    let (mix, random) = match workload.rw {
        Rw::Read => (Mix::Reads, false),
        Rw::RandRead => (Mix::Reads, true),
        Rw::Write => (Mix::Writes, false),
        Rw::RandWrite => (Mix::Writes, true),
        Rw::RandRw => (Mix::Half, true),
    };
    let Workload { block_size, depth, verify, .. } = *workload;
    Job { mix, random, length: block_size, depth: depth.into(), verify, seed }
}

/// The one that was named, the only disk, or number 0.
fn choose<'a>(live: &Live, units: &'a [UnitInfo]) -> Result<&'a UnitInfo, Failure> {
    if let [only] = units {
        return Ok(only);
    }
    let disks: Vec<&UnitInfo> = units.iter().filter(|unit| unit.geometry.is_some()).collect();
    let target = &live.target;
    match disks.as_slice() {
        [] => Err(Failure::new(ExitCode::Data, format!("{target} has no disk"))
            .advice("`iscsictl list luns` shows what it has")),
        [only] => Ok(only),
        several => several.iter().find(|unit| unit.lun.number() == Some(0)).copied().ok_or_else(|| {
            let numbers: Vec<String> = several.iter().map(|unit| unit.lun.to_string()).collect();
            let message = format!("{target} has several disks ({})", numbers.join(", "));
            Failure::new(ExitCode::Usage, message).advice("say which one with --lun")
        }),
    }
}

fn unfit(name: &str, misfit: Misfit) -> Failure {
    let what = format!("{name} cannot be measured so: {misfit}");
    match misfit {
        Misfit::NotBlocks { .. } => Failure::new(ExitCode::Usage, what).advice("take a --bs that is"),
        Misfit::TooLong { .. } => Failure::new(ExitCode::Usage, what).advice("take a smaller --bs"),
        Misfit::TooSmall { .. } => Failure::new(ExitCode::Usage, what).advice("take less of --bs or --depth"),
        Misfit::ReadOnly => Failure::new(ExitCode::NotPermitted, format!("{what}: it takes no writes"))
            .advice("take --rw read or randread"),
    }
}

/// Notes what the unit is used for now, or says who is in the way.
async fn claim(daemon: &Daemon, live: &Live, unit: &UnitInfo, rw: Rw) -> Result<Claim, Failure> {
    let (target, name) = (&live.target, unit_name(&live.target, unit.lun));
    let busy = |message: String| Failure::new(ExitCode::TryAgain, message);
    let wanted = if rw.writes() { Use::Writing } else { Use::Reading };
    let attachable = live.attachable.lock().await;
    if wanted == Use::Writing {
        if !*attachable {
            return Err(busy(format!("{name} cannot be measured: a logout of {target} is under way")));
        }
        if let Some(device) = daemon.disks.device(&name) {
            let users = daemon.disks.in_use(&name).await;
            let (users, first) = match users.as_slice() {
                [] => (String::new(), ""),
                _ => (format!(" ({})", users.join(", ")), "unmount it, then "),
            };
            let what = format!("{name} is attached as {device}{users}, and `--rw {rw}` would destroy what is on it");
            let detach = format!("{first}detach it with `iscsictl detach {target} --lun {}`", unit.lun);
            return Err(busy(what).advice(detach));
        }
    }
    daemon.registry.claim(&name, wanted).map_err(|other| match other {
        Use::Client => busy(format!("an NBD client uses {name}, and `--rw {rw}` would destroy what is on it"))
            .advice("disconnect the client first"),
        Use::Reading => {
            busy(format!("another benchmark reads {name}, which `--rw {rw}` would disturb")).advice("wait for it")
        }
        Use::Writing => busy(format!("another benchmark writes to {name}")).advice("wait for it"),
    })
}

/// The connection that is measured: another one is another measurement.
struct Link<'a> {
    daemon: &'a Daemon,
    live: &'a Live,
    id: SessionId,
    reconnects: Option<u64>,
}

impl<'a> Link<'a> {
    fn of(daemon: &'a Daemon, live: &'a Live) -> Link<'a> {
        let id = live.id();
        Link { daemon, live, id, reconnects: daemon.bridge.stats(id).map(|stats| stats.reconnects) }
    }

    /// Why the connection is another one now, or none.
    fn broken(&self) -> Option<String> {
        let target = &self.live.target;
        let stats = self.daemon.bridge.stats(self.id);
        if self.live.stop.is_cancelled() || stats.is_none() {
            return Some(format!("{target} is logged out"));
        }
        let lost = self.live.facts().state != SessionState::Active
            || self.live.id() != self.id
            || stats.map(|stats| stats.reconnects) != self.reconnects;
        lost.then(|| format!("the connection to {target} was lost"))
    }

    /// Waits for that, and calls `tick` meanwhile.
    async fn until_broken(&self, mut tick: impl FnMut()) -> String {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.live.stop.cancelled() => {}
                _ = ticks.tick() => tick(),
            }
            if let Some(why) = self.broken() {
                return why;
            }
        }
    }

    /// System calls of its session so far.
    fn system_calls(&self) -> u64 {
        self.daemon.bridge.stats(self.id).map_or(0, |stats| stats.sends + stats.receives)
    }
}

/// What a run has cost.
#[derive(Debug, Clone, Copy, Default)]
struct Costs {
    /// Processor time of this process, in microseconds.
    cpu: i64,
    /// System calls of the session.
    calls: u64,
}

impl Costs {
    /// Since the start of the process, and of the session.
    fn so_far(link: &Link<'_>) -> Costs {
        // It cannot fail for the process itself; if it did, there would be nothing to tell but 0.
        let cpu = getrusage(UsageWho::RUSAGE_SELF)
            .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
        Costs { cpu, calls: link.system_calls() }
    }

    fn since(self, before: Costs) -> Costs {
        Costs { cpu: self.cpu - before.cpu, calls: self.calls.saturating_sub(before.calls) }
    }
}

/// What a run that came to its end has found out.
struct Taken {
    measured: Measured,
    costs: Costs,
    /// Blocks that were read back.
    compared: Option<u64>,
}

/// A run, for those who look on.
struct Run<'a> {
    workload: &'a Workload,
    meter: Arc<Meter>,
    shown: Mutex<Shown>,
}

/// What was shown last.
struct Shown {
    phase: BenchPhase,
    began: Instant,
    at: Instant,
    operations: u64,
}

impl<'a> Run<'a> {
    fn new(workload: &'a Workload, meter: Arc<Meter>) -> Run<'a> {
        let now = Instant::now();
        let shown = Mutex::new(Shown { phase: BenchPhase::Preparing, began: now, at: now, operations: 0 });
        Run { workload, meter, shown }
    }

    fn enter(&self, phase: BenchPhase) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        (shown.phase, shown.began) = (phase, Instant::now());
    }

    async fn measure(&self, load: &mut Load, link: &Link<'_>) -> Result<Taken, Fault> {
        load.prepare().await;
        self.enter(BenchPhase::Measuring);
        let before = Costs::so_far(link);
        load.run(Duration::from_secs(self.workload.seconds.into())).await?;
        let costs = Costs::so_far(link).since(before);
        let mut compared = None;
        if self.workload.verify && !self.meter.is_ended() {
            self.enter(BenchPhase::Comparing);
            compared = Some(load.compare().await?);
        }
        Ok(Taken { measured: load.measured(), costs, compared })
    }

    fn progress(&self) -> BenchProgress {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (compared, to_compare) = self.meter.compared();
        let operations = self.meter.measured() + compared;
        let span = now.duration_since(shown.at).as_secs_f64();
        let iops = if span > 0.0 { (operations - shown.operations) as f64 / span } else { 0.0 };
        (shown.at, shown.operations) = (now, operations);
        let done = match shown.phase {
            BenchPhase::Preparing => 0.0,
            BenchPhase::Measuring => shown.began.elapsed().as_secs_f64() / f64::from(self.workload.seconds),
            BenchPhase::Comparing => compared as f64 / to_compare.max(1) as f64,
        };
        let mb_per_s = iops * f64::from(self.workload.block_size) / 1e6;
        BenchProgress { phase: shown.phase, done: done.min(1.0), iops: round(iops, 1), mb_per_s: round(mb_per_s, 3) }
    }
}

/// Why there is nothing to report.
enum Ended {
    Fault(Fault),
    /// A sentence.
    Because(String),
}

impl Ended {
    fn failure(self, name: &str) -> Failure {
        let (code, why, advice) = match self {
            Ended::Because(why) => (ExitCode::Unavailable, why, "run it again when the session is active"),
            Ended::Fault(fault @ Fault::Mismatch { .. }) => {
                (ExitCode::Data, fault.to_string(), "trust neither the target nor the way to it with data")
            }
            Ended::Fault(fault @ Fault::Io { error, .. }) => {
                let (code, advice) = match error {
                    IoError::ReadOnly => (ExitCode::NotPermitted, "it takes no writes"),
                    IoError::ReservationConflict => (ExitCode::TryAgain, "wait until that one lets go of it"),
                    IoError::OutOfRange => (ExitCode::Data, "it has shrunk; look with `iscsictl rescan`"),
                    IoError::Invalid => (ExitCode::Internal, "that is a bug of iscsid"),
                    _ => (ExitCode::Unavailable, "`iscsictl list luns` and the target's log say more"),
                };
                (code, fault.to_string(), advice)
            }
        };
        Failure::new(code, format!("the benchmark of {name} ended early: {why}")).advice(advice)
    }
}

fn report(workload: &Workload, measured: &Measured, costs: &Costs) -> BenchReport {
    let operations = measured.operations.max(1) as f64;
    let seconds = measured.elapsed.as_secs_f64();
    let iops = measured.operations as f64 / seconds.max(f64::MIN_POSITIVE);
    let microseconds = |time: Duration| round(time.as_secs_f64() * 1e6, 1);
    BenchReport {
        iops: round(iops, 1),
        mb_per_s: round(iops * f64::from(workload.block_size) / 1e6, 3),
        latency_us: Latency {
            p50: microseconds(measured.p50),
            p99: microseconds(measured.p99),
            p999: microseconds(measured.p999),
            max: microseconds(measured.max),
        },
        cpu_us_per_io: round(costs.cpu as f64 / operations, 3),
        syscalls_per_io: round(costs.calls as f64 / operations, 4),
        seconds: round(seconds, 3),
        rw: workload.rw,
        block_size: workload.block_size,
        depth: workload.depth,
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests;
