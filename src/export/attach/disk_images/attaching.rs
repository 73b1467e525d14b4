//! How a unit becomes a disk.

use std::sync::Arc;

use super::inner::{CHANGE_LIMIT, Inner, LOOK_LIMIT};
use super::place::{Place, make_directory};
use crate::block::{Geometry, UnitName};
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Tool, attached_device, shape};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn attach(self: Arc<Inner>, name: UnitName, geometry: Geometry) -> Result<String, AttachError> {
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
    pub(super) async fn check(&self, device: &str, geometry: &Geometry) -> Result<(), AttachError> {
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
}
