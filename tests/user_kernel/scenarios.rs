//! The user kernel against the simulated target: what an export asks reaches the unit as it must, and
//! what the target does to us never reaches the export as something else.
//!
//! The name of this module says how bytes pass between them: `whole`, `cut` or `glued`.
//!
//! Every scenario ends by asking the target what it had to complain about: it looks at each PDU as
//! strictly as RFC 7143 allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use iscsi_proto::keys::{DigestOffer, Offer};
use iscsi_proto::pdu::{RejectReason, ScsiStatus};
use iscsi_proto::scsi::vpd::BlockLimits;
use iscsi_proto::scsi::{Sense, SenseKey, cdb::opcode};
use iscsid::block::{Block, Buffer, Completions, Done, Io, IoError, Op, run};
use iscsid::selftest::lab::Lab;
use sim_target::proxy::{Proxy, Segmentation};
use sim_target::{Action, Builder, Hold, Negotiation, SimDisk, SimTarget, Twist};

const TARGET: &str = "iqn.2026-11.test.sim:disk";

/// A target of a scenario and the session with it.
pub(crate) struct Scene {
    pub(crate) target: SimTarget,
    pub(crate) lab: Lab,
    pub(crate) disk: Arc<dyn Block>,
    /// What stands between the two, if anything.
    _proxy: Option<Proxy>,
}

impl Scene {
    pub(crate) async fn with(disk: SimDisk) -> Scene {
        Scene::over(disk, |builder| builder, &Offer::default()).await
    }

    pub(crate) async fn over(disk: SimDisk, shape: impl FnOnce(Builder) -> Builder, offer: &Offer) -> Scene {
        let target = shape(SimTarget::builder(TARGET).lun(0, disk)).start().await.expect("a free port");
        let proxy = match how() {
            Segmentation::Whole => None,
            how => Some(Proxy::start(target.address(), how).expect("a free port")),
        };
        let portal = proxy.as_ref().map_or(target.address(), Proxy::address);
        let lab = Lab::log_in(TARGET, portal, offer, None).await.expect("a login");
        let disk = lab.disk().expect("a disk");
        target.forget_commands();
        Scene { target, lab, disk, _proxy: proxy }
    }

    /// A buffer of `blocks` blocks, each of which begins with its number, from `lba` on.
    pub(crate) fn filled(&self, lba: u64, blocks: u32) -> Buffer {
        let size = self.disk.geometry().block_size as usize;
        let mut buffer = self.disk.pool().try_get(blocks as usize * size).expect("budget");
        for (n, block) in buffer.chunks_exact_mut(size).enumerate() {
            block.fill((lba + n as u64) as u8);
            block[..8].copy_from_slice(&(lba + n as u64).to_be_bytes());
        }
        buffer
    }

    pub(crate) async fn write(&self, lba: u64, blocks: u32, fua: bool) -> Result<(), IoError> {
        let buffer = self.filled(lba, blocks);
        run(&*self.disk, Op::Write { fua }, lba, blocks, Some(buffer)).await.map(drop)
    }

    pub(crate) async fn read(&self, lba: u64, blocks: u32) -> Result<Vec<u8>, IoError> {
        let len = blocks as usize * self.disk.geometry().block_size as usize;
        let mut buffer = self.disk.pool().get(len).await;
        // Stale bytes must not pass for data.
        buffer.fill(0xee);
        run(&*self.disk, Op::Read, lba, blocks, Some(buffer))
            .await
            .map(|buffer| buffer.map_or(Vec::new(), |b| b.to_vec()))
    }

    pub(crate) fn opcodes(&self) -> Vec<u8> {
        self.target.commands().iter().map(|command| command.opcode()).collect()
    }

    pub(crate) async fn end(self) {
        drop(self.disk);
        self.lab.log_out().await.expect("a clean logout");
        assert_eq!(self.target.violations(), Vec::<String>::new());
    }

    /// For scenarios after which there is no connection to log out of.
    fn end_without_logout(self) {
        assert_eq!(self.target.violations(), Vec::<String>::new());
    }
}

/// How bytes pass between target and initiator.
fn how() -> Segmentation {
    match module_path!().rsplit("::").next() {
        Some("cut") => Segmentation::Cut,
        Some("glued") => Segmentation::Glue,
        _ => Segmentation::Whole,
    }
}

