//! Targets that do not list their units as they should, and units that are not what they seem: what is found, and
//! what never vanishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iscsi_proto::ids::Lun;
use iscsi_proto::keys::Offer;
use iscsi_proto::pdu::{AsyncEvent, RejectReason, ScsiStatus};
use iscsi_proto::scsi::{Sense, SenseKey, cdb::opcode};
use iscsid::block::{Block, IoError, Op, run};
use iscsid::kernel_bridge::{BridgeEvent, UnitInfo};
use iscsid::selftest::lab::Lab;
use sim_target::{Action, Builder, Command, SimDisk, SimTarget};

const TARGET: &str = "iqn.2026-11.test.sim:scan";

/// A target of a scenario and the session with it.
struct Scene {
    target: SimTarget,
    lab: Lab,
}

impl Scene {
    async fn of(builder: Builder) -> Scene {
        let target = builder.start().await.expect("a free port");
        let lab = Lab::log_in(TARGET, target.address(), &Offer::default(), None).await.expect("a login and its units");
        Scene { target, lab }
    }

    fn block(&self, number: u32) -> Option<Arc<dyn Block>> {
        self.lab.registry().get(&format!("{TARGET}/{number}"))
    }

    async fn write(&self, number: u32, byte: u8) -> Result<(), IoError> {
        let block = self.block(number).expect("the unit");
        let mut buffer = block.pool().get(512).await;
        buffer.fill(byte);
        run(&*block, Op::Write { fua: false }, 0, 1, Some(buffer)).await.map(drop)
    }

    async fn rescan(&self) -> Vec<u32> {
        numbers(&self.lab.rescan().await.expect("a scan"))
    }

    /// Which addresses were asked for a list.
    fn asked(&self) -> Vec<Lun> {
        self.target.commands().iter().filter(|command| is_list(command)).map(|command| command.lun).collect()
    }

    /// The problems of the units, by number.
    fn problems(&self) -> BTreeMap<u32, Option<String>> {
        self.lab.units_now().into_iter().map(|unit| (number(&unit), unit.problem)).collect()
    }

    async fn end(self) {
        self.lab.log_out().await.expect("a clean logout");
        assert_eq!(self.target.violations(), Vec::<String>::new());
    }
}

fn number(unit: &UnitInfo) -> u32 {
    unit.lun.number().expect("a number")
}

fn numbers(units: &[UnitInfo]) -> Vec<u32> {
    units.iter().map(number).collect()
}

fn disk() -> SimDisk {
    SimDisk::new(2048, 512)
}

fn lun(number: u32) -> Lun {
    Lun::from_number(number).expect("a number")
}

fn is_list(command: &Command) -> bool {
    command.opcode() == opcode::REPORT_LUNS
}

fn check(key: SenseKey, asc: u8, ascq: u8) -> Action {
    Action::CheckCondition(Sense::new(key, asc, ascq))
}

/// LOGICAL UNIT NOT SUPPORTED.
fn no_such_unit() -> Action {
    check(SenseKey::IllegalRequest, 0x25, 0)
}

/// A target whose units are 1 and 100, and which refuses to list them where `refuses` says so.
fn without_unit_0(refusal: Action, refuses: impl Fn(Lun) -> bool + Send + Sync + 'static) -> Builder {
    SimTarget::builder(TARGET).lun(1, disk()).lun(100, disk()).on_command(move |command| {
        if is_list(command) && refuses(command.lun) { refusal.clone() } else { Action::Proceed }
    })
}

/// The answer to REPORT LUNS that says it has so many bytes, and has these addresses.
fn list(length: u32, addresses: &[u64]) -> Action {
    let mut data = length.to_be_bytes().to_vec();
    data.extend([0; 4]);
    data.extend(addresses.iter().flat_map(|address| address.to_be_bytes()));
    Action::Answer(data.into())
}

// check: scan-no-unit-zero
#[tokio::test]
async fn where_unit_0_is_missing_the_well_known_unit_lists_the_others() {
    let scene = Scene::of(without_unit_0(no_such_unit(), |lun| lun == Lun(0))).await;
    assert_eq!(numbers(scene.lab.units()), [1, 100]);
    assert_eq!(scene.asked(), [Lun(0), Lun::REPORT_LUNS]);
    scene.write(100, 7).await.expect("a disk like any other");
    scene.target.remove_lun(1);
    assert_eq!(scene.rescan().await, [100], "what a list leaves out is gone, wherever the list is from");
    scene.end().await;
}

