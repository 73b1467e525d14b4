//! Attaching on Linux: a file by FUSE, a loop device on it.
//!
//! ```text
//!   attach   mount <runtime-dir>/luns/<unit> ─► losetup --find <…>/disk ─► /dev/loopN
//!   detach   in use? ─► losetup --detach ─► wait until it is released ─► unmount
//!                                                  └─ it is not ─► taken back: it stays as it was
//!   forced   unmount what is on it ─► losetup --detach ─► if it still is not released: end all I/O
//!            with errors ─► unmount lazily
//! ```
//! What a process that is gone has left is cleared away, unless somebody uses it: a file system on such a disk stays mounted
//! and fails, because what is written to its mount point afterwards would land on the disk below. The unit's next disk then has
//! a directory beside the lost one, `<unit>+2`.
//!
//! Attaching and detaching go on to their end when the caller stops waiting, so that neither a mount
//! nor a loop device is left behind that nobody knows of.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::mounts::{Disk, mounts};
use super::program::Program;
use super::runner::Linux;
use super::unmount::{unmount, unmount_lazily, write_back};
use super::{AttachError, Lost, Way, loop_device};
use crate::block::{Block, UnitName};
use crate::export::fuse::Mounted;
use crate::export::name::{FILE_NAME, file_name, unit_of};

/// How long a loop device may take to let go of its file when nobody uses it.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// How long a forced detach waits for each thing that it would rather do gently.
const FORCED_LIMIT: Duration = Duration::from_secs(5);

/// How long a target may take to get what was written to a disk that ends with the daemon.
const WRITE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// How long a file that was just released may still count as open.
const BUSY_LIMIT: Duration = Duration::from_secs(2);

/// How long it may take to see who uses a disk.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// How long a program that only looks at a disk may have it open: many do, after each change of it.
const GLANCE: Duration = Duration::from_millis(500);

/// Neither the kernel nor `/proc` reports that a program lets go of a disk: it is looked at this often.
const GLANCE_POLL: Duration = Duration::from_millis(20);

/// How long a mount may take to show whether someone serves it.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// How many directories a unit may have below `luns/`, all but one with a disk of it that is lost.
const DIRECTORIES: u32 = 16;

/// What is between a directory's name and its number. No unit's name has it.
const NUMBERED: char = '+';

/// The largest logical block that every loop device takes: a page.
const LARGEST_BLOCK: u32 = 4096;

/// The units that are attached as disks. When dropped, what is unused is detached.
#[derive(Debug)]
pub struct LoopDisks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    luns: PathBuf,
    units: Mutex<BTreeMap<UnitName, Arc<Unit>>>,
}

/// A unit that is, was or is being attached.
#[derive(Debug, Default)]
struct Unit {
    /// Held for as long as an attach or detach takes.
    attached: tokio::sync::Mutex<Option<Attached>>,
    /// The same, for those who only look.
    shown: Mutex<Option<Shown>>,
}

/// A loop device and the file that makes it ours.
#[derive(Debug)]
struct Shown {
    node: PathBuf,
    file: PathBuf,
    /// Its unit was gone for a while, so that it fails for ever, and somebody uses it.
    fails: bool,
}

struct Attached {
    node: PathBuf,
    mounted: Mounted,
    /// What it was made of.
    block: Arc<dyn Block>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("node", &self.node).field("mounted", &self.mounted).finish_non_exhaustive()
    }
}

impl LoopDisks {
    /// Attaches below `runtime_dir`, in `luns/`; touches nothing yet.
    pub fn new(runtime_dir: &Path) -> LoopDisks {
        LoopDisks { inner: Arc::new(Inner { luns: runtime_dir.join("luns"), units: Mutex::default() }) }
    }

