//! More work than buffers.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::client::{Reply, request};
use super::*;
use crate::block::{Block, IoError};
use crate::export::nbd::wire::{command, command_flag as flag};

/// A disk whose pool is a single large buffer.
fn cramped() -> Stage {
    let mut plan = Plan::of_bytes(32 * MIB);
    plan.pool = 1 << 20;
    plan.geometry.max_transfer = 1 << 20;
    Stage::new(plan)
}

#[tokio::test]
async fn a_read_longer_than_the_pool_is_streamed() {
    let stage = cramped();
    let content = pattern(32 << 20, 11);
    stage.disk.put(0, &content);
    let mut simple = stage.simple().await;
    assert!(simple.read_simply(0, 32 << 20).await.expect("read") == content);
    let mut structured = stage.structured().await;
    assert!(structured.read(flag::DF, 0, 32 << 20).await.expect("read") == (content.clone(), 1));
    assert!(structured.read(0, 0, 32 << 20).await.expect("read") == (content, 32));
    assert!(stage.disk.pool().allocated() <= 1 << 20);
}

#[tokio::test]
async fn a_streamed_read_that_fails_hangs_up_since_its_reply_has_begun() {
    let stage = cramped();
    stage.disk.break_block(20_000, IoError::Offline);
    let mut client = stage.simple().await;
    client.request(command::READ, 0, 1, 0, 32 << 20).await;
    assert_eq!(client.reply().await, Reply::Simple { cookie: 1, error: 0 });
    assert!(client.rest().await.len() <= 20_000 * 512);
    assert_eq!(stage.simple().await.read_simply(0, 512).await, Ok(vec![0; 512]), "others go on");
}

#[tokio::test]
async fn several_connections_share_a_spent_pool_and_all_end() {
    let stage = cramped();
    let clients = (0..6u64).map(|at| {
        let stage = &stage;
        async move {
            let mut client = if at % 2 == 0 { stage.structured().await } else { stage.simple().await };
            let base = at * 5 * MIB;
            let bytes = pattern(5 << 20, at);
            assert_eq!(client.write(0, base, &bytes).await.0, 0);
            let read = match at % 2 {
                0 => client.read(0, base, 5 << 20).await.expect("read").0,
                _ => client.read_simply(base, 5 << 20).await.expect("read"),
            };
            assert!(read == bytes);
        }
    });
    let all = futures_util::future::join_all(clients);
    timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
    assert!(stage.disk.pool().allocated() <= 1 << 20);
}

#[tokio::test]
async fn more_requests_than_are_taken_at_once_are_all_answered() {
    let stage = Stage::with(MIB, |_| {});
    let client = stage.structured().await;
    let (reader, mut writer) = client.stream.into_split();
    let sender = tokio::spawn(async move {
        for cookie in 0..3000u64 {
            let offset = cookie % 128 * 4096;
            writer.write_all(&request(command::WRITE, 0, cookie, offset, 4096)).await.expect("send");
            writer.write_all(&[cookie as u8; 4096]).await.expect("send");
        }
        writer
    });
    let mut reader = reader;
    let mut seen = vec![false; 3000];
    for _ in 0..3000 {
        let mut reply = [0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut reply).await.expect("receive");
        assert_eq!(reply[..8], [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0]);
        let cookie = u64::from_be_bytes(reply[8..].try_into().expect("eight bytes"));
        assert!(!std::mem::replace(&mut seen[cookie as usize], true), "answered twice");
    }
    sender.await.expect("sender");
}

#[tokio::test]
async fn a_client_that_does_not_listen_holds_no_more_than_its_share() {
    let mut plan = Plan::of_bytes(64 * MIB);
    plan.pool = 64 << 20;
    let stage = Stage::new(plan);
    let (mut deaf, _) = stage.connect();
    deaf.greet().await;
    deaf.go(NAME).await;
    // All requests together fit in the buffer of a Mac's socket, which takes 8 KiB.
    for cookie in 0..100 {
        deaf.request(command::READ, 0, cookie, 0, 1 << 20).await;
    }
    let mut other = stage.structured().await;
    for _ in 0..50 {
        other.read(0, 0, 4 << 20).await.expect("read");
    }
    assert!(stage.disk.pool().allocated() < 40 << 20);
    for cookie in 0..100u64 {
        let Reply::Simple { error: 0, .. } = deaf.reply().await else { panic!("reply {cookie}") };
        deaf.bytes(1 << 20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_listens_is_let_go_and_its_buffers_are_free() {
    let stage = cramped();
    let (mut deaf, server) = stage.connect();
    deaf.greet().await;
    deaf.go(NAME).await;
    for cookie in 0..8 {
        deaf.request(command::READ, 0, cookie, 0, 1 << 20).await;
    }
    server.await.expect("no panic");
    let mut other = stage.structured().await;
    other.read(0, 0, 1 << 20).await.expect("read");
}
