//! A session that loses its connection, its target's answers or its units, and what its disks' users see
//! of that: nothing, as long as anything can be done.
//!
//! The kernel here is the daemon's; each scenario logs in again by itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use iscsi_proto::ids::Lun;
use iscsi_proto::keys::Offer;
use iscsi_proto::pdu::{AsyncEvent, ScsiStatus, TaskFunction};
use iscsi_proto::scsi::{Sense, SenseKey, cdb::opcode};
use iscsid::block::{Block, IoError, Op, run};
use iscsid::kernel_bridge::BridgeEvent;
use iscsid::selftest::lab::{Lab, Timers};
use sim_target::{Action, Command, Hold, LoginAction, SimDisk, SimTarget, TmfAction};

const TARGET: &str = "iqn.2026-11.test.sim:recovery";

/// Longer than any expected event takes here.
const LONG: Duration = Duration::from_secs(60);

/// How long a command may take, where a scenario is about that.
const TASK_LIMIT: Duration = Duration::from_millis(300);

struct Scene {
    target: SimTarget,
    lab: Lab,
    disk: Arc<dyn Block>,
}

type Answer = Pin<Box<dyn Future<Output = Result<(), IoError>> + Send>>;

impl Scene {
    async fn new() -> Scene {
        Scene::with(disk("ONE"), Timers { replacement: LONG, task: Duration::ZERO }).await
    }

    async fn with(disk: SimDisk, timers: Timers) -> Scene {
        let target = SimTarget::builder(TARGET).lun(0, disk).start().await.expect("a free port");
        let lab = Lab::with_timers(TARGET, target.address(), &Offer::default(), None, timers).await.expect("a login");
        let disk = lab.disk().expect("a disk");
        target.forget_commands();
        Scene { target, lab, disk }
    }

    /// Begins to write a block of these bytes; the command is on its way to the kernel when this returns.
    fn write(&self, lba: u64, byte: u8) -> Answer {
        let disk = self.disk.clone();
        let mut buffer = disk.pool().try_get(512).expect("budget");
        buffer.fill(byte);
        let written = async move { run(&*disk, Op::Write { fua: false }, lba, 1, Some(buffer)).await.map(drop) };
        let task = tokio::spawn(written);
        Box::pin(async move { task.await.expect("no panic") })
    }

    async fn read(&self, lba: u64) -> Result<u8, IoError> {
        let buffer = self.disk.pool().get(512).await;
        run(&*self.disk, Op::Read, lba, 1, Some(buffer)).await.map(|buffer| buffer.expect("a buffer")[0])
    }

    /// Cuts the connection, and waits until the kernel has told.
    async fn lose(&mut self) {
        self.target.disconnect_all(true);
        self.until(|event| matches!(event, BridgeEvent::ConnectionLost { .. })).await;
    }

    async fn until(&mut self, wanted: impl Fn(&BridgeEvent) -> bool) {
        let event = async { while !wanted(&self.lab.event().await.expect("a kernel")) {} };
        tokio::time::timeout(LONG, event).await.expect("the event");
    }

    /// The LBAs of all writes the target got, in order.
    fn writes(&self) -> Vec<u64> {
        let writes = self.target.commands().into_iter().filter(|command| command.opcode() == opcode::WRITE_16);
        writes.map(|command| command.lba).collect()
    }

    fn functions(&self) -> Vec<TaskFunction> {
        self.target.task_management().iter().map(|tmf| tmf.function).collect()
    }

