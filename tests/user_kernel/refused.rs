//! Commands that a unit advertises and then refuses, or does in its own way: what is asked of it is done all the
//! same, and the refusal is met once.

use std::sync::atomic::{AtomicU32, Ordering};

use iscsi_proto::keys::Offer;
use iscsi_proto::scsi::cdb::opcode;
use iscsi_proto::scsi::vpd::BlockLimits;
use iscsi_proto::scsi::{Sense, SenseKey};
use iscsid::block::{Completions, Io, IoError, Op, run};
use sim_target::{Action, Hold, Negotiation, Twist};

use crate::whole::{Scene, disk, first};

const OPCODE: Sense = Sense::new(SenseKey::IllegalRequest, 0x20, 0);
const FIELD: Sense = Sense::new(SenseKey::IllegalRequest, 0x24, 0);
const PARAMETER: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0);

const UNMAP: Op = Op::WriteZeroes { fua: false, unmap: true, fast: false };
const KEEP: Op = Op::WriteZeroes { fua: false, unmap: false, fast: false };

/// A thin unit that frees by WRITE SAME alone.
fn frees_by_write_same() -> BlockLimits {
    BlockLimits::default()
}

/// The number of blocks and UNMAP of each WRITE SAME.
fn write_sames(scene: &Scene) -> Vec<(u64, u32, bool)> {
    let commands = scene.target.commands();
    let same = commands.iter().filter(|command| command.opcode() == opcode::WRITE_SAME_16);
    same.map(|command| (command.lba, command.blocks, command.cdb[1] & 0x08 != 0)).collect()
}

/// What people are told of the unit, in the end.
fn told(scene: &Scene) -> Vec<String> {
    scene.lab.units_now()[0].workarounds.clone()
}

/// Writes something everywhere in these blocks.
async fn fill(scene: &Scene, lba: u64, blocks: u32) {
    let most = scene.disk.geometry().max_transfer / scene.disk.geometry().block_size;
    let size = scene.disk.geometry().block_size as usize;
    for at in (0..blocks).step_by(most as usize) {
        let now = most.min(blocks - at);
        let mut buffer = scene.disk.pool().try_get(now as usize * size).expect("budget");
        buffer.fill(0xaa);
        let lba = lba + u64::from(at);
        run(&*scene.disk, Op::Write { fua: false }, lba, now, Some(buffer)).await.expect("written");
    }
    scene.target.forget_commands();
}

/// Whether these blocks are zero, and those before and after them are not.
fn assert_zero(scene: &Scene, lba: u64, blocks: u64) {
    let content = scene.target.content(0, (lba - 1) * 512, (blocks + 2) * 512);
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let (before, rest) = content.split_at(512);
    let (zeroes, after) = rest.split_at(blocks as usize * 512);
    if let Some(block) = zeroes.chunks(512).position(|block| !is_zero(block)) {
        panic!("block {} of {blocks} from {lba} on has old data", block);
    }
    assert!(!is_zero(before) && !is_zero(after), "it went beyond its blocks");
}

async fn zero(scene: &Scene, op: Op, lba: u64, blocks: u32) {
    run(&*scene.disk, op, lba, blocks, None).await.expect("zeroed");
    assert_zero(scene, lba, blocks.into());
}

// check: refused-counts
#[tokio::test]
async fn a_unit_that_keeps_sixteen_bits_of_a_count_is_never_asked_for_65536() {
    for max_write_same in [0, 0x1_0000, u64::MAX] {
        let limits = BlockLimits { max_write_same, ..frees_by_write_same() };
        let scene = Scene::with(disk().thin().limits(limits).short_counts()).await;
        // The last block must not be zeroed by what ends long before it.
        scene.write(131_071, 1, false).await.expect("written");
        scene.target.forget_commands();
        let most = scene.disk.geometry().max_zero_blocks;
        assert_eq!((most, scene.disk.geometry().max_unmap_blocks), (0x8000, 0x8000));
        for op in [UNMAP, KEEP, Op::Unmap] {
            run(&*scene.disk, op, 0, most, None).await.expect("zeroed");
            run(&*scene.disk, op, u64::from(most), most, None).await.expect("zeroed");
        }
        assert!(write_sames(&scene).iter().all(|(_, blocks, _)| (1..=0x8000).contains(blocks)));
        let last = scene.read(131_071, 1).await.expect("read");
        assert_eq!(last, *scene.filled(131_071, 1), "what nobody asked to zero is there");
        scene.end().await;
    }
}

