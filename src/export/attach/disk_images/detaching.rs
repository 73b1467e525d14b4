//! How a disk goes.

use super::inner::{CHANGE_LIMIT, FORCED_LIMIT, Inner};
use super::place::Place;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, dissenters};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn detach(&self, name: &str, force: bool) -> Result<Vec<String>, AttachError> {
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

    /// Takes a disk away from the programs that use it.
    pub(super) async fn force_out(&self, device: &str) -> Result<(), AttachError> {
        let outcome = match self.runner.has(Program::Hdiutil) {
            true => self.run(Program::Hdiutil, &["detach", device, "-force"], FORCED_LIMIT).await?,
            false => self.run(Program::Diskutil, &["eject", device], FORCED_LIMIT).await?,
        };
        match outcome.ok() {
            true => Ok(()),
            false => Err(AttachError::Failed(format!("{device} cannot be detached: {}", outcome.reason()))),
        }
    }
}
