//! Clients that were not told how large a unit's blocks are.

use super::*;
use crate::block::IoError;
use crate::export::nbd::wire::{NbdError, command, command_flag, option, transmission_flag as flag};

fn of_4k_blocks(bytes: u64) -> Stage {
    Stage::with(bytes, |geometry| {
        geometry.blocks = bytes / 4096;
        geometry.block_size = 4096;
    })
}

// check: nbd-block-size-not-asked
#[tokio::test]
async fn one_that_did_not_ask_reads_and_writes_half_blocks() {
    let stage = of_4k_blocks(MIB);
    let before = pattern(MIB as usize, 1);
    stage.disk.put(0, &before);
    for old in [false, true] {
        let (mut client, _) = stage.connect();
        client.greet().await;
        match old {
            true => {
                client.send_option(option::EXPORT_NAME, NAME.as_bytes()).await;
                let answer = client.bytes(10).await;
                let flags = u16::from_be_bytes([answer[8], answer[9]]);
                assert_eq!((&answer[..8], flags & flag::SEND_TRIM), (&MIB.to_be_bytes()[..], 0));
            }
            false => client.go_blindly(NAME).await,
        }
        for (offset, length) in [(512, 512), (3584, 1024), (0, 512), (MIB - 512, 512), (4096, 4096), (512, 65_536)] {
            let mut expected = stage.disk.content();
            let (at, new) = (offset as usize, pattern(length, offset + u64::from(old)));
            assert_eq!(client.read_simply(offset, length as u32).await.expect("read"), expected[at..at + length]);
            assert_eq!(client.write(command_flag::FUA, offset, &new).await.0, 0, "{length} at {offset}");
            expected[at..at + length].copy_from_slice(&new);
            assert!(stage.disk.content() == expected, "a neighbour of {length} bytes at {offset} was lost");
        }
        assert_eq!(client.write(0, MIB, &[1; 512]).await.0, NbdError::NoSpace as u32);
        assert_eq!(client.ask(command::WRITE_ZEROES, 0, 512, 512).await.0, 0);
        assert_eq!(stage.disk.content()[512..1024], [0; 512]);
        assert_eq!(client.ask(command::FLUSH, 0, 0, 0).await.0, 0);
    }
}

// check: nbd-block-size-not-asked
#[tokio::test]
async fn two_that_did_not_ask_lose_nothing_of_each_other() {
    let stage = of_4k_blocks(MIB);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (mut client, _) = stage.connect();
        client.greet().await;
        client.go_blindly(NAME).await;
        clients.push(client);
    }
    // Each its own eighth of the same blocks, all at once.
    for (number, client) in clients.iter_mut().enumerate() {
        for block in 0..100 {
            client.request(command::WRITE, 0, 1, block * 4096 + number as u64 * 512, 512).await;
            client.send(&[number as u8 + 1; 512]).await;
        }
    }
    for client in &mut clients {
        for _ in 0..100 {
            assert_eq!(client.status().await.0, 0);
        }
    }
    let content = stage.disk.content();
    for (at, part) in content[..100 * 4096].chunks(512).enumerate() {
        assert!(part.iter().all(|byte| usize::from(*byte) == at % 8 + 1), "bytes {}", at * 512);
    }
}

// check: nbd-block-size-not-asked
#[tokio::test]
async fn a_late_write_of_one_that_broke_off_undoes_nothing_of_the_next_one() {
    let stage = of_4k_blocks(MIB);
    let before = pattern(MIB as usize, 3);
    stage.disk.put(0, &before);
    let unit = Laggard::enter(&stage);
    let (mut gone, server) = stage.connect();
    gone.greet().await;
    gone.go_blindly(NAME).await;
    gone.request(command::WRITE, 0, 1, 0, 512).await;
    gone.send(&[0xaa; 512]).await;
    until("the write of the whole block", || unit.is_late()).await;
    // In the middle of a request: else it would get its answer.
    gone.send(&[0x25]).await;
    drop(gone);
    server.await.expect("a client that was let go");

    let (mut next, server) = stage.connect();
    next.greet().await;
    next.go_blindly(NAME).await;
    next.request(command::WRITE, 0, 1, 512, 512).await;
    next.send(&[0xbb; 512]).await;
    // These overtake it, since it has to wait.
    for _ in 0..3 {
        assert_eq!(next.read_simply(8192, 512).await.expect("read"), before[8192..8704]);
    }
    unit.let_go();
    assert_eq!(next.status().await.0, 0);
    let content = stage.disk.content();
    assert_eq!((&content[..512], &content[512..1024]), (&[0xaa; 512][..], &[0xbb; 512][..]));
    assert_eq!(content[1024..], before[1024..]);

    drop(next);
    server.await.expect("a client that was let go");
    until("what both went through to go", || Arc::strong_count(&unit) == 2).await;
}

#[tokio::test]
async fn an_error_of_the_unit_reaches_one_that_did_not_ask() {
    let stage = of_4k_blocks(MIB);
    stage.disk.break_block(1, IoError::Target { key: 3, asc: 0x11, ascq: 0 });
    let (mut client, _) = stage.connect();
    client.greet().await;
    client.go_blindly(NAME).await;
    assert_eq!(client.read_simply(4608, 512).await, Err(NbdError::Io as u32));
    assert_eq!(client.write(0, 4608, &[1; 512]).await.0, NbdError::Io as u32);
    assert_eq!(client.write(0, 512, &[1; 512]).await.0, 0);
}

#[tokio::test]
async fn one_that_asked_is_held_to_what_it_was_told() {
    let stage = of_4k_blocks(MIB);
    for early in [false, true] {
        let (mut client, _) = stage.connect();
        client.greet().await;
        match early {
            true => {
                client.describe(option::INFO, NAME).await.expect("the unit");
                client.go_blindly(NAME).await;
            }
            false => drop(client.go(NAME).await),
        }
        assert_eq!(client.read_simply(512, 512).await, Err(NbdError::Invalid as u32));
    }
    assert_eq!(stage.disk.asked(), []);
}