// check: scan-no-unit-zero
#[tokio::test]
async fn where_there_is_no_well_known_unit_either_unit_1_lists_the_others() {
    let scene = Scene::of(without_unit_0(no_such_unit(), |lun| lun.0 == 0 || lun.is_well_known())).await;
    assert_eq!(numbers(scene.lab.units()), [1, 100]);
    assert_eq!(scene.asked(), [Lun(0), Lun::REPORT_LUNS, lun(1)]);
    scene.end().await;
}

// check: scan-no-unit-zero, scan-refused
#[tokio::test]
async fn where_nobody_lists_the_units_each_number_is_tried_once_whatever_the_refusal() {
    for refusal in [
        no_such_unit(),
        check(SenseKey::IllegalRequest, 0x24, 0x00),
        check(SenseKey::NotReady, 0x3a, 0x00),
        check(SenseKey::NotReady, 0x04, 0x03),
        check(SenseKey::HardwareError, 0x44, 0x00),
        check(SenseKey::AbortedCommand, 0x00, 0x00),
        Action::Status(ScsiStatus::ReservationConflict),
        Action::TargetFailure,
        Action::Reject(RejectReason::CommandNotSupported),
        Action::Answer([].into()),
        list(8, &[]),
    ] {
        let scene = Scene::of(without_unit_0(refusal.clone(), |_| true)).await;
        assert_eq!(numbers(scene.lab.units()), [1, 100], "{refusal:?}");
        let tried = scene.target.commands();
        let tried = tried.iter().filter(|command| command.opcode() == opcode::INQUIRY && command.cdb[4] == 36);
        assert_eq!(tried.count(), 256, "{refusal:?}");
        scene.write(100, 7).await.expect("a disk like any other");
        scene.end().await;
    }
}

// check: scan-refused
#[tokio::test]
async fn a_target_that_does_not_know_the_question_has_unit_0_alone_if_it_has_that() {
    let invalid = check(SenseKey::IllegalRequest, 0x20, 0x00);
    let all = |_| true;
    let scene = Scene::of(without_unit_0(invalid.clone(), all).lun(0, disk())).await;
    assert_eq!(numbers(scene.lab.units()), [0], "others would be the same one: such a target looks at no number");
    scene.end().await;
    let scene = Scene::of(without_unit_0(invalid, all)).await;
    assert_eq!(numbers(scene.lab.units()), [1, 100]);
    scene.end().await;
}

// check: scan-refused
#[tokio::test]
async fn a_target_that_refuses_a_long_list_is_asked_for_a_short_one() {
    let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(300, disk()).on_command(|command| {
        let room = u32::from_be_bytes([command.cdb[6], command.cdb[7], command.cdb[8], command.cdb[9]]);
        let long = is_list(command) && room > 4096;
        if long { check(SenseKey::IllegalRequest, 0x24, 0x00) } else { Action::Proceed }
    });
    let scene = Scene::of(builder).await;
    assert_eq!(numbers(scene.lab.units()), [0, 300]);
    scene.end().await;
}

// check: scan-known-stay
#[tokio::test]
async fn units_that_are_known_stay_when_the_list_is_refused_and_go_when_a_list_leaves_them_out() {
    let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk()).lun(300, disk());
    let scene = Scene::of(builder).await;
    scene.target.on_command(|command| if is_list(command) { no_such_unit() } else { Action::Proceed });
    assert_eq!(scene.rescan().await, [0, 1, 300], "also what no trying would find");
    scene.target.remove_lun(1);
    assert_eq!(scene.rescan().await, [0, 1, 300]);
    assert!(scene.problems()[&1].as_deref().is_some_and(|problem| problem.contains("no such unit now")));
    assert!(scene.block(1).is_some(), "whoever has it open keeps it");
    scene.write(300, 7).await.expect("as before");
    let invalid = check(SenseKey::IllegalRequest, 0x20, 0x00);
    scene.target.on_command(move |command| if is_list(command) { invalid.clone() } else { Action::Proceed });
    assert_eq!(scene.rescan().await, [0, 1, 300], "it had more than one before");
    scene.target.clear_command_hook();
    assert_eq!(scene.rescan().await, [0, 300]);
    assert!(scene.block(1).is_none());
    scene.end().await;
}