    /// Waits until the unit is told to be offline; why.
    async fn problem(&self) -> String {
        let problem = async {
            loop {
                if let Some(problem) = self.lab.units_now()[0].problem.clone() {
                    return problem;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, problem).await.expect("a problem")
    }

    async fn end(self) {
        drop(self.disk);
        self.lab.log_out().await.expect("a clean logout");
        assert_eq!(self.target.violations(), Vec::<String>::new());
    }
}

fn disk(serial: &str) -> SimDisk {
    SimDisk::new(4096, 512).serial(serial)
}

fn is_write(command: &Command) -> bool {
    command.opcode() == opcode::WRITE_16
}

/// `action` for the first `times` writes.
fn first_writes(times: u32, action: Action) -> impl Fn(&Command) -> Action + Send + Sync {
    let left = AtomicU32::new(times);
    move |command| {
        let taken = is_write(command)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if taken { action.clone() } else { Action::Proceed }
    }
}

fn attention(asc: u8, ascq: u8) -> Sense {
    Sense::new(SenseKey::UnitAttention, asc, ascq)
}

// check: recovery-replay-order
#[tokio::test]
async fn what_was_under_way_goes_first_and_in_order_over_the_next_connection() {
    let mut scene = Scene::new().await;
    let hold = Hold::new();
    scene.target.on_command(first_writes(3, Action::Hold(hold.clone())));
    let mut early = Vec::new();
    for lba in 0..3 {
        early.push(scene.write(lba, 1));
        hold.reached(early.len()).await;
    }
    scene.lose().await;
    // The same blocks again, while there is no connection.
    let late: Vec<Answer> = (0..3).map(|lba| scene.write(lba, 2)).collect();
    scene.target.forget_commands();
    scene.lab.log_in_again().await.expect("a login");
    for answer in early.into_iter().chain(late) {
        assert_eq!(answer.await, Ok(()), "exactly one answer, a good one");
    }
    assert_eq!(scene.writes(), [0, 1, 2, 0, 1, 2]);
    for lba in 0..3 {
        assert_eq!(scene.read(lba).await, Ok(2), "the later write holds");
    }
    scene.end().await;
}

// check: recovery-replay-order
#[tokio::test]
async fn writes_to_one_block_that_were_both_under_way_go_again_one_after_the_other() {
    let mut scene = Scene::new().await;
    let hold = Hold::new();
    scene.target.on_command(first_writes(2, Action::Hold(hold.clone())));
    let first = scene.write(7, 1);
    hold.reached(1).await;
    let second = scene.write(7, 2);
    hold.reached(2).await;
    scene.lose().await;
    let again = Hold::new();
    scene.target.forget_commands();
    scene.target.on_command(first_writes(1, Action::Hold(again.clone())));
    scene.lab.log_in_again().await.expect("a login");
    again.reached(1).await;
    assert_eq!(scene.read(9).await, Ok(0), "it goes out after all that may");
    assert_eq!(scene.writes(), [7], "the second waits for the first one's answer");
    again.release();
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
    assert_eq!((scene.writes(), scene.read(7).await), (vec![7, 7], Ok(2)));
    scene.end().await;
}

// check: recovery-identity
#[tokio::test]
async fn a_disk_that_was_exchanged_while_the_connection_was_down_is_never_written_to() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    let pending = scene.write(7, 1);
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk("TWO"));
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(pending.await, Err(IoError::Offline));
    assert_eq!(scene.write(8, 1).await, Err(IoError::Offline), "nor later");
    assert_eq!(scene.writes(), [0; 0]);
    let problem = scene.problem().await;
    assert!(problem.contains("serial number is TWO now, not ONE") && problem.contains("log out and in"), "{problem}");
    scene.end().await;
}

// check: recovery-identity
#[tokio::test]
async fn a_disk_of_another_size_after_the_connection_was_down_is_never_written_to() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    scene.target.resize(0, 2048);
    let pending = scene.write(7, 1);
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(pending.await, Err(IoError::Offline));
    assert_eq!(scene.writes(), [0; 0]);
    let problem = scene.problem().await;
    assert!(problem.contains("2048 blocks now, not 4096"), "{problem}");
    scene.end().await;
}

#[tokio::test]
async fn the_old_disk_that_comes_back_is_used_again() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk("TWO"));
    scene.lab.log_in_again().await.expect("a login");
    scene.problem().await;
    scene.lose().await;
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk("ONE"));
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(scene.write(7, 1).await, Ok(()));
    assert_eq!(scene.lab.units_now()[0].problem, None);
    scene.end().await;
}

#[tokio::test]
async fn a_disk_that_is_not_there_yet_is_waited_for() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    scene.target.remove_lun(0);
    let pending = scene.write(7, 1);
    scene.lab.log_in_again().await.expect("a login");
    // The target is up before its disks are.
    scene.target.wait_until(|target| target.commands().len() >= 2).await;
    scene.target.add_lun(0, disk("ONE"));
    assert_eq!(pending.await, Ok(()));
    scene.end().await;
}

// check: recovery-units-changed
#[tokio::test]
async fn a_write_that_hears_that_the_units_have_changed_waits_for_a_look() {
    let scene = Scene::new().await;
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk("TWO"));
    scene.target.on_command(first_writes(1, Action::CheckCondition(attention(0x3f, 0x0e))));
    assert_eq!(scene.write(7, 1).await, Err(IoError::Offline));
    assert_eq!(scene.writes(), [7], "the one that heard it, and no other");
    assert_eq!(scene.target.content(0, 7 * 512, 512), vec![0; 512]);
    scene.end().await;
}

