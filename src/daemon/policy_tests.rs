//! What the daemon does about targets that answer, refuse, keep silent, go away and come back: with a
//! scripted way to log in and a scripted kernel, in a time that passes by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iscsi_proto::handoff::{HANDOFF_VERSION, Handoff};
use iscsi_proto::ids::{Isid, Lun};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::control::socket::Answer;
use super::disks::{Afterlife, DiskFuture, Disks, Release, SystemDisks};
use super::route;
use super::session::back_off::back_off;
use super::settings::Settings;
use super::state::{Daemon, Partners};
use crate::block::{Block, Geometry, Io, Pool, Registry};
use crate::config::{Portal, Store};
use crate::daemon::progress::Progress;
use crate::ipc::{ExitCode, Failure, Reply, Request, Session, SessionState, TargetChanges, Which};
use crate::kernel_bridge::{
    BridgeError, BridgeEvent, BridgeFuture, KernelBridge, SessionId, SessionSpec, SessionStats, UnitInfo,
};
use crate::login::failure::Again;
use crate::login::failure::{Cause, Failed};
use crate::login::plan::{Opened, Opener, Opening, Plan};

pub(super) const A: &str = "iqn.2026-11.org.example:a";
pub(super) const B: &str = "iqn.2026-11.org.example:b";
pub(super) const UNIT: &str = "iqn.2026-11.org.example:a/0";
pub(super) const ONE: &str = "192.0.2.1:3260";
pub(super) const TWO: &str = "192.0.2.2:3260";

/// What a portal does to a login.
#[derive(Debug, Clone)]
pub(super) enum Act {
    LetIn,
    Fail(Cause),
    KeepSilent,
}

/// A way to log in, by portal: the acts of its script in turn, the last one for ever.
#[derive(Default)]
pub(super) struct Script {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    tried: Mutex<Vec<(Instant, String, Isid)>>,
}

impl Script {
    pub(super) fn set(&self, portal: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().expect("sound").insert(portal.to_owned(), acts.into_iter().collect());
    }

    pub(super) fn tried(&self) -> Vec<String> {
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
                Act::LetIn => Ok(opened(plan, &at)),
                Act::Fail(cause) => Err(Failed { portal: at, cause }),
                Act::KeepSilent => {
                    tokio::time::sleep(plan.timeout).await;
                    Err(Failed { portal: at, cause: Cause::Silent { after: plan.timeout } })
                }
            }
        })
    }
}

fn opened(plan: &Plan, at: &str) -> Opened {
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
        target_portal_group_tag: 1,
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
    }
}

/// What the kernel was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Handoff { target: String, replaces: Option<SessionId> },
    Scan(SessionId),
    Logout(SessionId),
    Leave(SessionId),
    Abandon(SessionId),
}

pub(super) struct Sessions {
    told: Mutex<Vec<Told>>,
    next: AtomicU32,
    events: mpsc::UnboundedSender<BridgeEvent>,
    answers_logout: bool,
    scans: AtomicBool,
    /// Whether the targets answer a ping.
    pub(super) alive: AtomicBool,
    /// Whether the unit has a write cache.
    pub(super) cached: AtomicBool,
}

impl Sessions {
    fn tell(&self, told: Told) {
        self.told.lock().expect("sound").push(told);
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("sound").clone()
    }

    fn unit(&self) -> UnitInfo {
        UnitInfo {
            lun: Lun(0),
            device_type: 0,
            vendor: "ACME".into(),
            product: "DISK".into(),
            revision: "1".into(),
            serial: None,
            identifier: None,
            geometry: Some(Geometry { write_cache: self.cached.load(Ordering::Relaxed), ..geometry() }),
            problem: None,
        }
    }
}

pub(super) fn geometry() -> Geometry {
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
    }
}