// check: scan-known-stay
#[tokio::test]
async fn a_unit_that_is_written_in_another_way_is_the_unit_that_it_was() {
    let scene = Scene::of(SimTarget::builder(TARGET).lun(0, disk()).lun(5, disk())).await;
    let before = scene.block(5).expect("the unit");
    let flat = list(16, &[0, 0x4005 << 48]);
    scene.target.on_command(move |command| if is_list(command) { flat.clone() } else { Action::Proceed });
    assert_eq!(scene.rescan().await, [0, 5]);
    assert!(Arc::ptr_eq(&before, &scene.block(5).expect("the unit")));
    drop(before);
    scene.end().await;
}

// check: scan-list-malformed
#[tokio::test]
async fn a_list_with_a_wrong_length_hides_no_unit_and_takes_none_away() {
    let (one, two, known) = (1 << 48, 2 << 48, 9);
    for (what, answer) in [
        ("not a whole number of addresses", list(28, &[0, one, two])),
        ("counts units, not bytes", list(3, &[0, one, two])),
        ("says that there is more than comes", list(800, &[0, one, two])),
        ("says that there is much more than comes", list(u32::MAX, &[0, one, two])),
        ("says that there is less than comes", list(8, &[0, one, two])),
        ("says that there is nothing", list(0, &[0, one, two])),
    ] {
        let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk()).lun(2, disk()).lun(known, disk());
        let scene = Scene::of(builder).await;
        let malformed = answer.clone();
        scene.target.on_command(move |command| if is_list(command) { malformed.clone() } else { Action::Proceed });
        assert_eq!(scene.rescan().await, [0, 1, 2, known], "{what}");
        scene.write(known, 7).await.expect("as before");
        scene.end().await;
        let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk()).lun(2, disk());
        let hook = move |command: &Command| if is_list(command) { answer.clone() } else { Action::Proceed };
        let scene = Scene::of(builder.on_command(hook)).await;
        assert_eq!(numbers(scene.lab.units()), [0, 1, 2], "{what}");
        scene.end().await;
    }
}

// check: scan-list-malformed
#[tokio::test]
async fn more_addresses_than_are_read_are_no_reason_to_take_a_unit_away() {
    let scene = Scene::of(SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk())).await;
    let endless = list(!7, &vec![0; 100_000]);
    scene.target.on_command(move |command| if is_list(command) { endless.clone() } else { Action::Proceed });
    assert_eq!(scene.rescan().await, [0, 1]);
    scene.write(1, 7).await.expect("as before");
    scene.end().await;
}

// check: scan-unit-twice
#[tokio::test]
async fn a_unit_that_is_listed_twice_is_one_disk() {
    let twice = list(40, &[1 << 48, 0, 1 << 48, 0x4001 << 48, 0]);
    let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk());
    let hook = move |command: &Command| if is_list(command) { twice.clone() } else { Action::Proceed };
    let scene = Scene::of(builder.on_command(hook)).await;
    assert_eq!(numbers(scene.lab.units()), [0, 1]);
    assert_eq!(scene.lab.registry().list().len(), 2);
    let asked = scene.target.commands().into_iter().filter(|command| command.opcode() == opcode::SERVICE_ACTION_IN_16);
    assert_eq!(asked.count(), 2, "and is looked at once");
    scene.end().await;
}

// check: scan-unit-twice
#[tokio::test]
async fn a_target_that_shows_one_unit_at_every_number_has_one_disk() {
    let mut builder = SimTarget::builder(TARGET);
    for number in 0..256 {
        builder = builder.lun(number, disk().serial("ONE").naa([0x60; 16]));
    }
    let hook = |command: &Command| if is_list(command) { no_such_unit() } else { Action::Proceed };
    let scene = Scene::of(builder.on_command(hook)).await;
    assert_eq!(numbers(scene.lab.units()), [0]);
    assert_eq!(scene.lab.registry().list().len(), 1);
    scene.end().await;
}

