//! The NBD server against clients nobody here wrote: libnbd's tools, qemu's, fio.
//!
//! ```text
//!   nbdinfo, nbdcopy, qemu-img, qemu-io, fio ── Unix socket ──► export::nbd ──► a disk in memory
//! ```

#![cfg(unix)]

#[allow(dead_code)]
#[path = "common/process.rs"]
mod process;

use std::process::Command;
use std::sync::Arc;

use iscsid::block::testing::{Plan, RamDisk};
use iscsid::block::{Op, Registry};
use iscsid::export::nbd;
use process::{need, output, run};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;

/// A server with some disks.
struct Server {
    dir: TempDir,
    registry: Arc<Registry>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("nbd.sock")).expect("a socket");
        let (registry, stop) = (Arc::new(Registry::default()), CancellationToken::new());
        let task = tokio::spawn(nbd::serve(listener, 256, registry.clone(), stop.clone()));
        Server { dir, registry, stop, task }
    }

    /// Puts a disk in and gives its URI.
    fn add(&self, name: &str, plan: Plan) -> (Arc<RamDisk>, String) {
        let disk = RamDisk::start(plan);
        self.registry.insert(name.to_owned(), disk.clone());
        (disk, self.uri(name))
    }

    fn uri(&self, name: &str) -> String {
        format!("nbd+unix:///{name}?socket={}", self.path("nbd.sock"))
    }

    /// Of a file in the server's directory.
    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file of bytes that do not repeat.
    fn random_file(&self, bytes: u64) -> (String, Vec<u8>) {
        let mut content = vec![0; bytes as usize];
        getrandom::fill(&mut content).expect("random bytes");
        let path = self.path("random");
        std::fs::write(&path, &content).expect("a file");
        (path, content)
    }

    /// Ends the server, which must not hang after anything that the clients did.
    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("the server did not panic");
    }
}

const DISK: &str = "iqn.2026-01.example:disk/0";

