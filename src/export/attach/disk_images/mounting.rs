//! The mount of a unit's file.

use std::fs;
use std::io;
use std::path::Path;

use tokio::time::sleep;

use super::door::NfsDoor;
use super::inner::{BETWEEN_LOOKS, CHANGE_LIMIT, FORCED_LIMIT, Inner, LOOK_LIMIT, LOOKS};
use super::place::Place;
use crate::block::Geometry;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, nfs_mounts, nfs_options};
use crate::export::attach::program::Program;
use crate::export::nfs::Attachment;

/// How an attempt to unmount ends.
enum Unmounted {
    /// Nothing is mounted there any more.
    Gone,
    /// Something has the file open: a sentence of the system.
    Held(String),
}

impl Inner {
    pub(super) async fn mount(
        &self,
        attachment: &Attachment,
        place: &Place,
        door: &NfsDoor,
        geometry: &Geometry,
    ) -> Result<(), AttachError> {
        let options = nfs_options(door.port, geometry, &door.transfers.options(geometry));
        let failed = |why: &str| AttachError::Failed(format!("the unit's file cannot be mounted: {why}"));
        let mount = async {
            let ticket = attachment.ticket().map_err(|error| failed(&error.to_string()))?;
            let words = ["-o", &options, &format!("127.0.0.1:/{}", ticket.path()), &place.point.to_string_lossy()];
            let outcome = self.run(Program::MountNfs, &words, CHANGE_LIMIT).await?;
            let why = ticket.hidden_in(&outcome.reason());
            Ok::<_, AttachError>((outcome.ok(), why))
        };
        match self.patiently(mount).await? {
            (true, _) => Ok(()),
            (false, why) => Err(failed(&why)),
        }
    }

    /// The table of mounts, as `mount` prints it.
    ///
    /// # Errors
    /// If it was not printed: one that is missing is never taken for one without mounts.
    pub(super) async fn mounts(&self) -> Result<Vec<u8>, AttachError> {
        match self.run(Program::Mount, &[], LOOK_LIMIT).await? {
            outcome if outcome.ok() => Ok(outcome.stdout),
            outcome => {
                Err(AttachError::Failed(format!("the system does not tell what is mounted: {}", outcome.reason())))
            }
        }
    }

    pub(super) async fn is_mounted(&self, point: &Path) -> Result<bool, AttachError> {
        Ok(nfs_mounts(&self.mounts().await?).iter().any(|mounted| mounted == point))
    }

    /// Takes the mount away, also from whoever has the file open: for a disk that is detached, or is not to be saved.
    pub(super) async fn unmount_by_force(&self, point: &Path) -> Result<(), AttachError> {
        if let Ok(Unmounted::Gone) = self.unmount(point).await {
            return remove(point);
        }
        match self.run(Program::Umount, &["-f", &point.to_string_lossy()], FORCED_LIMIT).await? {
            outcome if outcome.ok() => remove(point),
            outcome => Err(AttachError::Failed(format!("{}: {}", point.display(), outcome.reason()))),
        }
    }

    /// Takes away the mount of a file of which no disk is listed, and never from a disk: the system refuses where
    /// something has the file open. Returns the disk if one shows then.
    pub(super) async fn unmount_unused(&self, place: &Place) -> Result<Option<Image>, AttachError> {
        let mut looks = 0;
        let reason = loop {
            let reason = match self.unmount(&place.point).await? {
                Unmounted::Gone => return remove(&place.point).map(|()| None),
                Unmounted::Held(reason) => reason,
            };
            if looks == LOOKS {
                break reason;
            }
            looks += 1;
            sleep(BETWEEN_LOOKS).await;
            if let Some(image) = self.listed(place).await? {
                return Ok(Some(image));
            }
        };
        let (point, file) = (place.point.display(), place.file.display());
        Err(AttachError::Failed(format!(
            "{point} cannot be unmounted ({reason}), and the system shows no disk of what is in it: `sudo lsof '{file}'` says who has it open; when that has ended, do this again"
        )))
    }

    async fn unmount(&self, point: &Path) -> Result<Unmounted, AttachError> {
        let outcome = self.run(Program::Umount, &[&point.to_string_lossy()], FORCED_LIMIT).await?;
        if outcome.ok() || !self.is_mounted(point).await? {
            return Ok(Unmounted::Gone);
        }
        Ok(Unmounted::Held(outcome.reason()))
    }
}

/// Removes a mount point.
fn remove(point: &Path) -> Result<(), AttachError> {
    match fs::remove_dir(point) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AttachError::Failed(format!("{}: {error}", point.display())))
        }
        _ => Ok(()),
    }
}
