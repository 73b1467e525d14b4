//! Clients that mean harm, or do not know better.

use std::time::Duration;

use super::client::{handle_and, put, read_arguments, write_arguments};
use super::*;
use crate::block::Block;
use crate::export::nfs::wire::{procedure, program};

/// The codes of calls that are not carried out (RFC 5531 §9).
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;

#[tokio::test]
async fn garbage_ends_the_connection_and_no_other() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut bystander, file) = server.mount().await;
    let fragment = put([0, 0, 0]);
    let long_fragments = [put([2000]), vec![0; 2000], put([2000])].concat();
    let endless = put([u32::MAX]);
    let reply = put([1 << 31 | 24, 1, 1, 0, 0, 0, 0]);
    let long_null = [put([1 << 31 | 4000, 1, 0, 2, program::NFS, 3, 0, 0, 0, 0, 0]), vec![0; 3960]].concat();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        &[0; 64],
        &fragment,
        &long_fragments,
        &endless,
        &reply,
        &long_null,
    ] {
        let mut client = server.connect().await;
        client.send(garbage).await;
        assert_eq!(client.rest().await, b"", "{garbage:?}");
    }
    bystander.write(&file, 0, 0, &[1; 512]).await.expect("it is written");
    server.end().await;
}

#[tokio::test]
async fn what_there_is_not_is_said_and_the_connection_goes_on() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    assert_eq!(client.ask(100_000, 0, &[]).await, Err(PROG_UNAVAIL));
    assert_eq!(client.ask(program::NFS, 22, &handle_and(&file, &[])).await, Err(PROC_UNAVAIL));
    assert_eq!(client.ask(program::MOUNT, 99, &[]).await, Err(PROC_UNAVAIL));
    let mut call = client.call(program::NFS, 0, &[]);
    call[20..24].copy_from_slice(&2u32.to_be_bytes());
    client.send(&call).await;
    assert_eq!(client.reply().await.1, Err(PROG_MISMATCH));
    assert_eq!(client.ask(program::NFS, procedure::NULL, &[]).await, Ok(vec![]));
    server.end().await;
}

#[tokio::test]
async fn arguments_that_lie_about_their_lengths_are_refused() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    for number in procedure::GETATTR..=procedure::COMMIT {
        for arguments in [&[][..], &put([65]), &put([u32::MAX]), &[0, 0, 0, 40, 1, 2]] {
            assert_eq!(client.ask(program::NFS, number, arguments).await, Err(GARBAGE_ARGS), "procedure {number}");
        }
    }
    let good = write_arguments(&file, 0, 0, &[7; 512]);
    for (at, word) in [(76, 508), (76, 516), (76, u32::MAX), (72, 3)] {
        let mut lie = good.clone();
        lie[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
        assert_eq!(client.ask(program::NFS, procedure::WRITE, &lie).await, Err(GARBAGE_ARGS), "{word} at {at}");
    }
    // A count that is not the payload's.
    let mut lie = good.clone();
    lie[68..72].copy_from_slice(&put([100]));
    let refused = client.ask(program::NFS, procedure::WRITE, &lie).await.expect("it is understood");
    assert_eq!(refused[..4], put([22]));
    assert_eq!(stage.disk.asked(), []);
    client.write(&file, 0, 0, &[7; 512]).await.expect("it is written");
    server.end().await;
}

