//! Attaching on macOS: the unit's file by loopback NFS, a disk image of it.
//!
//! ```text
//!   attach   mount_nfs 127.0.0.1:/<ticket> <runtime-dir>/luns/<unit> ─► hdiutil attach <…>/<unit> ─► /dev/diskN
//!            the system looks what is on it, and mounts it
//!   detach   diskutil eject (unmounts; names the programs with open files) ─► umount
//!   forced   diskutil unmountDisk force ─► diskutil eject, else hdiutil detach -force ─► umount -f
//! ```
//! The mount is hard: when the daemon is gone, I/O waits until it is back. So a mount and an image of an earlier
//! life, of a daemon that died or was replaced, are taken over as they are, if the mount shows that it leads to this
//! daemon: who had its port meanwhile could be the disk. What is only half there is undone.
//!
//! A list of images may lack one that is there, and a mount that is taken away by force takes with it what its disk
//! has not written yet. So force is for disks that a person gives up, that can never be served again, or that have been
//! detached; a mount of which no disk is listed is unmounted as a person would do it, which the system refuses while
//! the file is open. That is an error then, and the disk stays.
//!
//! Each attach has handles of its own at the export, which end with it, and tells the export whether a volume of the
//! disk is mounted: only then may I/O wait for a target that is away. Of a unit that does not answer no disk is made.
//!
//! Attaching and detaching go on to their end when the caller stops waiting, so that nothing is left behind that
//! nobody knows of.

mod attaching;
mod check;
mod detaching;
mod door;
mod images;
mod in_use;
mod inner;
mod mounting;
mod patience;
mod place;
mod putting_away;
mod stale;
mod taking_over;
mod transfers;
mod volumes;
mod writing_back;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::door::NfsDoor;
pub(super) use self::inner::{CHANGE_LIMIT, LOOK_LIMIT};
use self::inner::{Inner, Unit};
pub use self::transfers::Transfers;
use super::mac_tools::MacTools;
use super::runner::{Runner, System};
use super::{AttachError, Way};
use crate::block::{Block, UnitName};

/// The units that are attached as disks.
pub struct DiskImages {
    inner: Arc<Inner>,
}

impl fmt::Debug for DiskImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskImages({:?})", self.inner.lock())
    }
}

impl DiskImages {
    /// Attaches below `runtime_dir`, in `luns/`, what is exported at `door`, by these tools; touches nothing yet.
    pub fn new(runtime_dir: &Path, door: Option<NfsDoor>, tools: MacTools) -> DiskImages {
        DiskImages::with(runtime_dir, door, Box::new(System { tools }))
    }

    pub(super) fn with(runtime_dir: &Path, door: Option<NfsDoor>, runner: Box<dyn Runner>) -> DiskImages {
        DiskImages { inner: Arc::new(Inner::new(runtime_dir.join("luns"), door, runner)) }
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
        to_the_end(async move { inner.attach(unit, block).await }).await.map(PathBuf::from)
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

    /// Takes the disk away because the machine ends, whoever uses it: its volumes are unmounted, by diskutil or without it,
    /// and its file is synced.
    ///
    /// # Errors
    /// [`AttachError::NotAttached`] if it is not; [`AttachError::Failed`] if something of it is still mounted after a while.
    async fn put_away(&self, unit: &str) -> Result<Vec<String>, AttachError> {
        let (inner, unit) = (self.inner.clone(), unit.to_owned());
        to_the_end(async move { inner.put_away(&unit).await }).await
    }

    /// Writes cached data of the disk back to its unit: its volumes, and its file.
    ///
    /// # Errors
    /// [`AttachError::Failed`] if that was not done, or [`AttachError::TimedOut`] not in time.
    async fn write_back(&self, unit: &str) -> Result<(), AttachError> {
        self.inner.write_back(unit).await
    }

    /// Who has something open on the unit's disk. A volume that is merely mounted is not in use: a detach unmounts
    /// it.
    async fn in_use(&self, unit: &str) -> Vec<String> {
        self.inner.in_use(unit).await.unwrap_or_else(|error| vec![error.to_string()])
    }

    /// Whether the disk waits for the next daemon when this one ends, instead of failing: not where another user may have the
    /// port of the export meanwhile, who would be the disk.
    fn outlive_the_daemon(&self) -> bool {
        self.inner.door.as_ref().is_some_and(|door| door.held)
    }
}

/// Runs `work` to its end even if the caller stops waiting.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AttachError>> + Send + 'static,
) -> Result<T, AttachError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(AttachError::Failed(format!("it ended abnormally: {error}"))))
}
