//! A user client that does what it must not.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use bytemuck::bytes_of;
use iscsi_kext_messages::*;

use crate::client::*;
use crate::sim::{Sim, disk, log_in, target};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_before_hello_nor_for_another_version() {
    let sim = Sim::start();
    let mut client = Client::open(&sim.socket());
    for selector in 1..ISCSI_SELECTORS {
        assert_eq!(client.call(selector, &[0; 8], 8, &[]).0, NOT_PERMITTED, "{selector}");
    }
    let other = IscsiHelloIn { version: ISCSI_KEXT_VERSION + 1, handoff_version: ISCSI_HANDOFF_VERSION };
    let out: IscsiHelloOut = client.ask(ISCSI_HELLO, &other).expect("an answer");
    assert_eq!((out.version, out.accepted), (ISCSI_KEXT_VERSION, 0), "it says what it is");
    assert_eq!(client.statistics(1), Err(NOT_PERMITTED));
    let mut daemon = sim.daemon();
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn structs_of_any_other_length_are_refused() {
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    for selector in (0..ISCSI_SELECTORS + 3).chain([u32::MAX / 2]) {
        for length in [0, 1, 7, 9, 15, 17, 60, 311, 313, 4096, 5000, 70_000] {
            for room in [0, 1, 8, 200, 8000] {
                let code = daemon.call(selector, &vec![0xff; length], room, &[]).0;
                assert_ne!(code, SUCCESS, "selector {selector}, {length} bytes, room for {room}");
            }
        }
    }
    assert_eq!(daemon.call(ISCSI_SELECTORS, &[], 0, &[]).0, UNSUPPORTED);
    assert_eq!(daemon.sessions(), []);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_checked() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let connection = log_in(&target, "None").await;
    let good = create_in(&connection.handoff, 0);
    let mut wrong = Vec::new();
    let mut but = |change: fn(&mut IscsiCreateIn)| {
        let mut input = good;
        change(&mut input);
        wrong.push(input);
    };
    but(|input| input.spec.target = [b'a'; ISCSI_NAME_LENGTH]);
    but(|input| input.spec.target[0] = 0);
    but(|input| input.spec.depth = 0);
    but(|input| input.spec.depth = 1025);
    but(|input| input.spec.replacement_timeout = u32::MAX);
    but(|input| input.flags = 2);
    but(|input| input.reserved = 1);
    but(|input| input.descriptor = -1);
    but(|input| input.descriptor = 1);
    but(|input| input.handoff.version = 7);
    but(|input| input.handoff.tsih = 0);
    but(|input| input.handoff.max_burst_length = 3);
    but(|input| input.handoff.header_digest = 9);
    for input in wrong {
        let (code, _) = daemon.call(ISCSI_CREATE, bytes_of(&input), 8, &[connection.stream.as_raw_fd()]);
        assert_eq!(code, BAD_ARGUMENT, "{input:?}");
    }
    for session in [0, 1, u32::MAX] {
        assert_eq!(daemon.statistics(session), Err(NOT_FOUND));
        assert_eq!(daemon.remove(session, ISCSI_REMOVE_ALL), Err(NOT_FOUND));
        assert_eq!(daemon.replace(session, &connection, 0), Err(NOT_FOUND));
        assert_eq!(daemon.tell(ISCSI_RESUME, &of(session)), Err(NOT_FOUND));
        assert_eq!(daemon.tell(ISCSI_DROP, &of(session)), Err(NOT_FOUND));
    }
    let created = daemon.create(&connection, 0).expect("a session");
    disk(&mut daemon);
    let session = created.session;
    assert_eq!(daemon.remove(session, 0), Err(BAD_ARGUMENT));
    assert_eq!(daemon.execute(session, &[0], 0, 0), Err(BAD_ARGUMENT), "no time");
    assert_eq!(daemon.execute(session, &[0], ISCSI_EXECUTE_MOST + 1, 100), Err(BAD_ARGUMENT));
    let long = [session, 0, 0].map(u32::to_ne_bytes).concat();
    assert_eq!(daemon.call(ISCSI_LOGOUT, &long, 0, &[]).0, BAD_ARGUMENT, "more than a logout has");
    assert_eq!(daemon.tell(ISCSI_LOGOUT, &IscsiLogoutIn { session, reason: 9 }), Err(BAD_ARGUMENT));
    let mut refused = connection.handoff;
    refused.tsih = 0;
    let bad = Connection { handoff: refused, stream: connection.stream.try_clone().expect("a descriptor") };
    assert_eq!(daemon.replace(session, &bad, 0), Err(BAD_ARGUMENT));
    daemon.remove(session, ISCSI_REMOVE_ALL).expect("a session");
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_are_no_connected_tcp_sockets_are_refused() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let handoff = log_in(&target, "None").await.handoff;
    let input = create_in(&handoff, 0);
    let file = std::fs::File::open("/dev/null").expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (unix, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    for descriptor in [file.as_raw_fd(), listener.as_raw_fd(), udp.as_raw_fd(), unix.as_raw_fd()] {
        assert_eq!(daemon.call(ISCSI_CREATE, bytes_of(&input), 8, &[descriptor]).0, BAD_ARGUMENT);
    }
    assert_eq!(daemon.call(ISCSI_CREATE, bytes_of(&input), 8, &[]).0, BAD_ARGUMENT, "none");
    // One whose other end is gone already is a socket: the session is, and loses it at once.
    let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    drop(listener.accept().expect("a connection"));
    let created = daemon.create(&Connection { handoff, stream }, ISCSI_FLAG_HOLD);
    if let Ok(created) = created {
        daemon.notice(ISCSI_NOTICE_CONNECTION_LOST);
        daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
    }
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_sends_garbage_loses_its_connection_and_nothing_else() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let created = daemon.create(&log_in(&target, "None").await, 0).expect("a session");
    disk(&mut daemon);
    target.send_raw(&[0xff; 100]);
    let lost = daemon.notice(ISCSI_NOTICE_CONNECTION_LOST);
    let end = lost.text.iter().position(|&byte| byte == 0).expect("an end");
    let why = String::from_utf8_lossy(&lost.text[..end]).into_owned();
    assert!(why.contains("opcode"), "{why}");
    let out: IscsiConnectionOut = daemon.ask(ISCSI_CONNECTION, &of(created.session)).expect("a session");
    assert_eq!(out.link, ISCSI_DOWN);
    assert!(out.reason.starts_with(why.as_bytes()));
    daemon.replace(created.session, &log_in(&target, "None").await, 0).expect("a session");
    daemon.log_out(created.session);
    sim.end(&mut daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_twice_or_calls_afterwards_is_refused() {
    let sim = Sim::start();
    let mut client = sim.daemon();
    assert_eq!(client.call(FRAME_CLOSE, &[], 0, &[]).0, SUCCESS);
    assert_eq!(client.call(FRAME_CLOSE, &[], 0, &[]).0, SUCCESS, "again");
    assert_eq!(client.ask::<IscsiHelloOut>(ISCSI_HELLO, &hello()), Err(NOT_ATTACHED));
    assert_eq!(client.statistics(1), Err(NOT_ATTACHED));
    let mut next = sim.daemon();
    sim.end(&mut next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_there_is_no_memory_for_leaves_nothing_behind() {
    let target = target().await;
    let sim = Sim::start();
    let mut daemon = sim.daemon();
    let mut refused = 0;
    for n in 1..40u32 {
        let connection = log_in(&target, "None").await;
        assert_eq!(daemon.call(FRAME_FAIL_ALLOCATION, bytes_of(&n), 0, &[]).0, SUCCESS);
        let created = daemon.create(&connection, ISCSI_FLAG_HOLD);
        assert_eq!(daemon.call(FRAME_FAIL_ALLOCATION, bytes_of(&0u32), 0, &[]).0, SUCCESS);
        match created {
            Ok(created) => {
                daemon.remove(created.session, ISCSI_REMOVE_ALL).expect("a session");
                break;
            }
            Err(code) => {
                assert_eq!(code, NO_MEMORY, "allocation {n}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 4, "only {refused} allocations");
    assert_eq!(daemon.sessions(), []);
    sim.end(&mut daemon);
}