// check: scan-unit-twice
#[tokio::test]
async fn the_disk_in_use_stays_where_it_is_when_a_target_begins_to_show_it_at_every_number() {
    let mut builder = SimTarget::builder(TARGET);
    for number in 0..256 {
        builder = builder.lun(number, disk().serial("ONE").naa([0x60; 16]));
    }
    let refuses = Arc::new(AtomicBool::new(false));
    let hook = {
        let refuses = refuses.clone();
        move |command: &Command| match is_list(command) {
            true if refuses.load(Ordering::Relaxed) => no_such_unit(),
            true => list(8, &[lun(5).0]),
            false => Action::Proceed,
        }
    };
    let scene = Scene::of(builder.on_command(hook)).await;
    assert_eq!(numbers(scene.lab.units()), [5]);
    refuses.store(true, Ordering::Relaxed);
    assert_eq!(scene.rescan().await, [5]);
    assert!(scene.block(0).is_none(), "one unit as two disks would be destroyed");
    scene.write(5, 7).await.expect("the disk that it was");
    scene.end().await;
}

// check: scan-no-disk
#[tokio::test]
async fn what_has_no_medium_is_neither_a_disk_nor_a_problem() {
    let builder = SimTarget::builder(TARGET)
        .lun(0, SimDisk::administrative())
        .lun(1, disk())
        .lun(2, disk().peripheral_qualifier(1))
        .lun(3, disk().peripheral_qualifier(3))
        .lun(4, SimDisk::not_a_disk(0x1f).peripheral_qualifier(1))
        .lun(5, SimDisk::not_a_disk(0x01))
        .raw_lun(Lun::REPORT_LUNS, SimDisk::not_a_disk(0x1e));
    let scene = Scene::of(builder).await;
    let units: Vec<_> = scene
        .lab
        .units()
        .iter()
        .map(|unit| (number(unit), unit.administrative, unit.geometry.is_some(), unit.problem.clone()))
        .collect();
    assert_eq!(units, [(0, true, false, None), (1, false, true, None), (5, false, false, None)]);
    assert_eq!(scene.lab.registry().list().len(), 1, "a tape is listed, and not exported");
    scene.end().await;
}

// check: scan-no-disk
#[tokio::test]
async fn a_disk_whose_address_is_vacant_for_a_while_is_the_disk_that_it_was() {
    let scene = Scene::of(SimTarget::builder(TARGET).lun(0, disk().serial("ONE")).lun(1, disk())).await;
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk().serial("ONE").peripheral_qualifier(1));
    assert_eq!(scene.rescan().await, [0, 1]);
    assert!(scene.problems()[&0].is_some());
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk().serial("ONE"));
    assert_eq!(scene.rescan().await, [0, 1]);
    assert_eq!(scene.problems()[&0], None);
    scene.write(0, 7).await.expect("as before");
    scene.end().await;
}

// check: scan-not-ready
#[tokio::test]
async fn a_unit_without_a_medium_is_listed_and_keeps_nobody_from_logging_in_and_out() {
    let no_medium = check(SenseKey::NotReady, 0x3a, 0x00);
    for refused in [opcode::TEST_UNIT_READY, opcode::SERVICE_ACTION_IN_16] {
        let (no_medium, other) = (no_medium.clone(), no_medium.clone());
        let builder = SimTarget::builder(TARGET).lun(0, disk()).lun(1, disk()).on_command(move |command| {
            let first = command.lun == Lun(0);
            match command.opcode() {
                opcode::READ_CAPACITY_10 if first => other.clone(),
                asked if first && asked == refused => no_medium.clone(),
                _ => Action::Proceed,
            }
        });
        let scene = Scene::of(builder).await;
        assert_eq!(numbers(scene.lab.units()), [0, 1]);
        let problem = scene.problems()[&0].clone().expect("it says why");
        assert!(problem.contains("no medium"), "{problem}");
        scene.write(1, 7).await.expect("the one next to it works");
        scene.end().await;
    }
}

// check: async-luns-changed
#[tokio::test]
async fn the_first_unit_that_a_target_announces_is_found() {
    let mut scene = Scene::of(SimTarget::builder(TARGET)).await;
    assert!(scene.lab.units().is_empty());
    scene.target.add_lun(0, disk());
    // SenseLength, then REPORTED LUNS DATA HAS CHANGED (RFC 7143 §11.9.4).
    let sense = [0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e, 0, 0, 0, 0];
    scene.target.send_async(AsyncEvent::ScsiEvent, Lun(0), [0; 3], &sense);
    let event = async { while !matches!(scene.lab.event().await, Some(BridgeEvent::UnitsChanged { .. })) {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), event).await.expect("it is heard");
    assert_eq!(scene.rescan().await, [0]);
    scene.write(0, 7).await.expect("a disk like any other");
    scene.end().await;
}