#[tokio::test]
async fn a_write_that_hears_of_other_units_goes_on_once_its_own_is_known() {
    let scene = Scene::new().await;
    scene.target.on_command(first_writes(1, Action::CheckCondition(attention(0x3f, 0x0e))));
    assert_eq!(scene.write(7, 1).await, Ok(()));
    assert_eq!(scene.writes(), [7, 7]);
    scene.end().await;
}

// check: recovery-replacement-timeout
#[tokio::test]
async fn after_the_replacement_timeout_everything_fails_at_once_and_works_when_the_target_is_back() {
    let timers = Timers { replacement: Duration::from_millis(300), task: Duration::ZERO };
    let mut scene = Scene::with(disk("ONE"), timers).await;
    scene.lose().await;
    let lost = std::time::Instant::now();
    assert_eq!(scene.write(7, 1).await, Err(IoError::Offline));
    assert!(lost.elapsed() >= Duration::from_millis(290), "it had time: {:?}", lost.elapsed());
    assert_eq!(scene.write(7, 1).await, Err(IoError::Offline));
    assert_eq!(scene.target.open_connections(), 0);
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(scene.write(7, 1).await, Ok(()));
    scene.end().await;
}

// check: tmf-escalation
#[tokio::test]
async fn a_command_that_is_not_answered_is_aborted_and_issued_again() {
    let scene = Scene::with(disk("ONE"), Timers { replacement: LONG, task: TASK_LIMIT }).await;
    scene.target.on_command(first_writes(1, Action::Ignore));
    assert_eq!(scene.write(7, 1).await, Ok(()));
    assert_eq!(scene.functions(), [TaskFunction::AbortTask]);
    assert_eq!(scene.writes(), [7, 7]);
    scene.end().await;
}

// A driver that looks at its socket instead of sleeping still looks at the clock.
#[tokio::test]
async fn a_command_that_is_not_answered_is_aborted_though_others_are_answered_at_once() {
    let scene = Scene::with(disk("ONE"), Timers { replacement: LONG, task: TASK_LIMIT }).await;
    scene.target.on_command(first_writes(1, Action::Ignore));
    let written = scene.write(7, 1);
    let reads = async {
        while scene.functions().is_empty() {
            scene.read(0).await.expect("a read");
        }
    };
    tokio::time::timeout(LONG, reads).await.expect("an abort");
    written.await.expect("the second time");
    assert_eq!(scene.functions(), [TaskFunction::AbortTask]);
    scene.end().await;
}

// check: tmf-escalation
#[tokio::test]
async fn an_abort_that_is_refused_is_followed_by_a_reset_of_the_unit_and_that_by_one_of_the_target() {
    let scene = Scene::with(disk("ONE"), Timers { replacement: LONG, task: TASK_LIMIT }).await;
    const FUNCTION_REJECTED: u8 = 255;
    scene.target.on_command(first_writes(1, Action::Ignore));
    scene.target.on_task_management(|tmf| match tmf.function {
        TaskFunction::TargetWarmReset => TmfAction::Proceed,
        _ => TmfAction::Respond(FUNCTION_REJECTED),
    });
    assert_eq!(scene.write(7, 1).await, Ok(()));
    let steps = [TaskFunction::AbortTask, TaskFunction::LogicalUnitReset, TaskFunction::TargetWarmReset];
    assert_eq!(scene.functions(), steps);
    scene.end().await;
}

// check: tmf-escalation
#[tokio::test]
async fn a_target_that_refuses_every_function_is_left_for_another_connection() {
    let mut scene = Scene::with(disk("ONE"), Timers { replacement: LONG, task: TASK_LIMIT }).await;
    const FUNCTION_REJECTED: u8 = 255;
    scene.target.on_command(first_writes(1, Action::Ignore));
    scene.target.on_task_management(|_| TmfAction::Respond(FUNCTION_REJECTED));
    let pending = scene.write(7, 1);
    scene.until(|event| matches!(event, BridgeEvent::ConnectionLost { .. })).await;
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(pending.await, Ok(()));
    scene.end().await;
}