// check: refused-write-same
#[tokio::test]
async fn zeroes_are_written_where_write_same_is_refused() {
    for sense in [OPCODE, FIELD, PARAMETER] {
        let limits = BlockLimits { max_transfer: 300, ..frees_by_write_same() };
        let scene = Scene::with(disk().thin().limits(limits).refuses(opcode::WRITE_SAME_16, sense)).await;
        fill(&scene, 0, 3000).await;
        assert!(!scene.disk.geometry().slow_zeroes);
        zero(&scene, UNMAP, 1, 1000).await;
        assert_eq!(write_sames(&scene), [(1, 1000, true), (1, 1000, false)], "{sense}");
        assert!(scene.disk.geometry().slow_zeroes, "those who want it fast have to know");
        zero(&scene, KEEP, 1500, 700).await;
        scene.lab.rescan().await.expect("a scan");
        zero(&scene, UNMAP, 2300, 1).await;
        assert_eq!(write_sames(&scene).len(), 2, "refused once, not each time");
        assert!(scene.disk.geometry().slow_zeroes, "a scan does not make it forget");
        let sentences = [
            "announces WRITE SAME with UNMAP and refuses it; WRITE SAME goes without it",
            "announces WRITE SAME and refuses it; zeroes are written",
        ];
        assert!(told(&scene).iter().all(|told| sentences.contains(&told.as_str())), "{:?}", told(&scene));
        assert!(told(&scene).iter().any(|told| told == sentences[1]));
        scene.end().await;
    }
}

// check: refused-write-same-unmap
#[tokio::test]
async fn write_same_goes_without_unmap_where_that_is_refused() {
    for sense in [OPCODE, FIELD, PARAMETER] {
        let scene = Scene::with(disk().thin().limits(frees_by_write_same()).refuses_unmap_bit(sense)).await;
        fill(&scene, 0, 3000).await;
        zero(&scene, UNMAP, 1, 1000).await;
        zero(&scene, UNMAP, 1500, 1000).await;
        assert_eq!(write_sames(&scene), [(1, 1000, true), (1, 1000, false), (1500, 1000, false)], "{sense}");
        assert!(!scene.disk.geometry().slow_zeroes);
        scene.end().await;
    }
}

// check: zeroes-fua
#[tokio::test]
async fn zeroes_that_were_to_be_durable_are_however_they_are_made() {
    for disk in [disk().thin(), disk().thin().without_fua(), disk().thin().refuses(opcode::WRITE_SAME_16, OPCODE)] {
        let scene = Scene::with(disk).await;
        fill(&scene, 0, 9000).await;
        // Also once it is known how the unit wants it.
        for lba in [1, 4500] {
            let op = Op::WriteZeroes { fua: true, unmap: true, fast: false };
            run(&*scene.disk, op, lba, 4000, None).await.expect("zeroed");
            assert_zero(&scene, lba, 4000);
            assert_eq!(scene.opcodes().last(), Some(&opcode::SYNCHRONIZE_CACHE_16));
            assert_eq!(scene.target.volatile_bytes(), 0);
        }
        scene.end().await;
    }
}

