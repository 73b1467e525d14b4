//! A daemon that knows two targets, a scripted way to log in to them, a scripted kernel and a desk for the disks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iscsi_proto::handoff::{HANDOFF_VERSION, Handoff};
use iscsi_proto::ids::{Isid, Lun};
use iscsi_proto::login::Lapses;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::block::{Block, Geometry, Io, Pool, Registry};
use crate::config::{Portal, Store};
use crate::daemon::control::socket::Answer;
use crate::daemon::disks::{Afterlife, DiskFuture, Disks, Release, SystemDisks};
use crate::daemon::progress::Progress;
use crate::daemon::route;
use crate::daemon::session::lives::SHORT_LIFE;
use crate::daemon::session::survivors::Survivors;
use crate::daemon::settings::Settings;
use crate::daemon::state::{Daemon, Partners};
use crate::ipc::{ExitCode, Failure, Reply, Request, Session, SessionState, TargetChanges, Which};
use crate::kernel_bridge::{
    BridgeError, BridgeEvent, BridgeFuture, KernelBridge, SessionId, SessionSpec, SessionStats, UnitInfo,
};
use crate::login::failure::{Cause, Failed};
use crate::login::plan::{Opened, Opener, Opening, Plan};

pub(crate) const A: &str = "iqn.2026-11.org.example:a";
pub(crate) const B: &str = "iqn.2026-11.org.example:b";
pub(crate) const UNIT: &str = "iqn.2026-11.org.example:a/0";
pub(crate) const ONE: &str = "192.0.2.1:3260";
pub(crate) const TWO: &str = "192.0.2.2:3260";

/// What a portal does to a login.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    LetIn,
    Fail(Cause),
    KeepSilent,
}

/// A way to log in, by portal: the acts of its script in turn, the last one for ever.
#[derive(Default)]
pub(crate) struct Script {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    /// The portal groups that are declared; the others are of group 1, and do not say so.
    pub(crate) groups: Mutex<BTreeMap<String, u16>>,
    pub(crate) tried: Mutex<Vec<(Instant, String, Isid)>>,
}

impl Script {
    pub(crate) fn set(&self, portal: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().expect("sound").insert(portal.to_owned(), acts.into_iter().collect());
    }

    pub(crate) fn tried(&self) -> Vec<String> {
        self.tried.lock().expect("sound").iter().map(|(_, portal, _)| portal.clone()).collect()
    }

    fn next(&self, portal: &str) -> Act {
        let mut acts = self.acts.lock().expect("sound");
        let acts = acts.entry(portal.to_owned()).or_default();
        match acts.len() {
            0 => Act::LetIn,
            1 => acts[0].clone(),
            _ => acts.pop_front().expect("two"),
        }
    }
}

impl Opener for Script {
    fn open<'a>(&'a self, plan: &'a Plan, portal: &'a Portal) -> Opening<'a> {
        Box::pin(async move {
            let at = portal.endpoint();
            self.tried.lock().expect("sound").push((Instant::now(), at.clone(), plan.isid));
            match self.next(&at) {
                Act::LetIn => {
                    let declared = self.groups.lock().expect("sound").get(&at).copied();
                    let other =
                        |group: u16| plan.continues.as_ref().is_some_and(|old| old.via != at && old.group_tag != group);
                    if let Some(group) = declared.filter(|&group| other(group)) {
                        let why = format!("it is of portal group {group}");
                        return Err(Failed { portal: at, cause: Cause::Incompatible { why } });
                    }
                    Ok(opened(plan, &at, declared))
                }
                Act::Fail(cause) => Err(Failed { portal: at, cause }),
                Act::KeepSilent => {
                    tokio::time::sleep(plan.timeout).await;
                    Err(Failed { portal: at, cause: Cause::Silent { after: plan.timeout } })
                }
            }
        })
    }
}

fn opened(plan: &Plan, at: &str, declared_tag: Option<u16>) -> Opened {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let stream = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let handoff = Handoff {
        version: HANDOFF_VERSION,
        cmd_sn: 1,
        exp_stat_sn: 1,
        max_cmd_sn: 32,
        first_burst_length: 65_536,
        max_burst_length: 65_536,
        max_recv_data_segment_length: 65_536,
        max_send_data_segment_length: 65_536,
        tsih: 7,
        cid: 0,
        max_outstanding_r2t: 1,
        default_time2wait: 3,
        default_time2retain: 20,
        target_portal_group_tag: declared_tag.unwrap_or(1),
        isid: plan.isid.0,
        header_digest: 0,
        data_digest: 0,
        initial_r2t: 1,
        immediate_data: 1,
        error_recovery_level: 0,
        reserved: [0; 3],
    };
    Opened {
        stream,
        handoff,
        portal: at.to_owned(),
        via: at.to_owned(),
        alias: None,
        authentication: "None".into(),
        keys: Vec::new(),
        declared_tag,
        md5_alone: false,
        lapses: Lapses::default(),
    }
}