/// `count`, or fewer where each byte is a segment and more would take too long.
fn up_to(count: u32) -> u32 {
    if how() == Segmentation::Cut { count.min(40) } else { count }
}

pub(crate) fn disk() -> SimDisk {
    SimDisk::new(131_072, 512)
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let scene = Scene::with(disk()).await;
    let blocks = up_to(1000);
    scene.write(7, blocks, false).await.expect("written");
    let read = scene.read(7, blocks).await.expect("read");
    assert_eq!(read, *scene.filled(7, blocks));
    assert_eq!(scene.target.content(0, 7 * 512, 8), 7u64.to_be_bytes());
    scene.end().await;
}

#[tokio::test]
async fn a_flush_makes_everything_durable() {
    let scene = Scene::with(disk()).await;
    scene.write(0, 64, false).await.expect("written");
    assert_eq!(scene.target.volatile_bytes(), 64 * 512, "the cache has it");
    run(&*scene.disk, Op::Flush, 0, 0, None).await.expect("flushed");
    assert_eq!(scene.target.volatile_bytes(), 0);
    assert_eq!(scene.opcodes(), [opcode::WRITE_16, opcode::SYNCHRONIZE_CACHE_16]);
    scene.end().await;
}

#[tokio::test]
async fn fua_reaches_the_target_as_fua() {
    let scene = Scene::with(disk()).await;
    scene.write(0, 8, true).await.expect("written");
    let commands = scene.target.commands();
    assert!(commands.len() == 1 && commands[0].fua);
    assert_eq!(scene.target.volatile_bytes(), 0);
    scene.end().await;
}

#[tokio::test]
async fn fua_on_a_unit_without_it_is_a_write_and_then_a_flush() {
    let scene = Scene::with(disk().without_fua()).await;
    scene.write(0, 8, true).await.expect("written");
    assert_eq!(scene.opcodes(), [opcode::WRITE_16, opcode::SYNCHRONIZE_CACHE_16]);
    assert_eq!(scene.target.volatile_bytes(), 0);
    scene.end().await;
}

#[tokio::test]
async fn a_unit_that_refuses_sixteen_byte_commands_gets_ten() {
    let scene = Scene::with(disk().only_short_commands()).await;
    scene.write(100, 8, false).await.expect("written");
    assert_eq!(scene.read(100, 8).await.expect("read"), *scene.filled(100, 8));
    run(&*scene.disk, Op::Flush, 0, 0, None).await.expect("flushed");
    assert_eq!(scene.target.volatile_bytes(), 0);
    let after_the_first: Vec<u8> = scene.opcodes().into_iter().skip(1).collect();
    assert_eq!(after_the_first[..2], [opcode::WRITE_10, opcode::READ_10], "refused once, not each time");
    scene.end().await;
}

#[tokio::test]
async fn a_unit_beyond_two_tebibytes_is_read_and_written_at_its_end() {
    let blocks = 5 << 32;
    let scene = Scene::with(SimDisk::new(blocks, 512)).await;
    assert_eq!(scene.disk.geometry().blocks, blocks);
    scene.write(blocks - 8, 8, false).await.expect("written");
    assert_eq!(scene.read(blocks - 8, 8).await.expect("read"), *scene.filled(blocks - 8, 8));
    assert_eq!(scene.read(blocks - 7, 8).await, Err(IoError::OutOfRange));
    scene.end().await;
}

#[tokio::test]
async fn blocks_of_4096_bytes_are_addressed_as_such() {
    let scene = Scene::with(SimDisk::new(4096, 4096)).await;
    scene.write(5, 3, false).await.expect("written");
    assert_eq!(scene.target.content(0, 5 * 4096, 8), 5u64.to_be_bytes());
    let commands = scene.target.commands();
    assert_eq!((commands[0].lba, commands[0].blocks), (5, 3));
    scene.end().await;
}

#[tokio::test]
async fn a_read_only_unit_is_not_written_to() {
    let scene = Scene::with(disk().read_only()).await;
    assert!(scene.disk.geometry().read_only);
    assert_eq!(scene.write(0, 1, false).await, Err(IoError::ReadOnly));
    assert!(scene.opcodes().is_empty());
    scene.end().await;
}

