//! What there is to see, and for whom.

use super::client::{handle_and, put};
use super::*;
use crate::export::nfs::wire::{Status, access, mount_procedure, procedure, program};

const OTHER: &str = "iqn.2026-01.example:other/1";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_directory_holds_a_file_for_each_unit_and_nothing_else() {
    let stage = Stage::with(MIB, |_| {});
    stage.registry.insert(OTHER.to_owned(), RamDisk::start(Plan::of_bytes(2 * MIB)));
    let server = stage.serve();
    let mut client = server.connect().await;
    let root = client.mount(&format!("/{}", Stage::secret().path())).await.expect("the path is right");
    let mut names = client.list(&root, 4096).await.expect("a directory");
    names.sort();
    assert_eq!(names, [".", "..", FILE, "iqn.2026-01.example:other,1"]);
    let mut few_at_a_time = client.list(&root, 180).await.expect("a directory");
    few_at_a_time.sort();
    assert_eq!(few_at_a_time, names);
    assert_eq!(client.list(&root, 110).await, Err(Status::TooSmall as u32));
    assert_eq!(client.attributes(&root).await.expect("a directory").0, 2);
    let file = client.look_up(&root, "iqn.2026-01.example:other,1").await.expect("it is listed");
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, 2 * MIB)));
    assert_eq!(client.look_up(&root, "._disk").await, Err(Status::NoEnt as u32));
    server.end().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_unit_that_comes_and_goes_is_seen_at_once() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let mut client = server.connect().await;
    let root = client.mount(&format!("/{}", Stage::secret().path())).await.expect("the path is right");
    let file = client.look_up(&root, FILE).await.expect("the unit is there");
    stage.registry.remove(NAME);
    assert_eq!(client.list(&root, 4096).await.expect("a directory"), [".", ".."]);
    assert_eq!(client.attributes(&file).await, Err(Status::Stale as u32));
    stage.registry.insert(NAME.to_owned(), stage.disk.clone());
    assert_eq!(client.look_up(&root, FILE).await, Ok(file));
    server.end().await;
}

#[tokio::test]
async fn the_mount_of_a_unit_is_stale_while_the_unit_is_gone_and_good_when_it_is_back() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, directory) = server.mount_directory().await;
    let file = client.look_up(&directory, FILE).await.expect("the unit is there");
    stage.registry.remove(NAME);
    assert_eq!(client.list(&directory, 4096).await, Err(Status::Stale as u32));
    assert_eq!(client.attributes(&file).await, Err(Status::Stale as u32));
    stage.registry.insert(NAME.to_owned(), stage.disk.clone());
    assert_eq!(client.look_up(&directory, FILE).await, Ok(file));
    server.end().await;
}

#[tokio::test]
async fn a_ticket_mounts_the_directory_of_one_unit_once() {
    let stage = Stage::with(MIB, |_| {});
    stage.registry.insert(OTHER.to_owned(), RamDisk::start(Plan::of_bytes(2 * MIB)));
    let server = stage.serve();
    let ticket = stage.attachment.ticket().expect("random numbers");
    let path = format!("/{}", ticket.path());
    let mut client = server.connect().await;
    let directory = client.mount(&path).await.expect("it is good");
    assert_eq!(client.list(&directory, 4096).await.expect("a directory"), [".", "..", FILE]);
    assert_eq!(client.look_up(&directory, "iqn.2026-01.example:other,1").await, Err(Status::NoEnt as u32));
    assert_eq!(client.mount(&path).await, Err(Status::Access as u32));
    server.end().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_directory_of_one_unit_has_a_path_of_its_own() {
    let stage = Stage::with(MIB, |_| {});
    stage.registry.insert(OTHER.to_owned(), RamDisk::start(Plan::of_bytes(2 * MIB)));
    let server = stage.serve();
    let mut client = server.connect().await;
    let directory = client.mount(&format!("/{}/{FILE}", Stage::secret().path())).await.expect("the path is right");
    assert_eq!(client.list(&directory, 4096).await.expect("a directory"), [".", "..", FILE]);
    assert_eq!(client.mount(&format!("/{}/none", Stage::secret().path())).await, Err(Status::Access as u32));
    server.end().await;
}

#[tokio::test]
async fn without_the_path_nothing_is_mounted_and_without_the_secret_no_handle_is_good() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    for path in ["", "/", "/iqn.2026-01.example:disk,0", "/00000000000000000000000000000000"] {
        assert_eq!(client.mount(path).await, Err(Status::Access as u32), "{path}");
    }
    let mut forged = file.clone();
    *forged.last_mut().expect("a handle") ^= 1;
    assert_eq!(client.attributes(&forged).await, Err(Status::BadHandle as u32));
    assert_eq!(client.read(&forged, 0, 512).await, Err(Status::BadHandle as u32));
    assert_eq!(client.write(&forged, 0, 2, &[1; 512]).await, Err(Status::BadHandle as u32));
    assert_eq!(stage.disk.asked(), []);
    server.end().await;
}

