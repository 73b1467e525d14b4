//! Attaching on macOS: the unit's file by loopback NFS, a disk image of it.
//!
//! ```text
//!   attach   mount_nfs 127.0.0.1:/<ticket> <runtime-dir>/luns/<unit> ─► hdiutil attach <…>/<unit> ─► /dev/diskN
//!            the system looks what is on it, and mounts it
//!   detach   diskutil eject (unmounts; names the programs with open files) ─► umount
//!   forced   unmount by force ─► hdiutil detach -force ─► umount -f
//! ```
//! The mount is hard: when the daemon is gone, I/O waits until it is back. So a mount and an image of an earlier
//! life, of a daemon that died or was replaced, are taken over as they are. What is only half there is undone.
//!
//! Attaching and detaching go on to their end when the caller stops waiting, so that nothing is left behind that
//! nobody knows of.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mac_tools::{
    Image, MacTools, Tool, attached_device, dissenters, holders, images, nfs_mounts, nfs_options, shape,
};
use super::program::Program;
use super::runner::{Outcome, Runner, System};
use super::{AttachError, Way};
use crate::block::{Block, Geometry, UnitName};
use crate::export::name::file_name;
use crate::export::nfs::Tickets;

/// How long a command may take that only looks.
const LOOK_LIMIT: Duration = Duration::from_secs(15);

/// How long one may take that changes something: file systems are checked before they are mounted.
pub(super) const CHANGE_LIMIT: Duration = Duration::from_secs(120);

/// How long one may take where it is done by force afterwards.
const FORCED_LIMIT: Duration = Duration::from_secs(10);

/// How long a target may take to get what was written to a disk that ends with the daemon.
const WRITE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// Where units are exported by NFS.
#[derive(Debug, Clone)]
pub struct NfsDoor {
    /// The port of NFS and MOUNT, at the loopback address.
    pub port: u16,
    /// It was another one before: what was mounted then will never be served again.
    pub moved: bool,
    /// Paths to mount.
    pub tickets: Arc<Tickets>,
}

/// The units that are attached as disks.
pub struct DiskImages {
    inner: Arc<Inner>,
}

impl fmt::Debug for DiskImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskImages({:?})", self.inner.lock())
    }
}

struct Inner {
    luns: PathBuf,
    door: Option<NfsDoor>,
    runner: Box<dyn Runner>,
    units: Mutex<BTreeMap<UnitName, Arc<Unit>>>,
}

/// A unit that is, was or is being attached.
#[derive(Debug, Default)]
struct Unit {
    /// Held for as long as an attach or detach takes.
    busy: tokio::sync::Mutex<()>,
    /// Its disk, such as `/dev/disk4`.
    device: Mutex<Option<String>>,
}

impl Unit {
    fn device(&self) -> MutexGuard<'_, Option<String>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a unit's mount and file are.
struct Place {
    point: PathBuf,
    file: PathBuf,
}

impl DiskImages {
    /// Attaches below `runtime_dir`, in `luns/`, what is exported at `door`, by these tools; touches nothing yet.
    pub fn new(runtime_dir: &Path, door: Option<NfsDoor>, tools: MacTools) -> DiskImages {
        DiskImages::with(runtime_dir, door, Box::new(System { tools }))
    }

    pub(super) fn with(runtime_dir: &Path, door: Option<NfsDoor>, runner: Box<dyn Runner>) -> DiskImages {
        let luns = runtime_dir.join("luns");
        DiskImages { inner: Arc::new(Inner { luns, door, runner, units: Mutex::default() }) }
    }
}

impl Way for DiskImages {
    /// Undoes the mounts of an earlier life that no disk is made of, and says for each what was done. Disks stay:
    /// they wait for their units, which are taken over when they are attached.
    ///
    /// # Errors
    /// If the system does not tell, or something cannot be undone; the rest is undone anyway.
    async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let inner = self.inner.clone();
        to_the_end(async move { inner.clean_stale().await }).await
    }

    /// Makes `unit` a disk and returns its device. One that is attached already stays, also that of an earlier
    /// life.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] without root, [`AttachError::Unsupported`] where units are not exported by
    /// NFS or the system makes another disk of it than it is; nothing is left behind.
    async fn attach(&self, unit: &str, block: Arc<dyn Block>) -> Result<PathBuf, AttachError> {
        let (inner, unit) = (self.inner.clone(), unit.to_owned());
        to_the_end(async move { inner.attach(unit, block.geometry()).await }).await.map(PathBuf::from)
    }

