//! Disks that the system makes of units by itself, as it does over the kernel extension.

use super::stage::{A, Stage, Told, UNIT, stage_of_system_disks};
use crate::daemon::disks::Disks;
use crate::daemon::end::{Exports, end, hand_down};
use crate::daemon::session::survivors::Survivors;
use crate::ipc::{ExitCode, Lun, Reply, Request};
use crate::kernel_bridge::SessionId;

async fn logged_in() -> Stage {
    let stage = stage_of_system_disks().await;
    stage.log_in(A).await.expect("in");
    stage
}

async fn unit(stage: &Stage) -> Lun {
    match stage.ask(Request::ListLuns).await.expect("listed") {
        Reply::Luns(mut luns) => luns.pop().expect("a unit"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_disk_is_listed_and_not_exported_and_attaching_it_says_what_it_is() {
    let stage = logged_in().await;
    let unit = unit(&stage).await;
    assert_eq!((unit.device.as_deref(), unit.nbd, unit.nfs), (Some("/dev/disk4"), None, None));
    stage.ask(Request::Attach { target: A.into(), lun: None }).await.expect("it is there already");
    assert!(stage.desk.device(UNIT).is_none(), "nobody else has made one");
}

#[tokio::test(start_paused = true)]
async fn a_logout_has_it_unmounted_first_and_is_refused_while_somebody_holds_it() {
    let stage = logged_in().await;
    *stage.desk.held.lock().expect("sound") = true;
    let refused = stage.log_out(A, false).await.expect_err("in use");
    assert_eq!(refused.code, ExitCode::TryAgain);
    assert!(refused.to_string().contains("Finder"), "{}", refused.to_string());
    assert!(!stage.kernel.told().contains(&Told::Logout(SessionId(0))));
    *stage.desk.held.lock().expect("sound") = false;
    stage.log_out(A, false).await.expect("free");
    assert_eq!(*stage.desk.released.lock().expect("sound"), ["/dev/disk4"]);
    assert_eq!(stage.kernel.told().last(), Some(&Told::Logout(SessionId(0))));
}

#[tokio::test(start_paused = true)]
async fn detaching_it_has_it_unmounted_and_says_that_it_stays() {
    let stage = logged_in().await;
    let reply = stage.ask(Request::Detach { target: A.into(), lun: Some(0), force: false }).await.expect("free");
    assert!(format!("{reply:?}").contains("/dev/disk4 is unmounted"), "{reply:?}");
    assert_eq!(*stage.desk.released.lock().expect("sound"), ["/dev/disk4"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_daemon_a_disk_in_use_keeps_its_session_for_the_next_one() {
    let stage = logged_in().await;
    *stage.desk.held.lock().expect("sound") = true;
    end(&stage.daemon, Exports::default(), false).await;
    hand_down(&stage.daemon);
    let told = stage.kernel.told();
    assert!(!told.contains(&Told::Logout(SessionId(0))) && !told.contains(&Told::Abandon(SessionId(0))), "{told:?}");
    let (_, left) = Survivors::open(&stage.daemon.runtime_dir);
    assert!(left.contains(A), "{left:?}");
}