// check: tmf-escalation
#[tokio::test]
async fn a_command_that_is_never_answered_fails_in_the_end() {
    let mut scene = Scene::with(disk("ONE"), Timers { replacement: LONG, task: TASK_LIMIT }).await;
    scene.target.on_command(|command| if is_write(command) { Action::Ignore } else { Action::Proceed });
    let pending = scene.write(7, 1);
    let other = scene.read(9).await;
    assert_eq!(other, Ok(0), "others are served meanwhile");
    scene.until(|event| matches!(event, BridgeEvent::ConnectionLost { .. })).await;
    assert_eq!(pending.await, Err(IoError::TimedOut));
    scene.lab.log_in_again().await.expect("a login");
    scene.end().await;
}

// check: recovery-fatal-command
#[tokio::test]
async fn a_command_that_costs_the_connection_every_time_fails_and_the_others_go_on() {
    let timers = Timers { replacement: Duration::from_millis(200), task: Duration::ZERO };
    let mut scene = Scene::with(disk("ONE"), timers).await;
    scene.target.on_command(|command| match is_write(command) && command.lba == 7 {
        true => Action::Disconnect,
        false => Action::Proceed,
    });
    let mut pending = scene.write(7, 1);
    let mut losses = 0;
    let result = loop {
        tokio::select! {
            result = &mut pending => break result,
            event = scene.lab.event() => if let BridgeEvent::ConnectionLost { .. } = event.expect("a kernel") {
                losses += 1;
                assert!(losses < 1000, "it is issued for ever");
                scene.lab.log_in_again().await.expect("a login");
            },
        }
    };
    assert_eq!(result, Err(IoError::TimedOut));
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(scene.write(8, 1).await, Ok(()));
    scene.end().await;
}

// check: async-logout
#[tokio::test]
async fn a_logout_in_between_lets_answers_arrive_and_keeps_the_rest() {
    let scene = Scene::new().await;
    let hold = Hold::new();
    scene.target.on_command(first_writes(1, Action::Hold(hold.clone())));
    let under_way = scene.write(1, 1);
    hold.reached(1).await;
    let mut leaving = Box::pin(scene.lab.suspend());
    // It waits for what is under way, and takes nothing new.
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut leaving).await.is_err());
    let meanwhile = scene.write(2, 1);
    hold.release();
    leaving.await.expect("logged out");
    assert_eq!(under_way.await, Ok(()));
    assert_eq!(scene.writes(), [1]);
    scene.target.wait_until(|target| target.sessions().is_empty()).await;
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(meanwhile.await, Ok(()));
    assert_eq!(scene.writes(), [1, 2], "nothing was written twice");
    scene.end().await;
}

// check: async-logout
#[tokio::test]
async fn a_target_that_wants_a_logout_is_heard() {
    let mut scene = Scene::new().await;
    scene.target.send_async(AsyncEvent::LogoutRequest, Lun(0), [0, 0, 3], &[]);
    scene.until(|event| matches!(event, BridgeEvent::LogoutRequested { seconds: 3, .. })).await;
    scene.end().await;
}

// check: async-logout-holds, async-logout-refused
#[tokio::test]
async fn what_a_target_refuses_after_it_has_asked_for_an_end_is_done_over_the_next_connection() {
    for event in [AsyncEvent::LogoutRequest, AsyncEvent::ConnectionDrop, AsyncEvent::SessionDrop] {
        let mut scene = Scene::new().await;
        let hold = Hold::new();
        let (held, count) = (hold.clone(), AtomicU32::new(0));
        // The first write is under way when the target asks, the second one crosses that on its way.
        scene.target.on_command(move |command| match is_write(command).then(|| count.fetch_add(1, Ordering::SeqCst)) {
            Some(0) => Action::Hold(held.clone()),
            Some(1) => Action::AskForEnd(event),
            _ => Action::Proceed,
        });
        let under_way = scene.write(1, 1);
        hold.reached(1).await;
        let crossing = scene.write(2, 2);
        scene
            .until(|event| matches!(event, BridgeEvent::LogoutRequested { .. } | BridgeEvent::DropAnnounced { .. }))
            .await;
        let later = scene.write(3, 3);
        hold.release();
        assert_eq!(under_way.await, Ok(()), "{event:?}: what is under way may end");
        scene.target.disconnect_all(false);
        scene.until(|event| matches!(event, BridgeEvent::ConnectionLost { .. })).await;
        assert_eq!(scene.writes(), [1, 2], "{event:?}: nothing new has gone there");
        scene.lab.log_in_again().await.expect("a login");
        assert_eq!((crossing.await, later.await), (Ok(()), Ok(())), "{event:?}");
        assert_eq!(scene.writes(), [1, 2, 2, 3]);
        scene.end().await;
    }
}

