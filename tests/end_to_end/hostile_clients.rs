//! Clients of the control socket that mean no good: the daemon serves all others as if they were not there,
//! and does not grow.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use iscsid::ipc::{Frame, Hello, MAX_REQUEST, Reply, Request, VERSION};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::common::Daemon;
use crate::common::process::eventually;

/// The daemon serves so many clients at a time, and a few descriptors are its own.
const MOST_DESCRIPTORS: usize = 256 + 64;

/// 256 clients with a whole request each, less one byte, and as much again for what the allocator keeps.
const MOST_GROWTH: u64 = 2 * 256 * MAX_REQUEST as u64;

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.home().runtime_dir().join("control.sock")).expect("a connection");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream
}

fn frame(message: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(message).expect("JSON");
    [&u32::try_from(json.len()).expect("a short message").to_be_bytes()[..], &json].concat()
}

/// How long a client waits who wants nothing but the list of targets.
fn honest_client(daemon: &Daemon) -> Duration {
    let started = Instant::now();
    let mut stream = connect(daemon);
    stream.write_all(&[frame(&Hello { version: VERSION }), frame(&Request::ListTargets)].concat()).expect("asked");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut json = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut json).expect("the whole answer");
    let took = started.elapsed();
    assert_eq!(serde_json::from_slice::<Frame>(&json).expect("a frame"), Frame::Reply(Ok(Reply::Targets(Vec::new()))));
    took
}

/// Others are served at once: half of them within 100 ms, however busy this machine is with other tests.
fn others_are_served(daemon: &Daemon) {
    let mut took: Vec<_> = (0..21).map(|_| honest_client(daemon)).collect();
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
    assert_eq!(daemon.ctl(["list", "targets"]).code, 0);
}

/// Connects so many clients that each send that and stay; others are served meanwhile, and the daemon
/// stays as small as it was.
fn a_crowd_that_sends(clients: usize, sends: &[u8]) {
    room_for_descriptors();
    let daemon = Daemon::start();
    others_are_served(&daemon);
    let (bytes_before, descriptors_before) = (daemon.resident_bytes(), daemon.descriptors());
    let mut crowd = Vec::new();
    for _ in 0..clients {
        let mut stream = connect(&daemon);
        match stream.write_all(sends) {
            Ok(()) => {}
            // It may have been shown the door by now.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("a hostile client is held up: {error}"),
        }
        crowd.push(stream);
    }
    others_are_served(&daemon);
    let grown = daemon.resident_bytes().saturating_sub(bytes_before);
    assert!(grown < MOST_GROWTH, "grown by {grown} bytes");
    assert!(daemon.descriptors() < MOST_DESCRIPTORS, "{} descriptors", daemon.descriptors());
    drop(crowd);
    eventually("all descriptors given back", Duration::from_secs(20), || {
        (daemon.descriptors() <= descriptors_before).then_some(())
    });
}

/// Both ends of a thousand connections and more.
fn room_for_descriptors() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of descriptors");
    if soft < 4096 {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).expect("room for more descriptors");
    }
}

#[test]
fn a_thousand_that_connect_and_stay() {
    a_crowd_that_sends(1000, b"");
}

#[test]
fn a_thousand_that_send_garbage() {
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    a_crowd_that_sends(1000, &garbage);
}

#[test]
fn a_thousand_that_announce_huge_frames() {
    a_crowd_that_sends(1000, &u32::MAX.to_be_bytes());
}

#[test]
fn a_thousand_that_send_the_longest_frame_but_for_its_last_byte() {
    let length = u32::try_from(MAX_REQUEST).expect("a length").to_be_bytes();
    a_crowd_that_sends(1000, &[&length[..], &vec![b'['; MAX_REQUEST - 1]].concat());
}

#[test]
fn a_thousand_that_send_half_a_request_and_stay() {
    let request = frame(&Request::ListTargets);
    a_crowd_that_sends(1000, &[&frame(&Hello { version: VERSION })[..], &request[..request.len() / 2]].concat());
}

#[test]
fn a_thousand_that_ask_and_ask_and_never_listen() {
    let questions = frame(&Request::ShowInitiator).repeat(200);
    a_crowd_that_sends(1000, &[frame(&Hello { version: VERSION }), questions].concat());
}

#[test]
fn a_frame_of_brackets_does_not_overflow_the_stack() {
    let brackets = vec![b'['; MAX_REQUEST];
    let length = u32::try_from(brackets.len()).expect("a length").to_be_bytes();
    a_crowd_that_sends(10, &[&frame(&Hello { version: VERSION })[..], &length, &brackets].concat());
}

/// Sets the flag when it goes, also if its test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn one_that_connects_and_leaves_without_an_end() {
    let daemon = Daemon::start();
    let (end, before, connections) = (AtomicBool::new(false), daemon.resident_bytes(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                drop(connect(&daemon));
                connections.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _ended = End(&end);
        // However slow the machine is, it is a storm before this ends.
        eventually("a storm", Duration::from_secs(60), || {
            others_are_served(&daemon);
            (connections.load(Ordering::Relaxed) > 100).then_some(())
        });
    });
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < MOST_GROWTH, "grown by {grown} bytes");
}
