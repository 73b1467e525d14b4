//! Data and numbers in the full-feature phase.

use iscsi_proto::ids::{Itt, Lun, Ttt};
use iscsi_proto::pdu::*;
use iscsi_proto::scsi::cdb;
use sim_target::{Negotiation, SimDisk, SimTarget};

use crate::client::{Client, READ, UNSOLICITED, WRITE};

const NAME: &str = "iqn.2026-01.test.sim:disk";

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 512) as u8).collect()
}

async fn target(negotiation: Negotiation) -> SimTarget {
    SimTarget::builder(NAME).lun(0, SimDisk::new(1 << 16, 512)).negotiation(negotiation).start().await.unwrap()
}

/// Takes the next R2T: its tag, offset and length.
async fn r2t(client: &mut Client) -> (Ttt, u32, u32) {
    let pdu = client.receive().await;
    assert_eq!(opcode(&pdu.bhs), R2t::OPCODE);
    let header = R2t::decode(&pdu.bhs);
    assert_eq!(header.stat_sn, client.exp_stat_sn, "an R2T carries the next StatSN");
    (header.ttt, header.buffer_offset, header.desired_data_transfer_length)
}

#[tokio::test]
async fn a_write_is_asked_for_burst_by_burst() {
    let negotiation = Negotiation { initial_r2t: true, max_outstanding_r2t: 2, ..Negotiation::default() };
    let target = target(negotiation).await;
    let keys = [("InitialR2T", "Yes"), ("ImmediateData", "No"), ("MaxBurstLength", "4096"), ("MaxOutstandingR2T", "2")];
    let mut client = Client::log_in(&target, &keys).await;
    let data = pattern(10 * 1024);
    let itt = client.command(0, &cdb::write_16(8, 20, false), WRITE, 10 * 1024, &[]).await;
    let first = r2t(&mut client).await;
    let second = r2t(&mut client).await;
    assert_eq!((first.1, first.2, second.1, second.2), (0, 4096, 4096, 4096));
    // The second burst first: each sequence counts from 0.
    client.data_out(itt, second.0, 0, 4096, true, &data[4096..8192]).await;
    let third = r2t(&mut client).await;
    assert_eq!((third.1, third.2), (8192, 2048));
    client.data_out(itt, first.0, 0, 0, false, &data[..2048]).await;
    client.data_out(itt, first.0, 1, 2048, true, &data[2048..4096]).await;
    client.data_out(itt, third.0, 0, 8192, true, &data[8192..]).await;
    let ended = client.end().await;
    assert_eq!((ended.status, ended.residual), (0, 0));
    assert_eq!(target.content(0, 4096, 10 * 1024), data);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn immediate_and_unsolicited_data_come_before_the_first_r2t() {
    let target = target(Negotiation::default()).await;
    let keys = [("InitialR2T", "No"), ("FirstBurstLength", "2048"), ("MaxBurstLength", "4096")];
    let mut client = Client::log_in(&target, &keys).await;
    let data = pattern(4096);
    let itt = client.command(0, &cdb::write_16(0, 8, false), UNSOLICITED, 4096, &data[..512]).await;
    client.data_out(itt, Ttt::RESERVED, 0, 512, false, &data[512..1024]).await;
    client.data_out(itt, Ttt::RESERVED, 1, 1024, true, &data[1024..2048]).await;
    let (ttt, offset, len) = r2t(&mut client).await;
    assert_eq!((offset, len), (2048, 2048));
    client.data_out(itt, ttt, 0, 2048, true, &data[2048..]).await;
    assert_eq!(client.end().await.status, 0);
    assert_eq!(target.content(0, 0, 4096), data);
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn data_in_respect_the_initiators_segment_and_the_burst() {
    let target = target(Negotiation::default()).await;
    let keys = [("MaxRecvDataSegmentLength", "1024"), ("MaxBurstLength", "2048")];
    let mut client = Client::log_in(&target, &keys).await;
    target.set_content(0, 0, &pattern(4096));
    client.command(0, &cdb::read_16(0, 8, false), READ, 4096, &[]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let pdu = client.receive().await;
        let header = DataIn::decode(&pdu.bhs);
        seen.push((header.data_sn.0, header.buffer_offset, header.flags));
    }
    let last = data_in_flags::FINAL | data_in_flags::STATUS;
    assert_eq!(seen, [(0, 0, 0), (1, 1024, data_in_flags::FINAL), (2, 2048, 0), (3, 3072, last)]);
}

#[tokio::test]
async fn what_is_expected_and_what_moves_may_differ() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[]).await;
    client.command(0, &cdb::inquiry(255), READ, 255, &[]).await;
    let ended = client.end().await;
    assert_eq!((ended.data.len(), ended.flags, ended.residual), (96, residual::UNDERFLOW, 159));
    client.command(0, &cdb::inquiry(255), READ, 36, &[]).await;
    let ended = client.end().await;
    assert_eq!((ended.data.len(), ended.flags, ended.residual), (36, residual::OVERFLOW, 60));
}