    /// Detaches every unit, side by side, and returns those that could not be, with the reason.
    pub async fn detach_all(&self, force: bool) -> Vec<(String, AttachError)> {
        let units: Vec<UnitName> = self.inner.lock().keys().cloned().collect();
        let mut tasks = JoinSet::new();
        for unit in units {
            let inner = self.inner.clone();
            tasks.spawn(async move {
                let result = inner.detach(&unit, force).await;
                (unit, result)
            });
        }
        let mut failed = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((_, Ok(_) | Err(AttachError::NotAttached))) => {}
                Ok((unit, Err(error))) => failed.push((unit, error)),
                Err(error) => tracing::error!("a detach ended abnormally: {error}"),
            }
        }
        failed
    }
}

impl Way for LoopDisks {
    /// Removes the mounts and loop devices that a process that is gone left in this runtime
    /// directory, and says for each what was done. Whatever is still served or used is left alone.
    ///
    /// # Errors
    /// If the mount table cannot be read or something cannot be removed; the rest is removed anyway.
    async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let inner = self.inner.clone();
        to_the_end(async move { inner.clean_stale().await }).await
    }

    /// Makes `unit` a disk and returns its device node. One that is attached already stays, and gets
    /// the unit's size if that has changed.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] without root, [`AttachError::Unsupported`] for a unit that a loop
    /// device cannot show; nothing is left behind.
    async fn attach(&self, unit: &str, block: Arc<dyn Block>) -> Result<PathBuf, AttachError> {
        let (inner, unit) = (self.inner.clone(), unit.to_owned());
        to_the_end(async move { inner.attach(unit, block).await }).await
    }

    /// Takes the disk away. With `force` file systems on it are unmounted, lazily where they are
    /// busy, swap space on it is switched off, and I/O that does not end gets errors.
    ///
    /// # Errors
    /// [`AttachError::InUse`] without `force`, if something uses the disk; it stays attached.
    /// [`AttachError::NotAttached`] if it is not.
    async fn detach(&self, unit: &str, force: bool) -> Result<Vec<String>, AttachError> {
        let (inner, unit) = (self.inner.clone(), unit.to_owned());
        to_the_end(async move { inner.detach(&unit, force).await }).await
    }

    /// The unit's device node, if it is attached. A loop device that somebody else took from its file
    /// is not: the next unit may have it.
    fn device(&self, unit: &str) -> Option<PathBuf> {
        let unit = self.inner.unit(unit)?;
        let shown = unit.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().filter(|shown| loop_device::backs(&shown.node, &shown.file)).map(|shown| shown.node.clone())
    }

    fn attached(&self) -> Vec<(UnitName, PathBuf)> {
        let units: Vec<UnitName> = self.inner.lock().keys().cloned().collect();
        units.into_iter().filter_map(|unit| Some((unit.clone(), self.device(&unit)?))).collect()
    }

    async fn tidy(&self) -> Result<Vec<String>, AttachError> {
        self.clean_stale().await
    }

    /// Has everything that was written to the unit's disk sent to the unit and flushed there, for a
    /// while. Nothing to do where it is not attached.
    ///
    /// # Errors
    /// [`AttachError::Failed`] if something could not be written, or not in time.
    async fn write_back(&self, unit: &str) -> Result<(), AttachError> {
        let Some(node) = self.device(unit) else { return Ok(()) };
        let work = blocking(move || {
            for point in Disk::at(&node).mount_points()? {
                write_back(&point)?;
            }
            fs::File::open(&node)?.sync_all()
        });
        timeout(WRITE_BACK_LIMIT, work).await.unwrap_or_else(|_| {
            let limit = WRITE_BACK_LIMIT.as_secs();
            Err(AttachError::Failed(format!("the target did not take everything within {limit} seconds")))
        })
    }

    /// What uses the unit's disk, such as `mounted on /mnt`; nothing if it is not attached.
    async fn in_use(&self, unit: &str) -> Vec<String> {
        let Some(node) = self.device(unit) else { return Vec::new() };
        uses(node).await.unwrap_or_else(|error| vec![error.to_string()])
    }

    /// Whether the disk waits for the next daemon when this one ends, instead of failing.
    fn outlive_the_daemon(&self) -> bool {
        false
    }

    /// What a process that is gone has left in this runtime directory, and somebody still uses.
    async fn lost(&self) -> Vec<Lost> {
        let inner = self.inner.clone();
        let looked = blocking(move || {
            let mut lost = lost_below(&inner.luns, &inner.served())?;
            lost.extend(inner.failing()?);
            Ok(lost)
        })
        .await;
        looked.unwrap_or_else(|error| {
            tracing::warn!("whether a disk is lost cannot be said: {error}");
            Vec::new()
        })
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<UnitName, Arc<Unit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit(&self, name: &str) -> Option<Arc<Unit>> {
        self.lock().get(name).cloned()
    }

    async fn attach(self: Arc<Inner>, name: UnitName, block: Arc<dyn Block>) -> Result<PathBuf, AttachError> {
        if !nix::unistd::geteuid().is_root() {
            let why = "attaching a unit as a disk needs root, for mount and losetup";
            return Err(AttachError::NotPermitted(why.to_owned()));
        }
        let geometry = block.geometry();
        if geometry.block_size > LARGEST_BLOCK {
            let why = format!(
                "{name} has logical blocks of {} bytes, and a loop device has none above {LARGEST_BLOCK}",
                geometry.block_size
            );
            return Err(AttachError::Unsupported(why));
        }
        if geometry.bytes() == 0 {
            return Err(AttachError::Unsupported(format!("{name} has no blocks")));
        }
        let directory = directory_name(&name)?;
        let unit = self.lock().entry(name).or_default().clone();
        let mut attached = unit.attached.lock().await;
        if let Some(present) = attached.take_if(|present| !loop_device::backs(&present.node, &present.mounted.file())) {
            *unit.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
            end_mount(present.mounted, false).await?;
        }
        if let Some(present) = &*attached
            && !std::ptr::addr_eq(Arc::as_ptr(&present.block), Arc::as_ptr(&block))
        {
            // The unit was gone, and is another for us now: what is left of the first one fails for ever.
            let node = present.node.clone();
            if let Err(error) = take_away(&unit, &mut attached, false).await {
                if let Some(shown) = &mut *unit.shown.lock().unwrap_or_else(PoisonError::into_inner) {
                    shown.fails = true;
                }
                return Err(AttachError::Failed(format!(
                    "its disk {} has failed since the unit was gone for a while, and is in the way of another: {error}",
                    node.display()
                )));
            }
        }
        if let Some(Attached { node, mounted, .. }) = &*attached {
            loop_device::fit(&Linux, node, &mounted.file(), geometry.bytes()).await?;
            return Ok(node.clone());
        }

        let point = self.free_point(&directory).await?;
        let (runtime, behind) = (Handle::current(), block.clone());
        let mounted = blocking(move || {
            make_directory(&point)?;
            // The kernel names files by their real path.
            let point = point.canonicalize()?;
            Mounted::mount(behind, &point, &runtime).map_err(|error| {
                io::Error::new(error.kind(), format!("{} cannot be mounted: {error}", point.display()))
            })
        })
        .await?;
        let file = mounted.file();
        match loop_device::set_up(&Linux, &file, geometry.block_size, geometry.read_only).await {
            Ok(node) => {
                *unit.shown.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Shown { node: node.clone(), file, fails: false });
                *attached = Some(Attached { node: node.clone(), mounted, block });
                Ok(node)
            }
            Err(error) => {
                // It may have ended without an answer, after the device was set up.
                loop_device::undo(&Linux, &file).await;
                end_mount(mounted, true).await?;
                Err(error)
            }
        }
    }

    async fn detach(&self, name: &str, force: bool) -> Result<Vec<String>, AttachError> {
        let unit = self.unit(name).ok_or(AttachError::NotAttached)?;
        let mut slot = unit.attached.lock().await;
        take_away(&unit, &mut slot, force).await
    }

    /// A mount point for a unit, cleared of what a process that is gone has left there. One with a disk that somebody still
    /// uses stays as it is.
    async fn free_point(&self, directory: &Path) -> Result<PathBuf, AttachError> {
        let mut uses = Vec::new();
        for number in 1..=DIRECTORIES {
            let point = self.luns.join(match number {
                1 => directory.to_owned(),
                _ => PathBuf::from(format!("{}{NUMBERED}{number}", directory.display())),
            });
            let lost = clean_point(&point).await?.lost;
            if lost.is_empty() {
                return Ok(point);
            }
            uses.extend(lost.into_iter().flat_map(|(_, uses)| uses));
        }
        Err(AttachError::Failed(format!(
            "too many lost disks of it are still in use ({}): unmount them",
            uses.join(", ")
        )))
    }

    /// The mount points below `luns/` that are served by this process.
    fn served(&self) -> Vec<PathBuf> {
        let units: Vec<Arc<Unit>> = self.lock().values().cloned().collect();
        let shown = units.iter().filter_map(|unit| {
            let shown = unit.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.as_ref().and_then(|shown| shown.file.parent().map(Path::to_owned))
        });
        shown.collect()
    }

    /// The disks of this process whose unit was gone for a while, as far as they are in use.
    fn failing(&self) -> io::Result<Vec<Lost>> {
        let units: Vec<(UnitName, Arc<Unit>)> =
            self.lock().iter().map(|(name, unit)| (name.clone(), unit.clone())).collect();
        let mut failing = Vec::new();
        for (name, unit) in units {
            let shown = unit.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let device = shown.as_ref().filter(|shown| shown.fails).map(|shown| shown.node.clone());
            drop(shown);
            if let Some(device) = device {
                let uses = Disk::at(&device).uses()?.who;
                if !uses.is_empty() {
                    failing.push(Lost { unit: name, device, uses });
                }
            }
        }
        Ok(failing)
    }

    async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let Ok(luns) = self.luns.canonicalize() else { return Ok(Vec::new()) };
        let (mut done, mut failed) = (Vec::new(), None);
        for entry in fs::read_dir(&luns).map_err(|error| failure(&luns, &error))? {
            let entry = entry.map_err(|error| failure(&luns, &error))?;
            let unit = self.lock().entry(unit_at(&entry.path())).or_default().clone();
            // Held, so that nobody attaches the unit meanwhile; whoever does now sees to its directories himself.
            let Ok(attached) = unit.attached.try_lock() else { continue };
            let served = attached.as_ref().map(|attached| attached.mounted.file());
            if served.is_some_and(|file| file.parent() == Some(&entry.path())) {
                continue;
            }
            match clean_point(&entry.path()).await {
                Ok(cleaned) if cleaned.lost.is_empty() => done.extend(cleaned.done),
                Ok(cleaned) => {
                    done.extend(cleaned.done);
                    continue;
                }
                Err(error) => failed = Some(error),
            }
            match fs::remove_dir(entry.path()) {
                Ok(()) => {}
                // Still served, or not one of ours.
                Err(error) => tracing::debug!("{} stays: {error}", entry.path().display()),
            }
        }
        failed.map_or(Ok(done), Err)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let units = std::mem::take(self.units.get_mut().unwrap_or_else(PoisonError::into_inner));
        for unit in units.into_values() {
            let Some(Attached { node, mounted, .. }) = unit.attached.try_lock().ok().and_then(|mut slot| slot.take())
            else {
                continue;
            };
            // Processes of their own go on if this one ends now. They are not waited for here, because
            // they may wait for I/O that needs this thread.
            for (program, words) in [loop_device::forget_read_ahead(&node), loop_device::let_go(&node)] {
                let mut command = Command::new(program.on_linux());
                match command.args(words).spawn() {
                    Ok(mut process) => {
                        let reaper = std::thread::Builder::new().name("losetup".to_owned());
                        if let Err(error) = reaper.spawn(move || process.wait()) {
                            tracing::warn!("nobody waits for {}: {error}", command.get_program().display());
                        }
                    }
                    Err(error) => tracing::warn!("{} could not be detached: {error}", node.display()),
                }
            }
            let directory = mounted.file().parent().map(Path::to_owned).unwrap_or_default();
            // Not by opening the device, which may wait as well.
            match Disk::at(&node).known_uses() {
                Ok(uses) if uses.is_empty() => drop(mounted),
                // The next process has to find what it was.
                Ok(_) => {
                    mounted.leave();
                    continue;
                }
                Err(error) => {
                    tracing::warn!("whether {} is in use cannot be said: {error}", node.display());
                    mounted.leave();
                    continue;
                }
            }
            if let Err(error) = fs::remove_dir(&directory) {
                tracing::warn!("{}: {error}", directory.display());
            }
        }
    }
}

