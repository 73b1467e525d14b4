//! What each command does, and what it says when it cannot.

use super::client::{Reply, request};
use super::*;
use crate::block::{IoError, Op};
use crate::export::nbd::wire::{command, command_flag as flag};

const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
const ENOTSUP: u32 = 95;

fn ok() -> (u32, String) {
    (0, String::new())
}

#[tokio::test]
async fn what_is_written_is_read_back_whatever_the_length() {
    let stage = Stage::with(64 * MIB, |_| {});
    let mut structured = stage.structured().await;
    let mut simple = stage.simple().await;
    for (offset, length) in [(0, 512), (512, 4096), (4096, 70_144), (MIB, 256 << 10), (3 * 512, 5 << 20), (0, 32 << 20)]
    {
        let bytes = pattern(length, offset + length as u64);
        assert_eq!(structured.write(0, offset, &bytes).await, ok());
        assert!(stage.disk.content()[offset as usize..][..length] == bytes);
        let (read, chunks) = structured.read(0, offset, length as u32).await.expect("read");
        assert!(read == bytes, "structured, {length} bytes at {offset}");
        assert_eq!(chunks, length.div_ceil(256 << 10), "a chunk for each piece");
        assert!(simple.read_simply(offset, length as u32).await.expect("read") == bytes, "simple");
        let (read, chunks) = structured.read(flag::DF, offset, length as u32).await.expect("read");
        assert!(read == bytes, "not fragmented");
        assert_eq!(chunks, 1);
    }
    assert!(stage.disk.longest() <= 256 << 10, "no operation is longer than the unit allows");
}

#[tokio::test]
async fn flush_and_fua_reach_the_unit() {
    let stage = Stage::with(4 * MIB, |_| {});
    let mut client = stage.structured().await;
    assert_eq!(client.write(flag::FUA, 0, &pattern(600 << 10, 1)).await, ok());
    assert_eq!(stage.disk.count(|op| op == Op::Write { fua: true }), 3);
    assert_eq!(client.write(0, 0, &pattern(512, 1)).await, ok());
    assert_eq!(stage.disk.count(|op| op == Op::Write { fua: false }), 1);
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 0);
    assert_eq!(client.ask(command::FLUSH, 0, 0, 0).await, ok());
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 1);
    // FUA must be accepted with every command.
    assert_eq!(client.ask(command::FLUSH, flag::FUA, 0, 0).await, ok());
    assert!(client.read(flag::FUA, 0, 512).await.is_ok());
}

#[tokio::test]
async fn a_trim_with_fua_is_flushed_after_its_last_piece() {
    let stage = Stage::with(16 * MIB, |_| {});
    let mut client = stage.structured().await;
    assert_eq!(client.ask(command::TRIM, flag::FUA, 0, 10 << 20).await, ok());
    let asked = stage.disk.asked();
    assert_eq!(asked.iter().map(|&(op, ..)| op).collect::<Vec<_>>(), [Op::Unmap, Op::Unmap, Op::Unmap, Op::Flush]);
    assert_eq!(asked.iter().map(|&(.., blocks)| blocks).sum::<u32>(), 20_480);
    assert_eq!(client.ask(command::TRIM, 0, 0, 512).await, ok());
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 1);
}

#[tokio::test]
async fn zeroes_are_the_units_where_it_has_them() {
    let stage = Stage::with(16 * MIB, |_| {});
    stage.disk.put(0, &[0xff; 16 << 20]);
    let mut client = stage.structured().await;
    let command = command::WRITE_ZEROES;
    assert_eq!(client.ask(command, flag::FAST_ZERO, 512, 9 << 20).await, ok());
    assert_eq!(client.ask(command, flag::NO_HOLE | flag::FUA, 12 << 20, 512).await, ok());
    let mut expected = vec![0xff; 16 << 20];
    expected[512..512 + (9 << 20)].fill(0);
    expected[12 << 20..(12 << 20) + 512].fill(0);
    assert!(stage.disk.content() == expected);
    assert_eq!(stage.disk.count(|op| op == Op::WriteZeroes { fua: false, unmap: true, fast: true }), 3);
    assert_eq!(stage.disk.count(|op| op == Op::WriteZeroes { fua: true, unmap: false, fast: false }), 1);
}

#[tokio::test]
async fn zeroes_are_sent_where_the_unit_has_none() {
    let stage = Stage::with(64 * MIB, |geometry| geometry.max_zero_blocks = 0);
    stage.disk.put(0, &[0xff; 64 << 20]);
    let mut client = stage.structured().await;
    let (error, why) = client.ask(command::WRITE_ZEROES, flag::FAST_ZERO, 0, 4096).await;
    assert_eq!((error, why.as_str()), (ENOTSUP, "the unit has to be sent zeroes"));
    assert_eq!(stage.disk.asked(), []);
    // More than a request with a payload may have, and more than the connection holds at a time.
    assert_eq!(client.ask(command::WRITE_ZEROES, flag::FUA, 1024, 48 << 20).await, ok());
    assert_eq!(stage.disk.count(|op| op == Op::Write { fua: true }), 192);
    let mut expected = vec![0xff; 64 << 20];
    expected[1024..1024 + (48 << 20)].fill(0);
    assert!(stage.disk.content() == expected);
}

