//! Which disk images are attached.

use tokio::time::sleep;

use super::inner::{BETWEEN_LOOKS, Inner, LOOK_LIMIT, LOOKS};
use super::place::Place;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, images, is_image};
use crate::export::attach::program::Program;
use crate::export::attach::runner::Outcome;

/// How hdiutil is asked for the images.
const INFO: [&str; 2] = ["info", "-plist"];

/// What shows of the disk that was made of a unit's file.
pub(super) enum Seen {
    /// It is listed.
    Listed(Image),
    /// It is there, and not listed: where its volumes are mounted is not known.
    Unlisted(Image),
    /// Nothing. What is not listed may be there nevertheless.
    Nothing,
}

impl Inner {
    /// The images that are listed as attached. Only hdiutil tells their files. The list may lack some that were
    /// attached or detached while it was made, by whomever.
    pub(super) async fn images(&self) -> Result<Vec<Image>, AttachError> {
        if !self.runner.has(Program::Hdiutil) {
            return Ok(Vec::new());
        }
        told(&self.list(Program::Hdiutil, &INFO).await?)
    }

    /// That of a unit's file, if it is listed.
    pub(super) async fn listed(&self, place: &Place) -> Result<Option<Image>, AttachError> {
        Ok(self.images().await?.into_iter().find(|image| image.file == place.file))
    }

    /// The same by a list that holds up no attach and no detach, and may therefore lack more.
    pub(super) async fn glimpsed(&self, place: &Place) -> Result<Option<Image>, AttachError> {
        let images = told(&self.run(Program::Hdiutil, &INFO, LOOK_LIMIT).await?)?;
        Ok(images.into_iter().find(|image| image.file == place.file))
    }

    /// What shows of the disk of a unit's file; `known` is the device it had last.
    pub(super) async fn seen(&self, place: &Place, known: Option<&str>) -> Result<Seen, AttachError> {
        for left in (0..LOOKS).rev() {
            let images = self.images().await?;
            if let Some(image) = images.iter().find(|image| image.file == place.file) {
                return Ok(Seen::Listed(image.clone()));
            }
            let Some(device) = known else { break };
            // Its number may be that of another disk now.
            if images.iter().any(|image| image.device == device) || !self.is_image(device).await? {
                break;
            }
            if left == 0 || !self.runner.has(Program::Hdiutil) {
                let (file, device) = (place.file.clone(), device.to_owned());
                return Ok(Seen::Unlisted(Image { file, device, mount_points: Vec::new() }));
            }
            sleep(BETWEEN_LOOKS).await;
        }
        Ok(Seen::Nothing)
    }

    /// Whether a disk is there and an image, by its number.
    async fn is_image(&self, device: &str) -> Result<bool, AttachError> {
        let outcome = self.run(Program::Diskutil, &["info", "-plist", device], LOOK_LIMIT).await?;
        Ok(outcome.ok() && is_image(&outcome.stdout) != Some(false))
    }
}

/// The images that hdiutil has told.
fn told(outcome: &Outcome) -> Result<Vec<Image>, AttachError> {
    images(&outcome.stdout)
        .filter(|_| outcome.ok())
        .ok_or_else(|| AttachError::Failed(format!("the system does not tell its disk images: {}", outcome.reason())))
}