#[tokio::test]
async fn digests_cover_what_they_must() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")]).await;
    assert!(client.header_digest && client.data_digest);
    assert_eq!(client.write(0, 0, false, &pattern(1024)).await.status, 0);
    client.command(0, &cdb::read_16(0, 2, false), READ, 1024, &[]).await;
    let pdu = client.receive().await;
    assert!(pdu.header_digest_good && pdu.data_digest_good);
    assert_eq!(pdu.data, pattern(1024));
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_data_digest_is_told_and_rejected() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[("DataDigest", "CRC32C")]).await;
    client.data_digest = false;
    client.command(0, &cdb::write_16(0, 1, false), WRITE, 512, &pattern(512)).await;
    client.send_raw(&[1, 2, 3, 4]).await;
    client.data_digest = true;
    let pdu = client.receive().await;
    let reject = Reject::decode(&pdu.bhs);
    assert_eq!((opcode(&pdu.bhs), reject.reason), (Reject::OPCODE, RejectReason::DataDigestError.into()));
    assert!(target.violations()[0].contains("data digest"));
}

#[tokio::test]
async fn the_window_closes_and_opens() {
    let target = target(Negotiation { window: 2, ..Negotiation::default() }).await;
    let mut client = Client::log_in(&target, &[]).await;
    let first = client.cmd_sn;
    target.freeze_window(true);
    for _ in 0..2 {
        client.command(0, &cdb::read_16(0, 1, false), READ, 512, &[]).await;
        let pdu = client.receive().await;
        let header = DataIn::decode(&pdu.bhs);
        client.exp_stat_sn = header.stat_sn.next();
        assert_eq!(header.max_cmd_sn, first.plus(1), "it stays");
    }
    target.freeze_window(false);
    let pdu = client.receive().await;
    let nop = NopIn::decode(&pdu.bhs);
    assert_eq!((opcode(&pdu.bhs), nop.itt, nop.ttt), (NopIn::OPCODE, Itt::RESERVED, Ttt::RESERVED));
    assert_eq!(nop.max_cmd_sn, first.plus(3));
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_past_the_window_is_told_and_ignored() {
    let target = target(Negotiation { window: 1, ..Negotiation::default() }).await;
    let mut client = Client::log_in(&target, &[]).await;
    client.cmd_sn = client.cmd_sn.plus(1);
    client.command(0, &cdb::test_unit_ready(), crate::client::NO_DATA, 0, &[]).await;
    target.wait_until(|target| !target.violations().is_empty()).await;
    assert!(target.violations().iter().any(|one| one.contains("past MaxCmdSN")), "{:?}", target.violations());
    assert!(target.commands().is_empty());
}

#[tokio::test]
async fn a_ping_is_answered_with_its_data() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[]).await;
    target.ping(b"are you there?");
    let pdu = client.receive().await;
    let ping = NopIn::decode(&pdu.bhs);
    assert_eq!((pdu.data.as_slice(), ping.itt), (b"are you there?".as_slice(), Itt::RESERVED));
    let mut answer = NopOut {
        flags: FINAL,
        lun: ping.lun,
        itt: Itt::RESERVED,
        ttt: ping.ttt,
        cmd_sn: client.cmd_sn,
        exp_stat_sn: client.exp_stat_sn,
    }
    .encode();
    answer[0] |= IMMEDIATE;
    client.send(answer, &pdu.data).await;
    target.wait_until(|target| target.counters().pings_answered == 1).await;
    assert_eq!(target.violations(), Vec::<String>::new());

    client.send(answer, &pdu.data).await;
    target.wait_until(|target| !target.violations().is_empty()).await;
}