impl KernelBridge for Sessions {
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
            if self.scans.load(Ordering::Relaxed) { Ok(vec![self.unit()]) } else { Err(BridgeError::TimedOut) }
        })
    }

    fn units(&self, _session: SessionId) -> Vec<UnitInfo> {
        vec![self.unit()]
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
pub(super) struct Desk {
    attached: Mutex<BTreeSet<String>>,
    mounted: Mutex<bool>,
    /// Somebody holds the disks that the system made by itself.
    pub(super) held: Mutex<bool>,
    pub(super) released: Mutex<Vec<String>>,
    pub(super) written_back: Mutex<Vec<String>>,
    outlives: Mutex<bool>,
}

impl Disks for Desk {
    fn attach(&self, unit: &str, _block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String> {
        self.attached.lock().expect("sound").insert(unit.to_owned());
        Box::pin(async { Ok("/dev/loop7".into()) })
    }

    fn detach(&self, unit: &str, _force: bool) -> DiskFuture<'_, Option<String>> {
        self.attached.lock().expect("sound").remove(unit);
        Box::pin(async { Ok(None) })
    }

    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()> {
        self.written_back.lock().expect("sound").push(unit.to_owned());
        Box::pin(async { Ok(()) })
    }

    fn device(&self, unit: &str) -> Option<String> {
        self.attached.lock().expect("sound").contains(unit).then(|| "/dev/loop7".into())
    }

    fn afterlife(&self) -> Afterlife {
        if *self.outlives.lock().expect("sound") { Afterlife::Waits } else { Afterlife::None }
    }

    fn in_use(&self, _unit: &str) -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        let mounted = *self.mounted.lock().expect("sound");
        Box::pin(async move { if mounted { vec!["mounted on /mnt/data".into()] } else { Vec::new() } })
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

pub(super) struct Stage {
    pub(super) daemon: Arc<Daemon>,
    pub(super) script: Arc<Script>,
    pub(super) kernel: Arc<Sessions>,
    pub(super) desk: Arc<Desk>,
    _scratch: tempfile::TempDir,
}

/// A daemon that knows target A at two portals and target B at a third.
pub(super) async fn stage() -> Stage {
    stage_with(true).await
}

/// The same, where the system makes disks of the units by itself, and nobody exports them.
pub(super) async fn stage_of_system_disks() -> Stage {
    stage_of(true, true).await
}

async fn stage_with(answers_logout: bool) -> Stage {
    stage_of(answers_logout, false).await
}

async fn stage_of(answers_logout: bool, by_the_system: bool) -> Stage {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let store = Store::open(&scratch.path().join("iscsid.plist")).expect("settings");
    let (events, heard) = mpsc::unbounded_channel();
    let kernel = Arc::new(Sessions {
        told: Mutex::default(),
        next: AtomicU32::new(0),
        events,
        answers_logout,
        scans: true.into(),
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
    let partners =
        Partners { bridge: kernel.clone(), opener: script.clone(), disks, registry: registry.clone(), nfs: None };
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

fn which(target: &str) -> Which {
    Which::One { target: target.into(), portal: None }
}

impl Stage {
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Failure> {
        self.daemon.clone().answer(request, Progress::default()).await
    }

    pub(super) async fn modify(&self, target: &str, changes: TargetChanges) {
        self.ask(Request::ModifyTarget { target: target.into(), changes }).await.expect("modified");
    }

    pub(super) async fn log_in(&self, target: &str) -> Result<Reply, Failure> {
        self.ask(Request::Login(which(target))).await
    }

    pub(super) async fn log_out(&self, target: &str, force: bool) -> Result<Reply, Failure> {
        self.ask(Request::Logout { which: which(target), force }).await
    }

    pub(super) async fn sessions(&self) -> Vec<Session> {
        match self.ask(Request::ListSessions).await {
            Ok(Reply::Sessions(sessions)) => sessions,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the only session is in a state; the clock runs meanwhile.
    pub(super) async fn until(&self, state: SessionState) {
        let wait = async {
            while self.sessions().await.first().map(|session| session.state) != Some(state) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), wait).await.expect("the state is reached");
    }

    pub(super) fn lose(&self) {
        let lost = BridgeEvent::ConnectionLost { session: SessionId(0), why: "reset".into() };
        self.kernel.events.send(lost).expect("somebody listens");
    }
}

// check: login-silence
#[tokio::test(start_paused = true)]
async fn a_silent_host_holds_up_neither_a_list_nor_another_login() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.script.set(TWO, [Act::KeepSilent]);
    let started = Instant::now();
    let slow = tokio::spawn({
        let daemon = stage.daemon.clone();
        async move { daemon.answer(Request::Login(which(A)), Progress::default()).await }
    });
    tokio::task::yield_now().await;
    stage.log_in(B).await.expect("the other target");
    assert_eq!(stage.sessions().await.len(), 1);
    assert!(started.elapsed() < Duration::from_secs(1));
    let failure = slow.await.expect("a task").expect_err("silence");
    assert_eq!(failure.code, ExitCode::NoHost);
    assert!(failure.to_string().contains("no answer came within 15 seconds"), "{failure}");
    assert!(started.elapsed() <= Duration::from_secs(31), "both portals, once each");
}

#[tokio::test]
async fn a_second_login_is_refused() {
    let stage = stage().await;
    stage.log_in(A).await.expect("the first");
    let failure = stage.log_in(A).await.expect_err("the second");
    assert_eq!(failure.code, ExitCode::Data);
    assert!(failure.to_string().contains("logged in already"), "{failure}");
}

// check: login-silence
#[tokio::test]
async fn portals_are_tried_until_one_works() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
    stage.log_in(A).await.expect("the second portal");
    assert_eq!(stage.script.tried(), [ONE, TWO]);
    assert_eq!(stage.sessions().await[0].portal, TWO);
}

// check: login-02xx
#[tokio::test]
async fn a_wrong_secret_is_not_tried_at_every_portal() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::Fail(Cause::Refused { class: 2, detail: 1 })]);
    let failure = stage.log_in(A).await.expect_err("refused");
    assert_eq!((failure.code, stage.script.tried()), (ExitCode::NotPermitted, vec![ONE.to_owned()]));
}

#[tokio::test]
async fn what_the_target_says_counts_more_than_what_the_way_to_it_says() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::Fail(Cause::Refused { class: 2, detail: 3 })]);
    stage.script.set(TWO, [Act::Fail(Cause::Closed)]);
    assert_eq!(stage.log_in(A).await.expect_err("not there").code, ExitCode::Data);
}