/// Runs `work` to its end even if the caller stops waiting.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AttachError>> + Send + 'static,
) -> Result<T, AttachError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(AttachError::Failed(format!("it ended abnormally: {error}"))))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, AttachError> {
    match spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(AttachError::Failed(error.to_string())),
        Err(error) => Err(AttachError::Failed(format!("it ended abnormally: {error}"))),
    }
}

/// Takes a unit's disk away. Without `force`, one that is in use stays as it was. Says what was done to its users.
async fn take_away(unit: &Unit, slot: &mut Option<Attached>, force: bool) -> Result<Vec<String>, AttachError> {
    let mut said = Vec::new();
    let attached = slot.as_ref().ok_or(AttachError::NotAttached)?;
    let (node, file) = (attached.node.clone(), attached.mounted.file());
    let mut released = !loop_device::backs(&node, &file);
    if !released && force {
        said = release(&node).await?;
        if let Err(error) = loop_device::detach(&Linux, &node).await {
            tracing::warn!("{}: {error}", node.display());
        }
        released = loop_device::released(&node, &file, FORCED_LIMIT).await;
    } else if !released {
        refuse_if_used(&node).await?;
        let refused = match loop_device::detach(&Linux, &node).await {
            Ok(()) if loop_device::released(&node, &file, RELEASE_LIMIT).await => None,
            Ok(()) => Some(
                refuse_if_used(&node)
                    .await
                    .err()
                    .unwrap_or_else(|| AttachError::InUse(vec![format!("{} is open", node.display())])),
            ),
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            // Somebody was faster than the look. As it is now, the device would go with him.
            match loop_device::keep(&Linux, &node, &file).await {
                Ok(true) => return Err(error),
                Ok(false) => {}
                Err(second) => {
                    tracing::warn!("{} goes when its last user lets go of it: {second}", node.display());
                    return Err(error);
                }
            }
        }
        released = true;
    }
    if let Some(attached) = slot.take() {
        *unit.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
        end_mount(attached.mounted, force && !released).await?;
    }
    Ok(said)
}