// check: nbd-fast-zero
#[tokio::test]
async fn zeroes_that_turn_out_to_be_slow_are_not_made_for_those_who_want_them_fast() {
    let stage = Stage::with(16 * MIB, |_| {});
    stage.disk.put(0, &[0xff; 16 << 20]);
    let mut client = stage.structured().await;
    assert_eq!(client.ask(command::WRITE_ZEROES, flag::FAST_ZERO, 0, 4096).await, ok());
    // That shows in the middle of a request, or it is known before.
    stage.disk.break_block(4, IoError::Unsupported);
    let (error, why) = client.ask(command::WRITE_ZEROES, flag::FAST_ZERO, 0, 4096).await;
    assert_eq!((error, why.as_str()), (ENOTSUP, "the unit has to be sent zeroes"));
    assert_eq!(client.ask(command::WRITE_ZEROES, 0, 0, 4096).await.0, EINVAL, "ENOTSUP is for fast zeroes alone");
    stage.disk.become_slow_with_zeroes();
    let before = stage.disk.asked();
    let (error, why) = client.ask(command::WRITE_ZEROES, flag::FAST_ZERO, 4096, 4096).await;
    assert_eq!((error, why.as_str()), (ENOTSUP, "the unit has to be sent zeroes"));
    assert_eq!(stage.disk.asked(), before, "at once");
    assert_eq!(client.ask(command::WRITE_ZEROES, 0, 8192, 4096).await, ok());
    assert_eq!(stage.disk.content()[..12_288], [[0; 4096], [0xff; 4096], [0; 4096]].concat());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_connection_goes_on() {
    let stage = Stage::with(MIB, |geometry| geometry.max_unmap_blocks = 0);
    let mut client = stage.structured().await;
    for (command, flags, offset, length, expected) in [
        (command::READ, 0, 100, 512, EINVAL),
        (command::READ, 0, 0, 100, EINVAL),
        (command::READ, 0, MIB - 512, 1024, EINVAL),
        (command::READ, 0, u64::MAX - 511, 512, EINVAL),
        (command::READ, 0, 0, u32::MAX, EINVAL),
        (command::READ, flag::NO_HOLE, 0, 512, EINVAL),
        (command::WRITE_ZEROES, 0, MIB, 512, ENOSPC),
        (command::WRITE_ZEROES, flag::DF, 0, 512, EINVAL),
        (command::TRIM, 0, 0, 512, EINVAL),
        (command::FLUSH, 0, 512, 0, EINVAL),
        (5, 0, 0, 512, EINVAL),
        (7, 0, 0, 512, EINVAL),
        (0xffff, 0, 0, 512, EINVAL),
    ] {
        let (error, why) = client.ask(command, flags, offset, length).await;
        assert_eq!(error, expected, "command {command} at {offset} for {length}: {why}");
        assert!(!why.is_empty());
    }
    for (flags, offset, length, expected) in
        [(0, 100, 512, EINVAL), (0, MIB - 512, 200_704, ENOSPC), (1 << 9, 0, 512, EINVAL), (0, 0, 33 << 20, EINVAL)]
    {
        assert_eq!(client.write(flags, offset, &pattern(length, 1)).await.0, expected);
    }
    assert_eq!(stage.disk.asked(), []);
    assert_eq!(client.write(0, 0, &[7; 512]).await, ok());
}

#[tokio::test]
async fn empty_requests_succeed_without_a_word_to_the_unit() {
    let stage = Stage::with(MIB, |_| {});
    let mut client = stage.structured().await;
    for command in [command::READ, command::WRITE, command::TRIM, command::WRITE_ZEROES] {
        assert_eq!(client.ask(command, 0, 512, 0).await, ok());
    }
    assert_eq!(stage.simple().await.read_simply(0, 0).await, Ok(vec![]));
    assert_eq!(stage.disk.asked(), []);
}

#[tokio::test]
async fn a_read_only_unit_refuses_to_be_changed() {
    let stage = Stage::with(MIB, |geometry| geometry.read_only = true);
    let mut client = stage.structured().await;
    assert_eq!(client.write(0, 0, &[7; 4096]).await, (EPERM, "the unit is read-only".to_owned()));
    assert_eq!(client.ask(command::TRIM, 0, 0, 512).await.0, EPERM);
    assert_eq!(client.ask(command::WRITE_ZEROES, 0, 0, 512).await.0, EPERM);
    assert_eq!(client.ask(command::FLUSH, 0, 0, 0).await, ok());
    assert_eq!(client.read(0, 0, 512).await, Ok((vec![0; 512], 1)));
}

#[tokio::test]
async fn an_error_of_the_unit_is_told_with_its_reason_and_its_place() {
    let stage = Stage::with(4 * MIB, |_| {});
    stage.disk.break_block(1000, IoError::Target { key: 3, asc: 0x11, ascq: 0 });
    let mut structured = stage.structured().await;
    let mut simple = stage.simple().await;
    let medium_error = (EIO, "the target answered with sense 3/11/00".to_owned());
    assert_eq!(structured.read(0, 0, 4 << 20).await, Err(medium_error.clone()));
    assert_eq!(structured.read(flag::DF, 0, 4 << 20).await, Err(medium_error.clone()));
    assert_eq!(structured.write(0, 0, &pattern(4 << 20, 1)).await, medium_error);
    assert_eq!(structured.ask(command::TRIM, flag::FUA, 0, 1 << 20).await, medium_error);
    assert_eq!(stage.disk.count(|op| op == Op::Flush), 0, "what has failed is not flushed");
    assert_eq!(simple.read_simply(0, 4 << 20).await, Err(EIO));
    assert_eq!(simple.read_simply(0, 4096).await, Ok(stage.disk.content()[..4096].to_vec()));

    structured.request(command::READ, 0, 9, 999 * 512, 1024).await;
    let Reply::Chunk { cookie: 9, done: true, kind: 0x8002, payload } = structured.reply().await else {
        panic!("not an error with an offset")
    };
    assert!(payload.ends_with(&(999u64 * 512).to_be_bytes()));
}

#[tokio::test]
async fn every_kind_of_error_has_its_number() {
    for (error, number) in [
        (IoError::OutOfRange, EINVAL),
        (IoError::Invalid, EINVAL),
        (IoError::Unsupported, EINVAL),
        (IoError::ReadOnly, EPERM),
        (IoError::NoSpace, ENOSPC),
        (IoError::ReservationConflict, EIO),
        (IoError::Offline, EIO),
        (IoError::Aborted, EIO),
    ] {
        let stage = Stage::with(MIB, |_| {});
        stage.disk.break_block(0, error);
        assert_eq!(stage.structured().await.write(0, 0, &[1; 512]).await, (number, error.to_string()));
    }
}

#[tokio::test]
async fn replies_come_as_things_complete_each_with_its_own_cookie() {
    let stage = Stage::with(MIB, |_| {});
    let content = pattern(1 << 20, 3);
    stage.disk.put(0, &content);
    let mut client = stage.structured().await;
    let order: Vec<u64> = (0..200).map(|at| at * 37 % 256).collect();
    let requests: Vec<u8> = order.iter().flat_map(|&at| request(command::READ, 0, at, at * 4096, 4096)).collect();
    client.send(&requests).await;
    let mut answered = Vec::new();
    for _ in &order {
        let Reply::Chunk { cookie, done: true, kind: 1, payload } = client.reply().await else { panic!("not data") };
        assert!(payload[8..] == content[cookie as usize * 4096..][..4096]);
        answered.push(cookie);
    }
    assert_ne!(answered, order, "the disk answers out of order, and so do we");
    answered.sort();
    let mut expected = order;
    expected.sort();
    assert_eq!(answered, expected);
}

#[tokio::test]
async fn requests_that_arrive_a_byte_at_a_time_are_the_same_requests() {
    let stage = Stage::with(MIB, |_| {});
    let mut client = stage.structured().await;
    let bytes = pattern(1024, 5);
    let stream = [&request(command::WRITE, 0, 1, 512, 1024)[..], &bytes, &request(command::FLUSH, 0, 2, 0, 0)].concat();
    for byte in stream {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!((client.status().await, client.status().await), (ok(), ok()));
    assert_eq!(stage.disk.content()[512..1536], bytes);
}

#[tokio::test]
async fn a_disconnect_waits_for_what_is_under_way() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    stage.disk.hold(true);
    client.request(command::READ, 0, 1, 0, 512).await;
    client.request(command::DISC, 0, 0, 0, 0).await;
    client.request(command::READ, 0, 2, 0, 512).await;
    tokio::task::yield_now().await;
    assert!(!server.is_finished());
    stage.disk.hold(false);
    assert_eq!(client.reply().await, Reply::Simple { cookie: 1, error: 0 });
    assert_eq!(client.rest().await.len(), 512, "the data, and nothing of what came after the disconnect");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_stop_lets_out_what_completes_soon_and_then_closes() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    stage.disk.hold(true);
    client.request(command::READ, 0, 1, 0, 512).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    stage.stop.cancel();
    stage.disk.hold(false);
    assert_eq!(client.reply().await, Reply::Simple { cookie: 1, error: 0 });
    assert_eq!(client.rest().await.len(), 512);
    server.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_unit_that_is_silent() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    stage.disk.hold(true);
    client.request(command::READ, 0, 1, 0, 512).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    stage.stop.cancel();
    assert_eq!(client.rest().await, b"");
    server.await.expect("no panic");
}
