//! What a target can repeat without end, and what comes of it: in a time that passes by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::stage::{A, B, Stage, Told, stage, which};
use crate::daemon::control::socket::Answer;
use crate::daemon::progress::Progress;
use crate::daemon::session::units::{MOST_IN_ALL, MOST_OF_A_TARGET};
use crate::ipc::{ExitCode, Reply, Request, SessionState, TargetChanges};
use crate::kernel_bridge::{BridgeEvent, SessionId};
use crate::quirks::Quirk;

/// For so long, the target does the same whenever it can.
const HOUR: Duration = Duration::from_secs(3600);

async fn whenever_it_is_up(stage: &Stage, does: impl Fn()) {
    let started = Instant::now();
    while started.elapsed() < HOUR {
        if stage.sessions().await.first().is_some_and(|session| session.state == SessionState::Active) {
            does();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// check: recovery-short-lives
#[tokio::test(start_paused = true)]
async fn a_target_that_sends_us_away_after_each_login_is_not_logged_in_to_each_second() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    whenever_it_is_up(&stage, || stage.lose()).await;
    let logins = stage.script.tried().len();
    assert!((100..180).contains(&logins), "{logins} logins in an hour: one in 30 s");
    let seen = stage.daemon.slot(A).live().expect("a session").seen.sentences();
    assert!(seen.iter().any(|seen| seen.contains("the same InitiatorName") && seen.contains("reset")), "{seen:?}");
}

// check: recovery-short-lives
#[tokio::test(start_paused = true)]
async fn a_target_that_announces_its_going_after_each_login_and_asks_for_no_wait_gets_one() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let gone = BridgeEvent::DropAnnounced { session: SessionId(0), time2wait: 0 };
    whenever_it_is_up(&stage, || stage.kernel.events.send(gone.clone()).expect("somebody listens")).await;
    let logins = stage.script.tried().len();
    assert!((100..180).contains(&logins), "{logins} logins in an hour");
}

// check: recovery-short-lives
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_now_and_then_is_replaced_after_time2wait() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let lost = Instant::now();
        stage.lose();
        stage.until(SessionState::Recovering).await;
        stage.until(SessionState::Active).await;
        assert_eq!(lost.elapsed().as_secs(), 3, "DefaultTime2Wait");
    }
}

// check: recovery-time2wait-long
#[tokio::test(start_paused = true)]
async fn a_long_wait_that_a_target_asks_for_has_an_end_and_a_login_by_hand_cuts_it_short() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let eighteen_hours = BridgeEvent::DropAnnounced { session: SessionId(0), time2wait: u16::MAX };
    stage.kernel.events.send(eighteen_hours.clone()).expect("somebody listens");
    stage.until(SessionState::Recovering).await;
    let started = Instant::now();
    stage.until(SessionState::Active).await;
    assert!((3590..=3610).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    stage.kernel.events.send(eighteen_hours).expect("somebody listens");
    stage.until(SessionState::Recovering).await;
    let started = Instant::now();
    let failure = stage.log_in(A).await.expect_err("it has a session");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("tries at once"), "{failure}");
    stage.until(SessionState::Active).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

// check: scan-flood
#[tokio::test(start_paused = true)]
async fn a_target_whose_units_change_without_end_is_looked_at_less_and_less_often() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let changed = BridgeEvent::UnitsChanged { session: SessionId(0) };
    whenever_it_is_up(&stage, || stage.kernel.events.send(changed.clone()).expect("somebody listens")).await;
    let scans = stage.kernel.told().iter().filter(|told| **told == Told::Scan(SessionId(0))).count();
    assert!((60..75).contains(&scans), "{scans} scans in an hour: one in a minute");
    assert!(stage.daemon.slot(A).live().expect("a session").seen.has(Quirk::ChangesWithoutEnd));
}

// check: attach-cap
#[tokio::test(start_paused = true)]
async fn how_many_units_are_attached_is_not_the_targets_to_say() {
    let stage = stage().await;
    stage.kernel.count.store(400, Ordering::Relaxed);
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    let Ok(Reply::Done(said)) = stage.log_in(A).await else { panic!("a login") };
    assert_eq!(stage.desk.count(), MOST_OF_A_TARGET);
    assert!(said.iter().any(|said| said.contains("336 more units") && said.contains("attach")), "{said:?}");
    stage.ask(Request::Rescan { target: Some(A.into()) }).await.expect("another look");
    assert_eq!(stage.desk.count(), MOST_OF_A_TARGET, "nor by repeating it");
    stage.ask(Request::Attach { target: A.into(), lun: Some(300) }).await.expect("by hand");
    assert_eq!(stage.desk.count(), MOST_OF_A_TARGET + 1);
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("by hand");
    assert_eq!(stage.desk.count(), 400);
    assert!(stage.desk.count() > MOST_IN_ALL);
    stage.modify(B, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.log_in(B).await.expect("in");
    assert_eq!(stage.desk.count(), 400, "of no target any more by itself");
}

// check: attach-cap
#[tokio::test(start_paused = true)]
async fn a_target_that_lists_other_units_each_time_gets_no_more_disks_for_that() {
    let stage = stage().await;
    stage.kernel.count.store(40, Ordering::Relaxed);
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.log_in(A).await.expect("in");
    for first in [40, 80, 120] {
        stage.kernel.first.store(first, Ordering::Relaxed);
        stage.ask(Request::Rescan { target: Some(A.into()) }).await.expect("another look");
        assert_eq!(stage.desk.count(), MOST_OF_A_TARGET, "those that are not listed any more count as well");
    }
}

// check: login-logged-out
#[tokio::test(start_paused = true)]
async fn a_login_that_is_logged_out_of_during_its_scan_says_so() {
    let stage = stage().await;
    stage.kernel.scan_takes.store(5, Ordering::Relaxed);
    let login = tokio::spawn({
        let daemon = stage.daemon.clone();
        async move { daemon.answer(Request::Login(which(A)), Progress::default()).await }
    });
    while stage.kernel.told().last() != Some(&Told::Scan(SessionId(0))) {
        tokio::task::yield_now().await;
    }
    stage.log_out(A, false).await.expect("out");
    let failure = login.await.expect("a task").expect_err("it is not logged in");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("logged out of again"), "{failure}");
    assert!(stage.sessions().await.is_empty());
}

// check: discovery-churn
#[tokio::test]
async fn targets_that_come_and_go_leave_no_memory_behind_and_those_in_use_stay() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    let held = stage.daemon.slot("iqn.2026-11.org.example:held");
    for number in 0..10_000 {
        stage.daemon.slot(&format!("iqn.2026-11.org.example:{number}"));
    }
    let slots = stage.daemon.slots();
    assert!(slots.len() <= 257, "{}", slots.len());
    assert!(slots.iter().any(|(_, slot)| std::sync::Arc::ptr_eq(slot, &held)));
    assert_eq!(stage.sessions().await.len(), 1);
}
