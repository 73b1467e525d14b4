//! The sessions of a daemon and their units, whichever kernel runs the full-feature phase.
//!
//! ```text
//!   exports ──► block::Registry ──► unit::Disk ──► unit::Inbox ──► driver (user, kext) ──► target
//!                    ▲                                 ▲
//!                    └── scan ─────────────────────────┘
//! ```
//! Each session has a driver, a task. A scan finds the units and publishes the disks among them in the registry, under
//! `<target>/<number>`. After a lost connection, a unit's I/O goes on once it is known to be the same disk
//! (`unit::verification`).
//!
//! All of that but the driver serves both kernels: the driver of `kext` tells the extension what that of
//! `user` does itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iscsi_proto::handoff::Handoff;
use iscsi_proto::ids::Lun;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bridge::{BridgeError, BridgeEvent, BridgeFuture, KernelBridge, SessionId, SessionSpec};
use super::counters::{Counters, SessionStats};
use super::kext::{self, Extension};
use super::orders::{Control, Purpose, Start};
use super::session::Handle;
use super::unit::disk::{Disk, Disks};
use super::unit::identity::{Likeness, Size, other_disk};
use super::unit::info::{UnitInfo, unit_name};
use super::unit::listing::{Listing, Way};
use super::unit::notices::Notices;
use super::unit::request::Inbox;
use super::unit::scan::{self, Found, PROBES, Scanner};
use super::unit::units::Units;
use super::unit::verification::verify;
use super::user::driver::Driver;
use super::user::lanes::Lanes;
use crate::block::{Block, Op, Pool, Registry};
use crate::quirks::Quirk;

/// Bytes that the I/O of one session may take. A pool of its own each, so that a session that waits for
/// its target does not hold the buffers of the others.
const POOL_BUDGET: usize = 64 << 20;

/// The kernel of a daemon: its sessions and their units, over either engine.
pub struct Sessions {
    registry: Arc<Registry>,
    sessions: Mutex<BTreeMap<SessionId, Arc<Handle>>>,
    next: AtomicU32,
    events: mpsc::UnboundedSender<BridgeEvent>,
    engine: Engine,
}

/// The disks that the operating system makes by itself, by the names of their units.
pub type SystemDevices = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Who runs the full-feature phase.
enum Engine {
    /// The drivers of this process, on lanes. Without lanes, each runs on the runtime that hands its session off.
    Here(Option<Lanes>),
    /// The kernel extension.
    Kext(Arc<Extension>),
}