#[tokio::test]
async fn a_unit_that_turned_read_only_says_so() {
    let scene = Scene::with(disk()).await;
    scene.target.set_write_protected(0, true);
    assert_eq!(scene.write(0, 1, false).await, Err(IoError::ReadOnly));
    scene.end().await;
}

#[tokio::test]
async fn the_block_limits_page_limits_a_transfer() {
    let limits = BlockLimits {
        max_transfer: 100,
        optimal_transfer: 50,
        ..BlockLimits::parse(&[0, 0xb0, 0, 0x3c]).expect("a page")
    };
    let scene = Scene::with(disk().limits(limits)).await;
    let geometry = scene.disk.geometry();
    assert_eq!((geometry.max_transfer, geometry.optimal_transfer), (51_200, 25_600));
    scene.write(0, 100, false).await.expect("as long as allowed");
    let buffer = scene.filled(0, 101);
    let longer = run(&*scene.disk, Op::Write { fua: false }, 0, 101, Some(buffer)).await;
    assert_eq!(longer.map(drop), Err(IoError::Invalid));
    scene.end().await;
}

#[tokio::test]
async fn trim_and_zeroes_reach_a_thin_unit() {
    let scene = Scene::with(disk().thin()).await;
    scene.write(0, 512, true).await.expect("written");
    run(&*scene.disk, Op::Unmap, 0, 128, None).await.expect("unmapped");
    run(&*scene.disk, Op::WriteZeroes { fua: true, unmap: false, fast: false }, 256, 128, None).await.expect("zeroed");
    assert!(scene.read(256, 128).await.expect("read").iter().all(|byte| *byte == 0));
    assert_eq!(scene.read(128, 128).await.expect("read"), *scene.filled(128, 128));
    let opcodes = scene.opcodes();
    assert!(opcodes.contains(&opcode::UNMAP) && opcodes.contains(&opcode::WRITE_SAME_16), "{opcodes:x?}");
    scene.end().await;
}

/// {InitialR2T} × {ImmediateData} × {small bursts, several R2Ts}.
// check: data-out-unsolicited, data-out-first-burst, command-fields
#[tokio::test]
async fn writes_of_all_sizes_arrive_whole_however_the_data_go_out() {
    for initial_r2t in [true, false] {
        for immediate_data in [true, false] {
            let negotiation = Negotiation {
                initial_r2t,
                immediate_data,
                max_recv_data_segment_length: Some(4096),
                max_burst_length: 16_384,
                first_burst_length: 6144,
                max_outstanding_r2t: 4,
                ..Negotiation::default()
            };
            let offer = Offer { initial_r2t, immediate_data, ..Offer::default() };
            let scene = Scene::over(disk(), |builder| builder.negotiation(negotiation), &offer).await;
            for blocks in [1, 2, 8, 9, 12, 13, 33, up_to(257), up_to(2048)] {
                scene.write(3, blocks, false).await.expect("written");
                let content = scene.target.content(0, 3 * 512, u64::from(blocks) * 512);
                assert_eq!(content, *scene.filled(3, blocks), "{blocks} blocks, {offer:?}");
            }
            scene.end().await;
        }
    }
}

// check: window-closed, window-opens
#[tokio::test]
async fn a_narrow_window_is_kept_to_and_everything_gets_through() {
    let negotiation = Negotiation { window: 3, ..Negotiation::default() };
    let scene = Scene::over(disk(), |builder| builder.negotiation(negotiation), &Offer::default()).await;
    let count = u64::from(up_to(200));
    let completions = Completions::new();
    let mut batch: Vec<Io> = (0..count)
        .map(|n| Io {
            op: Op::Write { fua: false },
            lba: n * 8,
            blocks: 8,
            buffer: Some(scene.filled(n * 8, 8)),
            completion: completions.completion(n),
        })
        .collect();
    scene.disk.submit(&mut batch);
    let mut done = Vec::new();
    while (done.len() as u64) < count {
        completions.wait(&mut done).await;
    }
    assert!(done.iter().all(|done: &Done| done.result.is_ok()));
    assert_eq!(scene.read(0, up_to(200) * 8).await.expect("read"), *scene.filled(0, up_to(200) * 8));
    scene.end().await;
}

