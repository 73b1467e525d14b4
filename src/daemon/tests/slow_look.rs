//! Disks that a session gets later than its login, and that nobody announces.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stage::{A, Act, ONE, Stage, TWO, Told, UNIT, stage};
use crate::daemon::disks::Disks;
use crate::ipc::{SessionState, TargetChanges};
use crate::kernel_bridge::SessionId;
use crate::login::failure::Cause;

const HOUR: Duration = Duration::from_secs(3600);

/// A session with a target that has no unit yet.
async fn without_a_unit() -> Stage {
    let stage = stage().await;
    stage.modify(A, TargetChanges { attach: Some(true), ..TargetChanges::default() }).await;
    stage.kernel.count.store(0, Ordering::Relaxed);
    stage.log_in(A).await.expect("in");
    stage
}

fn scans(stage: &Stage) -> usize {
    stage.kernel.told().iter().filter(|told| **told == Told::Scan(SessionId(0))).count()
}

// check: scan-slow-look
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_mapped_later_is_found_and_attached_within_a_minute() {
    let stage = without_a_unit().await;
    sleep(HOUR).await;
    assert_eq!(stage.desk.device(UNIT), None);
    let looks = scans(&stage);
    assert!((60..=120).contains(&looks), "{looks} looks in an hour");
    stage.kernel.count.store(1, Ordering::Relaxed);
    let mapped = Instant::now();
    while stage.desk.device(UNIT).is_none() {
        sleep(Duration::from_millis(100)).await;
        assert!(mapped.elapsed() < Duration::from_secs(61), "nobody looks");
    }
    let looks = scans(&stage);
    sleep(HOUR).await;
    assert_eq!(scans(&stage), looks, "who has a disk hears of others by its commands");
}

// check: scan-slow-look
#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_asked_is_not_asked_and_after_a_logout_nobody_looks() {
    let stage = without_a_unit().await;
    let down = Act::Fail(Cause::Closed);
    stage.script.set(ONE, [down.clone()]);
    stage.script.set(TWO, [down]);
    stage.lose();
    stage.until(SessionState::Recovering).await;
    let looks = scans(&stage);
    sleep(HOUR).await;
    assert_eq!(scans(&stage), looks, "there is no connection");
    stage.script.set(ONE, [Act::LetIn]);
    stage.until(SessionState::Active).await;
    sleep(Duration::from_secs(61)).await;
    assert!(scans(&stage) > looks, "there is one again");
    stage.log_out(A, false).await.expect("out");
    let looks = scans(&stage);
    sleep(HOUR).await;
    assert_eq!(scans(&stage), looks);
}
