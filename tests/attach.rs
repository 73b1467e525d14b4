//! Attaching on Linux: units in memory become disks, and file systems live on them.
//!
//! Needs root, /dev/fuse and loop devices.

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "common/process.rs"]
mod process;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscsid::block::testing::{Plan, RamDisk};
use iscsid::block::{IoError, Op};
use iscsid::export::attach::{AttachError, LoopDisks, Lost, Way};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use process::{need, need_root, skip};

const UNIT: &str = "iqn.2026-11.test.example:attach/0";
const MIB: u64 = 1 << 20;

/// Whether this machine and user can attach at all.
fn able() -> bool {
    let there = |device: &str| Path::new(device).exists() || skip(&format!("there is no {device}"));
    need_root() && there("/dev/fuse") && there("/dev/loop-control")
}

/// A unit, a place to attach it below, and a directory to mount it on.
struct Bench {
    disk: Arc<RamDisk>,
    attachments: LoopDisks,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(plan: Plan) -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        let attachments = LoopDisks::new(&directory.path().join("run"));
        fs::create_dir(directory.path().join("mnt")).expect("a mount point");
        Bench { disk: RamDisk::start(plan), attachments, directory }
    }

    fn of_bytes(bytes: u64) -> Bench {
        Bench::new(Plan::of_bytes(bytes))
    }

    async fn attach(&self) -> PathBuf {
        self.attachments.attach(UNIT, self.disk.clone()).await.expect("attaches")
    }

    /// The unit's file.
    fn file(&self) -> PathBuf {
        let luns = self.directory.path().join("run/luns");
        luns.join("iqn.2026-11.test.example:attach,0/disk")
    }

    fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).open(self.file()).expect("opens")
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    fn mount(&self, node: &Path) -> MountGuard {
        let point = self.mount_point();
        run("mount", &[node, &point]);
        MountGuard(point)
    }

    /// Makes a file system and mounts it.
    fn mount_new(&self, node: &Path) -> MountGuard {
        run("mkfs.ext4", &[Path::new("-q"), node]);
        self.mount(node)
    }

    fn flushes(&self) -> usize {
        self.disk.count(|op| op == Op::Flush)
    }

    fn assert_nothing_left(&self) {
        let mounts = mountinfo();
        let directory = self.directory.path().to_str().expect("text");
        assert!(!mounts.contains(directory), "a mount is left: {mounts}");
        let luns = fs::read_dir(self.directory.path().join("run/luns")).expect("luns");
        assert_eq!(luns.count(), 0, "a mount point is left");
        assert_eq!(loops_below(self.directory.path()), Vec::<PathBuf>::new());
    }
}

/// Unmounts, also after a test that failed.
struct MountGuard(PathBuf);

