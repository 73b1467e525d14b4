//! Units: what they say, what they refuse, what survives.

use iscsi_proto::scsi::capacity::Capacity;
use iscsi_proto::scsi::cdb;
use iscsi_proto::scsi::inquiry::{Qualifier, StandardInquiry};
use iscsi_proto::scsi::mode::ModeParameters;
use iscsi_proto::scsi::report_luns::ReportLuns;
use iscsi_proto::scsi::vpd::{self, BlockLimits};
use sim_target::{SimDisk, SimTarget};

use crate::client::{Client, READ, WRITE};

const NAME: &str = "iqn.2026-01.test.sim:disk";

async fn ask(client: &mut Client, lun: u32, cdb: &[u8]) -> Vec<u8> {
    client.command(lun, cdb, READ, 4096, &[]).await;
    let ended = client.end().await;
    assert_eq!(ended.status, 0, "{cdb:x?}: {:x?}", ended.sense);
    ended.data
}

#[tokio::test]
async fn a_unit_says_what_it_is_like() {
    let limits = BlockLimits { max_transfer: 64, optimal_transfer: 32, max_write_same: 128, ..BlockLimits::default() };
    let disk = SimDisk::new(1 << 33, 4096).read_only().write_cache(false).limits(limits).rotation(7200).serial("abc");
    let target = SimTarget::builder(NAME).lun(3, disk.naa([0x6a; 16])).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    let inquiry = StandardInquiry::parse(&ask(&mut client, 3, &cdb::inquiry(96)).await).unwrap();
    assert!(inquiry.is_disk() && inquiry.command_queuing);
    assert_eq!((inquiry.vendor.as_str(), inquiry.product.as_str()), ("SIM", "SIM DISK"));
    let page = ask(&mut client, 3, &cdb::inquiry_vpd(0, 255)).await;
    assert_eq!(vpd::supported(&page), Some([0, 0x80, 0x83, 0xb0, 0xb1, 0xb2].as_slice()));
    let page = ask(&mut client, 3, &cdb::inquiry_vpd(0x80, 255)).await;
    assert_eq!(vpd::serial(&page).as_deref(), Some("abc"));
    let page = ask(&mut client, 3, &cdb::inquiry_vpd(0x83, 255)).await;
    assert_eq!(vpd::identifier(&page), Some(format!("naa.{}", "6a".repeat(16))));
    let page = ask(&mut client, 3, &cdb::inquiry_vpd(0xb0, 255)).await;
    assert_eq!(BlockLimits::parse(&page), Some(limits));
    let page = ask(&mut client, 3, &cdb::inquiry_vpd(0xb1, 255)).await;
    assert_eq!(vpd::rotation_rate(&page), Some(vpd::RotationRate::Rpm(7200)));
    let capacity = Capacity::parse_16(&ask(&mut client, 3, &cdb::read_capacity_16(32)).await).unwrap();
    assert_eq!((capacity.blocks, capacity.block_size), (1 << 33, 4096));
    let mode = ModeParameters::parse_6(&ask(&mut client, 3, &cdb::mode_sense_6(8, 255)).await).unwrap();
    assert!(mode.write_protected && mode.fua && mode.caching.is_some_and(|caching| !caching.write_cache));
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn hundreds_of_units_are_listed() {
    let mut builder = SimTarget::builder(NAME);
    for number in 0..300 {
        builder = builder.lun(number, SimDisk::new(8, 512));
    }
    let target = builder.start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    let data = ask(&mut client, 0, &cdb::report_luns(cdb::SelectReport::Logical, 4096)).await;
    let report = ReportLuns::parse(&data).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.luns().filter_map(|lun| lun.number()).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn where_there_is_no_unit_only_inquiry_is_answered() {
    let target = SimTarget::builder(NAME).lun(0, SimDisk::not_a_disk(0x0c)).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    let inquiry = StandardInquiry::parse(&ask(&mut client, 5, &cdb::inquiry(96)).await).unwrap();
    assert_eq!(inquiry.qualifier, Qualifier::Incapable);
    assert_eq!(client.plain(5, &cdb::test_unit_ready()).await.codes(), (5, 0x25, 0));
    let inquiry = StandardInquiry::parse(&ask(&mut client, 0, &cdb::inquiry(96)).await).unwrap();
    assert_eq!(inquiry.device_type, 0x0c);
    assert_eq!(client.read(0, 0, 1).await.codes(), (5, 0x20, 0));
}

#[tokio::test]
async fn a_unit_refuses_what_it_must() {
    let limits = BlockLimits { max_transfer: 2, ..BlockLimits::default() };
    let target = SimTarget::builder(NAME)
        .lun(0, SimDisk::new(8, 512).limits(limits).without_fua())
        .lun(1, SimDisk::new(8, 512).only_short_commands().descriptor_sense())
        .lun(2, SimDisk::new(8, 512).read_only())
        .start()
        .await
        .unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    assert_eq!(client.read(0, 7, 2).await.codes(), (5, 0x21, 0));
    assert_eq!(client.read(0, u64::MAX, 1).await.codes(), (5, 0x21, 0));
    assert_eq!(client.read(0, 0, 3).await.codes(), (5, 0x24, 0));
    assert_eq!(client.write(0, 0, true, &[1; 512]).await.codes(), (5, 0x24, 0));
    assert_eq!(client.read(1, 0, 1).await.sense[..4], [0x72, 5, 0x20, 0]);
    assert_eq!(client.write(2, 0, false, &[1; 512]).await.codes(), (7, 0x27, 0));
    client.command(1, &cdb::read_10(0, 1, false).unwrap(), READ, 512, &[]).await;
    assert_eq!(client.end().await.data, [0; 512]);
    target.set_write_protected(2, false);
    assert_eq!(client.write(2, 0, false, &[1; 512]).await.status, 0);
}

#[tokio::test]
async fn only_what_was_synchronised_survives_a_power_cut() {
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(1024, 512)).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    client.write(0, 0, false, &[1; 1024]).await;
    assert_eq!(target.volatile_bytes(), 1024);
    client.plain(0, &cdb::synchronize_cache_10(0, 0).unwrap()).await;
    assert_eq!(target.volatile_bytes(), 0);
    client.write(0, 1, true, &[2; 512]).await;
    assert_eq!(target.volatile_bytes(), 0, "FUA");
    client.write(0, 2, false, &[3; 512]).await;
    assert_eq!(target.volatile_bytes_of(0), 512);
    target.power_cut();
    assert!(client.try_receive().await.is_none());

    let mut client = Client::log_in(&target, &[]).await;
    assert_eq!(client.read(0, 0, 3).await.codes(), (6, 0x29, 0));
    assert_eq!(client.read(0, 0, 3).await.data, [[1; 512], [2; 512], [0; 512]].concat());
    let opcodes: Vec<u8> = target.commands_of(0).iter().map(|command| command.opcode()).collect();
    assert_eq!(opcodes, [0x8a, 0x35, 0x8a, 0x8a, 0x88, 0x88]);
    let fua: Vec<bool> = target.commands().iter().map(|command| command.fua).collect();
    assert_eq!(fua, [false, false, true, false, false, false]);
}

#[tokio::test]
async fn unmapped_blocks_are_freed_and_read_zero() {
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(4096, 512).thin()).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    target.set_content(0, 0, &vec![7; 256 * 1024]);
    let list = cdb::unmap_one(0, 256);
    client.command(0, &cdb::unmap(24), WRITE, 24, &list).await;
    assert_eq!(client.end().await.status, 0);
    assert_eq!(target.allocated_bytes(0), 128 * 1024);
    assert_eq!(client.read(0, 255, 2).await.data, [[0; 512], [7; 512]].concat());

    assert_eq!(client.plain(0, &cdb::write_same_16(256, 1, true, true)).await.status, 0);
    client.command(0, &cdb::write_same_16(257, 2, false, false), WRITE, 512, &[9; 512]).await;
    assert_eq!(client.end().await.status, 0);
    assert_eq!(client.read(0, 256, 4).await.data, [[0; 512], [9; 512], [9; 512], [7; 512]].concat());

    client.command(0, &cdb::unmap(24), WRITE, 24, &cdb::unmap_one(4095, 2)).await;
    assert_eq!(client.end().await.status, 2, "past the end");
}

