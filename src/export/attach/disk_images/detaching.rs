//! How a disk goes.

use super::images::Seen;
use super::inner::{CHANGE_LIMIT, FORCED_LIMIT, Inner};
use super::place::Place;
use super::volumes::close;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, dissenters, nodes};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn detach(&self, name: &str, force: bool) -> Result<Vec<String>, AttachError> {
        let unit = self.unit(name).ok_or(AttachError::NotAttached)?;
        let _turn = unit.busy.lock().await;
        let place = self.place(name)?;
        let device = unit.device().clone().ok_or(AttachError::NotAttached)?;
        let attachment = self.attachment(name);
        let image = match self.seen(&place, Some(&device)).await? {
            Seen::Listed(image) | Seen::Unlisted(image) => Some(image),
            // After an eject in the Finder the mount is still there.
            Seen::Nothing => match self.unmount_unused(&place).await {
                Ok(None) => {
                    *unit.device() = None;
                    attachment.iter().for_each(close);
                    return Ok(Vec::new());
                }
                Err(error) if !force => return Err(error),
                shown => shown.unwrap_or(None),
            },
        };
        let mut said = Vec::new();
        match &image {
            None => {}
            Some(image) if force => {
                // Not by asking who uses it: that may hang at a target that is gone.
                for point in &image.mount_points {
                    said.push(format!("{point} is unmounted by force: programs that use it get errors"));
                }
                // A target that answers gets what is not written yet.
                let unmounted = self.force_volumes(&image.device).await.is_ok();
                // After that the tools must not wait for one that is gone, nor keep macOS waiting. A disk that stays
                // nevertheless goes on failing: what was refused its file system by then cannot be made good, so no attach
                // takes it over.
                if let Some(attachment) = &attachment {
                    attachment.fail();
                }
                match unmounted {
                    true => self.force_device(&image.device).await?,
                    false => self.force_out(&image.device).await?,
                }
            }
            Some(image) => self.eject(&place, image).await?,
        }
        *unit.device() = None;
        self.unmount_by_force(&place.point).await?;
        attachment.iter().for_each(close);
        Ok(said)
    }

    /// Ejects a disk that nobody uses. One that is refused has the volumes again that it had.
    async fn eject(&self, place: &Place, image: &Image) -> Result<(), AttachError> {
        let outcome = self.change(Program::Diskutil, &["eject", &image.device], CHANGE_LIMIT).await?;
        if outcome.ok() {
            return Ok(());
        }
        self.mount_again(place, image).await;
        // What it says may be in any language.
        let mut by = dissenters(&outcome.text());
        by.extend(self.open_files(&image.mount_points).await.unwrap_or_default());
        if by.is_empty() {
            by = self.open_files(&nodes(&image.device)).await.unwrap_or_default();
        }
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
        let now = match self.listed(place).await {
            Ok(now) => now,
            Err(error) => return tracing::warn!("whether {} has its volumes is not known: {error}", before.device),
        };
        let is_whole = |now: &Image| before.mount_points.iter().all(|point| now.mount_points.contains(point));
        if now.is_none_or(|now| now.device != before.device || is_whole(&now)) {
            return;
        }
        match self.change(Program::Diskutil, &["mountDisk", &before.device], CHANGE_LIMIT).await {
            Ok(outcome) if outcome.ok() => {}
            Ok(outcome) => tracing::warn!("{} is not mounted again: {}", before.device, outcome.reason()),
            Err(error) => tracing::warn!("{} is not mounted again: {error}", before.device),
        }
    }

    /// Takes a disk away from the programs that use it.
    pub(super) async fn force_out(&self, device: &str) -> Result<(), AttachError> {
        if let Err(why) = self.force_volumes(device).await {
            tracing::warn!("{device}: {why}");
        }
        self.force_device(device).await
    }

    /// Unmounts its volumes; without them the disk is still there.
    async fn force_volumes(&self, device: &str) -> Result<(), AttachError> {
        self.change(Program::Diskutil, &["unmountDisk", "force", device], FORCED_LIMIT).await?.done()
    }

    /// Takes the disk. hdiutil comes last: from macOS 27 on it finds each disk busy.
    async fn force_device(&self, device: &str) -> Result<(), AttachError> {
        let mut why = String::new();
        let ways: [(Program, &[&str]); 2] =
            [(Program::Diskutil, &["eject", device]), (Program::Hdiutil, &["detach", device, "-force"])];
        for (program, words) in ways {
            if !self.runner.has(program) {
                continue;
            }
            why = match self.change(program, words, FORCED_LIMIT).await.and_then(|outcome| outcome.done()) {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            };
            tracing::warn!("{device}: {why}");
        }
        Err(AttachError::Failed(format!("{device} cannot be detached: {why}")))
    }
}
