//! The target is away: under a disk in use, while one is made, while one is taken away.

use std::time::Duration;

use iscsid::ipc;

use crate::common::{Daemon, process};
use crate::stage::{LIMIT, Stage, VOLUME, spec, within};

/// A session that shows soon that its target is silent, and gives up soon.
const AWAY: [&str; 6] = ["--replacement-timeout", "1", "--nop-interval", "1", "--nop-timeout", "1"];

/// Until the daemon knows, and no longer waits.
fn await_loss(stage: &Stage, daemon: &Daemon) {
    process::eventually("the loss of the session", LIMIT, || {
        let session = daemon.session(&stage.tgt.iqn).expect("it is pursued");
        (session.state != ipc::SessionState::Active).then_some(())
    });
    process::eventually("the end of the session's patience", LIMIT, || {
        (daemon.ctl(["bench", &stage.tgt.iqn, "--rw", "read", "--seconds", "1"]).code != 0).then_some(())
    });
}

#[test]
fn a_volume_in_use_waits_for_a_target_that_is_away_for_longer_than_its_session() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&AWAY);
    stage.load();
    stage.tgt.freeze();
    await_loss(&stage, &daemon);
    stage.tgt.thaw();
    stage.await_progress(3);
    stage.end_load();
    stage.nothing_torn();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn a_disk_that_is_being_made_of_a_silent_target_fails_in_time_and_can_be_had_later() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&AWAY);
    let device = stage.device(&daemon);
    daemon.ctl_ok(["detach", &stage.tgt.iqn]);
    stage.nothing_left();
    stage.tgt.freeze();
    let refused = within(Duration::from_secs(60), "an attach", || daemon.ctl(["attach", &stage.tgt.iqn]));
    assert_ne!(refused.code, 0, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.len() > 20, "a sentence: {refused:?}");
    stage.tgt.thaw();
    process::eventually("the session", LIMIT, || {
        (daemon.session(&stage.tgt.iqn)?.state == ipc::SessionState::Active).then_some(())
    });
    stage.nothing_torn();
    daemon.ctl_ok(["attach", &stage.tgt.iqn]);
    assert_eq!(stage.device(&daemon), device);
    stage.load();
    stage.end_load();
    stage.log_out_and_verify(&daemon);
}

#[test]
fn an_eject_waits_for_a_silent_target_until_everything_is_written() {
    let Some(stage) = Stage::formatted(&spec()) else { return };
    let daemon = stage.log_in(&AWAY);
    stage.load();
    stage.end_load();
    stage.script(
        "dd if=/dev/urandom of=$volume/late bs=64k count=16 2>/dev/null; sha256sum $volume/late >>/tmp/written",
    );
    stage.tgt.freeze();
    std::thread::scope(|scope| {
        let logout = scope.spawn(|| daemon.ctl(["logout", &stage.tgt.iqn]));
        process::eventually("the eject", LIMIT, || stage.mac.calls().contains("diskutil eject").then_some(()));
        process::eventually("the loss of the session", LIMIT, || {
            let session = daemon.session(&stage.tgt.iqn).expect("it is pursued");
            (session.state != ipc::SessionState::Active).then_some(())
        });
        stage.nothing_torn();
        stage.tgt.thaw();
        let ended = logout.join().expect("a logout");
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    });
    stage.nothing_left();
    stage.nothing_torn();
    assert!(stage.script("cat /tmp/written").contains(&format!("{VOLUME}/late")));
    stage.verify();
}
