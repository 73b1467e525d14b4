//! A unit as a disk of the operating system.
//!
//! ```text
//!   LoopDisks:   Block ──► fuse: <runtime-dir>/luns/<unit>/disk ──► /dev/loopN       Linux
//!   DiskImages:  Block ──► nfs:  <runtime-dir>/luns/<unit>/<unit> ──► /dev/diskN    macOS: an image of a raw file
//! ```
//! Both are compiled everywhere, and the daemon chooses one when it starts. What only Linux has (FUSE, lazy unmounts) is
//! refused by one sentence elsewhere; the tools of macOS may stand anywhere ([`MacTools`]).
//!
//! An attached unit stays attached until it is detached; it is not detached while something uses the
//! disk, unless that is forced.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub mod disk_images;
mod diskutil;
mod loop_device;
mod loop_disks;
mod mac_tools;
mod mount_proof;
mod mounts;
mod open_files;
mod openers;
mod program;
mod runner;
mod sysctl;
mod unmount;

pub use self::disk_images::DiskImages;
pub use self::diskutil::Diskutil;
pub use self::loop_disks::{LoopDisks, lost_disks};
pub use self::mac_tools::MacTools;
pub use self::sysctl::sysctl;
use crate::block::{Block, UnitName};

/// A way to make disks of units. Units go by their name, `<target>/<lun>`.
pub trait Way: Send + Sync + 'static {
    /// Removes what a process that is gone left in this runtime directory, and says for each what was done. What is
    /// still served is left alone.
    ///
    /// # Errors
    /// If the system does not tell, or something cannot be removed; the rest is removed anyway.
    fn clean_stale(&self) -> impl Future<Output = Result<Vec<String>, AttachError>> + Send;

    /// Makes `unit` a disk and returns its device. One that is attached already stays.
    ///
    /// # Errors
    /// [`AttachError::NotPermitted`] without root, [`AttachError::Unsupported`] for a unit of which this way makes no
    /// disk; nothing is left behind.
    fn attach(&self, unit: &str, block: Arc<dyn Block>) -> impl Future<Output = Result<PathBuf, AttachError>> + Send;

    /// Takes the disk away; with `force` also under its users. Says what was done to them.
    ///
    /// # Errors
    /// [`AttachError::InUse`] without `force`, if something uses the disk; it stays attached.
    /// [`AttachError::NotAttached`] if it is not.
    fn detach(&self, unit: &str, force: bool) -> impl Future<Output = Result<Vec<String>, AttachError>> + Send;

    /// Takes the disk away because the machine ends, also under its users, so that what was written to it is on the unit. The
    /// same as without force where disks fail with the daemon.
    ///
    /// # Errors
    /// As for [`detach`](Way::detach), or if something of it is still mounted.
    fn put_away(&self, unit: &str) -> impl Future<Output = Result<Vec<String>, AttachError>> + Send {
        self.detach(unit, false)
    }

    /// The unit's device, if it is attached.
    fn device(&self, unit: &str) -> Option<PathBuf>;

    /// Sends what was written to the unit's disk to the unit, for a while. Nothing to do where it is not attached.
    ///
    /// # Errors
    /// [`AttachError::Failed`] if something could not be written, or not in time.
    fn write_back(&self, unit: &str) -> impl Future<Output = Result<(), AttachError>> + Send;

    /// What uses the unit's disk, such as `mounted on /mnt`; nothing if it is not attached.
    fn in_use(&self, unit: &str) -> impl Future<Output = Vec<String>> + Send;

    /// Whether the disk waits for the next daemon when this one ends, instead of failing.
    fn outlive_the_daemon(&self) -> bool;

    /// The units that are attached, and the device of each.
    fn attached(&self) -> Vec<(UnitName, PathBuf)>;

    /// Removes what an earlier process has left and nobody uses any more; says for each what was done. Nothing to do where
    /// disks outlive their daemon.
    ///
    /// # Errors
    /// As for [`clean_stale`](Way::clean_stale).
    fn tidy(&self) -> impl Future<Output = Result<Vec<String>, AttachError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// The disks of an earlier process that are gone and still in use. None where disks outlive their daemon.
    fn lost(&self) -> impl Future<Output = Vec<Lost>> + Send {
        async { Vec::new() }
    }
}

/// A disk of a process that is gone, which somebody uses all the same. It stays where it is, and fails: what is written to
/// a mount point that was cleared away would land on the disk below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The unit whose disk it was.
    pub unit: UnitName,
    /// Its device.
    pub device: PathBuf,
    /// Who uses it, such as `mounted on /mnt`.
    pub uses: Vec<String>,
}

/// Why a unit could not be attached or detached. Displays as one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// This system, or this unit, cannot be attached; a sentence.
    Unsupported(String),
    /// The user of this process may not attach; a sentence.
    NotPermitted(String),
    /// The disk is in use; each says by what, such as `mounted on /mnt`.
    InUse(Vec<String>),
    /// There is nothing to detach.
    NotAttached,
    /// A disk is made of the unit's file, and there is none: the NFS export is switched off.
    NotExported,
    /// A program of the system was ended because it took too long, and what it has done by then is not known; a sentence.
    TimedOut(String),
    /// Anything else; a sentence.
    Failed(String),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Unsupported(why)
            | AttachError::NotPermitted(why)
            | AttachError::TimedOut(why)
            | AttachError::Failed(why) => f.write_str(why),
            AttachError::InUse(uses) => write!(f, "the disk is in use ({})", uses.join(", ")),
            AttachError::NotAttached => f.write_str("the unit is not attached"),
            AttachError::NotExported => {
                f.write_str("a disk is made of the unit's file, and units are not exported by NFS")
            }
        }
    }
}

impl std::error::Error for AttachError {}