#[tokio::test]
async fn another_user_of_the_mount_is_granted_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let all = access::READ | access::MODIFY | access::EXTEND;
    assert_eq!(client.access(&file, 0x3f).await, all);
    client.user = Some(0);
    assert_eq!(client.access(&file, 0x3f).await, all);
    for stranger in [Some(12_345), None] {
        client.user = stranger;
        assert_eq!(client.access(&file, 0x3f).await, 0);
    }
    server.end().await;
}

#[tokio::test]
async fn a_unit_is_as_long_as_it_is_and_truncating_it_to_nothing_changes_nothing() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    assert_eq!(client.truncate(&file, 0).await, Ok(()));
    assert_eq!(client.truncate(&file, MIB).await, Ok(()));
    assert_eq!(client.truncate(&file, MIB + 1).await, Err(Status::Inval as u32));
    assert_eq!(client.truncate(&file, 512).await, Err(Status::Inval as u32));
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, MIB)));
    server.end().await;
}

#[tokio::test]
async fn creating_what_is_there_opens_it_and_nothing_else_can_be_made() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, directory) = server.mount_directory().await;
    let file = client.look_up(&directory, FILE).await.expect("the unit is there");
    assert_eq!(client.create(&directory, FILE, 0).await, Ok(file.clone()));
    assert_eq!(client.create(&directory, FILE, 1).await, Ok(file.clone()));
    assert_eq!(client.create(&directory, FILE, 2).await, Err(Status::Exist as u32));
    assert_eq!(client.create(&directory, "._x", 0).await, Err(Status::Access as u32));
    assert_eq!(client.create(&directory, "..", 0).await, Err(Status::IsDir as u32));
    assert_eq!(client.create(&file, "x", 0).await, Err(Status::NotDir as u32));
    let mut name = handle_and(&directory, &[]);
    crate::export::nfs::xdr::Write::opaque(&mut name, FILE.as_bytes());
    for number in [procedure::REMOVE, procedure::MKDIR, procedure::RENAME, procedure::SYMLINK] {
        let results = client.ask(program::NFS, number, &name).await.expect("it is understood");
        assert_eq!(results[..4], (Status::Access as u32).to_be_bytes(), "procedure {number}");
    }
    server.end().await;
}

#[tokio::test]
async fn what_a_unit_does_at_once_is_what_a_client_is_told_to_ask_for() {
    let stage = Stage::with(MIB, |geometry| geometry.max_transfer = 200 << 10);
    let server = stage.serve();
    let mut client = server.connect().await;
    let ticket = stage.attachment.ticket().expect("random numbers");
    let directory = client.mount(ticket.path()).await.expect("it is good");
    let info = client.ask(program::NFS, procedure::FSINFO, &handle_and(&directory, &[])).await.expect("a good call");
    // Status, attributes, then the most and the best of READ.
    assert_eq!(info[..4], [0; 4]);
    assert_eq!(info[4 + 88..][..8], put([128 << 10, 128 << 10]));
    server.end().await;
}

