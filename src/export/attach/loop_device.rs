//! A loop device on a unit's file, by `losetup`: the ioctls would need `unsafe`, and util-linux is on
//! every Linux.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AttachError;
use super::program::Program;
use super::runner::Runner;

/// How long a command may take. It waits for the unit (for its size, its partitions), and a unit
/// whose connection is being replaced makes it wait.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// The kernel does not report when a loop device lets go of its file: it is checked this often.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// How far the kernel reads ahead of sequential reads of a loop device by default, in sectors.
const KERNEL_READ_AHEAD: u32 = 256;

/// How far it does on ours: 2 MiB, more than a network of 10 Gb/s has under way at a round trip of a
/// millisecond. With the kernel's own, a program that reads 64 KiB at a time waits a round trip for each 128 KiB.
const READ_AHEAD: u32 = 4096;

/// How often a loop device that the kernel has no time for is asked for, and how long until the second time; each
/// further wait is twice as long. udev, which looks into every new device, is done with it by then.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Puts a loop device on `file` and returns its node. Partitions on it get nodes of their own.
pub(super) async fn set_up(
    tools: &dyn Runner,
    file: &Path,
    block_size: u32,
    read_only: bool,
) -> Result<PathBuf, AttachError> {
    // Direct I/O is asynchronous: a loop device without it has one request under way at a time.
    let node = match try_to_set_up(tools, file, block_size, read_only, true).await {
        Ok(node) => node,
        Err(Refused::Otherwise(error)) => return Err(error),
        Err(Refused::ForNow(why) | Refused::DirectIo(why)) => {
            tracing::warn!("{}: a disk without direct I/O, which is slower: {why}", file.display());
            try_to_set_up(tools, file, block_size, read_only, false).await.map_err(Refused::into_error)?
        }
    };
    if let Err(error) = run(tools, Program::Blockdev, read_ahead(&node, READ_AHEAD)).await {
        tracing::debug!("{} keeps the kernel's read-ahead: {error}", node.display());
    }
    Ok(node)
}

/// Why there is no loop device.
enum Refused {
    /// The kernel had no time for it, as often as it was asked.
    ForNow(String),
    /// There is no direct I/O on that file.
    DirectIo(String),
    /// Another attempt would end as this one.
    Otherwise(AttachError),
}

impl Refused {
    fn into_error(self) -> AttachError {
        match self {
            Refused::ForNow(why) | Refused::DirectIo(why) => AttachError::Failed(format!("losetup failed: {why}")),
            Refused::Otherwise(error) => error,
        }
    }
}

async fn try_to_set_up(
    tools: &dyn Runner,
    file: &Path,
    block_size: u32,
    read_only: bool,
    direct_io: bool,
) -> Result<PathBuf, Refused> {
    let size = block_size.to_string();
    let mut words = vec!["--find", "--show", "--partscan", "--sector-size", &size];
    if direct_io {
        words.push("--direct-io=on");
    }
    if read_only {
        words.push("--read-only");
    }
    let words = line(&words, file);
    let mut wait = FIRST_WAIT;
    let mut tries = TRIES;
    loop {
        let outcome = tools.run(Program::Losetup, words.clone(), COMMAND_LIMIT).await.map_err(Refused::Otherwise)?;
        if outcome.ok() {
            return node(&outcome.stdout).map_err(Refused::Otherwise);
        }
        // It may have failed after the device was set up.
        undo(tools, file).await;
        let why = outcome.reason();
        tries -= 1;
        if is_busy(&why) && tries > 0 {
            tracing::debug!("losetup is asked again in {} ms: {why}", wait.as_millis());
            sleep(wait).await;
            wait *= 2;
            continue;
        }
        return Err(if is_busy(&why) {
            Refused::ForNow(why)
        } else if direct_io && why.contains("direct") {
            Refused::DirectIo(why)
        } else {
            Refused::Otherwise(AttachError::Failed(format!("losetup failed: {why}")))
        });
    }
}

/// Words and the file they are about, as arguments. A file's name need not be text.
fn line(words: &[&str], file: &Path) -> Vec<OsString> {
    words.iter().map(OsString::from).chain([file.into()]).collect()
}

/// EAGAIN and EBUSY, in the words of the C library.
fn is_busy(why: &str) -> bool {
    ["Resource temporarily unavailable", "Device or resource busy"].iter().any(|words| why.contains(words))
}

/// The device that losetup answers.
fn node(answer: &[u8]) -> Result<PathBuf, AttachError> {
    let answer = String::from_utf8_lossy(answer);
    let node = PathBuf::from(answer.trim());
    match node.parent() == Some(Path::new("/dev")) {
        true => Ok(node),
        false => Err(AttachError::Failed(format!("losetup answered \"{}\" instead of a device", answer.trim()))),
    }
}

