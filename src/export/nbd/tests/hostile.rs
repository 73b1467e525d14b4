//! Clients that mean harm, or do not know better.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{request, string};
use super::*;
use crate::export::nbd::wire::{OPTION_MAGIC, command, option, reply};

#[tokio::test]
async fn garbage_ends_the_connection_and_no_other() {
    let stage = Stage::with(MIB, |_| {});
    let mut bystander = stage.structured().await;
    for garbage in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        let (mut client, server) = stage.connect();
        client.bytes(18).await;
        client.send(garbage).await;
        server.await.expect("no panic");

        let (mut client, server) = stage.connect();
        client.greet().await;
        client.send(garbage).await;
        server.await.expect("no panic");

        let (mut client, server) = stage.connect();
        client.greet().await;
        client.go(NAME).await;
        client.send(garbage).await;
        server.await.expect("no panic");
    }
    assert_eq!(bystander.write(0, 0, &[1; 512]).await.0, 0);
}

#[tokio::test]
async fn options_that_lie_about_their_lengths_are_refused() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, _) = stage.connect();
    client.greet().await;
    let long = string(&"x".repeat(5000));
    for data in [
        &b""[..],
        &[0xff; 4],
        &[0xff; 40],
        &[0, 0, 0, 1, 0xfe, 0, 0],
        &[string(NAME), vec![0, 9]].concat(),
        &[string(NAME), vec![0, 0, 0]].concat(),
        &[long, vec![0, 0]].concat(),
    ] {
        for option in [option::INFO, option::GO] {
            let [(refused, _)] = &client.option(option, data).await[..] else { panic!("one reply") };
            assert_eq!(*refused, reply::ERR_INVALID, "{data:?}");
        }
    }
    client.go(NAME).await;
}

#[tokio::test]
async fn an_option_of_four_gigabytes_is_too_big() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    let header = [&OPTION_MAGIC.to_be_bytes()[..], &7u32.to_be_bytes(), &u32::MAX.to_be_bytes()].concat();
    client.send(&header).await;
    let answer = client.rest().await;
    assert_eq!(answer[12..16], reply::ERR_TOO_BIG.to_be_bytes());
    server.await.expect("no panic");
}

#[tokio::test]
async fn options_without_end_come_to_one() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    while !server.is_finished() {
        client.send_option(option::STRUCTURED_REPLY, &[]).await;
        // Its answer, if there is one.
        if tokio::io::AsyncReadExt::read(&mut client.stream, &mut [0; 20]).await.is_ok_and(|n| n == 0) {
            break;
        }
    }
    server.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn silence_during_the_handshake_is_bounded() {
    let stage = Stage::with(MIB, |_| {});
    let begun = Instant::now();
    let (_silent, server) = stage.connect();
    server.await.expect("no panic");
    let (mut half, server) = stage.connect();
    half.greet().await;
    half.send(b"IHAVE").await;
    server.await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn silence_between_requests_is_not() {
    let stage = Stage::with(MIB, |_| {});
    let mut client = stage.structured().await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(client.write(0, 0, &[1; 512]).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_middle_of_a_payload_is_bounded_and_writes_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    client.request(command::WRITE, 0, 1, 0, 4096).await;
    client.send(&[7; 4000]).await;
    server.await.expect("no panic");
    assert_eq!(stage.disk.asked(), []);
}

#[tokio::test]
async fn a_client_that_dies_in_the_middle_of_a_payload_writes_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    client.send(&request(command::WRITE, 0, 1, 0, 4096)).await;
    client.send(&[7; 100]).await;
    drop(client);
    server.await.expect("no panic");
    assert_eq!(stage.disk.asked(), []);
}

#[tokio::test]
async fn a_client_that_dies_with_requests_under_way_takes_nothing_with_it() {
    let stage = Stage::with(MIB, |_| {});
    stage.disk.hold(true);
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    for cookie in 0..100 {
        client.request(command::READ, 0, cookie, 0, 4096).await;
    }
    drop(client);
    stage.disk.hold(false);
    server.await.expect("no panic");
    assert_eq!(stage.structured().await.write(0, 0, &[1; 512]).await.0, 0);
}

// check: nbd-silent-clients-leave
#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_no_client_out_and_ends_none() {
    let stage = Stage::with(MIB, |_| {});
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("nbd.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let served = tokio::spawn(super::super::serve(listener, LIMITS.all, stage.registry.clone(), stage.stop.clone()));
    let connect = async || Client::new(UnixStream::connect(&path).await.expect("a server"));
    let mut users = Vec::new();
    for _ in 0..LIMITS.all - 1 {
        let mut user = connect().await;
        user.greet().await;
        user.go(NAME).await;
        // It is known to use the unit when it is answered.
        user.read_simply(0, 512).await.expect("it is read");
        users.push(user);
    }
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect().await);
    }
    let mut next = connect().await;
    next.greet().await;
    next.go(NAME).await;
    silent[0].rest().await;
    for user in &mut users {
        user.read_simply(0, 512).await.expect("it is read");
    }
    stage.stop.cancel();
    served.await.expect("no panic");
}

