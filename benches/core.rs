//! What the core costs: a PDU written and read, a command from submission to retirement.
//!
//! Bytes in memory, no socket: the floor under every I/O of the user kernel.

#![expect(missing_docs, reason = "criterion_group! makes a public function without any")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use iscsi_proto::digest::{Crc32c, SoftCrc32c};
use iscsi_proto::handoff::{HANDOFF_VERSION, Handoff};
use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::{DataIn, FINAL, ScsiCommand, TaskAttribute, Wire, command_flags, data_in_flags, set_lengths};
use iscsi_proto::session::{Command, Data, Event, Head, PingTimers, RxPlan, Session, SessionConfig};
use iscsi_proto::sn::{CmdSn, DataSn, StatSn};
use iscsi_proto::time::Instant;

const BLOCK: usize = 4096;

fn handoff() -> Handoff {
    Handoff {
        version: HANDOFF_VERSION,
        cmd_sn: 1,
        exp_stat_sn: 1,
        max_cmd_sn: 0x7000_0000,
        first_burst_length: 65_536,
        max_burst_length: 262_144,
        max_recv_data_segment_length: 262_144,
        max_send_data_segment_length: 262_144,
        tsih: 1,
        cid: 0,
        max_outstanding_r2t: 1,
        default_time2wait: 2,
        default_time2retain: 20,
        target_portal_group_tag: 1,
        isid: [0x80, 0, 0, 0, 0, 1],
        header_digest: 0,
        data_digest: 0,
        initial_r2t: 0,
        immediate_data: 1,
        error_recovery_level: 0,
        reserved: [0; 3],
    }
}

fn session() -> Session {
    let config = SessionConfig { depth: 128, pings: PingTimers { interval: None, timeout: None } };
    Session::from_handoff(&handoff(), config, Instant::ZERO).expect("a valid handoff")
}

fn pdus(c: &mut Criterion) {
    let command = ScsiCommand {
        flags: command_flags::FINAL | command_flags::READ | TaskAttribute::Simple as u8,
        lun: Lun(0),
        itt: Itt(7),
        expected_data_transfer_length: 4096,
        cmd_sn: CmdSn(1),
        exp_stat_sn: StatSn(1),
        cdb: [0x88; 16],
    };
    c.bench_function("encode a SCSI Command", |b| b.iter(|| black_box(black_box(&command).encode())));
    let bhs = command.encode();
    c.bench_function("decode a SCSI Command", |b| b.iter(|| black_box(ScsiCommand::decode(black_box(&bhs)))));
}

fn digests(c: &mut Criterion) {
    let data = vec![0x5a; 65_536];
    let mut group = c.benchmark_group("CRC32C of 64 KiB");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("tables (the core's own)", |b| b.iter(|| SoftCrc32c::append(0, black_box(&data))));
    group.bench_function("hardware (the user kernel's)", |b| b.iter(|| crc32c::crc32c_append(0, black_box(&data))));
    group.finish();
}

/// One read of 4 KiB, from submission to retirement, its answer in one Data-In with status.
fn reads(c: &mut Criterion) {
    let mut session = session();
    let mut head = Head::default();
    let (mut stat_sn, mut wire) = (1u32, vec![0; 48 + BLOCK]);
    let command = Command {
        lun: Lun(0),
        cdb: [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
        attribute: TaskAttribute::Simple,
        data: Data::In(BLOCK as u32),
    };
    c.bench_function("a 4 KiB read through the core", |b| {
        b.iter(|| {
            let itt = session.submit(command).expect("room");
            assert!(session.poll_transmit(&mut head).is_some());
            let cmd_sn = CmdSn(stat_sn.wrapping_add(1));
            let mut bhs = DataIn {
                flags: FINAL | data_in_flags::STATUS,
                status: 0,
                lun: Lun(0),
                itt,
                ttt: Ttt::RESERVED,
                stat_sn: StatSn(stat_sn),
                exp_cmd_sn: cmd_sn,
                max_cmd_sn: cmd_sn.plus(128),
                data_sn: DataSn(0),
                buffer_offset: 0,
                residual_count: 0,
            }
            .encode();
            set_lengths(&mut bhs, 0, BLOCK as u32);
            stat_sn = stat_sn.wrapping_add(1);
            wire[..48].copy_from_slice(&bhs);
            let used = session.rx_scratch(Instant::ZERO, &wire).expect("legal");
            assert!(matches!(session.rx_plan(), RxPlan::Place { len: 4096, .. }));
            session.rx_placed(Instant::ZERO, &wire[used..]).expect("legal");
            assert!(matches!(session.poll_event(), Some(Event::TaskDone { .. })));
            session.retire(itt).expect("finished");
        });
    });
}

criterion_group!(benches, pdus, digests, reads);
criterion_main!(benches);