// check: data-in-pieces
#[tokio::test]
async fn data_in_odd_pieces_and_a_status_apart_are_put_together() {
    let scene = Scene::with(disk()).await;
    let blocks = up_to(64) / 5;
    scene.write(0, blocks, false).await.expect("written");
    for twist in [
        Twist { pieces: 999, ..Twist::default() },
        Twist { pieces: 1, status_apart: true, ..Twist::default() },
        Twist { status_apart: true, ..Twist::default() },
    ] {
        scene.target.on_command(move |_| Action::Twist(twist));
        assert_eq!(scene.read(0, blocks).await.expect("read"), *scene.filled(0, blocks), "{twist:?}");
        scene.target.clear_command_hook();
    }
    scene.end().await;
}

// check: data-in-declared, digest-padding
#[tokio::test]
async fn data_in_as_long_as_we_declared_are_taken_with_their_padding() {
    for digest in [DigestOffer::None, DigestOffer::Crc32c] {
        // No multiple of four, and less than the data.
        let offer = Offer {
            max_recv_data_segment_length: 4099,
            header_digest: digest,
            data_digest: digest,
            ..Offer::default()
        };
        let scene = Scene::over(disk(), |builder| builder, &offer).await;
        let blocks = up_to(100);
        scene.write(0, blocks, false).await.expect("written");
        assert_eq!(scene.read(0, blocks).await.expect("read"), *scene.filled(0, blocks));
        scene.end().await;
    }
}

// check: digest-padding, login-digests-after
#[tokio::test]
async fn digests_on_both_sides_change_nothing() {
    let offer = Offer { header_digest: DigestOffer::Crc32c, data_digest: DigestOffer::Crc32c, ..Offer::default() };
    let scene = Scene::over(disk(), |builder| builder, &offer).await;
    for blocks in [1, 7, up_to(64), up_to(2048)] {
        scene.write(9, blocks, false).await.expect("written");
        assert_eq!(scene.read(9, blocks).await.expect("read"), *scene.filled(9, blocks));
    }
    scene.end().await;
}

// check: status-unit-attention
#[tokio::test]
async fn a_unit_attention_is_consumed_and_the_command_goes_again() {
    let scene = Scene::with(disk()).await;
    scene.target.unit_attention(0, 0x29, 0x00);
    scene.write(0, 8, false).await.expect("not an error of the I/O");
    assert_eq!(scene.opcodes(), [opcode::WRITE_16, opcode::WRITE_16]);
    scene.end().await;
}

/// Answers the first `times` reads and writes with `action`.
pub(crate) fn first(times: u32, action: Action) -> impl Fn(&sim_target::Command) -> Action + Send + Sync {
    let left = AtomicU32::new(times);
    move |_| match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => action.clone(),
        Err(_) => Action::Proceed,
    }
}

// check: status-busy
#[tokio::test]
async fn busy_and_queue_full_are_waited_out() {
    for status in [ScsiStatus::Busy, ScsiStatus::TaskSetFull] {
        let scene = Scene::with(disk()).await;
        scene.target.on_command(first(3, Action::Status(status)));
        scene.write(0, 8, false).await.expect("after a while");
        assert_eq!(scene.opcodes().len(), 4);
        scene.end().await;
    }
}

#[tokio::test]
async fn becoming_ready_and_changing_sides_are_waited_out() {
    for (asc, ascq) in [(0x04, 0x01), (0x04, 0x0a)] {
        let scene = Scene::with(disk()).await;
        let sense = Sense::new(SenseKey::NotReady, asc, ascq);
        scene.target.on_command(first(2, Action::CheckCondition(sense)));
        assert_eq!(scene.read(0, 8).await.expect("after a while").len(), 4096);
        scene.end().await;
    }
}

// check: status-reservation
#[tokio::test]
async fn a_reservation_conflict_is_told_and_not_tried_again() {
    let scene = Scene::with(disk()).await;
    scene.target.on_command(|_| Action::Status(ScsiStatus::ReservationConflict));
    assert_eq!(scene.write(0, 8, false).await, Err(IoError::ReservationConflict));
    assert_eq!(scene.opcodes().len(), 1);
    scene.end().await;
}