#[tokio::test(flavor = "multi_thread")]
async fn nbdinfo_sees_what_the_unit_is() {
    if !need(&["nbdinfo"]) {
        return;
    }
    let server = Server::start();
    let mut plan = Plan::of_bytes(64 * MIB);
    (plan.geometry.rotational, plan.geometry.physical_block_size) = (true, 8192);
    let (_, uri) = server.add(DISK, plan);
    let shown: serde_json::Value = serde_json::from_str(&run("nbdinfo", ["--json", &uri])).expect("JSON");
    assert_eq!((&shown["protocol"], &shown["structured"]), (&"newstyle-fixed".into(), &true.into()));
    let export = &shown["exports"][0];
    assert_eq!(export["export-name"], DISK);
    assert_eq!(export["description"], "iSCSI unit of 64 MiB in 512-byte blocks");
    assert_eq!(export["export-size"], 64 * MIB);
    assert_eq!(export["block_size_minimum"], 512);
    assert_eq!(export["block_size_preferred"], 8192);
    assert_eq!(export["block_size_maximum"], 32 * MIB);
    for able in
        ["can_df", "can_fast_zero", "can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero", "is_rotational"]
    {
        assert_eq!(export[able], true, "{able}");
    }
    assert_eq!((&export["is_read_only"], &export["can_cache"]), (&false.into(), &false.into()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdinfo_lists_all_units_and_names_the_one_that_is_not_there() {
    if !need(&["nbdinfo"]) {
        return;
    }
    let server = Server::start();
    let names = ["eui.0123456789abcdef/0", "iqn.2026-01.example:disk/0", "iqn.2026-01.example:disk/255"];
    for name in names {
        server.add(name, Plan::of_bytes(MIB));
    }
    let list = run("nbdinfo", ["--list", "--json", &server.uri("")]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let listed = list["exports"].as_array().expect("exports").iter().map(|export| export["export-name"].clone());
    assert_eq!(listed.collect::<Vec<_>>(), names);
    let unknown = output(Command::new("nbdinfo").arg(server.uri("iqn.2026-01.example:nothing/0")));
    assert!(unknown.code != 0 && unknown.stderr.contains("No such file or directory"), "{}", unknown.stderr);
    server.end().await;
}

async fn nbdcopy_there_and_back(plan: Plan) {
    if !need(&["nbdcopy"]) {
        return;
    }
    let server = Server::start();
    let bytes = plan.geometry.bytes();
    let (disk, uri) = server.add(DISK, plan);
    let (file, content) = server.random_file(bytes);
    run("nbdcopy", ["--flush", "--connections=4", "--requests=64", &file, &uri]);
    assert!(disk.content() == content, "what the disk has");
    assert!(disk.count(|op| op == Op::Flush) > 0, "the flush has reached it");
    let back = server.path("back");
    run("nbdcopy", ["--connections=4", "--requests=64", &uri, &back]);
    assert!(std::fs::read(back).expect("the copy") == content, "what was read back");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdcopy_moves_data_over_four_connections() {
    nbdcopy_there_and_back(Plan::of_bytes(96 * MIB)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdcopy_moves_data_through_a_pool_of_one_buffer_in_blocks_of_4096() {
    let mut plan = Plan::of_bytes(32 * MIB);
    (plan.geometry.block_size, plan.geometry.blocks) = (4096, 32 * MIB / 4096);
    plan.pool = MIB as usize;
    nbdcopy_there_and_back(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdcopy_cannot_write_to_a_read_only_unit() {
    if !need(&["nbdcopy"]) {
        return;
    }
    let server = Server::start();
    let mut plan = Plan::of_bytes(4 * MIB);
    plan.geometry.read_only = true;
    let (disk, uri) = server.add(DISK, plan);
    let (file, _) = server.random_file(4 * MIB);
    assert_ne!(output(Command::new("nbdcopy").args([&file, &uri])).code, 0);
    assert_eq!(disk.count(|op| op != Op::Read), 0);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_img_converts_to_a_unit_and_finds_it_the_same() {
    if !need(&["qemu-img"]) {
        return;
    }
    let server = Server::start();
    let (disk, uri) = server.add(DISK, Plan::of_bytes(64 * MIB));
    let (file, mut content) = server.random_file(64 * MIB);
    // Half of it is a hole, which qemu writes as zeroes.
    content[32 << 20..].fill(0);
    std::fs::write(&file, &content).expect("the file");
    let info = run("qemu-img", ["info", "--output=json", &uri]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((&info["virtual-size"], &info["format"]), (&(64 * MIB).into(), &"raw".into()));
    disk.put(0, &[0xff; 64 << 20]);
    run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", &file, &uri]);
    assert!(disk.content() == content, "what the disk has");
    assert!(disk.count(|op| matches!(op, Op::WriteZeroes { .. })) > 0, "zeroes were the disk's own");
    run("qemu-img", ["compare", "-f", "raw", "-F", "raw", &file, &uri]);
    let back = server.path("back");
    run("qemu-img", ["convert", "-f", "raw", "-O", "raw", &uri, &back]);
    assert!(std::fs::read(back).expect("the copy") == content, "what was read back");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_img_repeats_our_sentence_about_a_unit_that_is_not_there() {
    if !need(&["qemu-img"]) {
        return;
    }
    let server = Server::start();
    let unknown = || output(Command::new("qemu-img").args(["info", &server.uri("iqn.2026-01.example:nothing/0")]));
    let nothing = unknown();
    assert!(nothing.code != 0 && nothing.stderr.contains("no unit is logged in"), "{}", nothing.stderr);
    server.add(DISK, Plan::of_bytes(MIB));
    let (unknown, told) = (unknown(), format!("no unit of that name is logged in; there are: {DISK}"));
    assert!(unknown.code != 0 && unknown.stderr.contains(&told), "{}", unknown.stderr);
    assert!(run("qemu-img", ["info", &server.uri("")]).contains("1 MiB"), "no name means the only unit");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_io_flushes_forces_discards_and_zeroes() {
    if !need(&["qemu-io"]) {
        return;
    }
    let server = Server::start();
    let (disk, uri) = server.add(DISK, Plan::of_bytes(16 * MIB));
    let commands = [
        "write -P 0xaa 0 1M",
        "write -f -P 0xbb 1M 64k",
        "flush",
        "write -z -u 4M 1M",
        "write -z 6M 512",
        "discard 8M 2M",
        "read -P 0xaa 0 1M",
        "read -P 0xbb 1M 64k",
        "read -P 0 4M 1M",
        "aio_write -P 0xcc 10M 3M",
        "aio_flush",
        "read -P 0xcc 10M 3M",
    ];
    let mut qemu_io = Command::new("qemu-io");
    qemu_io.args(["-f", "raw", "-t", "none"]).args(commands.iter().flat_map(|command| ["-c", command])).arg(&uri);
    let process::Output { code, stdout, stderr } = output(&mut qemu_io);
    assert!(code == 0 && !stdout.contains("failed") && !stderr.contains("failed"), "{stdout}{stderr}");
    assert!(disk.count(|op| op == Op::Write { fua: true }) > 0);
    assert!(disk.count(|op| op == Op::Flush) > 0);
    assert!(disk.count(|op| op == Op::Unmap) > 0);
    assert!(disk.count(|op| matches!(op, Op::WriteZeroes { unmap: true, .. })) > 0);
    assert!(disk.count(|op| matches!(op, Op::WriteZeroes { unmap: false, .. })) > 0);
    assert_eq!(disk.content()[8 << 20..10 << 20], vec![0xdd; 2 << 20]);
    server.end().await;
}

/// Writes blocks of many lengths at any place, 32 at a time, each with a checksum, and reads them back.
async fn fio_verifies(plan: Plan, least: u32) {
    if !need(&["fio"]) {
        return;
    }
    let server = Server::start();
    let (disk, uri) = server.add(DISK, plan);
    let mut fio = Command::new("fio");
    // It leaves its verification state where it runs.
    fio.arg(format!("--aux-path={}", server.dir.path().display()));
    fio.args(["--name=mixed", "--ioengine=nbd", "--rw=randwrite", "--iodepth=32", "--size=64M"]);
    fio.args([&format!("--bsrange={least}-4M"), &format!("--blockalign={least}")]);
    fio.args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--fsync=16"]);
    fio.arg(format!("--uri={uri}"));
    let process::Output { code, stdout, stderr } = output(fio.current_dir(server.dir.path()));
    assert!(code == 0 && !stderr.contains("verify:"), "{stdout}\n{stderr}");
    assert!(stdout.contains("READ:") && stdout.contains("WRITE:"), "{stdout}");
    assert!(disk.count(|op| op == Op::Flush) > 0);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fio_verifies_blocks_of_512_bytes_to_4_mib() {
    fio_verifies(Plan::of_bytes(64 * MIB), 512).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fio_verifies_with_blocks_of_4096_and_few_buffers() {
    let mut plan = Plan::of_bytes(64 * MIB);
    (plan.geometry.block_size, plan.geometry.blocks) = (4096, 64 * MIB / 4096);
    (plan.geometry.max_transfer, plan.pool) = (1 << 20, 2 << 20);
    fio_verifies(plan, 4096).await;
}
