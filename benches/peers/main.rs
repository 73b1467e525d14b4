//! Ours and the others', against the same target in the same run, by turns, several rounds.
//!
//! ```text
//!   this program ──► the null target, in a process of its own; tgt with a disk in memory
//!     ├── ours        the user kernel, in this process; through NBD, the daemon
//!     ├── bare        the limit: a client that knows nothing
//!     ├── libiscsi    iscsi-perf
//!     ├── qemu-nbd    with its iSCSI driver
//!     └── stream      TCP, without a protocol
//! ```
//! What is printed are medians over the rounds, and ratios: the machine may be a busy one, and its speed of
//! today nobody else's. `--rounds N` and `--millis N` say how long, `--client NAME` whose; a word picks the
//! measurements that have it in their name, or the one that has it as its name.

mod bare;
mod libiscsi;
mod nbd;
mod scale;
mod stream;
mod table;
#[cfg(target_os = "linux")]
mod tgt;

#[cfg(target_os = "linux")]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../../tests/common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../../tests/targets/mod.rs"]
mod targets;

#[path = "../shared/again.rs"]
mod again;
#[path = "../shared/shape.rs"]
mod shape;
#[path = "../shared/target.rs"]
mod target;
#[path = "../shared/usage.rs"]
mod usage;

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use iscsi_proto::keys::{DigestOffer, Offer};
use iscsid::load::Load;
use iscsid::selftest::lab::{self, Lab};
use nix::sys::resource::UsageWho;

use self::again::Again;
use self::nbd::Server;
use self::shape::Shape;
use self::table::Table;
use self::usage::cpu_time;

#[cfg(not(target_os = "linux"))]
mod tgt {
    pub(crate) fn start() -> Result<((), super::Unit), String> {
        Err("tgt is a target for Linux".into())
    }
}

/// What one run of one client came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// I/Os done.
    pub(crate) done: f64,
    pub(crate) seconds: f64,
    /// Processor time of the client, in seconds.
    pub(crate) cpu: f64,
    /// System calls of the client's that send or receive, where they are known.
    pub(crate) calls: Option<f64>,
}

/// What a client did, or why there is none: its line of the table says so.
pub(crate) type Measured = Result<Run, String>;

/// A unit to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) target: String,
    pub(crate) address: SocketAddr,
    pub(crate) lun: u64,
    /// Its block, in bytes.
    pub(crate) block: u32,
}

/// A case: what is done, and with digests or without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) digests: bool,
}

const fn case(name: &'static str, write: bool, bytes: usize, depth: usize) -> Case {
    Case { name, shape: Shape { write, bytes, depth }, digests: false }
}

const CASES: [Case; 9] = [
    case("4 KiB read, depth 1", false, 4 << 10, 1),
    case("4 KiB read, depth 32", false, 4 << 10, 32),
    case("4 KiB read, depth 128", false, 4 << 10, 128),
    case("4 KiB write, depth 32", true, 4 << 10, 32),
    case("256 KiB read, depth 32", false, 256 << 10, 32),
    Case { digests: true, ..case("256 KiB read, depth 32, digests", false, 256 << 10, 32) },
    case("256 KiB write, depth 32", true, 256 << 10, 32),
    case("1 MiB read, depth 8", false, 1 << 20, 8),
    Case { digests: true, ..case("1 MiB read, depth 8, digests", false, 1 << 20, 8) },
];

const TGT_CASES: [Case; 3] = [
    case("tgt, 4 KiB read, depth 1", false, 4 << 10, 1),
    case("tgt, 4 KiB read, depth 32", false, 4 << 10, 32),
    case("tgt, 256 KiB read, depth 8", false, 256 << 10, 8),
];

const NBD_CASES: [Case; 4] = [
    case("NBD, 4 KiB read, depth 1", false, 4 << 10, 1),
    case("NBD, 4 KiB read, depth 32", false, 4 << 10, 32),
    case("NBD, 4 KiB write, depth 32", true, 4 << 10, 32),
    case("NBD, 256 KiB read, depth 8", false, 256 << 10, 8),
];

