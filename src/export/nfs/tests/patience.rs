//! How long I/O waits for a unit that is away: for ever while a volume is mounted, and not for long while none is.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use super::client::{read, read_arguments, write_arguments, written};
use super::*;
use crate::block::{IoError, Op};
use crate::export::nfs::wire::{Status, procedure};

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const IO: u32 = Status::Io as u32;

/// A server, and a client of it that has mounted the unit, no volume of which is.
async fn bare() -> (Stage, Server, Client, Vec<u8>) {
    let stage = Stage::with(MIB, |_| {});
    stage.attachment.set_mounted(false);
    let server = stage.serve();
    let (client, file) = server.mount().await;
    (stage, server, client, file)
}

// check: nfs-bounded-without-a-volume
#[tokio::test(start_paused = true)]
async fn without_a_volume_the_first_request_fails_after_half_a_minute_and_the_others_at_once() {
    let (stage, server, mut client, file) = bare().await;
    assert_eq!(client.read(&file, 0, 512).await, Ok((vec![0; 512], false)));
    stage.disk.hold(true);
    let begun = Instant::now();
    assert_eq!(client.read(&file, 4096, 512).await, Err(IO));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(29) && took <= Duration::from_secs(31), "{took:?}");
    for offset in [0, 512, 1024] {
        assert_eq!(client.read(&file, offset, 512).await, Err(IO));
        assert_eq!(client.write(&file, offset, 2, &[1; 512]).await, Err(IO));
        assert_eq!(client.commit(&file).await, Err(IO));
    }
    assert_eq!(begun.elapsed(), took, "none of them waits");
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, MIB)), "what needs no unit is answered");

    stage.disk.hold(false);
    // Until the question to the unit is answered.
    while client.read(&file, 0, 512).await.is_err() {
        advance(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() < took + Duration::from_secs(1), "{:?}", begun.elapsed());
    client.write(&file, 0, 2, &[2; 512]).await.expect("it is back");
    assert_eq!(stage.disk.count(|op| matches!(op, Op::Write { .. })), 1, "what was refused was never done");
    server.end().await;
}

// check: nfs-waits-under-a-volume
#[tokio::test(start_paused = true)]
async fn with_a_volume_mounted_everything_waits() {
    let (stage, server, mut client, file) = bare().await;
    stage.disk.hold(true);
    client.start(procedure::WRITE, &write_arguments(&file, 0, 2, &[3; 512])).await;
    advance(Duration::from_secs(20)).await;
    stage.attachment.set_mounted(true);
    timeout(Duration::from_secs(3600), client.reply()).await.expect_err("it waits");
    stage.disk.hold(false);
    let (_, results) = client.reply().await;
    written(&results.expect("a good call")).expect("it is written");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_an_unmount_what_waits_gets_half_a_minute_from_then() {
    let (stage, server, mut client, file) = bare().await;
    stage.attachment.set_mounted(true);
    stage.disk.hold(true);
    client.start(procedure::READ, &read_arguments(&file, 0, 512)).await;
    timeout(Duration::from_secs(600), client.reply()).await.expect_err("it waits");
    stage.attachment.set_mounted(false);
    let begun = Instant::now();
    let (_, results) = client.reply().await;
    assert_eq!(read(&results.expect("a good call")), Err(IO));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(29) && took <= Duration::from_secs(31), "{took:?}");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn before_a_disk_is_taken_by_force_all_that_waits_fails_and_all_that_comes() {
    let (stage, server, mut client, file) = bare().await;
    stage.attachment.set_mounted(true);
    stage.disk.hold(true);
    client.start(procedure::READ, &read_arguments(&file, 0, 512)).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    stage.attachment.fail();
    let (_, results) = client.reply().await;
    assert_eq!(read(&results.expect("a good call")), Err(IO));
    stage.disk.hold(false);
    assert_eq!(client.write(&file, 0, 2, &[1; 512]).await, Err(IO), "also where the unit is there");
    stage.attachment.set_mounted(true);
    assert_eq!(client.read(&file, 0, 512).await, Err(IO), "for good");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(stage.disk.count(|op| matches!(op, Op::Write { .. })), 0);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_volume_nobody_is_told_to_ask_again_later() {
    let (stage, server, mut client, file) = bare().await;
    stage.disk.break_block(0, IoError::Offline);
    assert_eq!(client.read(&file, 0, 512).await, Err(IO), "the session has given up");
    server.end().await;

    stage.registry.remove(NAME);
    let server = stage.serve();
    let mut client = server.connect().await;
    assert_eq!(client.read(&file, 0, 512).await, Err(IO), "there was no login yet");
    let begun = Instant::now();
    assert_eq!(client.read(&file, 0, 512).await, Err(IO));
    assert_eq!(begun.elapsed(), Duration::ZERO, "it was waited for once");
    server.end().await;
}

/// Buffers that the unit keeps as long as it is away must not keep the requests that come after.
#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_buffer_fail_as_well() {
    let mut plan = Plan::of_bytes(16 * MIB);
    plan.pool = 1 << 20;
    plan.geometry.max_transfer = 1 << 20;
    let stage = Stage::new(plan);
    stage.attachment.set_mounted(false);
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    stage.disk.hold(true);
    let begun = Instant::now();
    for offset in 0..4 {
        client.start(procedure::READ, &read_arguments(&file, offset * MIB, 1 << 20)).await;
        client.start(procedure::WRITE, &write_arguments(&file, offset * MIB, 2, &pattern(1 << 20, 1))).await;
    }
    for _ in 0..8 {
        let (_, results) = client.reply().await;
        assert_eq!(results.expect("a good call")[..4], IO.to_be_bytes());
    }
    assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
    stage.disk.hold(false);
    server.end().await;
}

// check: nfs-lost-data-is-said
#[tokio::test]
async fn a_write_that_fails_is_in_the_log_once_and_a_read_is_not() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _listens = tracing::subscriber::set_default(lines);
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    stage.disk.break_block(8, IoError::Target { key: 3, asc: 0x0c, ascq: 2 });
    assert_eq!(client.read(&file, 4096, 512).await, Err(IO));
    assert_eq!(log.lines(), [""; 0]);
    for _ in 0..5 {
        assert_eq!(client.write(&file, 4096, 2, &[1; 512]).await, Err(IO));
    }
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("ERROR") && lines[0].contains("3/0c/02"), "{lines:?}");
    assert!(lines[0].contains(NAME), "{lines:?}");
    server.end().await;
}