/// What the kernel was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Handoff { target: String, replaces: Option<SessionId> },
    Scan(SessionId),
    Logout(SessionId),
    Leave(SessionId),
    Abandon(SessionId),
}

pub(crate) struct ScriptedKernel {
    told: Mutex<Vec<Told>>,
    next: AtomicU32,
    pub(crate) events: mpsc::UnboundedSender<BridgeEvent>,
    answers_logout: bool,
    pub(crate) scans: AtomicBool,
    /// How many units a scan finds, and how many the last one has found.
    pub(crate) count: AtomicU32,
    /// The number of the first unit that there is.
    pub(crate) first: AtomicU32,
    seen: AtomicU32,
    /// How long a scan takes, in seconds.
    pub(crate) scan_takes: AtomicU32,
    /// Whether the targets answer a ping.
    pub(crate) alive: AtomicBool,
    /// Whether the unit has a write cache.
    pub(crate) cached: AtomicBool,
}

impl ScriptedKernel {
    fn tell(&self, told: Told) {
        self.told.lock().expect("sound").push(told);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("sound").clone()
    }

    fn found(&self) -> Vec<UnitInfo> {
        let first = self.first.load(Ordering::Relaxed);
        (first..first + self.seen.load(Ordering::Relaxed)).map(|lun| self.unit(lun.into())).collect()
    }

    fn unit(&self, lun: u64) -> UnitInfo {
        UnitInfo {
            // Flat addressing (SAM-5 §4.7.7.3) where one byte is too small.
            lun: Lun(if lun < 256 { lun << 48 } else { (0x4000 | lun) << 48 }),
            device_type: 0,
            administrative: false,
            vendor: "ACME".into(),
            product: "DISK".into(),
            revision: "1".into(),
            serial: None,
            identifier: None,
            geometry: Some(Geometry { write_cache: self.cached.load(Ordering::Relaxed), ..geometry() }),
            problem: None,
            workarounds: Vec::new(),
            failed: None,
        }
    }
}

pub(crate) fn geometry() -> Geometry {
    Geometry {
        block_size: 512,
        blocks: 8,
        physical_block_size: 512,
        max_transfer: 4096,
        optimal_transfer: 4096,
        max_unmap_blocks: 0,
        max_zero_blocks: 0,
        read_only: false,
        write_cache: false,
        rotational: false,
        slow_zeroes: false,
    }
}

impl KernelBridge for ScriptedKernel {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn handoff(
        &self,
        spec: SessionSpec,
        _handoff: Handoff,
        _stream: TcpStream,
        replaces: Option<SessionId>,
    ) -> BridgeFuture<'_, SessionId> {
        self.tell(Told::Handoff { target: spec.target, replaces });
        Box::pin(async move { Ok(replaces.unwrap_or_else(|| SessionId(self.next.fetch_add(1, Ordering::Relaxed)))) })
    }

    fn scan(&self, session: SessionId) -> BridgeFuture<'_, Vec<UnitInfo>> {
        self.tell(Told::Scan(session));
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(self.scan_takes.load(Ordering::Relaxed).into())).await;
            if !self.scans.load(Ordering::Relaxed) {
                return Err(BridgeError::TimedOut);
            }
            self.seen.store(self.count.load(Ordering::Relaxed), Ordering::Relaxed);
            Ok(self.found())
        })
    }

    fn units(&self, _session: SessionId) -> Vec<UnitInfo> {
        self.found()
    }

    fn workarounds(&self, _session: SessionId) -> Vec<String> {
        Vec::new()
    }

    fn logout(&self, session: SessionId, within: Duration) -> BridgeFuture<'_, ()> {
        self.tell(Told::Logout(session));
        Box::pin(async move {
            if self.answers_logout {
                return Ok(());
            }
            tokio::time::sleep(within).await;
            Err(BridgeError::TimedOut)
        })
    }

    fn suspend(&self, session: SessionId, _within: Duration) -> BridgeFuture<'_, ()> {
        self.tell(Told::Leave(session));
        Box::pin(async { Ok(()) })
    }

    fn is_alive(&self, _session: SessionId, within: Duration) -> BridgeFuture<'_, bool> {
        Box::pin(async move {
            let alive = self.alive.load(Ordering::Relaxed);
            if !alive {
                tokio::time::sleep(within).await;
            }
            Ok(alive)
        })
    }

    fn abandon(&self, session: SessionId) {
        self.tell(Told::Abandon(session));
    }

    fn stats(&self, _session: SessionId) -> Option<SessionStats> {
        None
    }
}