// check: scan-flood
#[tokio::test]
async fn a_unit_whose_target_says_at_each_look_that_units_have_changed_is_looked_at_less_and_less_often() {
    let scene = Scene::new().await;
    let changed = Sense::new(SenseKey::UnitAttention, 0x3f, 0x0e);
    scene.target.on_command(move |command| match command.opcode() {
        opcode::TEST_UNIT_READY => Action::CheckCondition(changed),
        _ => Action::Proceed,
    });
    // Its answer puts the unit in doubt, as that of each look does.
    assert!(scene.lab.rescan().await.is_ok());
    let looks = || scene.target.commands().iter().filter(|command| command.opcode() == opcode::INQUIRY).count();
    scene.target.forget_commands();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let looks = looks();
    assert!(looks < 100, "{looks} questions in three seconds");
    scene.lab.abandon();
}

// check: async-logout
#[tokio::test]
async fn a_logout_by_hand_waits_for_no_flush_where_the_target_takes_no_more_commands() {
    let mut scene = Scene::new().await;
    scene.target.send_async(AsyncEvent::LogoutRequest, Lun(0), [0, 0, 60], &[]);
    scene.until(|event| matches!(event, BridgeEvent::LogoutRequested { .. })).await;
    let started = std::time::Instant::now();
    scene.end().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

// check: status-busy, recovery-replay-order
#[tokio::test]
async fn a_later_write_does_not_overtake_one_that_has_to_wait() {
    let scene = Scene::new().await;
    scene.target.on_command(first_writes(4, Action::Status(ScsiStatus::Busy)));
    let first = scene.write(7, 1);
    // It is being issued again and again when the second comes.
    scene.target.wait_until(|target| target.commands().len() >= 2).await;
    let second = scene.write(7, 2);
    let elsewhere = scene.write(9, 3);
    assert_eq!(elsewhere.await, Ok(()));
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
    assert_eq!(scene.read(7).await, Ok(2));
    scene.end().await;
}

// check: status-unit-attention
#[tokio::test]
async fn a_write_that_hears_of_a_power_on_after_the_next_login_goes_again() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    let pending = scene.write(7, 1);
    scene.target.on_command(first_writes(1, Action::CheckCondition(attention(0x29, 0x00))));
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(pending.await, Ok(()));
    assert_eq!(scene.writes(), [7, 7]);
    scene.end().await;
}

// check: recovery-capacity
#[tokio::test]
async fn a_unit_that_has_shrunk_refuses_what_is_beyond_its_end() {
    let mut scene = Scene::new().await;
    scene.target.resize(0, 2048);
    scene.target.on_command(first_writes(1, Action::CheckCondition(attention(0x2a, 0x09))));
    assert_eq!(scene.write(7, 1).await, Ok(()));
    scene.until(|event| matches!(event, BridgeEvent::UnitsChanged { .. })).await;
    scene.lab.rescan().await.expect("a scan");
    assert_eq!(scene.disk.geometry().blocks, 2048);
    assert_eq!(scene.write(2048, 1).await, Err(IoError::OutOfRange));
    assert_eq!(scene.write(2047, 1).await, Ok(()));
    scene.end().await;
}

// check: unit-size-wrong
#[tokio::test]
async fn a_unit_that_claims_a_block_too_many_has_its_capacity_read_again_once() {
    let mut scene = Scene::new().await;
    let beyond = Sense::new(SenseKey::IllegalRequest, 0x21, 0x00);
    scene.target.on_command(move |command| match command.opcode() {
        opcode::READ_16 | opcode::WRITE_16 if command.lba == 4095 => Action::CheckCondition(beyond),
        _ => Action::Proceed,
    });
    let failed = IoError::Target { key: 5, asc: 0x21, ascq: 0 };
    assert_eq!(scene.read(4095).await, Err(failed), "what was asked was not wrong");
    scene.until(|event| matches!(event, BridgeEvent::UnitsChanged { .. })).await;
    scene.lab.rescan().await.expect("a scan");
    assert_eq!(scene.write(4095, 1).await, Err(failed));
    assert_eq!(scene.write(4094, 1).await, Ok(()), "the others are as good as ever");
    let again = tokio::time::timeout(Duration::from_millis(100), scene.lab.event()).await;
    assert!(again.is_err(), "it says what it said: {again:?}");
    let told = scene.lab.units_now()[0].workarounds.join("\n");
    assert!(told.contains("refuses blocks that it has by its capacity (1 from 4095 on)"), "{told}");
    scene.end().await;
}

