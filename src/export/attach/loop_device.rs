//! A loop device on a unit's file, by `losetup`: the ioctls would need `unsafe`, and util-linux is on
//! every Linux.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::AttachError;

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

/// Puts a loop device on `file` and returns its node. Partitions on it get nodes of their own.
pub(super) async fn set_up(file: &Path, block_size: u32, read_only: bool) -> Result<PathBuf, AttachError> {
    let mut command = Command::new("losetup");
    command.args(["--find", "--show", "--partscan", "--sector-size", &block_size.to_string()]);
    // Direct I/O is asynchronous: a loop device without it has one request under way at a time.
    command.arg("--direct-io=on");
    if read_only {
        command.arg("--read-only");
    }
    command.arg(file);
    let output = run(command).await?;
    let node = PathBuf::from(output.trim());
    if node.parent() != Some(Path::new("/dev")) {
        return Err(AttachError::Failed(format!("losetup answered \"{}\" instead of a device", output.trim())));
    }
    if let Err(error) = run(read_ahead(&node, READ_AHEAD)).await {
        tracing::debug!("{} keeps the kernel's read-ahead: {error}", node.display());
    }
    Ok(node)
}

/// The command that takes our read-ahead off a loop device: it would stay for the device's next user.
pub(super) fn forget_read_ahead(node: &Path) -> Command {
    read_ahead(node, KERNEL_READ_AHEAD)
}

/// By the ioctl: a write to `read_ahead_kb` waits, on some kernels, for all I/O that is under way.
fn read_ahead(node: &Path, sectors: u32) -> Command {
    let mut command = Command::new("blockdev");
    command.arg("--setra").arg(sectors.to_string()).arg(node);
    command
}

/// Makes the loop device as large as its file is now: `bytes`.
pub(super) async fn fit(node: &Path, file: &Path, bytes: u64) -> Result<(), AttachError> {
    const SECTOR: u64 = 512;
    let Some(name) = node.file_name() else { return Ok(()) };
    let size = fs::read_to_string(Path::new("/sys/block").join(name).join("size"));
    if size.is_ok_and(|size| size.trim().parse() == Ok(bytes / SECTOR)) {
        return Ok(());
    }
    // The kernel takes the size that it was told last: it has to ask.
    let file = file.to_owned();
    match tokio::task::spawn_blocking(move || fs::metadata(file)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(AttachError::Failed(format!("{} has no size: {error}", node.display()))),
        Err(error) => return Err(AttachError::Failed(format!("it ended abnormally: {error}"))),
    }
    let mut command = Command::new("losetup");
    command.arg("--set-capacity").arg(node);
    run(command).await.map(drop)
}

/// Tells the loop device to let go of its file, at the latest when its last user does.
pub(super) async fn detach(node: &Path) -> Result<(), AttachError> {
    if let Err(error) = run(forget_read_ahead(node)).await {
        tracing::debug!("{} keeps our read-ahead: {error}", node.display());
    }
    run(let_go(node)).await.map(drop)
}

/// What tells it so.
pub(super) fn let_go(node: &Path) -> Command {
    let mut command = Command::new("losetup");
    command.arg("--detach").arg(node);
    command
}

/// Whether the loop device lets go of its file by itself, when its last user does.
pub(super) fn lets_go(node: &Path) -> bool {
    let attribute = node.file_name().map(|name| Path::new("/sys/block").join(name).join("loop/autoclear"));
    attribute.and_then(|path| fs::read_to_string(path).ok()).is_some_and(|text| text.trim() == "1")
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
    let text = fs::read_to_string(directory.join("loop/backing_file")).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

/// Runs a command, and returns what it prints.
pub(super) async fn run(mut command: Command) -> Result<String, AttachError> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |why: String| Err(AttachError::Failed(why));
    match tokio::time::timeout(COMMAND_LIMIT, command.output()).await {
        Err(_) => failed(format!("{name} did not end within {} seconds", COMMAND_LIMIT.as_secs())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            failed(format!("{name} is not there: install util-linux"))
        }
        Ok(Err(error)) => failed(format!("{name} could not be run: {error}")),
        Ok(Ok(output)) if !output.status.success() => {
            let message = String::from_utf8_lossy(&output.stderr);
            failed(format!("{name} failed: {}", message.trim()))
        }
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
    }
}