// check: refused-write-same
#[tokio::test]
async fn a_write_that_comes_after_zeroes_stays_though_they_are_made_in_many_commands() {
    let limits = BlockLimits { max_transfer: 64, ..frees_by_write_same() };
    let scene = Scene::with(disk().thin().limits(limits).refuses(opcode::WRITE_SAME_16, FIELD)).await;
    fill(&scene, 0, 2000).await;
    let hold = Hold::new();
    let held = hold.clone();
    let writes = AtomicU32::new(0);
    // The first one that zeroes is held.
    scene.target.on_command(move |command| match command.opcode() {
        opcode::WRITE_16 if writes.fetch_add(1, Ordering::SeqCst) == 0 => Action::Hold(held.clone()),
        _ => Action::Proceed,
    });
    let (zeroed, written) = tokio::join!(run(&*scene.disk, UNMAP, 1, 1000, None), async {
        hold.reached(1).await;
        // The write is on its way before the other goes on.
        tokio::join!(scene.write(900, 8, false), async { hold.release() }).0
    });
    zeroed.expect("zeroed");
    written.expect("written");
    assert_eq!(scene.read(900, 8).await.expect("read"), *scene.filled(900, 8));
    assert_zero(&scene, 1, 899);
    scene.end().await;
}

// check: refused-write-same
#[tokio::test]
async fn a_write_of_zeroes_that_fails_is_no_zeroing_and_teaches_nothing() {
    let scene = Scene::with(disk().thin().limits(frees_by_write_same())).await;
    let medium = Sense::new(SenseKey::MediumError, 0x03, 0);
    scene.target.on_command(move |command| match command.opcode() {
        opcode::WRITE_SAME_16 => Action::CheckCondition(FIELD),
        opcode::WRITE_16 => Action::CheckCondition(medium),
        _ => Action::Proceed,
    });
    let failed = run(&*scene.disk, KEEP, 1, 1000, None).await;
    assert_eq!(failed.map(drop), Err(IoError::Target { key: 3, asc: 3, ascq: 0 }));
    scene.target.clear_command_hook();
    scene.target.forget_commands();
    run(&*scene.disk, KEEP, 1, 1000, None).await.expect("zeroed");
    assert_eq!(write_sames(&scene), [(1, 1000, false)]);
    scene.end().await;
}

// check: refused-unmap
#[tokio::test]
async fn a_trim_that_is_refused_is_a_hint_that_is_not_taken() {
    let by_command = |sense| (disk().thin().refuses(opcode::UNMAP, sense), opcode::UNMAP);
    let by_write_same = |sense| {
        let disk = disk().thin().limits(frees_by_write_same());
        (disk.refuses_unmap_bit(sense), opcode::WRITE_SAME_16)
    };
    for sense in [OPCODE, FIELD, PARAMETER] {
        for (disk, opcode) in [by_command(sense), by_write_same(sense)] {
            let scene = Scene::with(disk).await;
            scene.write(1, 99, false).await.expect("written");
            scene.target.forget_commands();
            for _ in 0..3 {
                run(&*scene.disk, Op::Unmap, 1, 30_000, None).await.expect("a hint");
            }
            assert_eq!(scene.opcodes(), [opcode], "{sense}: refused once, not each time");
            let sentence = "announces that it frees blocks and refuses to; a trim, which is a hint, is done as it is";
            assert_eq!(told(&scene), [sentence]);
            let beyond = run(&*scene.disk, Op::Unmap, 131_000, 100, None).await;
            assert_eq!(beyond.map(drop), Err(IoError::OutOfRange), "nonsense is no hint");
            assert_eq!(scene.read(1, 8).await.expect("read"), *scene.filled(1, 8));
            scene.end().await;
        }
    }
}

// check: zeroes-granularity
#[tokio::test]
async fn what_is_no_whole_granule_is_zeroed_all_the_same() {
    let cases = [
        // Granularity, alignment, first block, blocks, and what is freed.
        (128, None, 1, 126, vec![]),
        (128, None, 128, 127, vec![]),
        (128, None, 128, 128, vec![(128, 128)]),
        (128, None, 1, 1000, vec![(128, 768)]),
        (128, Some(5), 128, 128, vec![]),
        (128, Some(5), 120, 400, vec![(133, 384)]),
        (128, Some(261), 120, 400, vec![(133, 384)]),
        (0x4000, None, 100, 0x8000, vec![(0x4000, 0x4000)]),
    ];
    for (unmap_granularity, unmap_alignment, lba, blocks, freed) in cases {
        let limits = BlockLimits { unmap_granularity, unmap_alignment, ..frees_by_write_same() };
        let scene = Scene::with(disk().thin().limits(limits).only_whole_granules()).await;
        fill(&scene, 0, blocks + 500).await;
        zero(&scene, UNMAP, lba, blocks).await;
        let unmapped = write_sames(&scene).into_iter().filter(|(_, _, unmap)| *unmap);
        assert_eq!(unmapped.map(|(lba, blocks, _)| (lba, blocks)).collect::<Vec<_>>(), freed, "{limits:?}");
        scene.end().await;
    }
}

