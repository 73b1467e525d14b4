//! The server ends and comes back, connections break, units are late: what a hard mount has to live with.

use super::client::{read_arguments, write_arguments, written};
use super::*;
use crate::export::nfs::wire::{Status, procedure};

#[tokio::test]
async fn handles_and_port_outlive_the_server_and_the_verifier_does_not() {
    let stage = Stage::with(MIB, |_| {});
    let first = stage.serve();
    let (mut client, file) = first.mount().await;
    let before = client.write(&file, 0, 0, &[5; 512]).await.expect("it is written");
    let port = first.address.port();
    first.end().await;
    client.rest().await;

    let second = stage.serve_at(port);
    let mut client = second.connect().await;
    assert_eq!(client.read(&file, 0, 512).await.expect("the handle is good").0, [5; 512]);
    let after = client.write(&file, 0, 0, &[6; 512]).await.expect("it is written");
    assert_ne!(before.verifier, after.verifier);
    second.end().await;
}

#[tokio::test]
async fn a_request_waits_for_a_unit_that_is_not_logged_in_to_yet() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (_, file) = server.mount().await;
    server.end().await;

    stage.registry.remove(NAME);
    let server = stage.serve();
    let mut client = server.connect().await;
    client.start(procedure::READ, &read_arguments(&file, 0, 512)).await;
    tokio::task::yield_now().await;
    stage.registry.insert(NAME.to_owned(), stage.disk.clone());
    let (_, results) = client.reply().await;
    assert_eq!(results.expect("a good call")[..4], [0; 4]);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_is_to_be_asked_again_later() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (_, file) = server.mount().await;
    server.end().await;
    stage.registry.remove(NAME);
    let server = stage.serve();
    let mut client = server.connect().await;
    assert_eq!(client.read(&file, 0, 512).await, Err(Status::Jukebox as u32));
    server.end().await;
}

#[tokio::test]
async fn a_write_that_is_sent_again_over_another_connection_is_done_again_and_in_order() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut old, file) = server.mount().await;
    stage.disk.hold(true);
    old.start(procedure::WRITE, &write_arguments(&file, 0, 0, &[1; 4096])).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let mut new = server.connect().await;
    new.start(procedure::WRITE, &write_arguments(&file, 0, 0, &[1; 4096])).await;
    new.start(procedure::WRITE, &write_arguments(&file, 100, 0, &[2; 1000])).await;
    drop(old);
    stage.disk.hold(false);
    for _ in 0..2 {
        let (_, results) = new.reply().await;
        written(&results.expect("a good call")).expect("it is written");
    }
    let mut expected = [1; 4096];
    expected[100..1100].fill(2);
    assert_eq!(stage.disk.content()[..4096], expected);
    server.end().await;
}

/// A write that still lies in the socket of a connection that its client has given up must not be done: it
/// would come after newer ones.
#[tokio::test]
async fn a_write_that_is_found_after_its_client_has_gone_is_not_done() {
    let mut plan = Plan::of_bytes(64 * MIB);
    plan.pool = 1 << 20;
    plan.geometry.max_transfer = 1 << 20;
    let stage = Stage::new(plan);
    let server = stage.serve();
    let (mut old, file) = server.mount().await;
    // The only buffer is taken, so that the server stops to take what the old connection brings.
    stage.disk.hold(true);
    old.start(procedure::READ, &read_arguments(&file, MIB, 1 << 20)).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    old.start(procedure::WRITE, &write_arguments(&file, 0, 0, &[1; 4096])).await;
    drop(old);
    let (mut new, file) = server.mount().await;
    stage.disk.hold(false);
    new.write(&file, 0, 0, &[2; 4096]).await.expect("it is written");
    server.end().await;
    assert_eq!(stage.disk.content()[..4096], [2; 4096]);
    assert_eq!(stage.disk.count(|op| matches!(op, crate::block::Op::Write { .. })), 1);
}

#[tokio::test]
async fn a_server_that_stops_gives_the_answers_that_are_about_to_come() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    stage.disk.hold(true);
    client.start(procedure::WRITE, &write_arguments(&file, 0, 0, &[1; 4096])).await;
    while stage.disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    stage.disk.hold(false);
    let (_, results) = client.reply().await;
    written(&results.expect("a good call")).expect("it is written");
    assert_eq!(client.rest().await, b"");
    server.served.await.expect("no panic");
}