/// How many sessions, each at depth 16.
const SESSIONS: [(&str, usize); 5] =
    [("1 session", 1), ("2 sessions", 2), ("4 sessions", 4), ("16 sessions", 16), ("64 sessions", 64)];

const DEPTHS: [(&str, usize); 5] =
    [("depth 2", 2), ("depth 8", 8), ("depth 16", 16), ("depth 64", 64), ("depth 96", 96)];

/// How many sessions are held without I/O, and how many times a measurement's span for.
const IDLE: (usize, u32) = (16, 10);

/// How long and what, as the command line says.
struct Plan {
    rounds: usize,
    span: Duration,
    client: Option<String>,
    only: Option<String>,
}

impl Plan {
    fn understand() -> Plan {
        let mut plan = Plan { rounds: 5, span: Duration::from_secs(1), client: None, only: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number follows");
            match word.as_str() {
                "--rounds" => plan.rounds = number(),
                "--millis" => plan.span = Duration::from_millis(number() as u64),
                "--client" => plan.client = words.next(),
                // Cargo's own words.
                "--bench" => {}
                // What is checked by counts is in the other benchmarks; here it is that all of it works.
                "--test" => {
                    (plan.rounds, plan.span, plan.client) = (1, Duration::from_millis(100), Some("ours".into()))
                }
                _ => plan.only = Some(word),
            }
        }
        plan
    }

    fn wants(&self, step: &Step<'_>, exact: bool) -> bool {
        let named = |only: &String| if exact { step.name == *only } else { step.name.contains(only.as_str()) };
        self.client.as_ref().is_none_or(|client| step.client == *client) && self.only.as_ref().is_none_or(named)
    }
}

/// A measurement of one client.
struct Step<'a> {
    name: &'static str,
    client: &'static str,
    /// Of an I/O.
    bytes: usize,
    measure: Box<dyn FnMut(Duration) -> Measured + 'a>,
}

fn step<'a>(
    name: &'static str,
    client: &'static str,
    bytes: usize,
    measure: impl FnMut(Duration) -> Measured + 'a,
) -> Step<'a> {
    Step { name, client, bytes, measure: Box::new(measure) }
}

fn main() {
    again::serve(&[("target", target::serve), ("stream", stream::serve)]);
    let (target, pouring) = (Again::start("target"), Again::start("stream"));
    let null = Unit { target: target::NAME.into(), address: target.address, lun: 0, block: target::BLOCK };
    let tgt = tgt::start();
    let plan = Plan::understand();
    let mut steps = null_steps(&null, pouring.address);
    match &tgt {
        Ok((_, unit)) => steps.extend(TGT_CASES.into_iter().flat_map(|case| wire_steps(unit, case))),
        Err(why) => steps.extend(TGT_CASES.into_iter().flat_map(|case| without(case, why))),
    }
    steps.extend(scale_steps(&null));
    let exact = plan.only.as_ref().is_some_and(|only| steps.iter().any(|step| step.name == only));
    steps.retain(|step| plan.wants(step, exact));
    let mut table = Table::default();
    for round in 1..=plan.rounds {
        for step in &mut steps {
            eprintln!("round {round} of {}: {}, {}", plan.rounds, step.name, step.client);
            table.add(step.name, step.client, step.bytes, (step.measure)(plan.span));
        }
    }
    drop(steps);
    table.print();
    if plan.only.as_ref().is_none_or(|only| only == "idle") {
        let (sessions, times) = IDLE;
        let seconds = block_on(scale::idle(null.address, sessions, plan.span * times));
        let span = plan.span.as_secs_f64() * f64::from(times);
        println!("\n{sessions} idle sessions: {seconds:.3} s of processor time in {span:.0} s");
    }
}