// check: status-sense
#[tokio::test]
async fn errors_of_the_unit_are_told_as_what_they_are() {
    let expected: BTreeMap<(u8, u8, u8), IoError> = [
        ((0x3, 0x11, 0x00), IoError::Target { key: 3, asc: 0x11, ascq: 0 }),
        ((0x7, 0x27, 0x00), IoError::ReadOnly),
        ((0x7, 0x27, 0x07), IoError::NoSpace),
        ((0x5, 0x21, 0x00), IoError::Target { key: 5, asc: 0x21, ascq: 0 }),
        ((0x4, 0x44, 0x00), IoError::Target { key: 4, asc: 0x44, ascq: 0 }),
    ]
    .into();
    for ((key, asc, ascq), error) in expected {
        let scene = Scene::with(disk()).await;
        let sense = Sense::new(SenseKey::from_code(key), asc, ascq);
        scene.target.on_command(move |_| Action::CheckCondition(sense));
        assert_eq!(scene.write(0, 8, false).await, Err(error));
        scene.end().await;
    }
}

// check: residual-stale
#[tokio::test]
async fn a_short_read_is_an_error_even_if_the_target_calls_it_good() {
    for twist in [Twist { short_by: 512, ..Twist::default() }, Twist { silently_short_by: 512, ..Twist::default() }] {
        let scene = Scene::with(disk()).await;
        scene.target.on_command(move |_| Action::Twist(twist));
        assert!(scene.read(0, 8).await.is_err(), "{twist:?}");
        scene.end().await;
    }
}

// check: reject-ends
#[tokio::test]
async fn a_rejected_command_is_tried_again_and_then_fails() {
    let scene = Scene::with(disk()).await;
    scene.target.on_command(first(1, Action::Reject(RejectReason::InvalidPduField)));
    scene.write(0, 8, false).await.expect("the second time");
    scene.target.on_command(|_| Action::Reject(RejectReason::InvalidPduField));
    assert!(scene.write(0, 8, false).await.is_err());
    scene.end().await;
}

#[tokio::test]
async fn answers_in_another_order_find_their_commands() {
    let scene = Scene::with(disk()).await;
    scene.write(0, 64, false).await.expect("written");
    let hold = Hold::new();
    let held = hold.clone();
    scene.target.on_command(move |command| if command.lba == 0 { Action::Hold(held.clone()) } else { Action::Proceed });
    let (slow, quick) = tokio::join!(scene.read(0, 8), async {
        hold.reached(1).await;
        let quick = scene.read(8, 8).await;
        hold.release();
        quick
    });
    assert_eq!(slow.expect("held back"), *scene.filled(0, 8));
    assert_eq!(quick.expect("overtook it"), *scene.filled(8, 8));
    scene.end().await;
}

/// What breaks the protocol ends the connection; without another one, I/O fails and nothing hangs.
// check: digest-data, digest-header, datasn-gap, data-in-bounds, response-once, statsn-gap
#[tokio::test]
async fn what_breaks_the_protocol_is_never_data() {
    for twist in [
        Twist { bad_data_digest: true, ..Twist::default() },
        Twist { bad_header_digest: true, ..Twist::default() },
        Twist { data_sn_ahead: 1, pieces: 512, ..Twist::default() },
        Twist { offset_ahead: 512, ..Twist::default() },
        Twist { long_by: 512, ..Twist::default() },
        Twist { itt_xor: 0x1_0000, ..Twist::default() },
        Twist { stat_sn_ahead: 1, ..Twist::default() },
        Twist { cut_after: 100, ..Twist::default() },
    ] {
        let offer = Offer { header_digest: DigestOffer::Crc32c, data_digest: DigestOffer::Crc32c, ..Offer::default() };
        let scene = Scene::over(disk(), |builder| builder, &offer).await;
        scene.target.on_command(move |_| Action::Twist(twist));
        assert_eq!(scene.read(0, 8).await, Err(IoError::Offline), "{twist:?}");
        scene.end_without_logout();
    }
}

// check: stream-end
#[tokio::test]
async fn the_target_goes_away_and_everything_is_answered() {
    let scene = Scene::with(disk()).await;
    let hold = Hold::new();
    let held = hold.clone();
    scene.target.on_command(move |_| Action::Hold(held.clone()));
    let (write, ()) = tokio::join!(scene.write(0, 8, false), async {
        hold.reached(1).await;
        scene.target.disconnect_all(true);
    });
    assert_eq!(write, Err(IoError::Offline));
    assert_eq!(scene.read(0, 8).await, Err(IoError::Offline), "and so is what comes later");
    scene.end_without_logout();
}

