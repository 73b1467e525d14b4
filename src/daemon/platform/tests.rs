//! Machines that sleep, wake, move and end, with targets that notice or not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::PlatformEvent;
use super::hold::Hold;
use super::policy::{FLUSH_LIMIT, obey};
use crate::block::{Block, Geometry, Io, Op, Pool};
use crate::daemon::tests::stage::{A, Act, B, ONE, Stage, TWO, Told, UNIT, geometry, stage};
use crate::ipc::{Request, SessionState, TargetChanges};
use crate::kernel_bridge::SessionId;
use crate::login::failure::Cause;

/// A unit that counts flushes, and answers them or does not.
struct Cache {
    pool: Pool,
    flushes: AtomicUsize,
    answers: bool,
    waiting: Mutex<Vec<Io>>,
}

impl Block for Cache {
    fn geometry(&self) -> Geometry {
        Geometry { write_cache: true, ..geometry() }
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        for io in batch.drain(..) {
            assert_eq!(io.op, Op::Flush, "nothing else is asked of it");
            self.flushes.fetch_add(1, Ordering::Relaxed);
            if self.answers {
                io.completion.finish(Ok(()), None);
            } else {
                self.waiting.lock().expect("sound").push(io);
            }
        }
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }
}

struct Machine {
    stage: Stage,
    events: mpsc::UnboundedSender<PlatformEvent>,
}

impl Machine {
    async fn start() -> Machine {
        let stage = stage().await;
        let (events, heard) = mpsc::unbounded_channel();
        tokio::spawn(obey(stage.daemon.clone(), heard));
        Machine { stage, events }
    }

    fn tell(&self, event: PlatformEvent) {
        self.events.send(event).expect("the policy listens");
    }

    /// Gives the unit of target A a write cache.
    fn cache(&self, answers: bool) -> Arc<Cache> {
        let (pool, flushes) = (Pool::new(1 << 20), AtomicUsize::new(0));
        let cache = Arc::new(Cache { pool, flushes, answers, waiting: Mutex::default() });
        self.stage.kernel.cached.store(true, Ordering::Relaxed);
        self.stage.daemon.registry.insert(UNIT.into(), cache.clone());
        cache
    }

    fn targets_answer(&self, answer: bool) {
        self.stage.kernel.alive.store(answer, Ordering::Relaxed);
    }

    fn reinstated(&self) -> usize {
        let told = self.stage.kernel.told();
        told.iter().filter(|told| matches!(told, Told::Handoff { replaces: Some(_), .. })).count()
    }
}

/// A hold, and whether it was let go of.
fn hold() -> (Hold, Arc<AtomicBool>) {
    let released = Arc::new(AtomicBool::new(false));
    let flag = released.clone();
    (Hold::new(move || flag.store(true, Ordering::Relaxed)), released)
}