impl Drop for MountGuard {
    fn drop(&mut self) {
        // It fails where the test has unmounted already.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

fn output(command: &str, arguments: &[&Path]) -> Output {
    Command::new(command).args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command}: {e}"))
}

/// Runs a command that must succeed, and returns what it prints.
fn run(command: &str, arguments: &[&Path]) -> String {
    let output = output(command, arguments);
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{command} {arguments:?}: {text}");
    text.trim().to_owned()
}

/// Runs a command line whose words hold no spaces.
fn sh(line: &str) -> String {
    let words: Vec<&Path> = line.split_whitespace().map(Path::new).collect();
    run(words[0].to_str().expect("text"), &words[1..])
}

fn loops_below(directory: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir("/sys/block").expect("sysfs").map(|entry| entry.expect("entry").path());
    let file = |path: &PathBuf| fs::read_to_string(path.join("loop/backing_file")).unwrap_or_default();
    all.filter(|path| file(path).starts_with(directory.to_str().expect("text"))).collect()
}

/// The mount table, also with names in it that are no text.
fn mountinfo() -> String {
    String::from_utf8_lossy(&fs::read("/proc/self/mountinfo").expect("mounts")).into_owned()
}

/// Bytes that look like no others.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_any_alignment_are_read_and_written() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(4 * MIB);
    bench.attach().await;
    let file = bench.open();
    let mut expected = bench.disk.content();
    let big = 700_001;
    for (seed, (offset, length)) in
        [(0, 1), (511, 2), (512, 512), (1000, 24), (4095, 4098), (1_000_003, big), (4 * MIB as usize - 3, 3)]
            .into_iter()
            .enumerate()
    {
        let data = pattern(seed as u64 + 1, length);
        file.write_all_at(&data, offset as u64).expect("writes");
        expected[offset..offset + length].copy_from_slice(&data);
        assert!(bench.disk.content() == expected, "write of {length} at {offset}");
        let mut back = vec![0; length + 2];
        let start = offset.saturating_sub(1);
        let read = file.read_at(&mut back, start as u64).expect("reads");
        assert!(back[..read] == expected[start..start + read], "read of {length} at {offset}");
    }
    assert_eq!(file.metadata().expect("stat").len(), 4 * MIB);
    assert_eq!(file.read_at(&mut [0; 8], 4 * MIB).expect("end of file"), 0);
    let beyond = file.write_at(&[0; 8], 4 * MIB).expect_err("beyond the end");
    assert_eq!(beyond.raw_os_error(), Some(nix::libc::ENOSPC));
    drop(file);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_in_one_block_written_at_once_do_not_lose_each_other_s_bytes() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    bench.attach().await;
    let file = Arc::new(bench.open());
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let file = file.clone();
            std::thread::spawn(move || {
                for round in 0..100 {
                    let at = (round % 4) * 512 + writer * 64 + 7;
                    file.write_all_at(&pattern(writer * 1000 + round, 64), at).expect("writes");
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("writer"));
    let content = bench.disk.content();
    for writer in 0..8_u64 {
        for round in 96..100 {
            let at = ((round % 4) * 512 + writer * 64 + 7) as usize;
            assert!(content[at..at + 64] == pattern(writer * 1000 + round, 64), "writer {writer}, round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_survives_detaching_and_its_fsync_is_a_flush() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(64 * MIB);
    let node = bench.attach().await;
    assert_eq!(bench.attachments.device(UNIT).as_deref(), Some(&*node));
    let mounted = bench.mount_new(&node);
    let point = bench.mount_point();
    let before = bench.flushes();
    for number in 0..20_u64 {
        let directory = point.join(format!("{}", number % 4));
        fs::create_dir_all(&directory).expect("a directory");
        let mut file = File::create(directory.join(format!("{number}"))).expect("a file");
        file.write_all(&pattern(number, (number as usize + 1) * 9_999)).expect("writes");
        file.sync_all().expect("syncs");
    }
    assert!(bench.flushes() >= before + 20, "{} flushes for 20 fsyncs", bench.flushes() - before);
    run("umount", &[&point]);
    drop(mounted);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();

    let node = bench.attach().await;
    run("fsck.ext4", &[Path::new("-fn"), &node]);
    let _mounted = bench.mount(&node);
    for number in 0..20_u64 {
        let data = fs::read(point.join(format!("{}/{number}", number % 4))).expect("reads");
        assert!(data == pattern(number, (number as usize + 1) * 9_999), "file {number}");
    }
    run("umount", &[&point]);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_on_the_unit_when_fsync_on_the_disk_returns() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(8 * MIB);
    let node = bench.attach().await;
    let disk = OpenOptions::new().write(true).open(&node).expect("opens");
    let data = pattern(7, 3_000_000);
    disk.write_all_at(&data, 4096).expect("writes");
    let before = bench.flushes();
    disk.sync_all().expect("syncs");
    assert!(bench.disk.content()[4096..4096 + data.len()] == data);
    assert!(bench.flushes() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_with_o_dsync_to_the_file_is_stable_when_it_returns() {
    if !able() {
        return;
    }
    use std::os::unix::fs::OpenOptionsExt;
    let bench = Bench::of_bytes(MIB);
    bench.attach().await;
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(nix::libc::O_DSYNC).open(bench.file()).expect("opens");
    file.write_all_at(&pattern(1, 4096), 8192).expect("writes");
    assert_eq!(bench.disk.count(|op| op == Op::Write { fua: true }), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_with_blocks_of_4096_bytes_is_a_disk_with_such_sectors() {
    if !able() {
        return;
    }
    let mut plan = Plan::of_bytes(64 * MIB);
    plan.geometry.block_size = 4096;
    plan.geometry.blocks /= 8;
    let bench = Bench::new(plan);
    let node = bench.attach().await;
    assert_eq!(run("blockdev", &[Path::new("--getss"), &node]), "4096");
    assert_eq!(run("blockdev", &[Path::new("--getsize64"), &node]), (64 * MIB).to_string());
    run("mkfs.ext4", &[Path::new("-q"), &node]);
    run("fsck.ext4", &[Path::new("-fn"), &node]);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_unit_is_a_read_only_disk() {
    if !able() {
        return;
    }
    let mut plan = Plan::of_bytes(MIB);
    plan.geometry.read_only = true;
    let bench = Bench::new(plan);
    bench.disk.put(4000, &pattern(3, 5000));
    let node = bench.attach().await;
    assert_eq!(run("blockdev", &[Path::new("--getro"), &node]), "1");
    let mut back = vec![0; 5000];
    File::open(&node).expect("opens").read_exact_at(&mut back, 4000).expect("reads");
    assert!(back == pattern(3, 5000));
    assert!(OpenOptions::new().write(true).open(bench.file()).is_err());
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detaching_is_refused_while_a_file_system_is_mounted_and_says_where() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(16 * MIB);
    let node = bench.attach().await;
    let mounted = bench.mount_new(&node);
    let point = bench.mount_point();
    let expected = vec![format!("mounted on {}", point.display())];
    assert_eq!(bench.attachments.in_use(UNIT).await, expected);
    assert_eq!(bench.attachments.detach(UNIT, false).await, Err(AttachError::InUse(expected.clone())));
    assert!(AttachError::InUse(expected).to_string().contains(point.to_str().expect("text")));
    fs::write(point.join("still"), "works").expect("writes");

    let failed = bench.attachments.detach_all(false).await;
    assert!(matches!(&failed[..], [(unit, AttachError::InUse(_))] if unit == UNIT), "{failed:?}");
    run("umount", &[&point]);
    drop(mounted);
    assert_eq!(bench.attachments.detach_all(false).await, vec![]);
    assert_eq!(bench.attachments.device(UNIT), None);
    assert_eq!(bench.attachments.detach(UNIT, false).await, Err(AttachError::NotAttached));
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_partition_counts_as_use_and_so_does_swap_space() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(64 * MIB);
    let node = bench.attach().await;
    // By hand, for not every kernel reads partition tables: number, first sector, sectors.
    sh(&format!("addpart {} 1 2048 65536", node.display()));
    sh(&format!("addpart {} 2 67584 16384", node.display()));
    let partition = |number: u32| PathBuf::from(format!("{}p{number}", node.display()));
    assert!(within(Duration::from_secs(5), || partition(2).exists()), "partitions have no nodes");
    let mounted = bench.mount_new(&partition(1));
    let refused = bench.attachments.detach(UNIT, false).await;
    assert_eq!(refused, Err(AttachError::InUse(vec![format!("mounted on {}", bench.mount_point().display())])));
    run("umount", &[&bench.mount_point()]);
    drop(mounted);

    run("mkswap", &[&partition(2)]);
    run("swapon", &[&partition(2)]);
    let refused = bench.attachments.detach(UNIT, false).await;
    bench.attachments.detach(UNIT, true).await.expect("switches it off");
    assert_eq!(refused, Err(AttachError::InUse(vec![format!("{} is swap space", partition(2).display())])));
    bench.assert_nothing_left();
}

/// Whether the kernel takes the loop device away as soon as its last user lets go.
fn goes_with_its_last_user(node: &Path) -> bool {
    let name = node.file_name().expect("a node").to_str().expect("text");
    fs::read_to_string(format!("/sys/block/{name}/loop/autoclear")).expect("a loop device").trim() == "1"
}

// check: detach-refused-changes-nothing
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_only_a_program_has_open_is_in_use_and_stays_when_that_has_ended() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    let node = bench.attach().await;
    let open = File::open(&node).expect("opens");
    let refused = bench.attachments.detach(UNIT, false).await;
    let process = format!("(process {})", std::process::id());
    assert!(!goes_with_its_last_user(&node));
    let named = matches!(&refused, Err(AttachError::InUse(by)) if by.len() == 1 && by[0].ends_with(&process));
    assert!(named, "{refused:?}");
    drop(open);
    assert_eq!(bench.attachments.in_use(UNIT).await, [""; 0]);
    assert_eq!((bench.attachments.device(UNIT), read_ahead(&node)), (Some(node), 2048));
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

/// Has a file open that is in no process's table: it lies in a socket, on its way.
fn open_on_its_way(file: File) -> (UnixStream, UnixStream) {
    let (from, to) = UnixStream::pair().expect("a pair");
    let files = [file.as_raw_fd()];
    let parts = [std::io::IoSlice::new(b"f")];
    let message = [ControlMessage::ScmRights(&files)];
    sendmsg::<()>(from.as_raw_fd(), &parts, &message, MsgFlags::empty(), None).expect("sent");
    (from, to)
}

// check: detach-refused-changes-nothing
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_whose_user_shows_only_when_it_is_to_go_stays_as_it_was() {
    if !able() {
        return;
    }
    for read_only in [false, true] {
        let mut plan = Plan::of_bytes(MIB);
        plan.geometry.read_only = read_only;
        let bench = Bench::new(plan);
        let node = bench.attach().await;
        let hidden = open_on_its_way(File::open(&node).expect("opens"));
        assert_eq!(bench.attachments.in_use(UNIT).await, [""; 0], "this test needs a user that does not show");
        let refused = bench.attachments.detach(UNIT, false).await;
        assert_eq!(refused, Err(AttachError::InUse(vec![format!("{} is open", node.display())])));
        assert!(!goes_with_its_last_user(&node));
        drop(hidden);
        // The kernel would take it away with its last user.
        File::open(&node).expect("it is there").read_exact_at(&mut [0; 512], 0).expect("it reads");
        assert_eq!((bench.attachments.device(UNIT), read_ahead(&node)), (Some(node), 2048));
        bench.attachments.detach(UNIT, false).await.expect("detaches");
        bench.assert_nothing_left();
    }
}

// check: detach-refused-changes-nothing
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_disk_does_not_keep_it() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    let node = bench.attach().await;
    let glance = File::open(&node).expect("opens");
    let (ended, _) = tokio::join!(bench.attachments.detach(UNIT, false), async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(glance);
    });
    ended.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_directory_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    if !able() {
        return;
    }
    let mut bench = Bench::of_bytes(8 * MIB);
    let run_dir = bench.directory.path().join(std::ffi::OsStr::from_bytes(b"r\xfcn"));
    bench.attachments = LoopDisks::new(&run_dir);
    let node = bench.attach().await;
    assert_eq!(bench.attachments.device(UNIT).as_deref(), Some(&*node));
    let mounted = bench.mount_new(&node);
    assert!(matches!(bench.attachments.detach(UNIT, false).await, Err(AttachError::InUse(_))));
    run("umount", &[&bench.mount_point()]);
    drop(mounted);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    assert_eq!(bench.attachments.device(UNIT), None);
    assert_eq!(fs::read_dir(run_dir.join("luns")).expect("luns").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_detach_unmounts_first_and_loses_nothing_of_a_healthy_unit() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(32 * MIB);
    let node = bench.attach().await;
    let mounted = bench.mount_new(&node);
    fs::write(bench.mount_point().join("data"), pattern(5, 1_000_000)).expect("writes");
    let said = bench.attachments.detach(UNIT, true).await.expect("detaches");
    assert_eq!(said, [format!("{} is unmounted", bench.mount_point().display())]);
    drop(mounted);
    bench.assert_nothing_left();

    let node = bench.attach().await;
    run("fsck.ext4", &[Path::new("-fn"), &node]);
    let mounted = bench.mount(&node);
    assert!(fs::read(bench.mount_point().join("data")).expect("reads") == pattern(5, 1_000_000));
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_detach_ends_even_if_the_unit_never_answers_and_files_are_open() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(32 * MIB);
    let node = bench.attach().await;
    let mounted = bench.mount_new(&node);
    let open = File::create(bench.mount_point().join("open")).expect("a file");
    bench.disk.hold(true);
    open.write_all_at(&pattern(9, 100_000), 0).expect("into the cache");
    let writer = std::thread::spawn(move || open.sync_all().map_err(|error| error.raw_os_error()));
    assert!(within(Duration::from_secs(5), || bench.disk.waiting() > 0));

    let detached = tokio::time::timeout(Duration::from_secs(30), bench.attachments.detach(UNIT, true)).await;
    let said = detached.expect("in time").expect("detaches");
    assert!(said.iter().any(|what| what.contains(&bench.mount_point().display().to_string())), "{said:?}");
    // The file system gives up in one of two ways.
    let written = writer.join().expect("writer");
    assert!(matches!(written, Err(Some(nix::libc::EIO | nix::libc::EROFS))), "{written:?}");
    assert_eq!(bench.attachments.device(UNIT), None);
    drop(mounted);
    assert!(within(Duration::from_secs(5), || !Path::new("/sys/block")
        .join(node.file_name().expect("name"))
        .join("loop")
        .exists()));
    bench.assert_nothing_left();
    bench.disk.hold(false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discarding_and_zeroing_free_blocks_and_read_as_zero() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(64 * MIB);
    bench.disk.put(0, &pattern(1, 64 * MIB as usize));
    let node = bench.attach().await;
    let frees = |op| matches!(op, Op::WriteZeroes { unmap: true, .. });
    sh(&format!("blkdiscard --offset {MIB} --length {} {}", 20 * MIB, node.display()));
    assert_eq!(bench.disk.count(frees), 5, "20 MiB in operations of 8192 blocks");
    let content = bench.disk.content();
    assert!(content[MIB as usize..21 * MIB as usize].iter().all(|&byte| byte == 0));
    assert!(content[21 * MIB as usize..] == pattern(1, 64 * MIB as usize)[21 * MIB as usize..]);
    sh(&format!("blkdiscard --zeroout --offset {} --length {MIB} {}", 30 * MIB, node.display()));
    assert!(bench.disk.content()[30 * MIB as usize..31 * MIB as usize].iter().all(|&byte| byte == 0));

    run("mkfs.ext4", &[Path::new("-q"), Path::new("-E"), Path::new("nodiscard"), &node]);
    let mounted = bench.mount(&node);
    let before = bench.disk.count(frees);
    run("fstrim", &[&bench.mount_point()]);
    assert!(bench.disk.count(frees) > before, "fstrim reached the unit");
    run("umount", &[&bench.mount_point()]);
    drop(mounted);
    run("fsck.ext4", &[Path::new("-fn"), &node]);
    assert_eq!(bench.disk.count(|op| op == Op::Unmap), 0, "a hole must read as zero");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_of_any_alignment_zero_exactly_their_bytes() {
    if !able() {
        return;
    }
    use nix::fcntl::{FallocateFlags, fallocate};
    let bench = Bench::of_bytes(MIB);
    let mut expected = pattern(1, MIB as usize);
    bench.disk.put(0, &expected);
    bench.attach().await;
    let file = bench.open();
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    for (offset, length) in [(100, 50), (600, 1), (1000, 600), (2048, 512), (5000, 100_000)] {
        fallocate(&file, hole, offset, length).expect("punches");
        expected[offset as usize..(offset + length) as usize].fill(0);
        assert!(bench.disk.content() == expected, "hole of {length} at {offset}");
    }
    let preallocated = fallocate(&file, FallocateFlags::empty(), 0, 4096);
    assert_eq!(preallocated, Err(nix::errno::Errno::EOPNOTSUPP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_cannot_unmap_is_not_zeroed_by_a_discard() {
    if !able() {
        return;
    }
    let mut plan = Plan::of_bytes(32 * MIB);
    plan.geometry.max_unmap_blocks = 0;
    let bench = Bench::new(plan);
    let node = bench.attach().await;
    bench.disk.put(0, &pattern(1, 32 * MIB as usize));
    // The kernel knows by now, or learns by the first try, that there is no discard; blkdiscard may
    // succeed all the same, for a discard promises nothing.
    output("blkdiscard", &[&node]);
    assert!(bench.disk.content() == pattern(1, 32 * MIB as usize));
    assert_eq!(bench.disk.count(|op| matches!(op, Op::WriteZeroes { .. } | Op::Unmap)), 0);
    run("mkfs.ext4", &[Path::new("-q"), &node]);
    run("fsck.ext4", &[Path::new("-fn"), &node]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_unit_is_an_error_of_the_file_and_of_the_disk() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    let node = bench.attach().await;
    bench.disk.break_block(8, IoError::NoSpace);
    let file = bench.open();
    let errno = |result: std::io::Result<()>| result.map_err(|error| error.raw_os_error());
    assert_eq!(errno(file.write_all_at(&[1; 512], 8 * 512)), Err(Some(nix::libc::ENOSPC)));
    assert_eq!(errno(file.write_all_at(&[1; 100], 8 * 512 + 30)), Err(Some(nix::libc::ENOSPC)));
    bench.disk.break_block(8, IoError::Offline);
    assert_eq!(errno(file.read_exact_at(&mut [0; 8192], 0)), Err(Some(nix::libc::EIO)));
    let disk = File::open(&node).expect("opens");
    assert_eq!(errno(disk.read_exact_at(&mut [0; 512], 4096)), Err(Some(nix::libc::EIO)));
    file.write_all_at(&[1; 512], 9 * 512).expect("other blocks work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_writes_in_parallel_through_the_disk_verify() {
    if !able() || !need(&["fio"]) {
        return;
    }
    let bench = Bench::of_bytes(48 * MIB);
    let node = bench.attach().await;
    let job = format!(
        "fio --name=verify --filename={} --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bsrange=512-1m \
         --blockalign=512 --size=48m --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --fsync=64",
        node.display()
    );
    sh(&job);
    assert!(bench.flushes() > 0);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_keeps_many_requests_under_way_at_once() {
    if !able() {
        return;
    }
    use std::os::unix::fs::OpenOptionsExt;
    const AT_ONCE: u64 = 16;
    let bench = Bench::of_bytes(8 * MIB);
    let node = bench.attach().await;
    // The probing of a new disk is over: from here on only this test reads.
    assert!(within(Duration::from_secs(5), || bench.disk.waiting() == 0));
    bench.disk.hold(true);
    let readers: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let disk = File::options().read(true).custom_flags(nix::libc::O_DIRECT).open(&node).expect("opens");
            std::thread::spawn(move || {
                // O_DIRECT wants aligned memory.
                let mut memory = vec![0; 8192];
                let start = memory.as_ptr().align_offset(4096);
                disk.read_exact_at(&mut memory[start..start + 4096], number * 65_536)
            })
        })
        .collect();
    let all = within(Duration::from_secs(10), || bench.disk.waiting() >= AT_ONCE);
    let waiting = bench.disk.waiting();
    bench.disk.hold(false);
    assert!(all, "only {waiting} of {AT_ONCE} reads reached the unit together");
    readers.into_iter().for_each(|reader| reader.join().expect("reader").expect("reads"));
}

/// In KiB, as the kernel shows it.
fn read_ahead(node: &Path) -> u32 {
    let name = node.file_name().expect("a node").to_str().expect("text");
    let text = fs::read_to_string(format!("/sys/block/{name}/queue/read_ahead_kb")).expect("a setting");
    text.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_read_ahead_for_a_network_and_the_loop_device_does_not_keep_that() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(8 * MIB);
    let node = bench.attach().await;
    assert_eq!(read_ahead(&node), 2048);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    assert_eq!(read_ahead(&node), 128);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_a_disk_in_order_has_reads_under_way_that_nobody_waits_for_yet() {
    if !able() {
        return;
    }
    const STEP: usize = 64 << 10;
    let bench = Bench::of_bytes(64 * MIB);
    let node = bench.attach().await;
    assert!(within(Duration::from_secs(5), || bench.disk.waiting() == 0));
    // What is asked from here on is asked for this test.
    let before = bench.disk.asked().len();
    let disk = File::open(&node).expect("opens");
    let mut memory = vec![0; STEP];
    for step in 0..64 {
        disk.read_exact_at(&mut memory, step * STEP as u64).expect("reads");
    }
    let end = 64 * STEP as u64;
    let ahead =
        || bench.disk.asked().iter().skip(before).map(|(_, lba, blocks)| (lba + u64::from(*blocks)) * 512).max();
    assert!(within(Duration::from_secs(5), || ahead() >= Some(end + MIB)), "{end} read, asked for {:?}", ahead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_pool_slows_requests_down_and_loses_none() {
    if !able() {
        return;
    }
    let mut plan = Plan::of_bytes(32 * MIB);
    plan.pool = MIB as usize;
    let bench = Bench::new(plan);
    let node = bench.attach().await;
    let data = pattern(11, 24 * MIB as usize);
    let disk = OpenOptions::new().read(true).write(true).open(&node).expect("opens");
    disk.write_all_at(&data, 0).expect("writes");
    disk.sync_all().expect("syncs");
    assert!(bench.disk.content()[..data.len()] == data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_is_dropped_leaves_no_mount() {
    if !able() {
        return;
    }
    let mut bench = Bench::of_bytes(MIB);
    bench.attach().await;
    bench.attachments = LoopDisks::new(&bench.directory.path().join("run"));
    let directory = bench.directory.path().to_str().expect("text").to_owned();
    assert!(within(Duration::from_secs(10), || {
        let mounts = mountinfo();
        !mounts.contains(&directory) && loops_below(Path::new(&directory)).is_empty()
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attaching_twice_gives_the_same_disk() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    let node = bench.attach().await;
    assert_eq!(bench.attach().await, node);
    assert_eq!(loops_below(bench.directory.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_device_that_somebody_else_took_away_is_not_ours_and_is_made_anew() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(MIB);
    let node = bench.attach().await;
    run("losetup", &[Path::new("--detach"), &node]);
    assert!(within(Duration::from_secs(10), || bench.attachments.device(UNIT).is_none()));
    assert_eq!(bench.attachments.in_use(UNIT).await, Vec::<String>::new());
    let node = bench.attach().await;
    assert_eq!(bench.attachments.device(UNIT), Some(node));
    assert_eq!(loops_below(bench.directory.path()).len(), 1);
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_with_blocks_above_a_page_is_refused_with_the_reason() {
    if !able() {
        return;
    }
    let mut plan = Plan::of_bytes(MIB);
    plan.geometry.block_size = 65_536;
    plan.geometry.blocks /= 128;
    let bench = Bench::new(plan);
    match bench.attachments.attach(UNIT, bench.disk.clone()).await {
        Err(AttachError::Unsupported(why)) => assert!(why.contains("65536"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// Kills a process however the test ends.
struct Killed(Child);

impl Killed {
    /// A process that has attached the unit of the bench, and its device.
    fn attached(bench: &Bench) -> (Killed, PathBuf) {
        let mut victim = Killed(
            Command::new(std::env::current_exe().expect("this program"))
                .args(["--ignored", "--exact", "victim", "--nocapture"])
                .env(VICTIM_DIRECTORY, bench.directory.path().join("run"))
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts"),
        );
        let mut lines = BufReader::new(victim.0.stdout.take().expect("stdout")).lines();
        let node = lines.find_map(|line| line.expect("text").strip_prefix("attached ").map(PathBuf::from));
        (victim, node.expect("attaches"))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const VICTIM_DIRECTORY: &str = "ISCSID_TEST_VICTIM_DIRECTORY";

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "started by Killed::attached"]
fn victim() {
    let Some(directory) = std::env::var_os(VICTIM_DIRECTORY) else {
        return eprintln!("nothing to do without {VICTIM_DIRECTORY}");
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let attachments = LoopDisks::new(Path::new(&directory));
        let disk = RamDisk::start(Plan::of_bytes(32 * MIB));
        let node = attachments.attach(UNIT, disk).await.expect("attaches");
        println!("\nattached {}", node.display());
        std::future::pending::<()>().await;
    });
}

/// What writing to a file of a dead disk comes to, at the latest when it is to be on stable storage.
fn written(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(b"late")?;
    file.sync_all()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_s_disks_that_nobody_uses_are_cleaned() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(32 * MIB);
    let (victim, node) = Killed::attached(&bench);
    assert_eq!(bench.attachments.clean_stale().await.map_err(|error| error.to_string().contains("another")), Err(true));
    assert!(fs::metadata(bench.file()).is_ok(), "a served mount was left alone");

    drop(victim);
    let error = fs::metadata(bench.file()).expect_err("nobody serves it");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTCONN));
    let cleaned = bench.attachments.clean_stale().await.expect("cleans");
    let expected = [node.clone(), bench.file().parent().expect("directory").to_owned()];
    assert_eq!(cleaned.len(), 2, "{cleaned:?}");
    for (line, path) in cleaned.iter().zip(expected) {
        assert!(line.contains(path.to_str().expect("text")), "{line}");
    }
    assert_eq!(bench.attachments.lost().await, []);
    assert!(within(Duration::from_secs(5), || loops_below(bench.directory.path()).is_empty()));
    bench.assert_nothing_left();

    assert_eq!(bench.attachments.clean_stale().await, Ok(vec![]));
    bench.attach().await;
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_s_disk_that_is_mounted_stays_mounted_and_fails_until_it_is_unmounted() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(32 * MIB);
    let (victim, node) = Killed::attached(&bench);
    let mounted = bench.mount_new(&node);
    drop(victim);

    assert_eq!(bench.attachments.clean_stale().await, Ok(vec![]), "nothing is taken from under its users");
    let uses = vec![format!("mounted on {}", bench.mount_point().display())];
    let lost = Lost { unit: UNIT.into(), device: node.clone(), uses };
    assert_eq!(bench.attachments.lost().await, std::slice::from_ref(&lost));
    assert!(written(&bench.mount_point().join("late")).is_err(), "it fails, and does not land elsewhere");

    // The unit can be a disk again at once.
    let next = bench.attach().await;
    assert_ne!(next, node);
    assert_eq!(bench.attachments.device(UNIT), Some(next.clone()));
    assert_eq!(bench.attachments.lost().await, [lost]);
    assert_eq!(bench.attach().await, next);

    assert_eq!(bench.attachments.tidy().await, Ok(vec![]), "it is in use");
    drop(mounted);
    assert!(fs::read_dir(bench.mount_point()).expect("the directory").next().is_none(), "nothing has landed here");
    assert!(within(Duration::from_secs(5), || loops_below(bench.directory.path()).len() == 1));
    assert_eq!(bench.attachments.lost().await, []);
    let first = bench.file().parent().expect("a directory").to_owned();
    assert_eq!(bench.attachments.tidy().await, Ok(vec![format!("unmounted {}", first.display())]));
    assert!(!first.exists() && bench.attachments.device(UNIT) == Some(next), "the new one stays");
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.attach().await;
    bench.attachments.detach(UNIT, false).await.expect("detaches");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_in_use_whose_process_ends_in_good_order_is_lost_and_not_cleared_away() {
    if !able() {
        return;
    }
    let bench = Bench::of_bytes(32 * MIB);
    let node = bench.attach().await;
    let mounted = bench.mount_new(&node);
    // As the end of the daemon does it. Here the mount goes on being served, for this process goes on.
    let Bench { disk: _disk, attachments, directory } = bench;
    drop(attachments);
    let table = mountinfo();
    let point = directory.path().join("run/luns/iqn.2026-11.test.example:attach,0");
    assert!(table.contains(point.to_str().expect("text")), "the next process has to find what it was");
    drop(mounted);
    assert!(
        within(Duration::from_secs(5), || loops_below(directory.path()).is_empty()),
        "it lets go with its last user"
    );
    run("umount", &[&point]);
}
