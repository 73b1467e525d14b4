//! What Linux does with mount points and other systems do otherwise, or not at all.

use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
use nix::mount::{MntFlags, umount2};

/// Unmounts what is mounted there, unless it is in use.
#[cfg(target_os = "linux")]
pub(super) fn unmount(point: &Path) -> io::Result<()> {
    Ok(umount2(point, MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Takes the mount away from where it is; it ends when its last user lets go.
#[cfg(target_os = "linux")]
pub(super) fn unmount_lazily(point: &Path) -> io::Result<()> {
    Ok(umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Writes back what is not written yet of the file system that is mounted there.
#[cfg(target_os = "linux")]
pub(super) fn write_back(point: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(std::fs::File::open(point)?)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) use self::elsewhere::{unmount, unmount_lazily, write_back};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::*;

    fn refused(point: &Path) -> io::Error {
        let why = format!("{} cannot be unmounted: loop devices are Linux's, not this system's", point.display());
        io::Error::new(io::ErrorKind::Unsupported, why)
    }

    pub(in super::super) fn unmount(point: &Path) -> io::Result<()> {
        Err(refused(point))
    }

    pub(in super::super) fn unmount_lazily(point: &Path) -> io::Result<()> {
        Err(refused(point))
    }

    pub(in super::super) fn write_back(point: &Path) -> io::Result<()> {
        Err(refused(point))
    }
}