// check: unit-size-wrong
#[tokio::test]
async fn a_unit_that_has_shrunk_without_a_word_is_found_out_by_its_refusal() {
    let mut scene = Scene::new().await;
    for blocks in [2048, 1024] {
        scene.target.resize(0, blocks);
        let refused = scene.write(blocks, 1).await;
        assert_eq!(refused, Err(IoError::Target { key: 5, asc: 0x21, ascq: 0 }));
        scene.until(|event| matches!(event, BridgeEvent::UnitsChanged { .. })).await;
        scene.lab.rescan().await.expect("a scan");
        assert_eq!(scene.disk.geometry().blocks, blocks);
        assert_eq!(scene.write(blocks, 1).await, Err(IoError::OutOfRange));
    }
    scene.end().await;
}

#[tokio::test]
async fn a_second_loss_before_the_units_were_looked_at_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.lose().await;
    let pending = scene.write(7, 1);
    let hold = Hold::new();
    let held = hold.clone();
    scene.target.on_command(move |command| {
        if command.opcode() == opcode::INQUIRY { Action::Hold(held.clone()) } else { Action::Proceed }
    });
    scene.lab.log_in_again().await.expect("a login");
    hold.reached(1).await;
    scene.lose().await;
    scene.target.clear_command_hook();
    scene.lab.log_in_again().await.expect("a login");
    assert_eq!(pending.await, Ok(()));
    assert_eq!(scene.writes(), [7]);
    scene.end().await;
}

#[tokio::test]
async fn a_unit_that_was_found_over_a_connection_that_was_lost_meanwhile_is_looked_at_and_works() {
    let scene = Scene::new().await;
    let hold = Hold::new();
    let held = hold.clone();
    scene.target.add_lun(1, disk("NEW"));
    scene.target.on_command(move |command| match command.opcode() {
        opcode::INQUIRY if command.lun == Lun(1 << 48) => Action::Hold(held.clone()),
        _ => Action::Proceed,
    });
    let trouble = async {
        hold.reached(1).await;
        scene.target.clear_command_hook();
        scene.lab.log_in_again().await.expect("a login");
        hold.release();
    };
    let (units, ()) = tokio::join!(scene.lab.rescan(), trouble);
    assert_eq!(units.expect("a scan").len(), 2);
    let new = scene.lab.registry().get(&format!("{TARGET}/1")).expect("the new unit");
    let buffer = new.pool().try_get(512).expect("budget");
    let written = run(&*new, Op::Write { fua: false }, 0, 1, Some(buffer));
    let written = tokio::time::timeout(LONG, written).await.expect("an answer");
    assert_eq!(written.map(drop), Ok(()));
    drop(new);
    scene.end().await;
}

// check: scan-incomplete
#[tokio::test]
async fn units_stay_when_the_target_cannot_list_them_now() {
    let scene = Scene::new().await;
    scene.target.add_lun(1, disk("NEW"));
    assert_eq!(scene.lab.rescan().await.expect("a scan").len(), 2);
    let standby = Sense::new(SenseKey::NotReady, 0x04, 0x0b);
    scene.target.on_command(move |command| match command.opcode() {
        opcode::REPORT_LUNS => Action::CheckCondition(standby),
        _ => Action::Proceed,
    });
    assert_eq!(scene.lab.rescan().await.expect("a scan").len(), 2, "they answer for themselves");
    scene.target.on_command(move |_| Action::CheckCondition(standby));
    assert!(scene.lab.rescan().await.is_err(), "it is not known what there is");
    scene.target.clear_command_hook();
    assert!(scene.lab.registry().get(&format!("{TARGET}/1")).is_some());
    assert_eq!(scene.lab.units_now().len(), 2);
    scene.end().await;
}

// check: recovery-isid
#[tokio::test]
async fn a_session_is_reinstated_with_the_same_isid_and_no_tsih() {
    let mut scene = Scene::new().await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen_by_hook = seen.clone();
    scene.target.on_login(move |attempt| {
        seen_by_hook.lock().expect("sound").push(attempt.isid);
        LoginAction::Proceed
    });
    scene.lose().await;
    scene.lab.log_in_again().await.expect("a login");
    let first = scene.target.logins()[0].isid;
    assert_eq!(*seen.lock().expect("sound"), [first]);
    scene.end().await;
}