fn failure(path: &Path, error: &dyn std::error::Error) -> AttachError {
    AttachError::Failed(format!("{}: {error}", path.display()))
}

/// A unit's directory below `luns/`.
fn directory_name(unit: &str) -> Result<PathBuf, AttachError> {
    let name = file_name(unit).map(PathBuf::from);
    name.ok_or_else(|| AttachError::Unsupported(format!("{unit} is too long a name for a directory")))
}

/// The unit whose directory this is.
fn unit_at(point: &Path) -> UnitName {
    point.file_name().map(|name| unit_of(without_number(&name.to_string_lossy()))).unwrap_or_default()
}

/// A directory's name without its number.
fn without_number(name: &str) -> &str {
    name.rsplit_once(NUMBERED).map_or(name, |(name, _)| name)
}

/// The loop devices on the file of a mount point, and who uses each. Blocks.
fn users_of(point: &Path) -> io::Result<Vec<(PathBuf, Vec<String>)>> {
    let file = point.join(FILE_NAME);
    let ours = loop_device::list()?.into_iter().filter(|(_, backing)| *backing == file);
    ours.map(|(node, _)| Disk::at(&node).uses().map(|uses| (node, uses.who))).collect()
}

/// The disks in a runtime directory whose process is gone, and that somebody uses all the same. Whether that process is gone
/// is for the caller to know. Blocks. Needs no root, but sees only with root who has a disk merely open.
///
/// # Errors
/// If the system does not tell its loop devices, or its mounts.
pub fn lost_disks(runtime_dir: &Path) -> io::Result<Vec<Lost>> {
    lost_below(&runtime_dir.join("luns"), &[])
}

