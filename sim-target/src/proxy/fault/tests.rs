//! Each fault does what it says, and nothing else.

use std::time::{Duration, Instant};

use iscsi_proto::pdu::{self, BHS_LEN, LoginResponse, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes; shorter than anybody wants to wait for a failure.
const LIMIT: Duration = Duration::from_secs(20);

/// A proxy, and both ends of a connection through it in its full-feature phase.
struct Scene {
    proxy: FaultyProxy,
    target: TcpListener,
}

impl Scene {
    async fn new() -> Scene {
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = target.local_addr().expect("its address");
        Scene { proxy: FaultyProxy::start(upstream, Digests::default()).await.expect("a proxy"), target }
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let (initiator, accepted) = tokio::join!(TcpStream::connect(self.proxy.address()), self.target.accept());
        (initiator.expect("a connection"), accepted.expect("a connection").0)
    }

    async fn log_in(&self) -> (TcpStream, TcpStream) {
        let (mut initiator, mut target) = self.connect().await;
        let mut logins = self.proxy.logins();
        let before = *logins.borrow();
        let mut response = [0; BHS_LEN];
        (response[0], response[1]) = (LoginResponse::OPCODE, 0x87);
        target.write_all(&response).await.expect("sent");
        initiator.read_exact(&mut response).await.expect("received");
        logins.wait_for(|logins| *logins > before).await.expect("a login");
        (initiator, target)
    }
}

/// A PDU with eight bytes of data.
fn pdu() -> [u8; BHS_LEN + 8] {
    let mut bytes = [0x5a; BHS_LEN + 8];
    if let Some(bhs) = bytes.first_chunk_mut::<BHS_LEN>() {
        bhs[0] = 0x05;
        pdu::set_lengths(bhs, 0, 8);
    }
    bytes
}

async fn heard(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("an end");
    (bytes, end.map(|_| ()))
}

fn is_reset(end: &io::Result<()>) -> bool {
    end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn without_a_fault_bytes_are_passed_on_both_ways() {
    let scene = Scene::new().await;
    let (mut initiator, mut target) = scene.log_in().await;
    initiator.write_all(&pdu()).await.expect("sent");
    target.write_all(&pdu()).await.expect("sent");
    let mut bytes = [0; BHS_LEN + 8];
    for side in [&mut initiator, &mut target] {
        side.read_exact(&mut bytes).await.expect("received");
        assert_eq!(bytes, pdu());
    }
    drop(initiator);
    assert!(heard(&mut target).await.1.is_ok(), "a FIN stays a FIN");
}

#[tokio::test]
async fn a_reset_and_a_fin_reach_both_sides() {
    for (fault, resets) in [(Fault::Reset, true), (Fault::Finish, false)] {
        let scene = Scene::new().await;
        let (mut initiator, mut target) = scene.log_in().await;
        scene.proxy.inject(fault, 0).done().await;
        for side in [&mut initiator, &mut target] {
            assert_eq!(is_reset(&heard(side).await.1), resets, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_waits_for_a_full_feature_phase() {
    let scene = Scene::new().await;
    let mut injection = scene.proxy.inject(Fault::Reset, 0);
    let (mut login, mut target) = scene.connect().await;
    login.write_all(b"x").await.expect("sent");
    target.read_u8().await.expect("a login is not disturbed");
    assert!(!injection.is_done());
    let (mut initiator, _target) = scene.log_in().await;
    injection.done().await;
    assert!(is_reset(&heard(&mut initiator).await.1));
}

#[tokio::test]
async fn one_bit_is_turned_over_where_it_was_asked_for() {
    for (fault, toward_target, place) in [
        (Fault::CorruptHeader(Toward::Target), true, 0..BHS_LEN),
        (Fault::CorruptHeader(Toward::Initiator), false, 0..BHS_LEN),
        (Fault::CorruptData(Toward::Target), true, BHS_LEN..BHS_LEN + 8),
        (Fault::CorruptData(Toward::Initiator), false, BHS_LEN..BHS_LEN + 8),
    ] {
        for seed in [0, 0x1234_5678_9abc, u64::MAX] {
            let scene = Scene::new().await;
            let (mut initiator, mut target) = scene.log_in().await;
            let mut injection = scene.proxy.inject(fault, seed);
            let (from, to) = if toward_target { (&mut initiator, &mut target) } else { (&mut target, &mut initiator) };
            from.write_all(&pdu()).await.expect("sent");
            let mut bytes = [0; BHS_LEN + 8];
            to.read_exact(&mut bytes).await.expect("received");
            injection.done().await;
            let sent = pdu();
            let differ: Vec<_> = (0..sent.len()).filter(|&at| bytes[at] != sent[at]).collect();
            assert_eq!(differ.len(), 1, "{fault:?}: {differ:?}");
            assert!(place.contains(&differ[0]) && (bytes[differ[0]] ^ sent[differ[0]]).is_power_of_two());
        }
    }
}

#[tokio::test]
async fn a_cut_leaves_the_first_part_of_a_pdu() {
    for seed in [0, 0x1234_5678_9abc, u64::MAX] {
        let scene = Scene::new().await;
        let (mut initiator, mut target) = scene.log_in().await;
        let mut injection = scene.proxy.inject(Fault::Cut(Toward::Target), seed);
        initiator.write_all(&pdu()).await.expect("sent");
        injection.done().await;
        let (bytes, end) = heard(&mut target).await;
        // The RST may overtake what was sent before it.
        assert!(is_reset(&end) && bytes.len() < pdu().len() && pdu().starts_with(&bytes), "{bytes:?} {end:?}");
    }
}

#[tokio::test]
async fn silence_passes_nothing_on_and_closes_nothing() {
    let scene = Scene::new().await;
    let (mut initiator, mut target) = scene.log_in().await;
    scene.proxy.inject(Fault::Silence, 0).done().await;
    initiator.write_all(&pdu()).await.expect("sent");
    assert!(timeout(Duration::from_millis(100), target.read_u8()).await.is_err(), "silence");
    drop(initiator);
    assert!(heard(&mut target).await.0.is_empty());
    let (mut initiator, mut target) = scene.log_in().await;
    initiator.write_all(b"x").await.expect("sent");
    assert_eq!(target.read_u8().await.expect("the next connection works"), b'x');
}

#[tokio::test]
async fn a_mute_portal_takes_connections_and_says_nothing_for_a_while() {
    let scene = Scene::new().await;
    let (mut before, _target) = scene.log_in().await;
    let mut injection = scene.proxy.inject(Fault::Mute(Duration::from_millis(300)), 0);
    while scene.proxy.shared.changed.borrow().lt(&3) {
        tokio::task::yield_now().await;
    }
    let mut within = TcpStream::connect(scene.proxy.address()).await.expect("it is taken");
    within.write_all(b"x").await.expect("sent");
    assert!(timeout(Duration::from_millis(100), scene.target.accept()).await.is_err(), "and goes nowhere");
    injection.done().await;
    for mute in [&mut before, &mut within] {
        assert!(timeout(Duration::from_millis(20), mute.read_u8()).await.is_err(), "for good");
    }
    scene.log_in().await;
}

#[tokio::test]
async fn a_portal_that_is_down_refuses_for_a_while() {
    let scene = Scene::new().await;
    let (mut initiator, _target) = scene.log_in().await;
    let mut injection = scene.proxy.inject(Fault::Refuse(Duration::from_millis(200)), 0);
    assert!(is_reset(&heard(&mut initiator).await.1));
    let refused = TcpStream::connect(scene.proxy.address()).await;
    assert!(refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    injection.done().await;
    scene.log_in().await;
}

#[tokio::test]
async fn a_delay_loses_nothing() {
    let scene = Scene::new().await;
    let (mut initiator, mut target) = scene.log_in().await;
    let mut injection = scene.proxy.inject(Fault::Delay(Duration::from_millis(200)), 0);
    let started = Instant::now();
    while scene.proxy.shared.state().armed.is_some() {
        tokio::task::yield_now().await;
    }
    initiator.write_all(b"x").await.expect("sent");
    assert_eq!(target.read_u8().await.expect("received"), b'x');
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    injection.done().await;
}