/// Waits until something holds; the clock runs meanwhile. How long that took.
async fn until(what: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(3600), "it never happens");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn sleep_is_held_until_disks_are_written_back_and_caches_flushed() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    let cache = machine.cache(true);
    let (hold, released) = hold();
    machine.tell(PlatformEvent::WillSleep(hold));
    let waited = until(|| released.load(Ordering::Relaxed)).await;
    assert_eq!(cache.flushes.load(Ordering::Relaxed), 1);
    assert_eq!(*machine.stage.desk.written_back.lock().expect("sound"), [UNIT]);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_unit_without_a_write_cache_is_not_flushed() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    let cache = machine.cache(true);
    machine.stage.kernel.cached.store(false, Ordering::Relaxed);
    let (hold, released) = hold();
    machine.tell(PlatformEvent::WillSleep(hold));
    until(|| released.load(Ordering::Relaxed)).await;
    assert_eq!(cache.flushes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_a_flush_holds_sleep_no_longer_than_the_bound() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    let cache = machine.cache(false);
    let (hold, released) = hold();
    machine.tell(PlatformEvent::WillSleep(hold));
    let waited = until(|| released.load(Ordering::Relaxed)).await;
    assert!(waited >= FLUSH_LIMIT && waited < FLUSH_LIMIT + Duration::from_secs(1), "{waited:?}");
    assert_eq!(cache.flushes.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_wakes_before_its_flush_is_through_does_not_wait_for_it() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    let cache = machine.cache(false);
    let (hold, released) = hold();
    machine.tell(PlatformEvent::WillSleep(hold));
    until(|| cache.flushes.load(Ordering::Relaxed) == 1).await;
    machine.tell(PlatformEvent::DidWake);
    let waited = until(|| released.load(Ordering::Relaxed)).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn sleep_does_not_wait_for_a_session_whose_connection_is_lost_already() {
    let machine = Machine::start().await;
    machine.stage.script.set(ONE, [Act::LetIn, Act::Fail(Cause::Closed)]);
    machine.stage.script.set(TWO, [Act::Fail(Cause::Closed)]);
    machine.stage.log_in(A).await.expect("logged in");
    let cache = machine.cache(false);
    machine.stage.lose();
    machine.stage.until(SessionState::Recovering).await;
    let (hold, released) = hold();
    machine.tell(PlatformEvent::WillSleep(hold));
    let waited = until(|| released.load(Ordering::Relaxed)).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert_eq!(cache.flushes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_outlived_the_sleep_is_left_as_it_is() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    machine.tell(PlatformEvent::DidWake);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(machine.reinstated(), 0);
    assert_eq!(machine.stage.sessions().await[0].state, SessionState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_did_not_is_replaced_at_once_and_not_after_its_timers() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    machine.targets_answer(false);
    machine.tell(PlatformEvent::DidWake);
    let waited = until(|| machine.reinstated() == 1).await;
    // Two seconds for a sign of life; Time2Wait, of three seconds here, is for targets that are there.
    assert!(waited < Duration::from_millis(2500), "{waited:?}");
    assert!(machine.stage.kernel.told().contains(&Told::Leave(SessionId(0))), "its I/O waits for the next connection");
    machine.stage.until(SessionState::Active).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_its_next_attempt_tries_when_the_network_is_back() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    for portal in [ONE, TWO] {
        machine.stage.script.set(portal, [Act::Fail(Cause::Unreachable { why: "no route".into() })]);
    }
    machine.stage.lose();
    // Long enough that it waits half a minute between two attempts.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let before = machine.stage.script.tried().len();
    until(|| machine.stage.script.tried().len() > before + 1).await;
    machine.stage.script.set(ONE, [Act::LetIn]);
    machine.tell(PlatformEvent::InterfaceBack("en0".into()));
    let waited = until(|| machine.reinstated() == 1).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_in_the_old_network_begins_anew_in_the_new_one() {
    let machine = Machine::start().await;
    machine.stage.log_in(A).await.expect("logged in");
    machine.stage.script.set(ONE, [Act::KeepSilent, Act::LetIn]);
    let before = machine.stage.script.tried().len();
    machine.stage.lose();
    until(|| machine.stage.script.tried().len() > before).await;
    machine.tell(PlatformEvent::AddressChanged("en0".into()));
    let waited = until(|| machine.reinstated() == 1).await;
    assert!(waited < Duration::from_secs(1), "not the 15 seconds that a login has: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_is_gone_concerns_the_sessions_that_may_be_on_it_and_no_others() {
    let machine = Machine::start().await;
    let only = Request::RemoveTarget { target: B.into(), portal: None, force: false };
    machine.stage.ask(only).await.expect("removed");
    let loopback = if cfg!(target_os = "macos") { "lo0" } else { "lo" };
    let bound = Request::AddTarget { target: B.into(), portal: "192.0.2.3".into(), interface: Some(loopback.into()) };
    machine.stage.ask(bound).await.expect("added");
    machine.stage.modify(B, TargetChanges { attach: Some(false), ..TargetChanges::default() }).await;
    machine.stage.log_in(A).await.expect("logged in");
    machine.stage.log_in(B).await.expect("logged in");
    machine.targets_answer(false);
    machine.tell(PlatformEvent::InterfaceGone("en7".into()));
    until(|| machine.reinstated() == 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = machine.stage.kernel.told();
    let left: Vec<&Told> = told.iter().filter(|told| matches!(told, Told::Leave(_))).collect();
    assert_eq!(left, [&Told::Leave(SessionId(0))], "A has no interface of its own, B is bound to another");
}

#[tokio::test(start_paused = true)]
async fn an_automatic_login_that_waited_for_the_network_is_tried_at_once() {
    let machine = Machine::start().await;
    for portal in [ONE, TWO] {
        machine.stage.script.set(portal, [Act::Fail(Cause::Unreachable { why: "no route".into() })]);
    }
    machine.stage.modify(A, TargetChanges { auto_login: Some(true), ..TargetChanges::default() }).await;
    machine.stage.daemon.begin();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let before = machine.stage.script.tried().len();
    until(|| machine.stage.script.tried().len() > before + 1).await;
    machine.stage.script.set(ONE, [Act::LetIn]);
    machine.tell(PlatformEvent::AddressChanged("en0".into()));
    let waited = until(|| machine.stage.daemon.slot(A).live().is_some()).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refused_us_is_not_asked_more_often_for_the_network() {
    let machine = Machine::start().await;
    machine.stage.script.set(ONE, [Act::Fail(Cause::Refused { class: 2, detail: 1 })]);
    machine.stage.modify(A, TargetChanges { auto_login: Some(true), ..TargetChanges::default() }).await;
    machine.stage.daemon.begin();
    until(|| machine.stage.script.tried().len() == 1).await;
    for _ in 0..20 {
        machine.tell(PlatformEvent::AddressChanged("en0".into()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(machine.stage.script.tried().len(), 1, "wrong secrets, again and again, lock accounts");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_switched_off_is_held_until_the_daemon_has_ended() {
    let machine = Machine::start().await;
    let (hold, released) = hold();
    machine.tell(PlatformEvent::ShuttingDown(hold));
    let held = machine.stage.daemon.ended().await;
    assert_eq!((held.len(), released.load(Ordering::Relaxed)), (1, false));
    drop(held);
    assert!(released.load(Ordering::Relaxed));
}