/// A unit that nobody reads.
struct Idle(Pool);

impl Block for Idle {
    fn geometry(&self) -> Geometry {
        geometry()
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        batch.clear();
    }

    fn pool(&self) -> &Pool {
        &self.0
    }
}

#[derive(Default)]
pub(crate) struct Desk {
    attached: Mutex<BTreeSet<String>>,
    pub(crate) mounted: Mutex<bool>,
    /// Somebody holds the disks that the system made by itself.
    pub(crate) held: Mutex<bool>,
    pub(crate) released: Mutex<Vec<String>>,
    pub(crate) written_back: Mutex<Vec<String>>,
    pub(crate) outlives: Mutex<bool>,
    /// Who uses a disk does not show.
    pub(crate) hangs: AtomicBool,
    /// A disk that nobody seems to use, until it is to go.
    pub(crate) opened_late: Mutex<Option<String>>,
    pub(crate) put_away: Mutex<Vec<String>>,
    /// A disk that is to go asks this export, and is there until it has been answered.
    pub(crate) export: Mutex<Option<mpsc::UnboundedSender<oneshot::Sender<()>>>>,
}

impl Desk {
    /// How many units are attached.
    pub(crate) fn count(&self) -> usize {
        self.attached.lock().expect("sound").len()
    }
}

impl Disks for Desk {
    fn attach(&self, unit: &str, _block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String> {
        self.attached.lock().expect("sound").insert(unit.to_owned());
        Box::pin(async { Ok("/dev/loop7".into()) })
    }

    fn detach(&self, unit: &str, _force: bool) -> DiskFuture<'_, Vec<String>> {
        if self.opened_late.lock().expect("sound").as_deref() == Some(unit) {
            return Box::pin(async { Err(Failure::new(ExitCode::TryAgain, "the disk is in use (open in dd)")) });
        }
        let (export, unit) = (self.export.lock().expect("sound").clone(), unit.to_owned());
        Box::pin(async move {
            if let Some(export) = export.filter(|_| self.device(&unit).is_some()) {
                let (answer, answered) = oneshot::channel();
                if export.send(answer).is_err() || answered.await.is_err() {
                    // A client without a server waits.
                    let () = std::future::pending().await;
                }
            }
            self.attached.lock().expect("sound").remove(&unit);
            Ok(Vec::new())
        })
    }

    fn put_away(&self, unit: &str) -> DiskFuture<'_, Vec<String>> {
        if self.device(unit).is_some() {
            self.put_away.lock().expect("sound").push(unit.to_owned());
        }
        self.detach(unit, false)
    }

    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()> {
        self.written_back.lock().expect("sound").push(unit.to_owned());
        Box::pin(async { Ok(()) })
    }

    fn device(&self, unit: &str) -> Option<String> {
        self.attached.lock().expect("sound").contains(unit).then(|| "/dev/loop7".into())
    }

    fn attached(&self) -> Vec<(String, String)> {
        self.attached.lock().expect("sound").iter().map(|unit| (unit.clone(), "/dev/loop7".into())).collect()
    }

    fn afterlife(&self) -> Afterlife {
        if *self.outlives.lock().expect("sound") { Afterlife::Waits } else { Afterlife::None }
    }

    fn in_use(&self, _unit: &str) -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        let mounted = *self.mounted.lock().expect("sound");
        Box::pin(async move {
            if self.hangs.load(Ordering::Relaxed) {
                let () = std::future::pending().await;
            }
            if mounted { vec!["mounted on /mnt/data".into()] } else { Vec::new() }
        })
    }
}

impl Release for Desk {
    fn release(&self, device: &str, force: bool) -> DiskFuture<'_, ()> {
        let held = *self.held.lock().expect("sound") && !force;
        if !held {
            self.released.lock().expect("sound").push(device.to_owned());
        }
        Box::pin(
            async move { if held { Err(Failure::new(ExitCode::TryAgain, "Finder does not let go")) } else { Ok(()) } },
        )
    }
}