// check: zeroes-granularity
#[tokio::test]
async fn a_granule_that_no_command_holds_is_written() {
    let limits = BlockLimits { unmap_granularity: 512, max_write_same: 100, ..frees_by_write_same() };
    let scene = Scene::with(disk().thin().limits(limits).only_whole_granules()).await;
    fill(&scene, 0, 1500).await;
    for lba in (1..1001).step_by(100) {
        run(&*scene.disk, UNMAP, lba, 100, None).await.expect("zeroed");
    }
    assert_zero(&scene, 1, 1000);
    assert!(write_sames(&scene).iter().all(|(_, blocks, unmap)| *blocks <= 100 && !unmap));
    scene.end().await;
}

// check: refused-transfer
#[tokio::test]
async fn transfers_that_are_refused_for_their_length_go_in_parts() {
    let negotiation = Negotiation { max_burst_length: 65_536, ..Negotiation::default() };
    let short = disk().longest_transfer(128);
    let scene = Scene::over(short, |builder| builder.negotiation(negotiation), &Offer::default()).await;
    scene.write(7, 2048, false).await.expect("written");
    let lengths = |scene: &Scene| scene.target.commands().iter().map(|command| command.blocks).collect::<Vec<_>>();
    let first = lengths(&scene);
    assert_eq!(first[..5], [2048, 1024, 512, 256, 128]);
    assert_eq!((first.len(), first[5..].iter().all(|blocks| *blocks == 128)), (4 + 16, true));
    assert_eq!(scene.target.content(0, 7 * 512, 2048 * 512), *scene.filled(7, 2048));
    scene.target.forget_commands();
    assert_eq!(scene.read(7, 2048).await.expect("read"), *scene.filled(7, 2048));
    scene.write(7, 1000, true).await.expect("written");
    assert_eq!(lengths(&scene), [&[128; 16 + 7][..], &[104]].concat(), "refused once, not each time");
    assert_eq!(told(&scene), ["refuses long reads and writes (more than 128 blocks); they go to it in parts"]);
    assert!(scene.target.commands().iter().skip(16).all(|command| command.fua));
    // What was submitted together does not get mixed up.
    let completions = Completions::new();
    let mut batch: Vec<Io> = (0..8)
        .map(|n| Io {
            op: Op::Write { fua: false },
            lba: n * 2000,
            blocks: 2000,
            buffer: Some(scene.filled(n * 2000, 2000)),
            completion: completions.completion(n),
        })
        .collect();
    scene.disk.submit(&mut batch);
    let mut done = Vec::new();
    while done.len() < 8 {
        completions.wait(&mut done).await;
    }
    assert!(done.iter().all(|done| done.result.is_ok()));
    drop(done);
    for n in 0..8 {
        assert_eq!(scene.read(n * 2000, 2000).await.expect("read"), *scene.filled(n * 2000, 2000));
    }
    scene.end().await;
}

// check: refused-transfer
#[tokio::test]
async fn a_transfer_that_is_refused_whatever_its_length_fails_after_a_few_tries() {
    let scene = Scene::with(disk()).await;
    for refused in [opcode::READ_16, opcode::WRITE_16] {
        scene.target.on_command(move |command| match command.opcode() {
            opcode::READ_10 | opcode::WRITE_10 => Action::CheckCondition(FIELD),
            opcode if opcode == refused => Action::CheckCondition(FIELD),
            _ => Action::Proceed,
        });
        scene.target.forget_commands();
        let failed = match refused {
            opcode::READ_16 => scene.read(0, 2048).await.map(drop),
            _ => scene.write(0, 2048, true).await,
        };
        assert_eq!(failed, Err(IoError::Target { key: 5, asc: 0x24, ascq: 0 }));
        let commands = scene.target.commands();
        assert!(commands.len() <= 16, "{} commands", commands.len());
        assert!(commands.iter().all(|command| command.blocks >= 1), "none is a command for nothing");
    }
    scene.target.clear_command_hook();
    scene.target.forget_commands();
    scene.write(0, 2048, true).await.expect("written");
    assert_eq!(scene.opcodes(), [opcode::WRITE_16], "what never worked was no lesson");
    scene.end().await;
}