#[tokio::test]
async fn changes_of_units_are_told_once_to_each_session() {
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(8, 512)).start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    target.add_lun(1, SimDisk::new(8, 512));
    assert_eq!(client.plain(0, &cdb::test_unit_ready()).await.codes(), (6, 0x3f, 0x0e));
    assert_eq!(client.plain(0, &cdb::test_unit_ready()).await.status, 0);
    target.resize(0, 16);
    assert_eq!(client.plain(0, &cdb::test_unit_ready()).await.codes(), (6, 0x2a, 0x09));
    assert_eq!(client.read(0, 15, 1).await.status, 0);
}

#[tokio::test]
async fn a_null_disk_reads_a_constant_and_forgets() {
    let target = SimTarget::builder(NAME).lun(0, SimDisk::new(1 << 20, 512).null()).own_thread().start().await.unwrap();
    let mut client = Client::log_in(&target, &[("MaxRecvDataSegmentLength", "1048576"), ("InitialR2T", "No")]).await;
    client.command(0, &cdb::read_16(0, 1024, false), READ, 512 * 1024, &[]).await;
    let ended = client.end().await;
    assert_eq!(ended.data, vec![0x5a; 512 * 1024]);
    assert_eq!(client.write(0, 0, false, &[1; 4096]).await.status, 0);
    assert_eq!(client.read(0, 0, 1).await.data, [0x5a; 512]);
    assert_eq!((target.volatile_bytes(), target.violations()), (0, Vec::new()));
}