/// The disks of mount points below `luns` that are not `served`.
fn lost_below(luns: &Path, served: &[PathBuf]) -> io::Result<Vec<Lost>> {
    // Without the directory nothing was ever attached here.
    let Ok(luns) = luns.canonicalize() else { return Ok(Vec::new()) };
    let mut lost = Vec::new();
    for (device, file) in loop_device::list()? {
        let Some(point) = file.parent().filter(|point| point.parent() == Some(&luns)) else { continue };
        if file.file_name().is_none_or(|name| name != FILE_NAME) || served.iter().any(|served| served == point) {
            continue;
        }
        let uses = Disk::at(&device).uses()?.who;
        if !uses.is_empty() {
            lost.push(Lost { unit: unit_at(point), device, uses });
        }
    }
    lost.sort_by(|a, b| (&a.unit, &a.device).cmp(&(&b.unit, &b.device)));
    Ok(lost)
}

/// Makes the mount point; what is below the runtime directory is root's alone.
fn make_directory(point: &Path) -> io::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(point);
    made.map_err(|error| io::Error::new(error.kind(), format!("{} cannot be made: {error}", point.display())))
}

/// Who uses a disk. That this does not show in time counts as use: what hangs there hangs over something.
async fn uses(node: PathBuf) -> Result<Vec<String>, AttachError> {
    let look = async {
        let glance = Instant::now() + GLANCE;
        loop {
            let node = node.clone();
            // Who holds it only for a glance has the whole of it: the last look begins after that.
            let last = Instant::now() >= glance;
            let uses = blocking(move || Disk::at(&node).uses()).await?;
            if !uses.fleeting || last {
                return Ok(uses.who);
            }
            sleep(GLANCE_POLL).await;
        }
    };
    let unknown = || vec![format!("by whom does not show within {} s", LOOK_LIMIT.as_secs())];
    timeout(LOOK_LIMIT, look).await.unwrap_or_else(|_| Ok(unknown()))
}

