//! The faults of a soak: which, when, and that the session is back.
//!
//! ```text
//!   per session:  load runs ─► a fault by the dice ─► it has happened ─► login ─► load runs ─► …
//!   one in fifty, for all: kill -9 of the daemon, restart ─► load runs on all of them
//! ```
//! Nothing is timed: each step waits for what has to come about, and fails if it does not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use iscsi_proto::ids::Lun;
use iscsi_proto::pdu::AsyncEvent;
use sim_target::proxy::{Fault, Toward};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::endpoints::{Behind, Endpoint};
use crate::pattern::Noise;

/// A load goes on when so many requests have been done, several times what can be under way.
pub(crate) const AGAIN: u64 = 128;

/// How many sessions share the other faults.
const SESSIONS: u64 = 4;

/// Every step has to come about within this: less than the time after which I/O may fail.
const LIMIT: Duration = Duration::from_secs(110);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Reset,
    Finish,
    Silence,
    Mute,
    HeaderCorrupted,
    DataCorrupted,
    Cut,
    PortalDown,
    Delay,
    LogoutRequested,
    ConnectionDropAnnounced,
    SessionDropAnnounced,
    DaemonKilled,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Reset => "connection reset (RST)",
            Kind::Finish => "connection closed (FIN)",
            Kind::Silence => "connection silent until a ping times out",
            Kind::Mute => "portal silent, logins too",
            Kind::HeaderCorrupted => "header corrupted (digest)",
            Kind::DataCorrupted => "data corrupted (digest)",
            Kind::Cut => "connection cut within a PDU",
            Kind::PortalDown => "portal down, connections refused",
            Kind::Delay => "delay",
            Kind::LogoutRequested => "async 1: logout requested",
            Kind::ConnectionDropAnnounced => "async 2: connection dropped",
            Kind::SessionDropAnnounced => "async 3: all connections dropped",
            Kind::DaemonKilled => "daemon killed (SIGKILL)",
        })
    }
}

/// How many faults there shall be, and were.
pub(crate) struct Schedule {
    faults: u64,
    /// One in every so many is the daemon's death.
    kill_every: u64,
    until: Instant,
    injected: watch::Sender<u64>,
    by_kind: Mutex<BTreeMap<Kind, u64>>,
    started: Instant,
}

impl Schedule {
    /// `faults` faults, or as many as there is time for; one in every `kill_every` is the daemon's death.
    pub(crate) fn new(faults: u64, kill_every: u64, seconds: u64) -> Schedule {
        let started = Instant::now();
        let until = started + Duration::from_secs(seconds);
        Schedule { faults, kill_every, until, injected: watch::Sender::new(0), by_kind: Mutex::default(), started }
    }

    /// How many of them are one session's.
    fn share(&self) -> u64 {
        let kills = (self.faults + self.kill_every / 2) / self.kill_every;
        (self.faults - kills).div_ceil(SESSIONS)
    }

    /// The number of the next fault; `None` when there were enough.
    fn next(&self, kind: Kind) -> Option<u64> {
        let mut number = None;
        if Instant::now() < self.until {
            self.injected.send_if_modified(|injected| {
                number = (*injected < self.faults).then(|| *injected + 1);
                *injected += u64::from(number.is_some());
                number.is_some()
            });
        }
        if number.is_some() {
            *self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        }
        number
    }