// check: refused-transfer
#[tokio::test]
async fn a_transfer_in_parts_goes_on_after_a_unit_attention_and_ends_with_the_first_error() {
    let scene = Scene::with(disk().longest_transfer(128)).await;
    scene.write(0, 2048, false).await.expect("written");
    scene.target.unit_attention(0, 0x29, 0);
    assert_eq!(scene.read(0, 2048).await.expect("read"), *scene.filled(0, 2048));
    scene.target.on_command(|command| match command.lba {
        1024 => Action::CheckCondition(Sense::new(SenseKey::MediumError, 0x11, 0)),
        _ => Action::Proceed,
    });
    scene.target.forget_commands();
    assert_eq!(scene.read(0, 2048).await, Err(IoError::Target { key: 3, asc: 0x11, ascq: 0 }));
    assert_eq!(scene.target.commands().len(), 9, "what follows is not asked for");
    scene.target.on_command(|command| match command.lba {
        1024 => Action::Twist(Twist { short_by: 512, ..Twist::default() }),
        _ => Action::Proceed,
    });
    assert!(scene.read(0, 2048).await.is_err(), "a part that is short is no data");
    scene.end().await;
}

// check: refused-transfer-otherwise
#[tokio::test]
async fn a_transfer_that_is_refused_for_its_length_in_other_words_goes_in_parts_too() {
    let aborted = |asc, ascq| (Sense::new(SenseKey::AbortedCommand, asc, ascq), 2);
    let illegal = |asc, ascq| (Sense::new(SenseKey::IllegalRequest, asc, ascq), 0);
    for (sense, as_it_is) in [
        illegal(0x1a, 0x00),
        illegal(0x26, 0x00),
        illegal(0x26, 0x02),
        illegal(0x55, 0x00),
        illegal(0x55, 0x03),
        aborted(0x47, 0x00),
        aborted(0x47, 0x03),
        aborted(0x55, 0x03),
    ] {
        let scene = Scene::with(disk()).await;
        scene.target.on_command(move |command| match command.blocks {
            129.. => Action::CheckCondition(sense),
            _ => Action::Proceed,
        });
        let lengths = |scene: &Scene| scene.target.commands().iter().map(|command| command.blocks).collect::<Vec<_>>();
        scene.write(7, 512, true).await.expect("written");
        let (mut first, parts) = (vec![512; as_it_is], [512, 256, 128, 128, 128, 128]);
        first.extend(parts);
        assert_eq!(lengths(&scene), first, "{sense}");
        scene.target.forget_commands();
        assert_eq!(scene.read(7, 512).await.expect("read"), *scene.filled(7, 512));
        assert_eq!(lengths(&scene), [128; 4], "{sense}: refused once, not each time");
        assert_eq!(told(&scene), ["refuses long reads and writes (more than 128 blocks); they go to it in parts"]);
        scene.end().await;
    }
}