/// Every call there is, cut off and with every byte spoilt in turn: the server answers or hangs up, and goes on.
// check: exports-spoilt-requests
#[tokio::test]
async fn spoilt_calls_harm_nobody() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut bystander, file) = server.mount().await;
    let mut calls = Vec::new();
    for number in procedure::NULL..=procedure::COMMIT {
        let mut arguments = handle_and(&file, &put([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
        if number == procedure::WRITE {
            arguments = write_arguments(&file, 512, 0, &[0; 64]);
        }
        calls.push(bystander.call(program::NFS, number, &arguments));
        calls.push(bystander.call(program::MOUNT, number, &put([4, 0x2f2f_2f2f])));
    }
    let mut random = fastrand::Rng::with_seed(1813);
    let mut client = server.connect().await;
    for call in &calls {
        for at in 4..call.len() {
            let mut spoilt = call.clone();
            match random.u8(..4) {
                0 => spoilt[at] ^= 1 << random.u8(..8),
                1 => spoilt[at] = 0xff,
                2 => spoilt.truncate(at),
                _ => spoilt[at..].fill_with(|| random.u8(..)),
            }
            let length = spoilt.len() as u32 - 4;
            spoilt[..4].copy_from_slice(&(length | 1 << 31).to_be_bytes());
            spoilt.extend(client.call(program::NFS, procedure::NULL, &[]));
            client.send(&spoilt).await;
            // What it makes of that is its own; it must come to an end of it.
            let last = client.xid.to_be_bytes();
            loop {
                match client.try_record().await {
                    Some(record) if record[..4] == last => break,
                    Some(_) => {}
                    None => {
                        client = server.connect().await;
                        break;
                    }
                }
            }
        }
    }
    bystander.write(&file, 0, 0, &[1; 512]).await.expect("it is written");
    assert_eq!(bystander.read(&file, 0, 512).await.expect("it is read").0, [1; 512]);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_middle_of_a_call_is_bounded_and_writes_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let call = client.call(program::NFS, procedure::WRITE, &write_arguments(&file, 0, 0, &[7; 4096]));
    for length in [2, 30, 200, 4000] {
        let mut silent = server.connect().await;
        silent.send(&call[..length]).await;
        assert_eq!(silent.rest().await, b"", "after {length} bytes");
    }
    assert_eq!(stage.disk.asked(), []);
    client.write(&file, 0, 0, &[1; 512]).await.expect("silence between calls is none of its business");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_dies_in_the_middle_of_a_payload_writes_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let call = client.call(program::NFS, procedure::WRITE, &write_arguments(&file, 0, 0, &[7; 4096]));
    client.send(&call[..2000]).await;
    drop(client);
    let (mut other, file) = server.mount().await;
    other.read(&file, 0, 512).await.expect("it is read");
    server.end().await;
    assert_eq!(stage.disk.count(|op| matches!(op, crate::block::Op::Write { .. })), 0);
}

#[tokio::test]
async fn a_client_that_does_not_listen_holds_no_more_than_its_share() {
    let stage = Stage::with(64 * MIB, |_| {});
    let server = stage.serve();
    let (mut deaf, file) = server.mount().await;
    let sender = tokio::spawn(async move {
        for _ in 0..400 {
            deaf.start(procedure::READ, &read_arguments(&file, 0, 256 << 10)).await;
        }
        deaf
    });
    let (mut other, file) = server.mount().await;
    for _ in 0..50 {
        other.read(&file, 0, 1 << 20).await.expect("it is read");
    }
    assert!(stage.disk.pool().allocated() < 40 << 20);
    let mut deaf = tokio::time::timeout(Duration::from_secs(20), sender).await.expect("small").expect("no panic");
    for _ in 0..400 {
        deaf.reply().await.1.expect("a good call");
    }
    server.end().await;
}

// check: nfs-idle-clients-leave
#[tokio::test]
async fn a_crowd_that_shows_nothing_keeps_no_mount_out_and_ends_none() {
    let mut stage = Stage::with(MIB, |_| {});
    stage.clients = 8;
    let server = stage.serve();
    let (mut mounted, file) = server.mount().await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(server.connect().await);
    }
    let (mut next, _) = server.mount().await;
    next.write(&file, 0, 0, &[2; 512]).await.expect("it is written");
    assert_eq!(crowd[0].rest().await, b"", "the one that was idle longest had to leave");
    mounted.write(&file, 512, 0, &[1; 512]).await.expect("it has shown what it is here for");
    server.end().await;
}

/// In fragments of so many bytes.
fn in_fragments(call: &[u8], length: usize) -> Vec<u8> {
    let mut fragments: Vec<Vec<u8>> =
        call[4..].chunks(length).map(|part| [put([part.len() as u32]), part.to_vec()].concat()).collect();
    fragments.last_mut().expect("a call")[0] |= 0x80;
    fragments.concat()
}

#[tokio::test]
async fn a_call_in_several_fragments_is_taken_and_too_many_of_them_are_not() {
    let stage = Stage::with(4 * MIB, |_| {});
    let server = stage.serve();
    let ticket = stage.attachment.ticket().expect("random numbers");
    let mut client = server.connect().await;
    let mut path = Vec::new();
    crate::export::nfs::xdr::Write::opaque(&mut path, ticket.path().as_bytes());
    let mount = client.call(program::MOUNT, 1, &path);
    client.send(&in_fragments(&mount, 7)).await;
    assert_eq!(client.reply().await.1.expect("a good call")[..4], [0; 4]);

    let (mut client, file) = server.mount().await;
    let data = pattern(1 << 20, 5);
    let mut calls = Vec::new();
    for (offset, length) in [(0, 9000), (MIB, 1 << 20)] {
        let call = client.call(program::NFS, procedure::WRITE, &write_arguments(&file, offset, 2, &data));
        calls.extend(in_fragments(&call, length));
    }
    calls.extend(client.call(program::NFS, procedure::NULL, &[]));
    client.send(&calls).await;
    for _ in 0..3 {
        client.reply().await.1.expect("a good call");
    }
    assert!(stage.disk.content()[..2 << 20] == [&data[..], &data].concat());

    let call = client.call(program::NFS, procedure::WRITE, &write_arguments(&file, 0, 2, &data[..4096]));
    client.send(&in_fragments(&call, 1)).await;
    assert_eq!(client.rest().await, b"", "a thousand fragments are enough");
    server.end().await;
}

// check: nfs-unknown-clients-leave
#[tokio::test(start_paused = true)]
async fn who_has_shown_neither_path_nor_handle_is_let_go_however_much_he_asks() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut mounted, file) = server.mount().await;
    let (mut silent, mut talkative) = (server.connect().await, server.connect().await);
    for _ in 0..5 {
        talkative.ask(program::NFS, procedure::NULL, &[]).await.expect("a good call");
        assert_eq!(talkative.mount("/nothing").await, Err(13));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((silent.rest().await, talkative.rest().await), (vec![], vec![]));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    mounted.write(&file, 0, 0, &[1; 512]).await.expect("whoever has mounted may be silent");
    server.end().await;
}
