//! Logins to targets that let us in and then do not tell their units.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::stage::{A, Act, ONE, Stage, TWO, UNIT, stage, which};
use crate::daemon::control::socket::Answer;
use crate::daemon::disks::Disks;
use crate::daemon::progress::Progress;
use crate::ipc::{ExitCode, Failure, Frame, Reply, Request, SessionState, TargetChanges};

/// A login whose look at the units takes that many seconds, over one connection.
struct Login {
    stage: Stage,
    began: Instant,
    told: mpsc::Receiver<Frame>,
    answer: JoinHandle<Result<Reply, Failure>>,
}

impl Login {
    async fn begun(look: u32) -> Login {
        let stage = stage().await;
        stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
        stage.kernel.scan_takes.store(look, Ordering::Relaxed);
        let (sender, told) = mpsc::channel(64);
        let progress = Progress::to(sender, CancellationToken::new());
        let began = Instant::now();
        let answer = tokio::spawn(Arc::clone(&stage.daemon).answer(Request::Login(which(A)), progress));
        let login = Login { stage, began, told, answer };
        login.stage.until(SessionState::Active).await;
        login
    }

    /// The connection is lost; `back` if it is replaced.
    async fn lose(&self, back: bool) {
        self.stage.lose();
        self.stage.until(SessionState::Recovering).await;
        if back {
            self.stage.until(SessionState::Active).await;
        }
    }

    fn said(&mut self, words: &str) -> bool {
        let mut said = false;
        while let Ok(frame) = self.told.try_recv() {
            said |= matches!(frame, Frame::Progress(sentence) if sentence.contains(words));
        }
        said
    }
}

// check: login-units-unread
#[tokio::test(start_paused = true)]
async fn a_target_that_ends_each_connection_at_the_first_command_is_told_soon_and_the_session_stays() {
    let mut login = Login::begun(50).await;
    login.lose(true).await;
    assert!(login.said("was lost while its units were looked for"));
    login.lose(true).await;
    let failure = (&mut login.answer).await.expect("an answer").expect_err("the units were not told");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("was lost 2 times meanwhile: reset"), "{failure}");
    assert!(login.began.elapsed() < Duration::from_secs(20), "{:?}", login.began.elapsed());
    // What a login begins is done all the same, once the target tells its units.
    login.stage.kernel.scan_takes.store(0, Ordering::Relaxed);
    assert_eq!(login.stage.sessions().await.len(), 1);
    while login.stage.desk.device(UNIT).is_none() {
        sleep(Duration::from_millis(100)).await;
        assert!(login.began.elapsed() < Duration::from_secs(120), "nobody looks");
    }
}

// check: login-units-unread
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_during_the_first_look_and_not_replaced_is_told_soon() {
    let login = Login::begun(50).await;
    for portal in [ONE, TWO] {
        login.stage.script.set(portal, [Act::KeepSilent]);
    }
    login.lose(false).await;
    let lost = Instant::now();
    let failure = login.answer.await.expect("an answer").expect_err("the units were not told");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(lost.elapsed() <= Duration::from_secs(11), "{:?}", lost.elapsed());
}

// check: login-units-unread
#[tokio::test(start_paused = true)]
async fn one_loss_during_the_first_look_is_no_failure_and_a_long_look_is_told() {
    let mut login = Login::begun(8).await;
    login.lose(true).await;
    (&mut login.answer).await.expect("an answer").expect("logged in");
    assert!(login.stage.desk.device(UNIT).is_some());

    let mut login = Login::begun(30).await;
    sleep(Duration::from_secs(15)).await;
    assert!(login.said("has not told its units yet"));
    (&mut login.answer).await.expect("an answer").expect("logged in");
    assert!(login.stage.desk.device(UNIT).is_some());
}

// check: login-units-unread
#[tokio::test(start_paused = true)]
async fn a_target_that_never_tells_its_units_is_no_success() {
    let login = Login::begun(3600).await;
    let failure = login.answer.await.expect("an answer").expect_err("the units were not told");
    assert_eq!(failure.code, ExitCode::TryAgain);
    assert!(failure.to_string().contains("did not answer within 60 seconds"), "{failure}");
    assert_eq!(login.stage.sessions().await.len(), 1);
}