// check: login-03xx, login-02xx
#[tokio::test(start_paused = true)]
async fn a_target_that_says_later_is_asked_again_and_one_that_says_no_is_not() {
    let stage = stage().await;
    stage.script.set("192.0.2.3:3260", [Act::Fail(Cause::Refused { class: 3, detail: 1 }), Act::LetIn]);
    stage.log_in(B).await.expect("the second time");
    assert_eq!(stage.script.tried().len(), 2);
    stage.script.set(ONE, [Act::Fail(Cause::Refused { class: 2, detail: 0 })]);
    stage.script.set(TWO, [Act::Fail(Cause::Refused { class: 2, detail: 0 })]);
    assert_eq!(stage.log_in(A).await.expect_err("refused").code, ExitCode::Protocol);
    assert_eq!(stage.script.tried().len(), 4, "each portal once");
}

// check: login-03xx
#[tokio::test(start_paused = true)]
async fn one_portal_that_says_later_is_reason_enough_to_ask_again() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
    stage.script.set(TWO, [Act::Fail(Cause::Refused { class: 3, detail: 1 }), Act::LetIn]);
    let started = Instant::now();
    stage.log_in(A).await.expect("the second time");
    assert_eq!(stage.script.tried(), [ONE, TWO, ONE, TWO]);
    assert!(started.elapsed() >= Duration::from_millis(750), "after a while");
}

#[tokio::test]
async fn logging_out_of_what_is_not_logged_in_is_refused() {
    let stage = stage().await;
    assert_eq!(stage.log_out(A, false).await.expect_err("idle").code, ExitCode::Data);
}

#[tokio::test]
async fn a_disk_that_is_mounted_keeps_its_session_unless_forced() {
    let stage = stage().await;
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.log_in(A).await.expect("in");
    assert!(stage.desk.device(UNIT).is_some());
    *stage.desk.mounted.lock().expect("sound") = true;
    let failure = stage.log_out(A, false).await.expect_err("in use");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("mounted on /mnt/data"), "{failure}");
    assert_eq!(stage.sessions().await[0].state, SessionState::Active);
    stage.log_out(A, true).await.expect("forced");
    assert!(stage.desk.device(UNIT).is_none() && stage.sessions().await.is_empty());
}

// check: logout-unanswered
#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_a_logout_is_left_in_time() {
    let stage = stage_with(false).await;
    stage.log_in(A).await.expect("in");
    let started = Instant::now();
    let reply = stage.log_out(A, false).await.expect("out");
    assert!(matches!(reply, Reply::Done(said) if said.len() == 1 && said[0].contains("did not confirm")));
    assert_eq!(started.elapsed().as_secs(), 5, "LogoutTimeout");
    assert!(stage.sessions().await.is_empty());
}

#[tokio::test]
async fn a_logged_in_target_is_removed_only_by_force() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let remove = |force| Request::RemoveTarget { target: A.into(), portal: None, force };
    assert_eq!(stage.ask(remove(false)).await.expect_err("logged in").code, ExitCode::TryAgain);
    stage.ask(remove(true)).await.expect("forced");
    assert!(stage.kernel.told().contains(&Told::Logout(SessionId(0))));
    assert!(!stage.daemon.settings.current().config.targets.contains_key(A));
}