/// Takes away every loop device on `file`.
pub(super) async fn undo(tools: &dyn Runner, file: &Path) {
    match list() {
        Ok(devices) => {
            for (node, _) in devices.into_iter().filter(|(_, backing)| backing == file) {
                if let Err(error) = detach(tools, &node).await {
                    tracing::warn!("{}: {error}", node.display());
                }
            }
        }
        Err(error) => tracing::warn!("loop devices on {} are not known: {error}", file.display()),
    }
}

/// The command that takes our read-ahead off a loop device: it would stay for the device's next user.
pub(super) fn forget_read_ahead(node: &Path) -> (Program, Vec<OsString>) {
    (Program::Blockdev, read_ahead(node, KERNEL_READ_AHEAD))
}

/// By the ioctl: a write to `read_ahead_kb` waits, on some kernels, for all I/O that is under way.
fn read_ahead(node: &Path, sectors: u32) -> Vec<OsString> {
    line(&["--setra", &sectors.to_string()], node)
}

/// Makes the loop device as large as its file is now: `bytes`.
pub(super) async fn fit(tools: &dyn Runner, node: &Path, file: &Path, bytes: u64) -> Result<(), AttachError> {
    const SECTOR: u64 = 512;
    if attribute(node, "size").is_some_and(|size| size.parse() == Ok(bytes / SECTOR)) {
        return Ok(());
    }
    // The kernel takes the size that it was told last: it has to ask.
    let file = file.to_owned();
    match tokio::task::spawn_blocking(move || fs::metadata(file)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(AttachError::Failed(format!("{} has no size: {error}", node.display()))),
        Err(error) => return Err(AttachError::Failed(format!("it ended abnormally: {error}"))),
    }
    run(tools, Program::Losetup, line(&["--set-capacity"], node)).await
}

/// Tells the loop device to let go of its file, at the latest when its last user does.
pub(super) async fn detach(tools: &dyn Runner, node: &Path) -> Result<(), AttachError> {
    let (program, words) = forget_read_ahead(node);
    if let Err(error) = run(tools, program, words).await {
        tracing::debug!("{} keeps our read-ahead: {error}", node.display());
    }
    let (program, words) = let_go(node);
    run(tools, program, words).await
}

/// What tells it so.
pub(super) fn let_go(node: &Path) -> (Program, Vec<OsString>) {
    (Program::Losetup, line(&["--detach"], node))
}

/// Takes back what [`detach`] has told a loop device that somebody had open by then: it stays on `file`, also when that one
/// lets go. Whether it is still there.
///
/// losetup that is to find a device for a file that has one gives out that one, and clears its mark (`LO_FLAGS_AUTOCLEAR`)
/// for that. There is no other command that does.
///
/// # Errors
/// If the mark stays.
pub(super) async fn keep(tools: &dyn Runner, node: &Path, file: &Path) -> Result<bool, AttachError> {
    if !backs(node, file) {
        return Ok(false);
    }
    let mut words = vec!["--find", "--show", "--nooverlap"];
    if attribute(node, "ro").is_some_and(|text| text == "1") {
        words.push("--read-only");
    }
    let outcome = tools.run(Program::Losetup, line(&words, file), COMMAND_LIMIT).await?;
    if outcome.ok() && self::node(&outcome.stdout)? != node {
        // This is another one.
        undo(tools, file).await;
    }
    if !backs(node, file) {
        return Ok(false);
    }
    if lets_go(node) {
        return Err(AttachError::Failed(format!("losetup does not take that back: {}", outcome.reason())));
    }
    if let Err(error) = run(tools, Program::Blockdev, read_ahead(node, READ_AHEAD)).await {
        tracing::debug!("{} keeps the kernel's read-ahead: {error}", node.display());
    }
    Ok(true)
}

/// Whether the loop device lets go of its file by itself, when its last user does.
pub(super) fn lets_go(node: &Path) -> bool {
    attribute(node, "loop/autoclear").is_some_and(|text| text == "1")
}

/// What the kernel says of a device.
fn attribute(node: &Path, name: &str) -> Option<String> {
    let path = Path::new("/sys/block").join(node.file_name()?).join(name);
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Waits until the loop device has let go of `file`, for at most `limit`, and says whether it did.
pub(super) async fn released(node: &Path, file: &Path, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while backs(node, file) {
        if Instant::now() >= end {
            return false;
        }
        sleep(RELEASE_POLL).await;
    }
    true
}

/// Whether the loop device is on `file`.
pub(super) fn backs(node: &Path, file: &Path) -> bool {
    node.file_name()
        .and_then(|name| backing_file(&Path::new("/sys/block").join(name)))
        .is_some_and(|backing| backing == file)
}

/// All loop devices with the files they are on.
pub(super) fn list() -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        if let Some(file) = backing_file(&entry.path()) {
            devices.push((Path::new("/dev").join(entry.file_name()), file));
        }
    }
    Ok(devices)
}