/// A driver at work.
type Driving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Sessions {
    /// A kernel without sessions, and where it tells what happens to them. Each driver runs on the
    /// runtime that hands its session off.
    pub fn new() -> (Arc<Sessions>, mpsc::UnboundedReceiver<BridgeEvent>) {
        Sessions::on(Engine::Here(None))
    }

    /// As [`new`](Sessions::new), with the drivers on `lanes`.
    pub fn on_lanes(lanes: Lanes) -> (Arc<Sessions>, mpsc::UnboundedReceiver<BridgeEvent>) {
        Sessions::on(Engine::Here(Some(lanes)))
    }

    /// The same sessions and units, but run by the kernel extension: that in the harness whose socket is `sim`, else this
    /// machine's. Without it, a sentence's end says why it cannot be used.
    pub fn in_kext(sim: Option<&Path>) -> Result<(Arc<Sessions>, mpsc::UnboundedReceiver<BridgeEvent>), String> {
        Ok(Sessions::on(Engine::Kext(Extension::open(sim)?)))
    }

    fn on(engine: Engine) -> (Arc<Sessions>, mpsc::UnboundedReceiver<BridgeEvent>) {
        let (events, heard) = mpsc::unbounded_channel();
        let kernel = Sessions {
            registry: Arc::new(Registry::default()),
            sessions: Mutex::default(),
            next: AtomicU32::new(0),
            events,
            engine,
        };
        (Arc::new(kernel), heard)
    }

    /// The disks that are there now, for the exports.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Where the operating system makes disks of the units by itself, as over the kernel extension: which one it has made
    /// of a unit, by the unit's name.
    pub fn system_devices(self: &Arc<Self>) -> Option<SystemDevices> {
        let sessions = self.clone();
        (!self.exports()).then(|| -> SystemDevices { Arc::new(move |unit| sessions.device(unit)) })
    }

    fn device(&self, unit: &str) -> Option<String> {
        let Engine::Kext(extension) = &self.engine else { return None };
        let sessions: Vec<Arc<Handle>> = self.sessions().values().cloned().collect();
        sessions.iter().find_map(|handle| {
            let named = |lun| unit_name(handle.target(), lun) == unit;
            let lun = handle.units.found().iter().map(|found| found.lun).find(|lun| named(*lun))?;
            extension.device(handle.in_kext?, lun)
        })
    }

    /// Whether the units are for the exports; else the operating system makes disks of them.
    fn exports(&self) -> bool {
        match &self.engine {
            Engine::Here(_) => true,
            Engine::Kext(extension) => extension.exports(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Handle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, session: SessionId) -> Result<Arc<Handle>, BridgeError> {
        self.sessions().get(&session).cloned().ok_or(BridgeError::NoSession)
    }

    async fn start(&self, spec: SessionSpec, handoff: Handoff, stream: TcpStream) -> Result<SessionId, BridgeError> {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (inbox, counters) = (Arc::new(Inbox::default()), Arc::new(Counters::default()));
        let (control, obeyed) = mpsc::unbounded_channel();
        let target = spec.target.clone();
        let lane = match &self.engine {
            Engine::Here(Some(lanes)) => lanes.next().unwrap_or_else(Runtime::current),
            Engine::Here(None) | Engine::Kext(_) => Runtime::current(),
        };
        let stream = adopt(stream, &lane)?;
        let disks = Disks::default();
        let (doubted, doubts) = watch::channel(Instant::now());
        let (hold, held) = watch::channel(false);
        let start = Start {
            notices: Notices {
                id,
                events: self.events.clone(),
                disks: disks.clone(),
                doubted,
                held: hold,
                replacement_timeout: spec.replacement_timeout,
            },
            spec,
            handoff,
            stream,
            inbox: inbox.clone(),
            counters: counters.clone(),
            control: obeyed,
        };
        let (driving, in_kext): (Driving, Option<u32>) = match &self.engine {
            Engine::Here(_) => (Box::pin(Driver::new(start)?.run()), None),
            Engine::Kext(extension) => {
                let driver = kext::Driver::start(extension.clone(), start).await?;
                let session = driver.session();
                (Box::pin(driver.run()), Some(session))
            }
        };
        let handle = Handle {
            pool: Pool::new(POOL_BUDGET),
            inbox,
            counters,
            control,
            units: Arc::new(Units::new(target, disks)),
            held,
            scanning: Semaphore::new(1),
            lane: lane.clone(),
            in_kext,
        };
        let handle = Arc::new(handle);
        tokio::spawn(verify(handle.units.clone(), handle.inbox.clone(), handle.control.clone(), doubts));
        self.sessions().insert(id, handle);
        lane.spawn(driving);
        Ok(id)
    }

    /// Takes a session off the books and its disks out of the registry.
    fn forget(&self, session: SessionId) -> Option<Arc<Handle>> {
        let handle = self.sessions().remove(&session)?;
        for (lun, disk) in std::mem::take(&mut *handle.units.disks()) {
            disk.unit.gate().retire();
            self.registry.remove(&unit_name(handle.target(), lun));
        }
        Some(handle)
    }

    async fn scan_session(&self, session: SessionId) -> Result<Vec<UnitInfo>, BridgeError> {
        let handle = self.session(session)?;
        let _alone = handle.scanning.acquire().await.map_err(|_| BridgeError::NoSession)?;
        let scanner = Scanner::new(handle.inbox.clone());
        let cannot =
            |why: scan::NoAnswer| BridgeError::Failed(format!("the units could not be listed: {}", why.sentence()));
        // This scan may have looked before the cause of a doubt that comes up meanwhile: such a doubt stays.
        let connection = handle.counters.reconnects.load(Ordering::Relaxed);
        let doubts: BTreeMap<Lun, u64> =
            handle.units.disks().iter().map(|(lun, disk)| (*lun, disk.unit.gate().doubts())).collect();
        let listing = scanner.list().await.map_err(cannot)?;
        note_habits(&handle.units, &listing);
        let known: Vec<Lun> = handle.units.disks().keys().copied().collect();
        let listed = listing.luns.iter().map(|lun| *known.iter().find(|known| known.is_same_unit(*lun)).unwrap_or(lun));
        // A unit vanishes by a list without it, and by nothing else.
        let unlisted = known.iter().filter(|_| !listing.whole);
        let luns: BTreeSet<Lun> = listed.chain(unlisted.copied()).collect();
        let gate = Arc::new(Semaphore::new(PROBES));
        let mut probes = JoinSet::new();
        for lun in luns {
            let (scanner, gate) = (scanner.clone(), gate.clone());
            probes.spawn(async move {
                let _turn = gate.acquire().await;
                (lun, scanner.probe(lun).await)
            });
        }
        let (mut found, mut silent) = (BTreeMap::new(), BTreeMap::new());
        while let Some(probe) = probes.join_next().await {
            let (lun, probe) = probe.map_err(|error| BridgeError::Failed(format!("a scan ended early: {error}")))?;
            match probe {
                Ok(Some(unit)) => drop(found.insert(lun, unit)),
                Ok(None) if known.contains(&lun) => drop(
                    silent.insert(lun, "the target says that there is no such unit now, and does not say so in a list"),
                ),
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!(target = handle.target(), %lun, why = why.sentence(), "a unit did not answer the scan");
                    silent.insert(lun, "it did not answer the last scan");
                }
            }
        }
        if listing.way == Way::Tried {
            drop_echoes(&handle.units, &mut found, &known);
        }
        let units = self.publish(&handle, found, &silent, &doubts);
        if handle.counters.reconnects.load(Ordering::Relaxed) != connection {
            // What is new was found over another connection than the one that its I/O would use.
            handle
                .units
                .disks()
                .iter()
                .filter(|(lun, _)| !doubts.contains_key(lun))
                .for_each(|(_, disk)| disk.unit.gate().doubt(Size::Must));
            drop(handle.control.send(Control::Look));
        }
        // Whether or not there is anything in doubt, or nothing any more: it is asked again.
        drop(handle.control.send(Control::Recheck));
        drop(handle.control.send(Control::Scanned));
        Ok(units)
    }

    /// Makes the registry hold what a scan has found. A disk that is in use goes only if the target does
    /// not list it any more: one that is `silent` or not ready comes back. One that has become another
    /// disk stays, and takes no I/O: its users mean the disk that it was.
    fn publish(
        &self,
        handle: &Handle,
        mut found: BTreeMap<Lun, Found>,
        silent: &BTreeMap<Lun, &str>,
        doubts: &BTreeMap<Lun, u64>,
    ) -> Vec<UnitInfo> {
        let mut disks = handle.units.disks();
        disks.retain(|lun, disk| {
            let stays = found.contains_key(lun) || silent.contains_key(lun);
            if !stays {
                disk.unit.gate().retire();
                self.registry.remove(&unit_name(handle.target(), *lun));
            }
            stays
        });
        for (lun, found) in &mut found {
            let Some(disk) = disks.get(lun) else {
                if let Some(disk) = handle.disk(found) {
                    if self.exports() {
                        self.registry.insert(unit_name(handle.target(), *lun), Arc::new(disk.clone()));
                    }
                    disks.insert(*lun, disk);
                }
                continue;
            };
            match disk.unit.likeness(&found.info) {
                Likeness::Same => {
                    if let Some(geometry) = found.info.geometry {
                        disk.unit.reshape(geometry, found.features);
                    }
                    disk.unit.gate().trust(doubts.get(lun).copied().unwrap_or_default());
                }
                Likeness::Other(why) => {
                    disk.unit.gate().refuse();
                    tracing::error!(target = handle.target(), %lun, why, "a unit has become another disk");
                    found.info.become_offline(&other_disk(&why));
                }
                Likeness::Unclear(_) => {}
            }
        }
        let before = std::mem::take(&mut *handle.units.found());
        let unheard = before
            .into_iter()
            .filter_map(|unit| Some((*silent.get(&unit.lun)?, unit)))
            .map(|(why, unit)| UnitInfo { problem: Some(why.to_owned()), ..unit });
        let mut units: Vec<UnitInfo> = found.into_values().map(|found| found.info).chain(unheard).collect();
        units.sort_by_key(|unit| unit.lun);
        handle.units.found().clone_from(&units);
        units
    }

    async fn flush_all(&self, handle: &Handle) {
        let disks: Vec<Disk> = handle.units.disks().values().cloned().collect();
        for disk in disks {
            let geometry = disk.geometry();
            if geometry.write_cache
                && !geometry.read_only
                && let Err(error) = crate::block::run(&disk, Op::Flush, 0, 0, None).await
            {
                tracing::warn!(target = handle.target(), %error, "a unit could not be flushed before the logout");
            }
        }
    }
}

/// Remembers what is unusual about a target's list of units.
fn note_habits(units: &Units, listing: &Listing) {
    let note = |quirk, detail: &str| {
        units.seen.note(&units.target, quirk, detail);
    };
    match listing.way {
        Way::Usual => {}
        Way::OnlyZero => note(Quirk::KnowsNoList, ""),
        Way::Elsewhere(Lun::REPORT_LUNS) => note(Quirk::ListsUnitsElsewhere, "its well-known unit does"),
        Way::Elsewhere(lun) => note(Quirk::ListsUnitsElsewhere, &format!("unit {lun} does")),
        Way::Tried => note(Quirk::ListsNoUnits, ""),
    }
    if let Some(wrong) = &listing.wrong {
        note(Quirk::MiscountsUnits, wrong);
    }
    if let Some(lun) = listing.repeated.first() {
        note(Quirk::ListsUnitTwice, &format!("unit {lun} among others"));
    }
}

/// Where each number was tried: a target that does not look at the number shows one unit everywhere, and as two disks
/// it would be destroyed. Of those that cannot be told apart by their names, only the one in use, or else the first one,
/// is used.
fn drop_echoes(units: &Units, found: &mut BTreeMap<Lun, Found>, known: &[Lun]) {
    let name = |found: &Found| {
        let UnitInfo { identifier, serial, vendor, product, .. } = &found.info;
        let unnamed = identifier.is_none() && serial.is_none();
        (identifier.clone(), serial.clone(), unnamed.then(|| (vendor.clone(), product.clone())))
    };
    let mut names: BTreeSet<_> =
        found.iter().filter(|(lun, _)| known.contains(lun)).map(|(_, found)| name(found)).collect();
    found.retain(|lun, found| {
        let stays = known.contains(lun) || names.insert(name(found));
        if !stays {
            units.seen.note(&units.target, Quirk::EchoesUnit, &format!("at {lun} as well"));
        }
        stays
    });
}

/// Makes a connection one of the tasks on `lane`.
fn adopt(stream: TcpStream, lane: &Runtime) -> Result<tokio::net::TcpStream, BridgeError> {
    let _there = lane.enter();
    let adopted = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
    adopted.map_err(|error| BridgeError::ConnectionLost(error.to_string()))
}

impl KernelBridge for Sessions {
    fn name(&self) -> &'static str {
        match self.engine {
            Engine::Here(_) => "user",
            Engine::Kext(_) => "kext",
        }
    }

    fn orphans(&self) -> Vec<String> {
        match &self.engine {
            Engine::Here(_) => Vec::new(),
            Engine::Kext(extension) => extension.orphans(),
        }
    }

    fn end_orphan(&self, target: &str) {
        if let Engine::Kext(extension) = &self.engine {
            extension.end_orphan(target);
        }
    }

    fn handoff(
        &self,
        spec: SessionSpec,
        handoff: Handoff,
        stream: TcpStream,
        replaces: Option<SessionId>,
    ) -> BridgeFuture<'_, SessionId> {
        Box::pin(async move {
            let Some(session) = replaces else { return self.start(spec, handoff, stream).await };
            let handle = self.session(session)?;
            let stream = adopt(stream, &handle.lane)?;
            let (reply, answer) = oneshot::channel();
            let reinstate = Control::Reinstate { handoff, stream, reply };
            handle.control.send(reinstate).map_err(|_| BridgeError::NoSession)?;
            let answer = answer.await.unwrap_or(Err(BridgeError::NoSession));
            if answer == Err(BridgeError::NoSession) {
                // There is nothing to come back to: what follows is another session.
                self.abandon(session);
            }
            answer.map(|()| session)
        })
    }

    fn scan(&self, session: SessionId) -> BridgeFuture<'_, Vec<UnitInfo>> {
        Box::pin(self.scan_session(session))
    }

    fn units(&self, session: SessionId) -> Vec<UnitInfo> {
        match self.session(session) {
            Ok(handle) => handle.units.shown(),
            Err(_) => Vec::new(),
        }
    }

    fn workarounds(&self, session: SessionId) -> Vec<String> {
        self.session(session).map(|handle| handle.units.seen.sentences()).unwrap_or_default()
    }

    fn logout(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, ()> {
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let handle = self.session(session)?;
            let mut held = handle.held.clone();
            tokio::select! {
                flushed = tokio::time::timeout_at(deadline, self.flush_all(&handle)) => if flushed.is_err() {
                    tracing::warn!(target = handle.target(), "its units were not flushed in time before the logout");
                },
                wanted = held.wait_for(|held| *held) => {
                    let why = match wanted {
                        Ok(_) => "the target wants a logout and takes no more commands",
                        Err(_) => "the session has ended already",
                    };
                    tracing::warn!(target = handle.target(), why, "its units were not flushed before the logout");
                }
            }
            self.forget(session);
            handle.log_out(Purpose::End, deadline).await
        })
    }

    fn suspend(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, ()> {
        Box::pin(async move { self.session(session)?.log_out(Purpose::Return, Instant::now() + within).await })
    }

    fn is_alive(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, bool> {
        Box::pin(async move {
            let scanner = Scanner::new(self.session(session)?.inbox.clone());
            Ok(matches!(tokio::time::timeout(within, scanner.answers()).await, Ok(true)))
        })
    }

    fn abandon(&self, session: SessionId) {
        if let Some(handle) = self.forget(session) {
            // A driver that has ended already needs no order to end.
            drop(handle.control.send(Control::Abandon));
        }
    }

    fn stats(&self, session: SessionId) -> Option<SessionStats> {
        let handle = self.session(session).ok()?;
        match (&self.engine, handle.in_kext) {
            (Engine::Kext(extension), Some(number)) => extension.statistics(number),
            _ => Some(handle.counters.stats()),
        }
    }
}