#[tokio::test]
async fn a_target_that_is_not_persistent_is_forgotten_with_its_logout() {
    let stage = stage().await;
    stage.modify(A, TargetChanges { persistent: Some(false), ..TargetChanges::default() }).await;
    stage.log_in(A).await.expect("in");
    stage.log_out(A, false).await.expect("out");
    assert!(!stage.daemon.settings.current().config.targets.contains_key(A));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_know_its_name_while_it_comes_up_is_asked_again_soon() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let not_found = || Act::Fail(Cause::Refused { class: 2, detail: 3 });
    stage.script.set(ONE, [not_found()]);
    stage.script.set(TWO, [not_found()]);
    stage.lose();
    tokio::time::sleep(Duration::from_secs(600)).await;
    stage.script.set(ONE, [Act::LetIn]);
    let started = Instant::now();
    stage.until(SessionState::Active).await;
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
}

// check: recovery-forced-removal
#[tokio::test(start_paused = true)]
async fn a_dead_target_is_removed_at_once_while_a_login_to_it_is_under_way() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.modify(A, TargetChanges { auto_login: Some(true), ..TargetChanges::default() }).await;
    stage.daemon.begin();
    while stage.script.tried().is_empty() {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    stage.ask(Request::RemoveTarget { target: A.into(), portal: None, force: false }).await.expect("removed");
    assert!(started.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.script.tried(), [ONE], "nobody tries it any more");
}

// check: recovery-back-off
#[tokio::test(start_paused = true)]
async fn an_automatic_login_goes_on_until_it_works_without_being_a_nuisance() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::Fail(Cause::Unreachable { why: "the network is down".into() })]);
    stage.script.set(TWO, [Act::Fail(Cause::Unreachable { why: "the network is down".into() })]);
    stage.modify(A, TargetChanges { auto_login: Some(true), ..TargetChanges::default() }).await;
    stage.daemon.begin();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let attempts = stage.script.tried().len();
    assert!((2 * 90..2 * 180).contains(&attempts), "{attempts} attempts in an hour");
    stage.script.set(TWO, [Act::LetIn]);
    stage.until(SessionState::Active).await;
    assert_eq!(stage.sessions().await[0].target, A);
}

#[tokio::test(start_paused = true)]
async fn a_logout_gives_an_automatic_login_up() {
    let stage = stage().await;
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.script.set(TWO, [Act::KeepSilent]);
    stage.modify(A, TargetChanges { auto_login: Some(true), ..TargetChanges::default() }).await;
    stage.daemon.begin();
    tokio::time::sleep(Duration::from_secs(100)).await;
    stage.log_out(A, false).await.expect("given up");
    let attempts = stage.script.tried().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.script.tried().len(), attempts);
}

// check: recovery-time2wait
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_after_time2wait_with_the_same_isid() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let started = Instant::now();
    stage.lose();
    stage.until(SessionState::Recovering).await;
    stage.until(SessionState::Active).await;
    assert_eq!(started.elapsed().as_secs(), 3, "DefaultTime2Wait");
    let handoffs: Vec<Told> =
        stage.kernel.told().into_iter().filter(|told| matches!(told, Told::Handoff { .. })).collect();
    let handoff = |replaces| Told::Handoff { target: A.into(), replaces };
    assert_eq!(handoffs, [handoff(None), handoff(Some(SessionId(0)))]);
    let tried = stage.script.tried.lock().expect("sound");
    assert_eq!(tried[0].2, tried[1].2);
}

// check: recovery-portal-dead
#[tokio::test(start_paused = true)]
async fn a_dead_portal_is_left_for_the_next_one() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
    stage.lose();
    stage.until(SessionState::Recovering).await;
    stage.until(SessionState::Active).await;
    assert_eq!(stage.script.tried(), [ONE, ONE, TWO]);
    assert_eq!(stage.sessions().await[0].portal, TWO);
}

