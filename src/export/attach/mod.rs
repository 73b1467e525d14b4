//! A unit as a disk of the operating system.
//!
//! ```text
//!   Linux:  Block ──► fuse: <runtime-dir>/luns/<unit>/disk ──► /dev/loopN
//!   macOS:  Block ──► nfs:  <runtime-dir>/luns/<unit>/<unit> ──► /dev/diskN    a disk image of a raw file
//! ```
//! An attached unit stays attached until it is detached; it is not detached while something uses the
//! disk, unless that is forced.

use std::fmt;

#[cfg(any(test, not(target_os = "linux")))]
pub mod disk_images;
#[cfg(test)]
mod disk_images_tests;
#[cfg(target_os = "linux")]
mod loop_device;
#[cfg(target_os = "linux")]
mod loop_disks;
#[cfg(any(test, not(target_os = "linux")))]
mod mac_tools;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(any(test, not(target_os = "linux")))]
mod runner;

#[cfg(not(target_os = "linux"))]
pub use disk_images::DiskImages;
#[cfg(target_os = "linux")]
pub use loop_disks::LoopDisks;

/// Why a unit could not be attached or detached. Displays as one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// This system, or this unit, cannot be attached; a sentence.
    Unsupported(String),
    /// Whoever runs this may not attach; a sentence.
    NotPermitted(String),
    /// The disk is in use; each says by what, such as `mounted on /mnt`.
    InUse(Vec<String>),
    /// There is nothing to detach.
    NotAttached,
    /// Anything else; a sentence.
    Failed(String),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Unsupported(why) | AttachError::NotPermitted(why) | AttachError::Failed(why) => {
                f.write_str(why)
            }
            AttachError::InUse(uses) => {
                write!(f, "the disk is in use ({}); end that first, or use --force", uses.join(", "))
            }
            AttachError::NotAttached => f.write_str("the unit is not attached"),
        }
    }
}

impl std::error::Error for AttachError {}