/// A whole conversation, with bytes of it spoilt: the server answers or hangs up, and goes on.
// check: exports-spoilt-requests
#[tokio::test]
async fn a_spoilt_conversation_harms_nobody() {
    use tokio::io::AsyncWriteExt;

    let option = |number: u32, data: &[u8]| {
        let length = (data.len() as u32).to_be_bytes();
        [&OPTION_MAGIC.to_be_bytes()[..], &number.to_be_bytes(), &length, data].concat()
    };
    let whole = [
        3u32.to_be_bytes().to_vec(),
        option(option::LIST, &[]),
        option(option::STRUCTURED_REPLY, &[]),
        option(
            option::SET_META_CONTEXT,
            &[string(NAME), 1u32.to_be_bytes().to_vec(), string("base:allocation")].concat(),
        ),
        option(option::GO, &[string(NAME), vec![0, 1, 0, 3]].concat()),
        request(command::WRITE, 1, 1, 512, 1024),
        vec![7; 1024],
        request(command::READ, 0, 2, 0, 4096),
        request(command::WRITE_ZEROES, 2, 3, 8192, 4096),
        request(command::TRIM, 0, 4, 8192, 4096),
        request(command::FLUSH, 0, 5, 0, 0),
        request(command::DISC, 0, 6, 0, 0),
    ]
    .concat();
    let stage = Stage::with(MIB, |_| {});
    let mut bystander = stage.structured().await;
    let mut random = fastrand::Rng::with_seed(10_809);
    for round in 0..2000 {
        let mut spoilt = whole.clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..spoilt.len());
            match random.u8(..4) {
                0 => spoilt[at] ^= 1 << random.u8(..8),
                1 => spoilt[at] = 0xff,
                2 => spoilt.truncate(at.max(1)),
                _ => spoilt[at..].iter_mut().take(8).for_each(|byte| *byte = random.u8(..)),
            }
        }
        let (client, server) = stage.connect();
        let (mut from, mut to) = client.stream.into_split();
        let sender = tokio::spawn(async move {
            // It may have hung up by now, which is its answer.
            let sent = to.write_all(&spoilt).await;
            sent.and(to.shutdown().await)
        });
        tokio::time::timeout(Duration::from_secs(60), tokio::io::copy(&mut from, &mut tokio::io::sink()))
            .await
            .unwrap_or_else(|_| panic!("round {round} has no end"))
            .or_else(|error| if error.kind() == std::io::ErrorKind::ConnectionReset { Ok(0) } else { Err(error) })
            .expect("an end");
        let sent = sender.await.expect("no panic");
        assert!(
            sent.is_ok() || sent.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe),
            "round {round}"
        );
        server.await.expect("no panic");
    }
    assert_eq!(bystander.read(0, 4096, 512).await.expect("it is read").0.len(), 512);
}

#[tokio::test]
async fn one_that_has_to_leave_is_not_served_on_by_the_lane_of_its_unit() {
    let stage = Stage::with(MIB, |_| {});
    let unit = Laggard::enter(&stage);
    let (mut client, server) = stage.connect();
    client.greet().await;
    client.go(NAME).await;
    client.request(command::WRITE, 0, 1, 0, 512).await;
    client.send(&[7; 512]).await;
    until("its write", || unit.is_late()).await;
    server.abort();
    let rest = tokio::time::timeout(Duration::from_secs(10), client.rest()).await;
    assert!(rest.expect("the end of its connection").is_empty());
    // What the unit has is the unit's to end, with the buffer.
    unit.let_go();
    until("the end of the write", || stage.disk.content()[..512] == [7; 512]).await;
    until("all of it to go", || Arc::strong_count(&unit) == 2).await;
}