#[tokio::test]
async fn clients_of_a_unit_are_served_on_the_thread_of_its_driver() {
    use crate::block::{Block, Io, Pool};

    /// A disk with a lane, which notes on which thread it is asked.
    struct Laned(Arc<RamDisk>, tokio::runtime::Handle, std::sync::Mutex<Vec<Option<String>>>);

    impl Block for Laned {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn submit(&self, batch: &mut Vec<Io>) {
            self.2.lock().expect("no panic").push(std::thread::current().name().map(str::to_owned));
            self.0.submit(batch);
        }
        fn pool(&self) -> &Pool {
            self.0.pool()
        }
        fn lane(&self) -> Option<tokio::runtime::Handle> {
            Some(self.1.clone())
        }
    }

    let stage = Stage::with(MIB, |_| {});
    let lane = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (handle, end) = (lane.handle().clone(), CancellationToken::new());
    let ended = end.clone();
    let thread = std::thread::Builder::new().name("beside".to_owned());
    let thread = thread.spawn(move || lane.block_on(ended.cancelled())).expect("a thread");
    let disk = Arc::new(Laned(stage.disk.clone(), handle, std::sync::Mutex::default()));
    stage.registry.insert(NAME.to_owned(), disk.clone());
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    for round in 0..3 {
        client.write(&file, 0, 0, &[round; 4096]).await.expect("it is written");
        assert_eq!(client.read(&file, 0, 4096).await.expect("it is read").0, [round; 4096]);
    }
    let threads = disk.2.lock().expect("no panic").clone();
    assert!(threads.len() >= 6 && threads.iter().all(|name| name.as_deref() == Some("beside")), "{threads:?}");
    server.end().await;
    end.cancel();
    thread.join().expect("no panic");
}

// check: mount-shows-whose-it-is
#[tokio::test]
async fn a_mount_shows_whose_life_it_leads_to_and_an_answer_is_good_for_no_other() {
    let stage = Stage::with(MIB, |_| {});
    let first = stage.serve();
    let (mut client, directory) = first.mount_directory().await;
    client.user = Some(0);
    let asked = first.proofs.ask(NAME).expect("random numbers");
    let file = client.look_up(&directory, &asked.file_name).await.expect("any name that asks is there");
    assert_eq!(client.attributes(&file).await, Ok((1, 0o400, asked.content.len() as u64)));
    assert_eq!(client.read(&file, 0, 4096).await, Ok((asked.content.clone().into_bytes(), true)));
    assert_eq!(client.read(&file, 30, 2).await, Ok((asked.content.as_bytes()[30..32].to_vec(), false)));
    assert_eq!(client.read(&file, u64::MAX, 2).await, Ok((Vec::new(), true)));

    // It is in no list, nobody may write it, and it is only for whom the daemon trusts.
    assert_eq!(client.list(&directory, 4096).await.expect("a list"), [".", "..", FILE]);
    assert_eq!(client.write(&file, 0, 0, b"mine").await.expect_err("nobody may"), Status::Access as u32);
    assert!(client.truncate(&file, 0).await.is_ok(), "a truncation changes nothing, as of every file here");
    client.user = Some(65_534);
    assert_eq!(client.read(&file, 0, 4096).await, Err(Status::Access as u32));
    assert_eq!(client.access(&file, 1).await, 0);
    let port = first.address.port();
    first.end().await;

    // The next life: what the kernel has in memory of the last one proves nothing, nor does who knew the last answer.
    let second = stage.serve_at(port);
    let mut client = second.connect().await;
    client.user = Some(0);
    let now = client.read(&file, 0, 4096).await.expect("the handle is good").0;
    assert_ne!(now, asked.content.into_bytes());
    let asked = second.proofs.ask(NAME).expect("random numbers");
    let file = client.look_up(&directory, &asked.file_name).await.expect("it is there");
    assert_eq!(client.read(&file, 0, 4096).await.expect("an answer").0, asked.content.into_bytes());
    second.end().await;
}

// check: mount-shows-whose-it-is
#[tokio::test(start_paused = true)]
async fn a_mount_shows_whose_it_is_while_its_unit_is_away() {
    let stage = Stage::with(MIB, |_| {});
    let first = stage.serve();
    let (_, directory) = first.mount_directory().await;
    first.end().await;
    stage.registry.remove(NAME);
    let second = stage.serve();
    let mut client = second.connect().await;
    client.user = Some(0);
    let asked = second.proofs.ask(NAME).expect("random numbers");
    let begun = tokio::time::Instant::now();
    let file = client.look_up(&directory, &asked.file_name).await.expect("it waits for no unit");
    assert_eq!(client.read(&file, 0, 4096).await.expect("an answer").0, asked.content.into_bytes());
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    second.end().await;
}