/// A case whose target is not there, for the clients that it would be measured with.
fn without<'a>(case: Case, why: &'a str) -> Vec<Step<'a>> {
    let missing = |client| step(case.name, client, case.shape.bytes, move |_| Err(why.to_owned()));
    vec![missing("ours"), missing("libiscsi")]
}

/// What each client does to a unit.
fn wire_steps<'a>(unit: &Unit, case: Case) -> Vec<Step<'a>> {
    let Case { name, shape, digests } = case;
    let (here, there) = (unit.clone(), unit.clone());
    let mut steps = vec![step(name, "ours", shape.bytes, move |span| Ok(block_on(ours(here.clone(), case, span))))];
    if !shape.write {
        steps.push(step(name, "libiscsi", shape.bytes, move |span| libiscsi::run(&there, &case, span)));
    }
    if !digests && unit.target == target::NAME {
        let address = unit.address;
        steps.push(step(name, "bare", shape.bytes, move |span| Ok(block_on(bare(address, shape, span)))));
    }
    steps
}

fn null_steps<'a>(null: &Unit, pouring: SocketAddr) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'_>> = CASES.into_iter().flat_map(|case| wire_steps(null, case)).collect();
    steps.push(step("TCP stream", "bare", stream::BUFFER, move |span| Ok(stream::run(pouring, span))));
    let address = null.address;
    for Case { name, shape, .. } in NBD_CASES {
        let measure = move |server: Result<Server, String>, span| server?.run(&shape, span);
        steps.push(step(name, "ours", shape.bytes, move |span| measure(Ok(Server::ours(address)), span)));
        steps.push(step(name, "qemu-nbd", shape.bytes, move |span| measure(Server::qemu(address), span)));
    }
    steps
}

/// More tasks, more sessions.
fn scale_steps<'a>(null: &Unit) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    let address = null.address;
    for (name, depth) in DEPTHS {
        let shape = Shape { write: false, bytes: 4 << 10, depth };
        let case = Case { name, shape, digests: false };
        let null = null.clone();
        steps.push(step(name, "ours", shape.bytes, move |span| Ok(block_on(ours(null.clone(), case, span)))));
    }
    for (name, sessions) in SESSIONS {
        let shape = Shape { write: false, bytes: 4 << 10, depth: 16 };
        steps.push(step(name, "ours", shape.bytes, move |span| Ok(scale::run(address, sessions, shape, span))));
    }
    steps
}

/// Runs a task on a thread of its own, where its session's driver runs too.
fn block_on<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(task).await.expect("no panic") })
}

async fn ours(unit: Unit, case: Case, span: Duration) -> Run {
    let digest = if case.digests { DigestOffer::Crc32c } else { DigestOffer::None };
    let offer = Offer { header_digest: digest, data_digest: digest, ..Offer::default() };
    let lab = Lab::log_in(&unit.target, unit.address, &offer, None).await.expect("a login");
    let disk = lab.disk().expect("a disk");
    let mut load = Load::new(disk, case.shape.job()).expect("a shape that fits");
    load.prepare().await;
    load.run(span / 8).await.expect("the target does all");
    let warm = load.measured().operations;
    let (before, cpu, started) = (lab.stats(), cpu_time(UsageWho::RUSAGE_SELF), Instant::now());
    load.run(span).await.expect("the target does all");
    let (seconds, after) = (started.elapsed().as_secs_f64(), lab.stats());
    let cpu = cpu_time(UsageWho::RUSAGE_SELF) - cpu;
    let done = (load.measured().operations - warm) as f64;
    let calls = (after.receives - before.receives + after.sends - before.sends) as f64;
    drop(load);
    lab.log_out().await.expect("a logout");
    Run { done, seconds, cpu, calls: Some(calls) }
}

async fn bare(address: SocketAddr, shape: Shape, span: Duration) -> Run {
    let (handoff, stream) = lab::log_in_bare(target::NAME, address, &Offer::default(), None).await.expect("a login");
    bare::run(&handoff, stream, &shape, span).expect("the target does all")
}
