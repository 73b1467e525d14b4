//! What goes first when the daemon ends, and what the next one finds.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::stage::{A, Act, B, ONE, Stage, TWO, Told, UNIT, stage, stage_after, which};
use crate::daemon::disks::Disks;
use crate::daemon::end::{DISKS_LIMIT, END_TIMEOUT, Export, Exports, end, hand_down};
use crate::daemon::session::survivors::Survivors;
use crate::ipc::{ExitCode, Failure, Request};
use crate::kernel_bridge::SessionId;

/// Two targets that are logged in to, and a disk of the first one that waits for its next daemon.
async fn logged_in() -> Stage {
    let stage = stage().await;
    *stage.desk.outlives.lock().expect("sound") = true;
    stage.log_in(A).await.expect("in");
    stage.log_in(B).await.expect("in");
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("attached");
    stage
}

/// An export that answers disks on their way out, for as long as it serves. What it hands over when it ends: what the kernel
/// had been told by then.
fn export_for(stage: &Stage) -> (Exports, mpsc::UnboundedReceiver<Vec<Told>>) {
    let (ask, mut asked) = mpsc::unbounded_channel();
    *stage.desk.export.lock().expect("sound") = Some(ask);
    let (ended, at_its_end) = mpsc::unbounded_channel();
    let kernel = stage.kernel.clone();
    let serve = |stop: tokio_util::sync::CancellationToken| {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    Some(answer) = asked.recv() => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        answer.send(()).expect("the disk waits");
                    }
                }
            }
            ended.send(kernel.told()).expect("the test listens");
        })
    };
    (Exports { nbd: None, nfs: Some(Export::start("NFS", serve)) }, at_its_end)
}

fn left(stage: &Stage) -> Vec<String> {
    hand_down(&stage.daemon);
    Survivors::open(&stage.daemon.runtime_dir).1.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_written_through_the_export_when_it_goes_and_the_logout_comes_after_both() {
    let stage = logged_in().await;
    let (exports, mut ended) = export_for(&stage);
    let begun = Instant::now();
    assert!(end(&stage.daemon, exports, false).await.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(stage.desk.count(), 0, "it was let go of");
    let before = ended.recv().await.expect("the export has ended");
    assert!(!before.iter().any(|told| matches!(told, Told::Logout(_))), "{before:?}");
    let told = stage.kernel.told();
    for session in [0, 1].map(SessionId) {
        assert!(told.contains(&Told::Logout(session)), "{told:?}");
    }
    assert_eq!(left(&stage), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_go_in_time_keeps_its_target_for_the_next_daemon_and_no_other() {
    let stage = logged_in().await;
    // Nobody answers.
    let (ask, asked) = mpsc::unbounded_channel();
    drop(asked);
    *stage.desk.export.lock().expect("sound") = Some(ask);
    let begun = Instant::now();
    assert!(end(&stage.daemon, Exports::default(), false).await.is_empty(), "it waits, and does not fail");
    let took = begun.elapsed();
    assert!(took >= DISKS_LIMIT && took < END_TIMEOUT, "{took:?}");
    assert!(stage.desk.device(UNIT).is_some());
    assert!(stage.sessions().await.is_empty(), "the target is logged out of all the same");
    assert_eq!(left(&stage), [A]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_cut_short_keeps_the_targets_of_disks_that_are_there() {
    for seconds in [0, 3] {
        let stage = logged_in().await;
        let (ask, asked) = mpsc::unbounded_channel();
        drop(asked);
        *stage.desk.export.lock().expect("sound") = Some(ask);
        let cut = timeout(Duration::from_secs(seconds), end(&stage.daemon, Exports::default(), false)).await;
        assert!(cut.is_err(), "the disk hangs");
        let left = left(&stage);
        assert!(left.contains(&A.to_owned()), "{seconds} s: {left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_of_the_daemon_before_that_has_not_come_back_is_left_to_the_next_one() {
    let stage = stage_after(&[A]).await;
    *stage.desk.outlives.lock().expect("sound") = true;
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.script.set(TWO, [Act::KeepSilent]);
    stage.daemon.begin();
    tokio::time::sleep(Duration::from_secs(60)).await;
    stage.daemon.stop.cancel();
    end(&stage.daemon, Exports::default(), false).await;
    assert_eq!(left(&stage), [A], "a disk may wait for it");

    // Whoever gives it up means it.
    let stage = stage_after(&[A]).await;
    *stage.desk.outlives.lock().expect("sound") = true;
    stage.script.set(ONE, [Act::KeepSilent]);
    stage.script.set(TWO, [Act::KeepSilent]);
    stage.daemon.begin();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.ask(Request::Logout { which: which(A), force: false }).await.expect("given up");
    end(&stage.daemon, Exports::default(), false).await;
    assert_eq!(left(&stage), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn when_the_machine_ends_disks_in_use_are_put_away_by_the_export_and_nothing_is_left() {
    let stage = logged_in().await;
    stage.kernel.count.store(3, std::sync::atomic::Ordering::Relaxed);
    stage.ask(Request::Rescan { target: Some(A.into()) }).await.expect("more units");
    for lun in [1, 2] {
        let name = format!("{A}/{lun}");
        stage
            .daemon
            .disks
            .attach(&name, stage.daemon.registry.get(UNIT).ok_or_else(|| Failure::new(ExitCode::Internal, "no unit")))
            .await
            .expect("attached");
    }
    *stage.desk.mounted.lock().expect("sound") = true;
    let (exports, mut ended) = export_for(&stage);
    assert!(end(&stage.daemon, exports, true).await.is_empty());
    let mut put_away = stage.desk.put_away.lock().expect("sound").clone();
    put_away.sort();
    assert_eq!(put_away, [0, 1, 2].map(|lun| format!("{A}/{lun}")));
    let before = ended.recv().await.expect("the export has ended");
    assert!(!before.iter().any(|told| matches!(told, Told::Logout(_))), "{before:?}");
    assert_eq!(left(&stage), [""; 0]);
}
