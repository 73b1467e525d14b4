//! Reads and writes, and when they are on stable storage.

use super::client::{Written, handle_and, read, read_arguments, write_arguments, written};
use super::*;
use crate::block::{IoError, Op, Use};
use crate::export::nfs::wire::{Status, procedure};

const UNSTABLE: u32 = 0;
const FILE_SYNC: u32 = 2;

#[tokio::test]
async fn what_is_written_is_read_again_at_any_offset_and_length() {
    let stage = Stage::with(8 * MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let mut expected = vec![0; 8 << 20];
    let spans = [(0, 512), (4096, 1 << 20), (2_000_001, 1), (2_000_511, 514), (3_000_000, 70_001), (8_388_607, 1)];
    for (number, (offset, length)) in spans.into_iter().enumerate() {
        let data = pattern(length, number as u64 + 1);
        let Written { count, stable, .. } =
            client.write(&file, offset as u64, UNSTABLE, &data).await.expect("it is written");
        assert_eq!((count as usize, stable), (length, FILE_SYNC));
        expected[offset..offset + length].copy_from_slice(&data);
        let (back, end) = client.read(&file, offset as u64, length as u32).await.expect("it is read");
        assert!(back == data && end == (offset + length == expected.len()), "at {offset}");
    }
    assert!(stage.disk.content() == expected, "and nothing else was touched");
    server.end().await;
}

#[tokio::test]
async fn writes_go_through_and_commit_flushes() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let first = client.write(&file, 0, UNSTABLE, &[1; 4096]).await.expect("it is written");
    assert_eq!(first.stable, FILE_SYNC);
    assert_eq!(stage.disk.asked(), [(Op::Write { fua: true }, 0, 8)]);
    assert_eq!(client.commit(&file).await, Ok(first.verifier));
    assert_eq!(stage.disk.asked().last(), Some(&(Op::Flush, 0, 0)));
    server.end().await;
}

#[tokio::test]
async fn with_the_other_policy_a_write_is_as_safe_as_its_client_asks() {
    let mut stage = Stage::with(MIB, |_| {});
    stage.policy = FlushPolicy::OnCommit;
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    for (stable, fua) in [(UNSTABLE, false), (1, true), (FILE_SYNC, true)] {
        let answer = client.write(&file, 0, stable, &[1; 512]).await.expect("it is written");
        assert_eq!(answer.stable, if fua { FILE_SYNC } else { UNSTABLE });
        assert_eq!(stage.disk.asked().last(), Some(&(Op::Write { fua }, 0, 1)));
    }
    client.commit(&file).await.expect("it is flushed");
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 1);
    server.end().await;
}

#[tokio::test]
async fn a_unit_without_a_write_cache_is_never_flushed() {
    let mut stage = Stage::with(MIB, |geometry| geometry.write_cache = false);
    stage.policy = FlushPolicy::OnCommit;
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let answer = client.write(&file, 0, UNSTABLE, &[1; 512]).await.expect("it is written");
    assert_eq!(answer.stable, FILE_SYNC);
    client.commit(&file).await.expect("there is nothing to do");
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 0);
    server.end().await;
}

#[tokio::test]
async fn reads_end_where_the_unit_ends_and_writes_do_not_go_beyond() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let (data, end) = client.read(&file, MIB - 100, 4096).await.expect("it is read");
    assert_eq!((data.len(), end), (100, true));
    assert_eq!(client.read(&file, MIB, 4096).await, Ok((vec![], true)));
    assert_eq!(client.read(&file, u64::MAX, 4096).await, Ok((vec![], true)));
    assert_eq!(client.write(&file, MIB, FILE_SYNC, &[1; 512]).await, Err(Status::NoSpace as u32));
    assert_eq!(client.write(&file, u64::MAX, FILE_SYNC, &[1; 512]).await, Err(Status::NoSpace as u32));
    assert_eq!(client.write(&file, 0, FILE_SYNC, &[]).await.map(|written| written.count), Ok(0));
    server.end().await;
}