// check: refused-transfer-otherwise
#[tokio::test]
async fn a_transfer_of_one_block_and_what_fails_whatever_its_length_stay_errors() {
    for (sense, most) in [
        (Sense::new(SenseKey::IllegalRequest, 0x1a, 0x00), 12),
        (Sense::new(SenseKey::IllegalRequest, 0x26, 0x00), 12),
        (Sense::new(SenseKey::IllegalRequest, 0x55, 0x03), 12),
        (Sense::new(SenseKey::AbortedCommand, 0x47, 0x03), 21),
        // This one is not about the length.
        (Sense::new(SenseKey::AbortedCommand, 0x44, 0x00), 9),
    ] {
        let failed = Err(IoError::Target { key: sense.key as u8, asc: sense.asc, ascq: sense.ascq });
        let scene = Scene::with(disk()).await;
        scene.target.on_command(move |_| Action::CheckCondition(sense));
        assert_eq!(scene.write(0, 1, false).await, failed);
        assert!(scene.target.commands().len() <= 9, "{sense}: {} commands", scene.target.commands().len());
        scene.target.forget_commands();
        assert_eq!(scene.read(0, 2048).await.map(drop), failed);
        let commands = scene.target.commands();
        assert!(commands.len() <= most && commands.iter().all(|command| command.blocks >= 1), "{sense}: {commands:?}");
        scene.target.clear_command_hook();
        scene.target.forget_commands();
        scene.write(0, 2048, false).await.expect("written");
        assert_eq!(scene.target.commands().len(), 1, "{sense}: what never worked was no lesson");
        scene.end().await;
    }
}

// check: refused-transfer-otherwise
#[tokio::test]
async fn noise_on_the_way_makes_no_transfer_shorter() {
    let scene = Scene::with(disk()).await;
    scene.target.on_command(first(2, Action::CheckCondition(Sense::new(SenseKey::AbortedCommand, 0x47, 0x03))));
    scene.write(0, 2048, false).await.expect("written");
    assert!(scene.target.commands().iter().all(|command| command.blocks == 2048));
    assert_eq!(told(&scene), Vec::<String>::new());
    scene.end().await;
}

// check: refused-transfer-otherwise
#[tokio::test]
async fn want_of_room_says_nothing_of_other_commands() {
    let scene = Scene::with(disk().thin().limits(frees_by_write_same())).await;
    let sense = Sense::new(SenseKey::IllegalRequest, 0x55, 0x03);
    scene.target.on_command(move |_| Action::CheckCondition(sense));
    let failed = Err(IoError::Target { key: 5, asc: 0x55, ascq: 3 });
    for op in [UNMAP, Op::Unmap] {
        assert_eq!(run(&*scene.disk, op, 1, 100, None).await.map(drop), failed);
    }
    assert_eq!(told(&scene), Vec::<String>::new());
    scene.target.clear_command_hook();
    scene.end().await;
}

// check: fast-zero-first
#[tokio::test]
async fn zeroes_that_are_wanted_fast_are_never_sent_not_even_the_first() {
    const FAST: Op = Op::WriteZeroes { fua: false, unmap: true, fast: true };
    for sense in [OPCODE, FIELD, PARAMETER] {
        let disk = disk().thin().limits(frees_by_write_same()).refuses(opcode::WRITE_SAME_16, sense);
        let scene = Scene::with(disk).await;
        fill(&scene, 0, 2000).await;
        for asked in [2, 0] {
            scene.target.forget_commands();
            assert_eq!(run(&*scene.disk, FAST, 1, 1000, None).await.map(drop), Err(IoError::Unsupported), "{sense}");
            assert_eq!(scene.opcodes(), vec![opcode::WRITE_SAME_16; asked], "{sense}");
            assert!(scene.disk.geometry().slow_zeroes, "those who ask next are told at once");
        }
        zero(&scene, UNMAP, 1, 1000).await;
        assert!(told(&scene).contains(&"announces WRITE SAME and refuses it; zeroes are written".to_owned()));
        scene.end().await;
    }
    // Where it takes WRITE SAME in one of its forms, that is fast.
    let scene = Scene::with(disk().thin().limits(frees_by_write_same()).refuses_unmap_bit(FIELD)).await;
    fill(&scene, 0, 2000).await;
    zero(&scene, FAST, 1, 1000).await;
    scene.end().await;
}