// check: recovery-back-off, recovery-replacement-timeout
#[tokio::test(start_paused = true)]
async fn a_session_that_stays_down_is_tried_for_ever_and_revives() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
    stage.script.set(TWO, [Act::Fail(Cause::Closed)]);
    stage.lose();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(stage.sessions().await[0].state, SessionState::Recovering);
    stage.script.set(ONE, [Act::LetIn]);
    let started = Instant::now();
    stage.until(SessionState::Active).await;
    assert!(started.elapsed() < Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_removed_by_force_in_less_than_a_second_and_its_disks_get_errors_at_once() {
    let stage = stage_with(false).await;
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.log_in(A).await.expect("in");
    let started = Instant::now();
    let removal = Request::RemoveTarget { target: A.into(), portal: None, force: true };
    stage.ask(removal).await.expect("removed");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(stage.kernel.told().contains(&Told::Abandon(SessionId(0))));
    assert_eq!(stage.desk.device(UNIT), None);
    assert!(stage.sessions().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_down_is_logged_out_at_once() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.lose();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.script.tried().len(), 2, "it is being tried");
    let started = Instant::now();
    stage.log_out(A, false).await.expect("out");
    assert!(started.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.script.tried().len(), 2);
}

// check: async-logout
#[tokio::test(start_paused = true)]
async fn a_target_that_wants_a_logout_gets_it_and_a_new_login_and_keeps_its_disks() {
    let stage = stage().await;
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.log_in(A).await.expect("in");
    let wanted = BridgeEvent::LogoutRequested { session: SessionId(0), seconds: 5 };
    stage.kernel.events.send(wanted).expect("somebody listens");
    stage.until(SessionState::Recovering).await;
    stage.until(SessionState::Active).await;
    let told = stage.kernel.told();
    let left = told.iter().position(|told| *told == Told::Leave(SessionId(0))).expect("a logout");
    let replaced = Told::Handoff { target: A.into(), replaces: Some(SessionId(0)) };
    assert!(told[left..].contains(&replaced), "{told:?}");
    assert!(!told.contains(&Told::Logout(SessionId(0))), "which would be the end of the units");
    assert!(stage.desk.device(UNIT).is_some());
}

// check: async-luns-changed
#[tokio::test(start_paused = true)]
async fn units_that_change_are_looked_for_again() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.kernel.events.send(BridgeEvent::UnitsChanged { session: SessionId(0) }).expect("somebody listens");
    let scans = || stage.kernel.told().iter().filter(|told| **told == Told::Scan(SessionId(0))).count();
    let two = async {
        while scans() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), two).await.expect("another scan");
}

#[tokio::test(start_paused = true)]
async fn a_rescan_that_finds_nothing_out_is_a_failure_and_changes_nothing() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.kernel.scans.store(false, Ordering::Relaxed);
    let failure = stage.ask(Request::Rescan { target: None }).await.expect_err("no answer");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("did not answer in time"), "{failure}");
    assert_eq!(stage.sessions().await[0].state, SessionState::Active);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_daemon_has_what_is_on_a_disk_in_use_written_back_before_the_logout() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    *stage.desk.mounted.lock().expect("sound") = true;
    super::session::logout::end_all(&stage.daemon).await;
    assert_eq!(*stage.desk.written_back.lock().expect("sound"), [UNIT]);
    assert!(stage.desk.device(UNIT).is_some(), "a disk in use is not taken away");
    assert_eq!(stage.kernel.told().last(), Some(&Told::Logout(SessionId(0))));
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_disk_outlives_the_daemon_is_logged_in_again_by_the_next_one() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.log_in(B).await.expect("in");
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    (*stage.desk.mounted.lock().expect("sound"), *stage.desk.outlives.lock().expect("sound")) = (true, true);
    super::session::logout::end_all(&stage.daemon).await;
    assert!(stage.sessions().await.is_empty());
    stage.daemon.survivors.clear();
    let (_, left) = super::session::survivors::Survivors::open(&stage.daemon.runtime_dir);
    assert!(left.contains(A), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_daemon_logs_out_of_everything_and_cancels_what_is_under_way() {
    let stage = stage().await;
    stage.log_in(B).await.expect("in");
    stage.script.set(ONE, [Act::KeepSilent]);
    let waiting = tokio::spawn({
        let daemon = stage.daemon.clone();
        async move { daemon.answer(Request::Login(which(A)), Progress::default()).await }
    });
    tokio::task::yield_now().await;
    let started = Instant::now();
    super::session::logout::end_all(&stage.daemon).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(waiting.await.expect("a task").is_err());
    assert!(stage.sessions().await.is_empty());
    assert_eq!(stage.kernel.told().last(), Some(&Told::Logout(SessionId(0))));
}

// check: recovery-back-off, login-03xx
#[test]
fn waits_double_up_to_a_bound_and_never_vanish() {
    for (failures, again, seconds) in [
        (1, Again::Later, 1),
        (2, Again::Later, 2),
        (5, Again::Later, 16),
        (6, Again::Later, 30),
        (u32::MAX, Again::Later, 30),
        (6, Again::Elsewhere, 32),
        (u32::MAX, Again::Never, 300),
    ] {
        let wait = back_off(failures, again);
        let middle = Duration::from_secs(seconds);
        assert!(wait >= middle * 3 / 4 && wait <= middle * 5 / 4, "{failures} {again:?}: {wait:?}");
    }
}