// check: nfs-handles-end-with-their-attach
#[tokio::test]
async fn handles_are_good_for_one_attach_and_tickets_no_longer_than_mount_nfs_runs() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    let abandoned = stage.attachment.ticket().expect("random numbers").path().to_owned();
    assert_eq!(client.mount(&abandoned).await, Err(Status::Access as u32));

    stage.attachment.close().expect("nothing is kept");
    assert_eq!(client.attributes(&file).await, Err(Status::Stale as u32));
    assert_eq!(client.write(&file, 0, 2, &[1; 512]).await, Err(Status::Stale as u32));
    let next = stage.attachments.open(NAME, MIB).expect("random numbers");
    assert_eq!(client.read(&file, 0, 512).await, Err(Status::Stale as u32), "of the attach before");
    let ticket = next.ticket().expect("random numbers");
    let directory = client.mount(ticket.path()).await.expect("it is good");
    let again = client.look_up(&directory, FILE).await.expect("the unit is there");
    assert_ne!(again, file);
    assert_eq!(client.read(&again, 0, 512).await, Ok((vec![0; 512], false)));
    assert_eq!(stage.disk.count(|op| matches!(op, crate::block::Op::Write { .. })), 0);
    server.end().await;
}

#[tokio::test]
async fn all_of_a_file_is_free_unless_it_is_read_only() {
    for read_only in [false, true] {
        let stage = Stage::with(MIB, |geometry| geometry.read_only = read_only);
        let server = stage.serve();
        let (mut client, directory) = server.mount_directory().await;
        let told =
            client.ask(program::NFS, procedure::FSSTAT, &handle_and(&directory, &[])).await.expect("a good call");
        let free = if read_only { 0 } else { MIB };
        let expected: Vec<u8> = [MIB, free, free, 2, 0, 0].iter().flat_map(|number| number.to_be_bytes()).collect();
        assert_eq!(told[4 + 88..][..48], expected);
        server.end().await;
    }
}

#[tokio::test]
async fn a_client_may_unmount_by_the_first_version_of_mount_and_do_nothing_else_by_it() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let mut client = server.connect().await;
    for (number, expected) in [(mount_procedure::UMNT, Ok(vec![])), (mount_procedure::MNT, Err(2))] {
        let mut call = client.call(program::MOUNT, number, &put([4, u32::from_be_bytes(*b"/abc")]));
        call[4 + 16..][..4].copy_from_slice(&put([1]));
        client.send(&call).await;
        assert_eq!(client.reply().await.1, expected);
    }
    server.end().await;
}

// check: nfs-attributes-stay
#[tokio::test]
async fn an_attached_unit_that_grows_is_as_long_as_it_was_until_it_is_attached_again() {
    let stage = Stage::with(MIB, |_| {});
    let server = stage.serve();
    let (mut client, file) = server.mount().await;
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, MIB)));
    stage.registry.insert(NAME.to_owned(), RamDisk::start(Plan::of_bytes(2 * MIB)));
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, MIB)));
    assert_eq!(client.read(&file, MIB - 512, 4096).await, Ok((vec![0; 512], true)));
    assert_eq!(client.write(&file, MIB, 2, &[1; 512]).await, Err(Status::NoSpace as u32));

    let again = stage.attachments.open(NAME, 2 * MIB).expect("random numbers");
    let directory = client.mount(again.ticket().expect("random numbers").path()).await.expect("it is good");
    let file = client.look_up(&directory, FILE).await.expect("the unit is there");
    assert_eq!(client.attributes(&file).await, Ok((1, 0o600, 2 * MIB)));
    client.write(&file, MIB, 2, &[1; 512]).await.expect("it is written");
    server.end().await;
}