async fn refuse_if_used(node: &Path) -> Result<(), AttachError> {
    let uses = uses(node.to_owned()).await?;
    if uses.is_empty() { Ok(()) } else { Err(AttachError::InUse(uses)) }
}

/// Unmounts the disk and switches off its users, gently as long as that does not take too long. Says what it did.
async fn release(node: &Path) -> Result<Vec<String>, AttachError> {
    let disk = Disk::at(node);
    let mut said = Vec::new();
    for swap in disk.swaps() {
        let words = vec![swap.clone().into_os_string()];
        match loop_device::run(&Linux, Program::Swapoff, words).await {
            Ok(()) => said.push(format!("{} is switched off as swap space", swap.display())),
            Err(error) => said.push(format!("{} is swap space that is lost now: {error}", swap.display())),
        }
    }
    said.extend(
        disk.holders().iter().map(|holder| format!("/dev/{holder} is built on {} and fails now", node.display())),
    );
    let points = disk.mount_points().map_err(|error| failure(node, &error))?;
    for point in points.into_iter().rev() {
        said.push(unmount_by_force(&point).await);
    }
    for sentence in &said {
        tracing::warn!("{}: {sentence}", node.display());
    }
    Ok(said)
}

/// Unmounts a file system: at once if it is not busy, else lazily, after what was written to it has
/// had some time to reach the unit. Says which.
async fn unmount_by_force(point: &Path) -> String {
    let gently = {
        let point = point.to_owned();
        blocking(move || {
            match unmount(&point) {
                Ok(()) => return Ok(true),
                Err(error) if is(&error, Errno::EBUSY) => write_back(&point)?,
                Err(error) => return Err(error),
            }
            Ok(false)
        })
    };
    match timeout(FORCED_LIMIT, gently).await {
        Ok(Ok(true)) => return format!("{} is unmounted", point.display()),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::warn!("{}: {error}", point.display()),
        Err(_) => tracing::warn!("{} could not be written back in time", point.display()),
    }
    match unmount_lazily(point) {
        Ok(()) => format!(
            "{} is unmounted under programs that use it: what they open there from now on is on the disk below",
            point.display()
        ),
        // It is no mount point any more, the unmount above only has not come back.
        Err(error) if is(&error, Errno::EINVAL) => format!("{} is unmounted", point.display()),
        Err(error) => {
            format!("{} stays mounted and fails from now on, for it could not be unmounted: {error}", point.display())
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Takes a unit's file away, with `abort` under whoever still uses it.
async fn end_mount(mut mounted: Mounted, abort: bool) -> Result<(), AttachError> {
    let directory = mounted.file().parent().map(Path::to_owned).unwrap_or_default();
    if abort {
        blocking(move || mounted.abort()).await?;
    } else {
        // The last reference of a released file is dropped a moment later.
        let end = Instant::now() + BUSY_LIMIT;
        loop {
            let last = Instant::now() >= end;
            let (back, result) = blocking(move || {
                let result = if last { mounted.unmount_lazily() } else { mounted.unmount() };
                Ok((mounted, result))
            })
            .await?;
            mounted = back;
            match result {
                Ok(()) => break,
                Err(error) if !last && is(&error, Errno::EBUSY) => {
                    sleep(Duration::from_millis(10)).await;
                }
                Err(error) => return Err(failure(&directory, &error)),
            }
        }
    }
    fs::remove_dir(&directory).map_err(|error| failure(&directory, &error))
}

/// What became of a mount point of a process that is gone.
#[derive(Debug, Default)]
struct Cleaned {
    /// What was done, for people to read.
    done: Vec<String>,
    /// The devices that are still used, so that they and the mount point stay, and by whom.
    lost: Vec<(PathBuf, Vec<String>)>,
}

/// Removes what a process that is gone left at that mount point, unless somebody uses it.
async fn clean_point(point: &Path) -> Result<Cleaned, AttachError> {
    let mut cleaned = Cleaned::default();
    let table = mounts().map_err(|error| failure(point, &error))?;
    // The parent's real path: the point itself may be one that nobody serves.
    let Some((parent, name)) = point.parent().zip(point.file_name()) else { return Ok(cleaned) };
    let Ok(parent) = parent.canonicalize() else { return Ok(cleaned) };
    let point = parent.join(name);
    let layers = table.iter().filter(|mount| mount.point == point && mount.kind.starts_with("fuse")).count();
    for _ in 0..layers {
        if !is_dead(&point).await {
            return Err(AttachError::Failed(format!(
                "{} is mounted and served by another process: is another iscsid running?",
                point.display()
            )));
        }
        let devices = {
            let point = point.clone();
            blocking(move || users_of(&point)).await?
        };
        for (node, uses) in devices {
            // One that is in use is asked once to go with its last user.
            if !loop_device::lets_go(&node) {
                loop_device::detach(&Linux, &node).await?;
            }
            if uses.is_empty() {
                cleaned.done.push(format!("detached {}", node.display()));
            } else {
                cleaned.lost.push((node, uses));
            }
        }
        if !cleaned.lost.is_empty() {
            break;
        }
        unmount_lazily(&point).map_err(|error| failure(&point, &error))?;
        cleaned.done.push(format!("unmounted {}", point.display()));
    }
    Ok(cleaned)
}

/// Whether nobody serves the FUSE mount any more. One that does not answer at all counts as served.
async fn is_dead(point: &Path) -> bool {
    let point = point.to_owned();
    let probe = spawn_blocking(move || fs::symlink_metadata(point));
    match timeout(PROBE_LIMIT, probe).await {
        Ok(Ok(Err(error))) => is(&error, Errno::ENOTCONN),
        _ => false,
    }
}