#[tokio::test]
async fn data_in_the_wrong_place_are_told_and_fail_the_write() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[("InitialR2T", "No")]).await;
    let itt = client.command(0, &cdb::write_16(0, 2, false), UNSOLICITED, 1024, &[]).await;
    client.data_out(itt, Ttt::RESERVED, 3, 512, true, &[1; 512]).await;
    let ended = client.end().await;
    assert_eq!((ended.status, ended.codes()), (2, (0x0b, 0x4b, 0)));
    assert!(target.violations()[0].contains("DataSN 3"), "{:?}", target.violations());
    assert_eq!(target.content(0, 0, 1024), [0; 1024]);
}

#[tokio::test]
async fn a_task_is_aborted_by_its_tag() {
    let target = target(Negotiation::default()).await;
    let mut client = Client::log_in(&target, &[]).await;
    target.on_command(|_| sim_target::Action::Ignore);
    let ref_cmd_sn = client.cmd_sn;
    let itt = client.command(0, &cdb::read_16(0, 1, false), READ, 512, &[]).await;
    for response in [0, 1] {
        let mut request = TaskManagementRequest {
            function: FINAL | u8::from(TaskFunction::AbortTask),
            lun: Lun(0),
            itt: Itt(1000),
            referenced_task_tag: Itt(itt),
            cmd_sn: client.cmd_sn,
            exp_stat_sn: client.exp_stat_sn,
            ref_cmd_sn,
            exp_data_sn: Default::default(),
        }
        .encode();
        request[0] |= IMMEDIATE;
        client.send(request, &[]).await;
        let pdu = client.receive().await;
        let answer = TaskManagementResponse::decode(&pdu.bhs);
        client.exp_stat_sn = answer.stat_sn.next();
        assert_eq!((opcode(&pdu.bhs), answer.response), (TaskManagementResponse::OPCODE, response));
    }
    assert_eq!(target.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn targets_are_listed_over_several_pdus() {
    let target = SimTarget::builder(NAME)
        .portal("127.0.0.1:0")
        .portal("[::1]:0")
        .also_list("iqn.2026-01.test.sim:without-address", &[])
        .text_chunk(50)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&target).await;
    client.login(0x87, &[("InitiatorName", crate::client::INITIATOR), ("SessionType", "Discovery")]).await;
    let (mut text, mut ttt, mut ask) = (Vec::new(), Ttt::RESERVED, b"SendTargets=All\0".as_slice());
    loop {
        let request = TextRequest {
            flags: FINAL,
            lun: Lun(0),
            itt: Itt(9),
            ttt,
            cmd_sn: client.cmd_sn,
            exp_stat_sn: client.exp_stat_sn,
        };
        client.cmd_sn = client.cmd_sn.next();
        client.send(request.encode(), ask).await;
        let pdu = client.receive().await;
        let response = TextResponse::decode(&pdu.bhs);
        client.exp_stat_sn = response.stat_sn.next();
        text.extend(pdu.data);
        (ttt, ask) = (response.ttt, &[]);
        if ttt == Ttt::RESERVED {
            assert_eq!(response.flags, FINAL);
            break;
        }
        assert_eq!(response.flags, CONTINUE);
    }
    let text = String::from_utf8(text).unwrap();
    let [v4, v6] = target.addresses() else { panic!("two portals") };
    assert_eq!(
        text.split_terminator('\0').collect::<Vec<_>>(),
        [
            format!("TargetName={NAME}"),
            format!("TargetAddress={v4},1"),
            format!("TargetAddress=[::1]:{},1", v6.port()),
            "TargetName=iqn.2026-01.test.sim:without-address".into()
        ]
    );
    assert_eq!(target.violations(), Vec::<String>::new());
}