#[tokio::test]
async fn a_read_only_unit_says_so() {
    let stage = Stage::with(MIB, |geometry| geometry.read_only = true);
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    assert_eq!(client.write(&file, 0, FILE_SYNC, &[1; 512]).await, Err(Status::ReadOnly as u32));
    assert_eq!(client.attributes(&file).await, Ok((1, 0o400, MIB)));
    assert_eq!(client.access(&file, 0x3f).await, 1);
    server.end().await;
}

#[tokio::test]
async fn errors_of_the_unit_are_told_and_one_that_is_away_is_to_be_asked_again_later() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let medium = IoError::Target { key: 3, asc: 0x11, ascq: 0 };
    for (error, status) in [
        (medium, Status::Io),
        (IoError::NoSpace, Status::NoSpace),
        (IoError::Offline, Status::Jukebox),
        (IoError::Aborted, Status::Jukebox),
    ] {
        stage.disk.break_block(7, error);
        assert_eq!(client.read(&file, 0, 4096).await, Err(status as u32));
        assert_eq!(client.write(&file, 0, FILE_SYNC, &[1; 4096]).await, Err(status as u32));
    }
    assert_eq!(client.read(&file, 4096, 4096).await.expect("the rest is fine").0, [0; 4096]);
    server.end().await;
}

#[tokio::test]
async fn overlapping_writes_take_effect_in_the_order_in_which_they_came() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    stage.disk.hold(true);
    let mut expected = vec![0; 8192];
    for number in 1..=60u8 {
        let offset = usize::from(number) * 61 % 5000;
        let data = vec![number; 700];
        expected[offset..offset + 700].copy_from_slice(&data);
        client.start(procedure::WRITE, &write_arguments(&file, offset as u64, UNSTABLE, &data)).await;
    }
    let last = client.start(procedure::READ, &read_arguments(&file, 0, 8192)).await;
    stage.disk.hold(false);
    let mut content = None;
    for _ in 0..61 {
        let (xid, results) = client.reply().await;
        let results = results.expect("a good call");
        if xid == last {
            content = Some(read(&results).expect("it is read").0);
        } else {
            assert_eq!(written(&results).expect("it is written").count, 700);
        }
    }
    assert!(content == Some(expected), "a read comes after the writes before it");
    server.end().await;
}

#[tokio::test]
async fn calls_pass_one_another_where_they_share_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    stage.disk.hold(true);
    let slow = client.start(procedure::READ, &read_arguments(&file, 0, 4096)).await;
    let quick = client.start(procedure::GETATTR, &handle_and(&file, &[])).await;
    assert_eq!(client.reply().await.0, quick);
    stage.disk.hold(false);
    assert_eq!(client.reply().await.0, slow);
    server.end().await;
}

#[tokio::test]
async fn many_long_requests_share_a_small_pool_and_all_end() {
    let mut plan = Plan::of_bytes(32 * MIB);
    plan.pool = 1 << 20;
    plan.geometry.max_transfer = 1 << 20;
    let stage = Stage::new(plan);
    let server = stage.serve();
    let clients = (0..4u64).map(|at| {
        let server = &server;
        async move {
            let (mut client, file) = server.mount().await;
            for round in 0..6 {
                let (offset, data) = (at * 8 * MIB + round * MIB, pattern(1 << 20, at * 100 + round));
                client.write(&file, offset, UNSTABLE, &data).await.expect("it is written");
                assert!(client.read(&file, offset, 1 << 20).await.expect("it is read").0 == data);
            }
        }
    });
    let all = futures_util::future::join_all(clients);
    tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("nobody waits for ever");
    server.end().await;
}

#[tokio::test]
async fn a_unit_that_a_benchmark_overwrites_is_to_be_asked_again_later() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let claim = stage.registry.claim(NAME, Use::Writing).expect("nobody uses it");
    assert_eq!(client.read(&file, 0, 512).await, Err(Status::Jukebox as u32));
    assert_eq!(client.write(&file, 0, FILE_SYNC, &[1; 512]).await, Err(Status::Jukebox as u32));
    drop(claim);
    client.read(&file, 0, 512).await.expect("it is free");
    assert!(stage.registry.claim(NAME, Use::Writing).is_err(), "now a client has it");
    server.end().await;
}
