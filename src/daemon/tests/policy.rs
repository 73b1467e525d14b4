//! What the daemon does about targets that answer, refuse, keep silent, go away and come back: with a
//! scripted way to log in and a scripted kernel, in a time that passes by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::stage::{A, Act, B, ONE, TWO, Told, UNIT, stage, stage_with, which};
use crate::daemon::control::socket::Answer;
use crate::daemon::disks::Disks;
use crate::daemon::end::{Exports, end, hand_down};
use crate::daemon::progress::Progress;
use crate::daemon::session::back_off::back_off;
use crate::daemon::session::survivors::Survivors;
use crate::ipc::{ExitCode, Reply, Request, SessionState, TargetChanges};
use crate::kernel_bridge::{BridgeEvent, SessionId};
use crate::login::failure::{Again, Cause};

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

// check: recovery-portal-group
#[tokio::test(start_paused = true)]
async fn a_portal_of_another_group_takes_a_session_up_once_nothing_of_it_is_left() {
    for known in [false, true] {
        let stage = stage().await;
        stage.script.groups.lock().expect("sound").insert(TWO.into(), 2);
        if known {
            stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
            stage.log_in(A).await.expect("in over the other one, which declares its group");
            stage.log_out(A, false).await.expect("out");
            stage.script.set(ONE, [Act::LetIn]);
        }
        stage.log_in(A).await.expect("in");
        assert_eq!(stage.sessions().await[0].portal, ONE);
        stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
        let started = Instant::now();
        let lost = BridgeEvent::ConnectionLost { session: SessionId(u32::from(known)), why: "reset".into() };
        stage.kernel.events.send(lost).expect("somebody listens");
        stage.until(SessionState::Recovering).await;
        stage.until(SessionState::Active).await;
        assert_eq!(stage.sessions().await[0].portal, TWO);
        // ReplacementTimeout and DefaultTime2Retain, a Time2Wait before them and at most one wait after them.
        let took = started.elapsed().as_secs();
        assert!((143..143 + 40).contains(&took), "{took} s");
    }
}

// check: recovery-back-off
#[tokio::test(start_paused = true)]
async fn a_user_who_wants_a_login_at_once_neither_ends_one_that_is_under_way_nor_forgets_earlier_failures() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.script.set(TWO, [Act::LetIn]);
    stage.lose();
    stage.until(SessionState::Recovering).await;
    let impatient = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stage.log_in(A).await.is_ok() || stage.sessions().await[0].state == SessionState::Active {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), impatient).await.expect("the login gets to its end");
    assert_eq!(stage.script.tried(), [ONE, ONE, TWO]);

    // A wait is cut short, and the next one is longer all the same.
    stage.script.set(ONE, [Act::Fail(Cause::Closed)]);
    stage.script.set(TWO, [Act::Fail(Cause::Closed)]);
    stage.lose();
    stage.until(SessionState::Recovering).await;
    let tries = async |count: usize| {
        while stage.script.tried().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    for round in 1..=6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(stage.log_in(A).await.expect_err("down").code, ExitCode::TryAgain);
        tries(3 + 2 * round).await;
    }
    let started = Instant::now();
    tries(3 + 2 * 7).await;
    assert!(started.elapsed() > Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_login_is_good_whose_session_somebody_else_was_refused_to_end() {
    for refused in [true, false] {
        let stage = stage().await;
        stage.kernel.scan_takes.store(2, Ordering::Relaxed);
        let login = tokio::spawn({
            let daemon = stage.daemon.clone();
            async move { daemon.answer(Request::Login(which(A)), Progress::default()).await }
        });
        stage.until(SessionState::Active).await;
        let closing = stage.daemon.slot(A).close().expect("up");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!login.is_finished(), "whether it stays is not settled");
        if refused {
            closing.stay();
            login.await.expect("a task").expect("in");
        } else {
            drop(closing);
            assert_eq!(login.await.expect("a task").expect_err("out").code, ExitCode::TryAgain);
        }
    }
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
    assert!(!failure.advice.as_deref().unwrap_or_default().contains("rescan"), "that was one: {failure}");
    assert!(failure.advice.is_some_and(|advice| advice.contains("iscsictl logout")));
    assert_eq!(stage.sessions().await[0].state, SessionState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_opened_at_the_last_moment_keeps_the_others_as_well() {
    let stage = stage().await;
    stage.kernel.count.store(3, Ordering::Relaxed);
    stage.log_in(A).await.expect("in");
    let names = [0, 1, 2].map(|lun| format!("{A}/{lun}"));
    for name in &names[1..] {
        stage.daemon.registry.insert(name.clone(), stage.daemon.registry.get(UNIT).expect("a unit"));
    }
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    *stage.desk.opened_late.lock().expect("sound") = Some(names[2].clone());
    for request in [
        Request::Detach { target: A.into(), lun: None, force: false },
        Request::Logout { which: which(A), force: false },
    ] {
        let refused = stage.ask(request).await.expect_err("one is in use");
        assert!(refused.code == ExitCode::TryAgain && refused.to_string().contains("open in dd"), "{refused}");
        assert!(names.iter().all(|name| stage.desk.device(name).is_some()), "one was taken away");
        assert_eq!(stage.sessions().await[0].state, SessionState::Active);
    }
    *stage.desk.opened_late.lock().expect("sound") = None;
    stage.log_out(A, false).await.expect("out");
    assert_eq!(stage.desk.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_disk_whose_users_do_not_show_is_neither_detached_nor_logged_out_and_the_answer_comes() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    stage.desk.hangs.store(true, Ordering::Relaxed);
    for request in [
        Request::Detach { target: A.into(), lun: None, force: false },
        Request::Logout { which: which(A), force: false },
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(15), stage.ask(request)).await.expect("an answer");
        let refused = answer.expect_err("it may be in use");
        assert!(refused.code == ExitCode::TryAgain && refused.what.contains("does not show"), "{refused}");
        assert!(stage.desk.device(UNIT).is_some());
    }
    stage.log_out(A, true).await.expect("by force");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_daemon_has_what_is_on_a_disk_in_use_written_back_before_the_logout() {
    let stage = stage().await;
    stage.log_in(A).await.expect("in");
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    *stage.desk.mounted.lock().expect("sound") = true;
    end(&stage.daemon, Exports::default(), false).await;
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
    end(&stage.daemon, Exports::default(), false).await;
    assert!(stage.sessions().await.is_empty());
    hand_down(&stage.daemon);
    let (_, left) = Survivors::open(&stage.daemon.runtime_dir);
    assert!(left.contains(A), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_whose_users_do_not_show_holds_the_end_up_for_a_moment_and_stays_for_the_next_daemon() {
    for outlives in [false, true] {
        let stage = stage().await;
        stage.log_in(A).await.expect("in");
        stage.log_in(B).await.expect("in");
        stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
        stage.desk.hangs.store(true, Ordering::Relaxed);
        *stage.desk.outlives.lock().expect("sound") = outlives;
        let lost = tokio::time::timeout(Duration::from_secs(10), end(&stage.daemon, Exports::default(), false)).await;
        if !outlives {
            let lost = lost.expect("within the time that the end has");
            assert!(lost.iter().any(|sentence| sentence.starts_with(UNIT)), "{lost:?}");
            assert!(stage.desk.device(UNIT).is_some(), "it may be in use");
        }
        hand_down(&stage.daemon);
        let (_, left) = Survivors::open(&stage.daemon.runtime_dir);
        assert!(left.contains(A), "{left:?}");
    }
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
    end(&stage.daemon, Exports::default(), false).await;
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