    /// Takes the disk away: its volumes are unmounted first. With `force` also from programs that use them.
    ///
    /// # Errors
    /// [`AttachError::InUse`] without `force`, if a program has a file open; it is named, and the disk stays.
    /// [`AttachError::NotAttached`] if it is not.
    async fn detach(&self, unit: &str, force: bool) -> Result<Vec<String>, AttachError> {
        let (inner, unit) = (self.inner.clone(), unit.to_owned());
        to_the_end(async move { inner.detach(&unit, force).await }).await
    }

    /// The unit's disk, if it is attached.
    fn device(&self, unit: &str) -> Option<PathBuf> {
        let unit = self.inner.unit(unit)?;
        let device = unit.device();
        device.as_ref().map(PathBuf::from)
    }

    fn attached(&self) -> Vec<(UnitName, PathBuf)> {
        let units = self.inner.lock();
        let device = |unit: &Unit| unit.device().as_ref().map(PathBuf::from);
        units.iter().filter_map(|(name, unit)| Some((name.clone(), device(unit)?))).collect()
    }

    /// Writes cached data of all disks back to their units, for a while.
    ///
    /// # Errors
    /// [`AttachError::Failed`] if that was not done in time.
    async fn write_back(&self, unit: &str) -> Result<(), AttachError> {
        if self.device(unit).is_none() {
            return Ok(());
        }
        match self.inner.runner.run(Program::Sync, Vec::new(), WRITE_BACK_LIMIT).await? {
            outcome if outcome.ok() => Ok(()),
            outcome => Err(AttachError::Failed(outcome.reason())),
        }
    }

    /// Who has something open on the unit's disk. A volume that is merely mounted is not in use: a detach unmounts
    /// it.
    async fn in_use(&self, unit: &str) -> Vec<String> {
        self.inner.in_use(unit).await.unwrap_or_else(|error| vec![error.to_string()])
    }