pub(crate) struct Stage {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) script: Arc<Script>,
    pub(crate) kernel: Arc<ScriptedKernel>,
    pub(crate) desk: Arc<Desk>,
    _scratch: tempfile::TempDir,
}

/// A daemon that knows target A at two portals and target B at a third.
pub(crate) async fn stage() -> Stage {
    stage_with(true).await
}

/// The same, after a daemon that died when it was logged in to these targets.
pub(crate) async fn stage_after(left: &[&str]) -> Stage {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (survivors, _) = Survivors::open(scratch.path());
    left.iter().for_each(|target| survivors.enter(target));
    stage_in(scratch, true, false).await
}

/// The same, where the system makes disks of the units by itself, and nobody exports them.
pub(crate) async fn stage_of_system_disks() -> Stage {
    stage_of(true, true).await
}

pub(crate) async fn stage_with(answers_logout: bool) -> Stage {
    stage_of(answers_logout, false).await
}

async fn stage_of(answers_logout: bool, by_the_system: bool) -> Stage {
    stage_in(tempfile::tempdir().expect("a scratch directory"), answers_logout, by_the_system).await
}

async fn stage_in(scratch: tempfile::TempDir, answers_logout: bool, by_the_system: bool) -> Stage {
    let store = Store::open(&scratch.path().join("iscsid.plist")).expect("settings");
    let (events, heard) = mpsc::unbounded_channel();
    let kernel = Arc::new(ScriptedKernel {
        told: Mutex::default(),
        next: AtomicU32::new(0),
        events,
        answers_logout,
        scans: true.into(),
        count: 1.into(),
        first: 0.into(),
        seen: 1.into(),
        scan_takes: 0.into(),
        alive: answers_logout.into(),
        cached: false.into(),
    });
    let (script, desk) = (Arc::new(Script::default()), Arc::new(Desk::default()));
    let registry = Arc::new(Registry::default());
    let disks: Arc<dyn Disks> = if by_the_system {
        let devices = |unit: &str| unit.ends_with("/0").then(|| "/dev/disk4".to_owned());
        Arc::new(SystemDisks::new(Arc::new(devices), desk.clone()))
    } else {
        registry.insert(UNIT.into(), Arc::new(Idle(Pool::new(1 << 20))));
        desk.clone()
    };
    let partners = Partners {
        bridge: kernel.clone(),
        opener: script.clone(),
        disks,
        registry: registry.clone(),
        nfs: None,
        short_life: SHORT_LIFE,
    };
    let daemon = Daemon::new(Settings::new(store), partners, scratch.path().to_owned());
    tokio::spawn(route(daemon.clone(), heard));
    let stage = Stage { daemon, script, kernel, desk, _scratch: scratch };
    for (target, portal) in [(A, ONE), (A, TWO), (B, "192.0.2.3:3260")] {
        let add = Request::AddTarget { target: target.into(), portal: portal.into(), interface: None };
        stage.ask(add).await.expect("added");
    }
    stage.modify(A, TargetChanges { attach: Some(false), ..TargetChanges::default() }).await;
    stage.modify(B, TargetChanges { attach: Some(false), ..TargetChanges::default() }).await;
    stage
}

pub(crate) fn which(target: &str) -> Which {
    Which::One { target: target.into(), portal: None }
}

impl Stage {
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, Failure> {
        self.daemon.clone().answer(request, Progress::default()).await
    }

    pub(crate) async fn modify(&self, target: &str, changes: TargetChanges) {
        self.ask(Request::ModifyTarget { target: target.into(), changes }).await.expect("modified");
    }

    pub(crate) async fn log_in(&self, target: &str) -> Result<Reply, Failure> {
        self.ask(Request::Login(which(target))).await
    }

    pub(crate) async fn log_out(&self, target: &str, force: bool) -> Result<Reply, Failure> {
        self.ask(Request::Logout { which: which(target), force }).await
    }

    pub(crate) async fn sessions(&self) -> Vec<Session> {
        match self.ask(Request::ListSessions).await {
            Ok(Reply::Sessions(sessions)) => sessions,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the only session is in a state; the clock runs meanwhile.
    pub(crate) async fn until(&self, state: SessionState) {
        let wait = async {
            while self.sessions().await.first().map(|session| session.state) != Some(state) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), wait).await.expect("the state is reached");
    }

    pub(crate) fn lose(&self) {
        let lost = BridgeEvent::ConnectionLost { session: SessionId(0), why: "reset".into() };
        self.kernel.events.send(lost).expect("somebody listens");
    }
}