// check: refused-fua
#[tokio::test]
async fn fua_that_is_announced_and_refused_becomes_a_flush() {
    let scene = Scene::with(disk()).await;
    scene.target.on_command(|command| if command.fua { Action::CheckCondition(FIELD) } else { Action::Proceed });
    let (write, flush) = (opcode::WRITE_16, opcode::SYNCHRONIZE_CACHE_16);
    for opcodes in [vec![write, write, flush], vec![write, flush]] {
        scene.target.forget_commands();
        scene.write(0, 2048, true).await.expect("written");
        assert_eq!(scene.opcodes(), opcodes, "refused once, not each time");
        assert_eq!(scene.target.volatile_bytes(), 0);
    }
    scene.end().await;
}

// check: refused-flush
#[tokio::test]
async fn a_flush_that_is_refused_for_its_form_is_tried_in_the_shorter_one() {
    let (long, short) = (opcode::SYNCHRONIZE_CACHE_16, opcode::SYNCHRONIZE_CACHE_10);
    for sense in [OPCODE, FIELD] {
        let scene = Scene::with(disk().refuses(long, sense)).await;
        for opcodes in [vec![long, short], vec![short]] {
            scene.write(0, 8, false).await.expect("written");
            scene.target.forget_commands();
            run(&*scene.disk, Op::Flush, 0, 0, None).await.expect("flushed");
            assert_eq!((scene.opcodes(), scene.target.volatile_bytes()), (opcodes, 0), "{sense}");
        }
        scene.end().await;
    }
}

// check: refused-flush
#[tokio::test]
async fn a_unit_without_any_flush_has_nothing_to_flush_and_one_that_refuses_it_fails() {
    let (long, short) = (opcode::SYNCHRONIZE_CACHE_16, opcode::SYNCHRONIZE_CACHE_10);
    for (sixteen, ten, is_done) in
        [(OPCODE, OPCODE, true), (FIELD, OPCODE, false), (OPCODE, FIELD, false), (FIELD, FIELD, false)]
    {
        let scene = Scene::with(disk().refuses(long, sixteen).refuses(short, ten)).await;
        for _ in 0..3 {
            scene.write(0, 8, false).await.expect("written");
            let flushed = run(&*scene.disk, Op::Flush, 0, 0, None).await;
            assert_eq!(flushed.is_ok(), is_done, "{sixteen}, {ten}");
        }
        let Scene { target, lab, disk, .. } = scene;
        drop(disk);
        // A flush that fails keeps nobody from leaving.
        lab.log_out().await.expect("a logout");
        assert_eq!(target.violations(), Vec::<String>::new());
    }
}

// check: flush-failure
#[tokio::test]
async fn a_flush_that_fails_is_told_each_time_until_it_works() {
    let scene = Scene::with(disk()).await;
    scene.write(0, 8, false).await.expect("written");
    let medium = Sense::new(SenseKey::MediumError, 0x0c, 0x02);
    scene.target.on_command(first(3, Action::CheckCondition(medium)));
    for _ in 0..3 {
        let failed = run(&*scene.disk, Op::Flush, 0, 0, None).await;
        assert_eq!(failed.map(drop), Err(IoError::Target { key: 3, asc: 0x0c, ascq: 2 }));
    }
    run(&*scene.disk, Op::Flush, 0, 0, None).await.expect("flushed");
    assert_eq!(scene.target.volatile_bytes(), 0);
    scene.end().await;
}

// check: flush-failure
#[tokio::test]
async fn a_flush_that_was_to_follow_a_write_fails_the_write() {
    for op in [Op::Write { fua: true }, Op::WriteZeroes { fua: true, unmap: false, fast: false }] {
        let scene = Scene::with(disk().thin().without_fua()).await;
        let medium = Sense::new(SenseKey::MediumError, 0x0c, 0x02);
        scene.target.on_command(move |command| match command.opcode() {
            opcode::SYNCHRONIZE_CACHE_16 => Action::CheckCondition(medium),
            _ => Action::Proceed,
        });
        let buffer = matches!(op, Op::Write { .. }).then(|| scene.filled(0, 8));
        let failed = run(&*scene.disk, op, 0, 8, buffer).await;
        assert_eq!(failed.map(drop), Err(IoError::Target { key: 3, asc: 0x0c, ascq: 2 }));
        scene.target.clear_command_hook();
        scene.end().await;
    }
}