    /// Whether the disk waits for the next daemon when this one ends, instead of failing.
    fn outlive_the_daemon(&self) -> bool {
        true
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<UnitName, Arc<Unit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit(&self, name: &str) -> Option<Arc<Unit>> {
        self.lock().get(name).cloned()
    }

    async fn run(&self, program: Program, words: &[&str], limit: Duration) -> Result<Outcome, AttachError> {
        self.runner.run(program, words.iter().map(Into::into).collect(), limit).await
    }

    fn place(&self, unit: &str) -> Result<Place, AttachError> {
        let name = file_name(unit)
            .ok_or_else(|| AttachError::Unsupported(format!("{unit} is too long a name for a directory")))?;
        // The system names files by their real path: on macOS, /var is a link.
        let luns = self.luns.canonicalize().unwrap_or_else(|_| self.luns.clone());
        let point = luns.join(&name);
        Ok(Place { file: point.join(&name), point })
    }

    async fn attach(self: Arc<Inner>, name: UnitName, geometry: Geometry) -> Result<String, AttachError> {
        let Some(door) = self.door.clone() else {
            return Err(AttachError::NotExported);
        };
        if !self.runner.is_root() {
            let why = "attaching a unit as a disk needs root, for mount_nfs";
            return Err(AttachError::NotPermitted(why.to_owned()));
        }
        if geometry.bytes() == 0 {
            return Err(AttachError::Unsupported(format!("{name} has no blocks")));
        }
        make_directory(&self.luns)?;
        let place = self.place(&name)?;
        let unit = self.lock().entry(name.clone()).or_default().clone();
        let _turn = unit.busy.lock().await;
        let lost = door.moved && unit.device().is_none();
        if let Some(device) = self.take_over(&place, &geometry, lost).await? {
            *unit.device() = Some(device.clone());
            return Ok(device);
        }
        *unit.device() = None;
        make_directory(&place.point)?;
        let attached = match self.mount(&name, &place, &door, &geometry).await {
            Ok(()) => self.make_disk(&place, &geometry).await,
            Err(error) => Err(error),
        };
        match attached {
            Ok(device) => {
                *unit.device() = Some(device.clone());
                Ok(device)
            }
            Err(error) => {
                if let Err(second) = self.unmount(&place.point, true).await {
                    tracing::warn!("{}: {second}", place.point.display());
                }
                Err(error)
            }
        }
    }

    async fn mount(&self, name: &str, place: &Place, door: &NfsDoor, geometry: &Geometry) -> Result<(), AttachError> {
        let ticket = door.tickets.issue(name).map_err(|error| AttachError::Failed(error.to_string()))?;
        let (options, source) = (nfs_options(door.port, geometry), format!("127.0.0.1:/{ticket}"));
        let words = ["-o", &options, &source, &place.point.to_string_lossy()];
        let outcome = self.run(Program::MountNfs, &words, CHANGE_LIMIT).await?;
        match outcome.ok() {
            true => Ok(()),
            false => Err(AttachError::Failed(format!("the unit's file cannot be mounted: {}", outcome.reason()))),
        }
    }

    /// Makes a disk of the file, which must become what the unit is.
    async fn make_disk(&self, place: &Place, geometry: &Geometry) -> Result<String, AttachError> {
        let tool = if self.runner.has(Program::Hdiutil) { Tool::Hdiutil } else { Tool::Diskutil };
        let attach = |volumes| {
            let words = tool.attach(&place.file, geometry, volumes).into_iter().map(Into::into).collect();
            self.runner.run(tool.program(), words, CHANGE_LIMIT)
        };
        let mut outcome = attach(true).await?;
        if !outcome.ok() && outcome.text().contains("mountable") {
            // A disk with nothing on it that could be mounted is a disk.
            outcome = attach(false).await?;
        }
        if !outcome.ok() {
            return Err(AttachError::Failed(format!("no disk can be made of the unit: {}", outcome.reason())));
        }
        let Some(device) = attached_device(&outcome.stdout) else {
            self.undo_images(place).await;
            let why = format!("no disk can be made of the unit: {} does not say which it is", tool.program().path());
            return Err(AttachError::Failed(why));
        };
        if let Err(error) = self.check(&device, geometry).await {
            if let Err(second) = self.force_out(&device).await {
                tracing::warn!("{second}");
            }
            return Err(error);
        }
        Ok(device)
    }

    /// Whether the system has made of the file what the unit is: another block size would be another disk to
    /// every file system on it.
    async fn check(&self, device: &str, geometry: &Geometry) -> Result<(), AttachError> {
        let outcome = self.run(Program::Diskutil, &["info", "-plist", device], LOOK_LIMIT).await?;
        let Some((block_size, bytes)) = shape(&outcome.stdout) else {
            return Err(AttachError::Failed(format!("{device} does not show its size: {}", outcome.reason())));
        };
        if (block_size, bytes) == (geometry.block_size.into(), geometry.bytes()) {
            return Ok(());
        }
        Err(AttachError::Unsupported(format!(
            "macOS makes a disk of {bytes} bytes in blocks of {block_size} of it, and the unit has {} in blocks of {}; use its NBD URI",
            geometry.bytes(),
            geometry.block_size
        )))
    }

    /// Detaches what was made of a file that must not be used.
    async fn undo_images(&self, place: &Place) {
        for image in self.images_of(place, None).await.unwrap_or_default() {
            if let Err(error) = self.force_out(&image.device).await {
                tracing::warn!("{error}");
            }
        }
    }

    /// Takes a disk away from the programs that use it.
    async fn force_out(&self, device: &str) -> Result<(), AttachError> {
        let outcome = match self.runner.has(Program::Hdiutil) {
            true => self.run(Program::Hdiutil, &["detach", device, "-force"], FORCED_LIMIT).await?,
            false => self.run(Program::Diskutil, &["eject", device], FORCED_LIMIT).await?,
        };
        match outcome.ok() {
            true => Ok(()),
            false => Err(AttachError::Failed(format!("{device} cannot be detached: {}", outcome.reason()))),
        }
    }

    /// The disk that an earlier life has made of the unit, if it is as good as a new one. What is left of
    /// another is undone.
    async fn take_over(&self, place: &Place, geometry: &Geometry, lost: bool) -> Result<Option<String>, AttachError> {
        if !self.is_mounted(&place.point).await? {
            return Ok(None);
        }
        let image = self.images_of(place, None).await?.pop();
        let served = !lost && self.is_served(place, geometry).await;
        if let Some(image) = &image
            && served
            && self.check(&image.device, geometry).await.is_ok()
        {
            return Ok(Some(image.device.clone()));
        }
        if let Some(image) = image {
            tracing::warn!("{} is of an earlier life and does not answer: it is detached by force", image.device);
            self.force_out(&image.device).await?;
        }
        self.unmount(&place.point, true).await?;
        Ok(None)
    }

    /// Whether the mount leads to this daemon, and the file is as long as the unit.
    async fn is_served(&self, place: &Place, geometry: &Geometry) -> bool {
        let words = ["-f", "%z", &place.file.to_string_lossy()];
        let served = self.run(Program::Stat, &words, LOOK_LIMIT).await;
        served.is_ok_and(|outcome| {
            outcome.ok() && String::from_utf8_lossy(&outcome.stdout).trim().parse() == Ok(geometry.bytes())
        })
    }

    async fn is_mounted(&self, point: &Path) -> Result<bool, AttachError> {
        let outcome = self.run(Program::Mount, &[], LOOK_LIMIT).await?;
        Ok(nfs_mounts(&outcome.stdout).iter().any(|mounted| mounted == point))
    }

    /// The images that are attached. Only hdiutil tells their files.
    async fn images(&self) -> Result<Vec<Image>, AttachError> {
        if !self.runner.has(Program::Hdiutil) {
            return Ok(Vec::new());
        }
        let outcome = self.run(Program::Hdiutil, &["info", "-plist"], LOOK_LIMIT).await?;
        images(&outcome.stdout).ok_or_else(|| {
            AttachError::Failed(format!("the system does not tell its disk images: {}", outcome.reason()))
        })
    }

    /// Those of a unit's file; the one that is `known` where the system does not tell.
    async fn images_of(&self, place: &Place, known: Option<String>) -> Result<Vec<Image>, AttachError> {
        if let Some(device) = known.filter(|_| !self.runner.has(Program::Hdiutil)) {
            return Ok(vec![Image { file: place.file.clone(), device, mount_points: Vec::new() }]);
        }
        Ok(self.images().await?.into_iter().filter(|image| image.file == place.file).collect())
    }

    async fn unmount(&self, point: &Path, force: bool) -> Result<(), AttachError> {
        let shown = point.to_string_lossy();
        let gently = self.run(Program::Umount, &[&shown], FORCED_LIMIT).await;
        let done = match gently {
            Ok(outcome) if outcome.ok() || !self.is_mounted(point).await? => Ok(()),
            Ok(outcome) if !force => Err(AttachError::Failed(outcome.reason())),
            Err(error) if !force => Err(error),
            _ => match self.run(Program::Umount, &["-f", &shown], FORCED_LIMIT).await? {
                outcome if outcome.ok() => Ok(()),
                outcome => Err(AttachError::Failed(outcome.reason())),
            },
        };
        done?;
        match fs::remove_dir(point) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(AttachError::Failed(format!("{}: {error}", point.display())))
            }
            _ => Ok(()),
        }
    }

    async fn detach(&self, name: &str, force: bool) -> Result<Vec<String>, AttachError> {
        let mut said = Vec::new();
        let unit = self.unit(name).ok_or(AttachError::NotAttached)?;
        let _turn = unit.busy.lock().await;
        let place = self.place(name)?;
        let device = unit.device().clone().ok_or(AttachError::NotAttached)?;
        // After an eject in the Finder the mount is still there.
        if let Some(image) = self.images_of(&place, Some(device)).await?.pop() {
            match force {
                true => {
                    // Not by asking who uses it: that may hang at a target that is gone.
                    for point in &image.mount_points {
                        said.push(format!("{point} is unmounted by force: programs that use it get errors"));
                    }
                    self.eject_by_force(&image).await?;
                }
                false => self.eject(&place, &image).await?,
            }
        }
        *unit.device() = None;
        self.unmount(&place.point, true).await?;
        Ok(said)
    }

    /// Ejects a disk that nobody uses. One that is refused has the volumes again that it had.
    async fn eject(&self, place: &Place, image: &Image) -> Result<(), AttachError> {
        let outcome = self.run(Program::Diskutil, &["eject", &image.device], CHANGE_LIMIT).await?;
        if outcome.ok() {
            return Ok(());
        }
        self.mount_again(place, image).await;
        let mut by = dissenters(&outcome.text());
        by.extend(self.open_files(image).await.unwrap_or_default());
        match by.is_empty() {
            true => Err(AttachError::Failed(format!("{} cannot be ejected: {}", image.device, outcome.reason()))),
            false => Err(AttachError::InUse(by)),
        }
    }

    /// Mounts what an eject has unmounted before it was refused: it takes volume by volume, and then the disk.
    async fn mount_again(&self, place: &Place, before: &Image) {
        if before.mount_points.is_empty() {
            return;
        }
        let now = match self.images_of(place, None).await {
            Ok(mut images) => images.pop(),
            Err(error) => return tracing::warn!("whether {} has its volumes is not known: {error}", before.device),
        };
        let is_whole = |now: &Image| before.mount_points.iter().all(|point| now.mount_points.contains(point));
        if now.is_none_or(|now| now.device != before.device || is_whole(&now)) {
            return;
        }
        match self.run(Program::Diskutil, &["mountDisk", &before.device], CHANGE_LIMIT).await {
            Ok(outcome) if outcome.ok() => {}
            Ok(outcome) => tracing::warn!("{} is not mounted again: {}", before.device, outcome.reason()),
            Err(error) => tracing::warn!("{} is not mounted again: {error}", before.device),
        }
    }

    async fn eject_by_force(&self, image: &Image) -> Result<(), AttachError> {
        for words in [&["unmountDisk", "force", &image.device][..], &["eject", &image.device]] {
            match self.run(Program::Diskutil, words, FORCED_LIMIT).await {
                Ok(outcome) if outcome.ok() && words.first() == Some(&"eject") => return Ok(()),
                Ok(outcome) if outcome.ok() => {}
                Ok(outcome) => tracing::warn!("{}: {}", image.device, outcome.reason()),
                Err(error) => tracing::warn!("{}: {error}", image.device),
            }
        }
        self.force_out(&image.device).await
    }

    async fn in_use(&self, name: &str) -> Result<Vec<String>, AttachError> {
        let device = self.unit(name).and_then(|unit| unit.device().clone());
        let image = match device {
            Some(device) => self.images_of(&self.place(name)?, Some(device)).await?.pop(),
            None => None,
        };
        match image {
            Some(image) => self.open_files(&image).await,
            None => Ok(Vec::new()),
        }
    }

    async fn open_files(&self, image: &Image) -> Result<Vec<String>, AttachError> {
        if image.mount_points.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = vec!["-F", "pcn", "--"];
        words.extend(image.mount_points.iter().map(String::as_str));
        // It ends with 1 where nothing is open.
        Ok(holders(&self.run(Program::Lsof, &words, LOOK_LIMIT).await?.stdout))
    }

    async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let Ok(luns) = self.luns.canonicalize() else { return Ok(Vec::new()) };
        let outcome = self.run(Program::Mount, &[], LOOK_LIMIT).await?;
        let ours: Vec<PathBuf> =
            nfs_mounts(&outcome.stdout).into_iter().filter(|point| point.parent() == Some(&luns)).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let images = self.images().await?;
        let (mut cleaned, mut failed) = (Vec::new(), None);
        let lost = self.door.as_ref().is_none_or(|door| door.moved);
        for point in ours {
            if let Some(image) = images.iter().find(|image| image.file.parent() == Some(&point)) {
                if !lost {
                    tracing::info!("{} of an earlier life waits for a login to its target", image.device);
                    continue;
                }
                // Its volumes go with it; macOS leaves no mount point behind that could be written to.
                if !image.mount_points.is_empty() {
                    tracing::warn!(
                        "{} (mounted on {}) cannot be served any more, for NFS is off or has another port now: it is detached by force, and what was not written yet is lost; log in again",
                        image.device,
                        image.mount_points.join(", ")
                    );
                }
                match self.force_out(&image.device).await {
                    Ok(()) => cleaned.push(format!("detached {}", image.device)),
                    Err(error) => failed = Some(error),
                }
            }
            match self.unmount(&point, true).await {
                Ok(()) => cleaned.push(format!("unmounted {}", point.display())),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(cleaned), Err)
    }
}

/// Makes a directory; what is below the runtime directory is root's alone.
fn make_directory(path: &Path) -> Result<(), AttachError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| AttachError::Failed(format!("{} cannot be made: {error}", path.display())))
}

/// Runs `work` to its end even if the caller stops waiting.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AttachError>> + Send + 'static,
) -> Result<T, AttachError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(AttachError::Failed(format!("it ended abnormally: {error}"))))
}

#[cfg(test)]
mod tests;
