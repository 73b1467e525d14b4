//! What a test can make the target do.

use iscsi_proto::ids::{Itt, Lun};
use iscsi_proto::pdu::*;
use iscsi_proto::scsi::{Sense, SenseKey, cdb};
use sim_target::{Action, Hold, SimDisk, SimTarget, Twist};

use crate::client::{Client, READ, WRITE};

async fn target() -> SimTarget {
    let disk = SimDisk::new(1024, 512);
    let target = SimTarget::builder("iqn.2026-01.test.sim:disk").lun(0, disk).start().await.unwrap();
    target.set_content(0, 0, &[7; 4096]);
    target
}

#[tokio::test]
async fn a_command_ends_as_the_hook_says() {
    let target = target().await;
    let mut client = Client::log_in(&target, &[]).await;
    target.on_command(|command| match command.lba {
        1 => Action::CheckCondition(Sense::new(SenseKey::MediumError, 0x11, 0)),
        2 => Action::Status(ScsiStatus::Busy),
        3 => Action::TargetFailure,
        _ => Action::Proceed,
    });
    assert_eq!(client.read(0, 1, 1).await.codes(), (3, 0x11, 0));
    assert_eq!(client.read(0, 2, 1).await.status, 8);
    client.command(0, &cdb::read_16(3, 1, false), READ, 512, &[]).await;
    assert_eq!(ScsiResponse::decode(&client.receive().await.bhs).response, 1);
    client.exp_stat_sn = client.exp_stat_sn.next();
    assert_eq!(client.read(0, 4, 1).await.status, 0);
    target.clear_command_hook();
    assert_eq!(client.read(0, 1, 1).await.status, 0);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn held_commands_wait_for_their_release_and_take_their_data_meanwhile() {
    let target = target().await;
    let mut client = Client::log_in(&target, &[]).await;
    let hold = Hold::new();
    let on = hold.clone();
    target.on_command(move |command| if command.lba == 0 { Action::Hold(on.clone()) } else { Action::Proceed });
    let write = client.command(0, &cdb::write_16(0, 1, false), WRITE, 512, &[9; 512]).await;
    hold.reached(1).await;
    assert_eq!(client.read(0, 1, 1).await.data, [7; 512], "others overtake it");
    assert_eq!(target.content(0, 0, 512), [7; 512], "it is not executed yet");
    hold.release();
    let pdu = client.receive().await;
    assert_eq!(ScsiResponse::decode(&pdu.bhs).itt, Itt(write));
    assert_eq!(target.content(0, 0, 512), [9; 512]);
    client.exp_stat_sn = client.exp_stat_sn.next();
    assert_eq!(client.read(0, 0, 1).await.status, 0, "a released hold holds nothing");
    assert_eq!(target.violations(), Vec::<String>::new());
}

/// Reads one block with that twist; every PDU of the answer.
async fn twisted(twist: Twist, pdus: usize) -> Vec<crate::client::Pdu> {
    let target = target().await;
    let keys = [("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")];
    let mut client = Client::log_in(&target, &keys).await;
    target.on_command(move |_| Action::Twist(twist));
    client.command(0, &cdb::read_16(0, 1, false), READ, 512, &[]).await;
    let mut got = Vec::new();
    for _ in 0..pdus {
        got.push(client.receive().await);
    }
    got
}

#[tokio::test]
async fn data_come_in_pieces_and_the_status_apart() {
    let got = twisted(Twist { pieces: 300, status_apart: true, ..Twist::default() }, 3).await;
    let lengths: Vec<usize> = got.iter().map(|pdu| pdu.data.len()).collect();
    assert_eq!(lengths, [300, 212, 0]);
    let response = ScsiResponse::decode(&got[2].bhs);
    assert_eq!((opcode(&got[2].bhs), response.exp_data_sn.0), (ScsiResponse::OPCODE, 2));
}

#[tokio::test]
async fn an_underflow_is_told_or_not() {
    let got = twisted(Twist { short_by: 100, ..Twist::default() }, 1).await;
    let header = DataIn::decode(&got[0].bhs);
    assert_eq!((got[0].data.len(), header.residual_count), (412, 100));
    assert_eq!(header.flags & data_in_flags::UNDERFLOW, data_in_flags::UNDERFLOW);
    let got = twisted(Twist { silently_short_by: 100, ..Twist::default() }, 1).await;
    assert_eq!((got[0].data.len(), DataIn::decode(&got[0].bhs).residual_count), (412, 0));
}

#[tokio::test]
async fn numbers_tags_and_offsets_are_off() {
    let twist = Twist { pieces: 256, data_sn_ahead: 5, offset_ahead: 1024, stat_sn_ahead: 3, ..Twist::default() };
    let got = twisted(Twist { itt_xor: 0x100, ..twist }, 2).await;
    let last = DataIn::decode(&got[1].bhs);
    assert_eq!((last.data_sn.0, last.buffer_offset), (6, 1280));
    assert_eq!(last.itt.0 & 0x100, 0x100);
    // The login took 1.
    assert_eq!(last.stat_sn.0, 2 + 3);
}

#[tokio::test]
async fn digests_are_spoiled_one_at_a_time() {
    let got = twisted(Twist { bad_data_digest: true, pieces: 256, ..Twist::default() }, 2).await;
    assert_eq!([&got[0], &got[1]].map(|pdu| pdu.data_digest_good), [false, true]);
    assert!(got[0].header_digest_good);
    let got = twisted(Twist { bad_header_digest: true, ..Twist::default() }, 1).await;
    assert!(!got[0].header_digest_good && got[0].data_digest_good);
}

#[tokio::test]
async fn an_answer_comes_twice_or_too_long() {
    let got = twisted(Twist { answer_twice: true, ..Twist::default() }, 3).await;
    let [first, second] = [&got[1], &got[2]].map(|pdu| ScsiResponse::decode(&pdu.bhs));
    assert_eq!((first.itt, first.stat_sn.next()), (second.itt, second.stat_sn));
    let got = twisted(Twist { long_by: 8, ..Twist::default() }, 1).await;
    assert_eq!(got[0].data.len(), 520);
}

#[tokio::test]
async fn the_connection_breaks_off_within_an_answer() {
    let target = target().await;
    let mut client = Client::log_in(&target, &[]).await;
    target.on_command(|_| Action::Twist(Twist { cut_after: 100, ..Twist::default() }));
    client.command(0, &cdb::read_16(0, 1, false), READ, 512, &[]).await;
    assert!(client.try_receive().await.is_none());
}

#[tokio::test]
async fn answers_trickle_byte_by_byte() {
    let disk = SimDisk::new(1024, 512);
    let builder = SimTarget::builder("iqn.2026-01.test.sim:disk").lun(0, disk).write_limit(1);
    let target = builder.start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    assert_eq!(client.read(0, 0, 2).await.data, [0; 1024]);
}

#[tokio::test]
async fn messages_of_its_own_reach_the_initiator() {
    let target = target().await;
    let mut client = Client::log_in(&target, &[]).await;
    target.send_async(AsyncEvent::LogoutRequest, Lun(0), [0, 0, 10], &[]);
    let pdu = client.receive().await;
    let message = AsyncMessage::decode(&pdu.bhs);
    assert_eq!((message.event, message.parameter3, message.stat_sn), (1, 10, client.exp_stat_sn));
    client.exp_stat_sn = client.exp_stat_sn.next();
    target.send_scsi_event(Lun(0), &Sense::new(SenseKey::UnitAttention, 0x3f, 0x0e));
    let pdu = client.receive().await;
    assert_eq!(pdu.data[..4], [0, 18, 0x70, 0]);
    client.exp_stat_sn = client.exp_stat_sn.next();
    target.send_reject(4, &[0x55; 48]);
    let pdu = client.receive().await;
    assert_eq!((Reject::decode(&pdu.bhs).reason, pdu.data), (4, vec![0x55; 48]));
}

#[tokio::test]
async fn a_target_that_is_shut_down_or_dropped_leaves_nothing_open() {
    let target = target().await;
    let address = target.address();
    let mut client = Client::log_in(&target, &[]).await;
    target.shutdown().await;
    assert!(client.try_receive().await.is_none());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());

    let disk = SimDisk::new(8, 512);
    let builder = SimTarget::builder("iqn.2026-01.test.sim:disk").lun(0, disk);
    let target = builder.own_thread().start().await.unwrap();
    let mut client = Client::log_in(&target, &[]).await;
    drop(target);
    assert!(client.try_receive().await.is_none());
}