/// The attribute is there only while the device has a file.
fn backing_file(directory: &Path) -> Option<PathBuf> {
    let mut name = fs::read(directory.join("loop/backing_file")).ok()?;
    if name.ends_with(b"\n") {
        name.pop();
    }
    Some(PathBuf::from(OsString::from_vec(name)))
}

/// Runs a program that has to succeed.
pub(super) async fn run(tools: &dyn Runner, program: Program, words: Vec<OsString>) -> Result<(), AttachError> {
    let outcome = tools.run(program, words, COMMAND_LIMIT).await?;
    let name = Path::new(program.path()).file_name().unwrap_or_default().display();
    match outcome.ok() {
        true => Ok(()),
        false => Err(AttachError::Failed(format!("{name} failed: {}", outcome.reason()))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::export::attach::runner::{Outcome, Running};

    /// losetup's answers in turn, and what it was asked.
    #[derive(Default)]
    struct Script {
        answers: Mutex<VecDeque<(i32, &'static str)>>,
        asked: Mutex<Vec<(Instant, String)>>,
    }

    impl Runner for Script {
        fn run(&self, program: Program, arguments: Vec<OsString>, _: Duration) -> Running<'_> {
            let words = arguments.iter().map(|word| word.to_str().expect("text").to_owned());
            let called = [program.path().to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
            let (code, said) = match program {
                Program::Losetup => {
                    let next = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    next.unwrap_or_else(|| panic!("nobody expects {called}"))
                }
                _ => (0, ""),
            };
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), called));
            let (stdout, stderr) = if code == 0 { (said, "") } else { ("", said) };
            let outcome = Outcome { code, stdout: stdout.as_bytes().to_vec(), stderr: stderr.to_owned() };
            Box::pin(async move { Ok(outcome) })
        }

        fn has(&self, _: Program) -> bool {
            true
        }

        fn is_root(&self) -> bool {
            true
        }
    }

    const AGAIN: (i32, &str) =
        (1, "losetup: /nowhere/disk: failed to set up loop device: Resource temporarily unavailable");
    const BUSY: (i32, &str) = (1, "losetup: /nowhere/disk: failed to set up loop device: Device or resource busy");
    const THERE: (i32, &str) = (0, "/dev/loop7\n");

    /// What comes of these answers, whether each losetup was asked for direct I/O, and how long it took.
    async fn answered(answers: &[(i32, &'static str)]) -> (Result<PathBuf, AttachError>, Vec<bool>, Duration) {
        let script = Script::default();
        script.answers.lock().expect("no panic").extend(answers);
        let begun = Instant::now();
        let result = set_up(&script, Path::new("/nowhere/disk"), 4096, false).await;
        assert_eq!(script.answers.lock().expect("no panic").len(), 0, "losetup was not asked again");
        let asked = script.asked.lock().expect("no panic");
        let direct =
            asked.iter().filter(|(_, call)| call.contains("losetup")).map(|(_, call)| call.contains("direct-io"));
        (result, direct.collect(), begun.elapsed())
    }

    // check: losetup-busy
    #[tokio::test(start_paused = true)]
    async fn a_kernel_that_has_no_time_is_asked_again() {
        let (node, direct, took) = answered(&[AGAIN, BUSY, THERE]).await;
        assert_eq!(node, Ok(PathBuf::from("/dev/loop7")));
        assert_eq!(direct, [true; 3]);
        assert!(took >= 3 * FIRST_WAIT && took < Duration::from_secs(1), "{took:?}");
    }

    // check: losetup-busy
    #[tokio::test(start_paused = true)]
    async fn then_it_goes_without_direct_io_and_then_not_at_all() {
        let often = vec![BUSY; TRIES as usize];
        let (node, direct, _) = answered(&[&often[..], &[AGAIN, THERE]].concat()).await;
        assert_eq!(node, Ok(PathBuf::from("/dev/loop7")));
        assert_eq!(direct, [[true; TRIES as usize].as_slice(), &[false; 2]].concat());

        let (refused, _, took) = answered(&[&often[..], &often].concat()).await;
        assert!(matches!(&refused, Err(AttachError::Failed(why)) if why.contains("resource busy")), "{refused:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_direct_io_becomes_a_disk_all_the_same_and_other_refusals_are_final() {
        let no_direct = (1, "losetup: /nowhere/disk: set direct io failed: Invalid argument");
        let (node, direct, _) = answered(&[no_direct, THERE]).await;
        assert_eq!((node, direct), (Ok(PathBuf::from("/dev/loop7")), vec![true, false]));
        let (refused, direct, _) = answered(&[(1, "losetup: cannot find an unused loop device")]).await;
        assert_eq!(direct, [true]);
        assert!(matches!(&refused, Err(AttachError::Failed(why)) if why.contains("unused")), "{refused:?}");
        let (refused, ..) = answered(&[(0, "rm -rf /")]).await;
        assert!(
            matches!(&refused, Err(AttachError::Failed(why)) if why.contains("instead of a device")),
            "{refused:?}"
        );
    }
}