    pub(crate) fn injected(&self) -> u64 {
        *self.injected.borrow()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn by_kind(&self) -> BTreeMap<Kind, u64> {
        self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the daemon is due to die, for the `kill`th time; `None` when it will not any more.
    pub(crate) async fn kill_due(&self, kill: u64) -> Option<u64> {
        // In the middle, so that a short run has one too.
        let due = self.kill_every * kill + self.kill_every / 2;
        if due > self.faults {
            return None;
        }
        // We hold the sender: it is not gone.
        let _ = self.injected.subscribe().wait_for(|injected| *injected >= due).await;
        self.next(Kind::DaemonKilled)
    }

    pub(crate) fn log(&self, number: u64, who: &str, what: &str) {
        println!("{:7.1} s  fault {number:4}  {who:15}  {what}", self.started.elapsed().as_secs_f64());
    }
}

/// Breaks one session again and again until the schedule is through.
///
/// # Errors
/// The session did not come back.
pub(crate) async fn torment(endpoint: &Endpoint, schedule: &Schedule, seed: u64) -> Result<(), String> {
    let mut dice = Noise::new(seed);
    // Sessions that are back sooner do not take the others' faults.
    for _ in 0..schedule.share() {
        let work = 20 + dice.below(400);
        step(endpoint, "its load goes on", endpoint.load.progress.more(work)).await?;
        let Some(kind) = choose(endpoint, &mut dice) else { return Ok(()) };
        let Some(number) = schedule.next(kind) else { return Ok(()) };
        let started = Instant::now();
        let mut logins = endpoint.proxy.logins();
        let before = *logins.borrow_and_update();
        happen(endpoint, kind, &mut dice).await.map_err(|error| format!("fault {number}, {kind}: {error}"))?;
        let again = async {
            // A target may reject a PDU whose data are wrong and keep the connection (RFC 7143 §7.8).
            if !matches!(kind, Kind::Delay | Kind::DataCorrupted) {
                // The proxy lives as long as its endpoint.
                let _ = logins.wait_for(|logins| *logins > before).await;
            }
            endpoint.load.progress.more(AGAIN).await;
        };
        step(endpoint, "it is logged in again and its load goes on", again)
            .await
            .map_err(|error| format!("fault {number}, {kind}: {error}"))?;
        schedule.log(number, endpoint.name, &format!("{kind}: back after {:.1} s", started.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// Waits for that, but not for ever.
pub(crate) async fn step(endpoint: &Endpoint, what: &str, future: impl Future<Output = ()>) -> Result<(), String> {
    timeout(LIMIT, future)
        .await
        .map_err(|_| format!("{}: not within {} s: {what}", endpoint.load.unit, LIMIT.as_secs()))
}

/// What the dice say, of what this endpoint can do and `ONLY` allows.
fn choose(endpoint: &Endpoint, dice: &mut Noise) -> Option<Kind> {
    use Kind::*;
    let mut kinds = vec![Reset, Finish, Silence, Mute, Cut, Cut, PortalDown, Delay];
    if endpoint.digests.header && endpoint.digests.data {
        kinds.extend([HeaderCorrupted, HeaderCorrupted, DataCorrupted, DataCorrupted]);
    }
    if matches!(endpoint.behind, Behind::Sim(_)) {
        kinds.extend([LogoutRequested, ConnectionDropAnnounced, SessionDropAnnounced].repeat(2));
    }
    if let Ok(only) = std::env::var("ONLY") {
        kinds.retain(|kind| kind.to_string().contains(&only));
    }
    if kinds.is_empty() { None } else { Some(kinds[dice.below(kinds.len() as u64) as usize]) }
}

async fn happen(endpoint: &Endpoint, kind: Kind, dice: &mut Noise) -> Result<(), String> {
    let toward = if dice.below(2) == 0 { Toward::Target } else { Toward::Initiator };
    let milliseconds = |dice: &mut Noise, least, most| Duration::from_millis(least + dice.below(most - least));
    let fault = match kind {
        Kind::Reset => Fault::Reset,
        Kind::Finish => Fault::Finish,
        Kind::Silence => Fault::Silence,
        Kind::Mute => Fault::Mute(milliseconds(dice, 500, 4000)),
        Kind::HeaderCorrupted => Fault::CorruptHeader(toward),
        Kind::DataCorrupted => Fault::CorruptData(toward),
        Kind::Cut => Fault::Cut(toward),
        Kind::PortalDown => Fault::Refuse(milliseconds(dice, 100, 3000)),
        Kind::Delay => Fault::Delay(milliseconds(dice, 50, 1000)),
        Kind::LogoutRequested | Kind::ConnectionDropAnnounced | Kind::SessionDropAnnounced => {
            announce(endpoint, kind, dice);
            return Ok(());
        }
        Kind::DaemonKilled => return Err("a session cannot kill the daemon".into()),
    };
    let mut injection = endpoint.proxy.inject(fault, dice.next());
    step(endpoint, "the fault has happened", injection.done()).await
}

/// RFC 7143 §11.9.1: parameter 1 is the CID (iscsid has one connection, 0), 2 Time2Wait, 3 Time2Retain or how long a logout may take.
fn announce(endpoint: &Endpoint, kind: Kind, dice: &mut Noise) {
    let Behind::Sim(sim) = &endpoint.behind else { return };
    let (event, parameters) = match kind {
        Kind::LogoutRequested => (AsyncEvent::LogoutRequest, [0, 0, 3]),
        Kind::ConnectionDropAnnounced => (AsyncEvent::ConnectionDrop, [0, 0, 0]),
        _ => (AsyncEvent::SessionDrop, [0, 0, 0]),
    };
    sim.send_async(event, Lun(0), parameters, &[]);
    // Some targets do at once what they announce.
    if kind != Kind::LogoutRequested && dice.below(2) == 0 {
        sim.disconnect_all(false);
    }
}