#[tokio::test]
async fn a_disk_that_is_held_after_the_logout_is_offline() {
    let scene = Scene::with(disk()).await;
    let Scene { target, lab, disk, _proxy } = scene;
    lab.log_out().await.expect("a clean logout");
    let buffer = disk.pool().get(4096).await;
    let late = run(&*disk, Op::Read, 0, 8, Some(buffer)).await;
    assert_eq!(late.map(drop), Err(IoError::Offline));
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: nop-answered
#[tokio::test]
async fn a_ping_of_the_target_is_answered_while_the_session_is_idle() {
    let scene = Scene::with(disk()).await;
    scene.target.ping(b"are you there?");
    scene.target.wait_until(|target| target.counters().pings_answered == 1).await;
    scene.end().await;
}

#[tokio::test]
async fn two_hundred_and_fifty_six_units_are_found() {
    let shape = |mut builder: Builder| {
        for number in 1..256 {
            builder = builder.lun(number, SimDisk::new(2048, 512));
        }
        builder.lun(300, SimDisk::not_a_disk(0x0c))
    };
    let scene = Scene::over(SimDisk::new(2048, 512), shape, &Offer::default()).await;
    let units = scene.lab.units();
    assert_eq!(units.len(), 257);
    assert_eq!(units.iter().filter(|unit| unit.geometry.is_some()).count(), 256);
    assert_eq!(scene.lab.registry().list().len(), 256);
    scene.end().await;
}

#[tokio::test]
async fn the_counters_tell_what_went_over_the_wire() {
    let scene = Scene::with(disk()).await;
    let before = scene.lab.stats();
    assert!(before.commands > 0, "the scan's commands count");
    scene.write(0, 8, false).await.expect("written");
    scene.read(0, 16).await.expect("read");
    // The driver writes them down at the end of its round, after the answer.
    let after = loop {
        let stats = scene.lab.stats();
        if stats.in_flight == 0 && stats.commands == before.commands + 2 {
            break stats;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((after.bytes_written, after.bytes_read), (4096, 8192));
    assert_eq!(after.pdus_out - before.pdus_out, 2, "immediate data goes with the command");
    assert!(after.pdus_in - before.pdus_in >= 2);
    scene.end().await;
}

#[tokio::test]
async fn a_disk_that_is_not_ready_during_a_rescan_stays_and_comes_back() {
    let scene = Scene::with(disk()).await;
    let medium = Sense::new(SenseKey::NotReady, 0x3a, 0x00);
    scene.target.on_command(move |command| match command.opcode() {
        opcode::TEST_UNIT_READY => Action::CheckCondition(medium),
        _ => Action::Proceed,
    });
    let units = scene.lab.rescan().await.expect("a scan");
    assert!(units[0].problem.is_some());
    scene.write(0, 8, false).await.expect("whoever holds it goes on");
    scene.target.on_command(move |_| Action::CheckCondition(Sense::new(SenseKey::HardwareError, 0x44, 0x00)));
    assert!(scene.lab.rescan().await.is_err(), "nothing is known");
    scene.write(0, 8, false).await.expect_err("but the unit answers for itself");
    scene.target.clear_command_hook();
    assert_eq!(scene.lab.rescan().await.expect("a scan")[0].problem, None);
    assert_eq!(scene.read(0, 8).await.expect("read"), *scene.filled(0, 8));
    scene.end().await;
}

#[tokio::test]
async fn a_disk_that_the_target_lists_no_more_is_offline() {
    let scene = Scene::over(disk(), |builder| builder.lun(1, SimDisk::new(2048, 512)), &Offer::default()).await;
    scene.target.remove_lun(0);
    assert_eq!(scene.lab.rescan().await.expect("a scan").len(), 1);
    assert_eq!(scene.read(0, 8).await, Err(IoError::Offline));
    scene.end().await;
}

#[tokio::test]
async fn a_disk_that_became_another_one_is_not_written_to() {
    let scene =
        Scene::over(disk().serial("ONE"), |builder| builder.lun(1, SimDisk::new(2048, 512)), &Offer::default()).await;
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk().serial("TWO"));
    scene.lab.rescan().await.expect("a scan");
    assert_eq!(scene.write(0, 8, false).await, Err(IoError::Offline));
    assert_eq!(scene.target.content(0, 0, 4096), vec![0; 4096]);
    let units = scene.lab.rescan().await.expect("a scan");
    let problem = units[0].problem.clone().expect("it says why");
    assert!(problem.contains("serial number is TWO now, not ONE"), "{problem}");
    scene.target.remove_lun(0);
    scene.target.add_lun(0, disk().serial("ONE"));
    scene.lab.rescan().await.expect("a scan");
    scene.write(0, 8, false).await.expect("the old one is back");
    scene.end().await;
}

#[tokio::test]
async fn a_disk_that_has_grown_is_used_to_its_new_end() {
    let scene = Scene::with(disk()).await;
    scene.target.resize(0, 262_144);
    scene.lab.rescan().await.expect("a scan");
    assert_eq!(scene.disk.geometry().blocks, 262_144);
    scene.write(262_136, 8, false).await.expect("written");
    scene.end().await;
}

// check: logout-graceful
#[tokio::test]
async fn a_logout_waits_for_what_is_under_way_and_flushes() {
    let scene = Scene::with(disk()).await;
    scene.write(0, 64, false).await.expect("written");
    let hold = Hold::new();
    let held = hold.clone();
    let is_read = |command: &sim_target::Command| command.opcode() == opcode::READ_16;
    scene.target.on_command(move |command| if is_read(command) { Action::Hold(held.clone()) } else { Action::Proceed });
    let Scene { target, lab, disk, _proxy } = scene;
    let buffer = disk.pool().get(4096).await;
    let read = tokio::spawn(async move { run(&*disk, Op::Read, 0, 8, Some(buffer)).await.map(drop) });
    hold.reached(1).await;
    let logout = tokio::spawn(lab.log_out());
    tokio::task::yield_now().await;
    assert_eq!(target.counters().logouts, 0, "something is under way");
    hold.release();
    assert_eq!(read.await.expect("a task"), Ok(()));
    logout.await.expect("a task").expect("a clean logout");
    assert_eq!((target.counters().logouts, target.volatile_bytes()), (1, 0));
    target.wait_until(|target| target.open_connections() == 0).await;
    assert_eq!(target.violations(), Vec::<String>::new());
}

// check: logout-unanswered
#[tokio::test]
async fn a_logout_that_is_not_answered_ends_all_the_same() {
    let scene = Scene::over(disk(), Builder::ignore_logout, &Offer::default()).await;
    scene.write(0, 8, false).await.expect("written");
    let Scene { target: _target, lab, disk, _proxy } = scene;
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert!(lab.log_out().await.is_err());
    assert!(started.elapsed().as_secs() <= 10);
    let buffer = disk.pool().get(4096).await;
    assert_eq!(run(&*disk, Op::Read, 0, 8, Some(buffer)).await.map(drop), Err(IoError::Offline));
}

// check: stream-end
#[tokio::test]
async fn a_connection_that_breaks_off_at_any_byte_ends_the_command_once() {
    // Header digest, data, data digest, and the response behind it.
    for cut_after in [1, 4, 47, 48, 49, 51, 52, 53, 300, 1075, 1076, 1077, 1079, 1080, 1081, 1127, 1131] {
        let offer = Offer { header_digest: DigestOffer::Crc32c, data_digest: DigestOffer::Crc32c, ..Offer::default() };
        let scene = Scene::over(disk(), |builder| builder, &offer).await;
        scene.target.on_command(move |_| Action::Twist(Twist { cut_after, status_apart: true, ..Twist::default() }));
        let completions = Completions::new();
        let mut batch = vec![Io {
            op: Op::Read,
            lba: 0,
            blocks: 2,
            buffer: Some(scene.filled(0, 2)),
            completion: completions.completion(1),
        }];
        scene.disk.submit(&mut batch);
        let mut done = Vec::new();
        completions.wait(&mut done).await;
        assert!(matches!(&done[..], [Done { result: Err(IoError::Offline), .. }]), "{cut_after}: {done:?}");
        scene.end_without_logout();
    }
}
