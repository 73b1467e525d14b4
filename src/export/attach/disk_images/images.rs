//! Which disk images are attached.

use super::inner::{Inner, LOOK_LIMIT};
use super::place::Place;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, images};
use crate::export::attach::program::Program;

impl Inner {
    /// The images that are attached. Only hdiutil tells their files.
    pub(super) async fn images(&self) -> Result<Vec<Image>, AttachError> {
        if !self.runner.has(Program::Hdiutil) {
            return Ok(Vec::new());
        }
        let outcome = self.run(Program::Hdiutil, &["info", "-plist"], LOOK_LIMIT).await?;
        images(&outcome.stdout).ok_or_else(|| {
            AttachError::Failed(format!("the system does not tell its disk images: {}", outcome.reason()))
        })
    }

    /// Those of a unit's file; the one that is `known` where the system does not tell.
    pub(super) async fn images_of(&self, place: &Place, known: Option<String>) -> Result<Vec<Image>, AttachError> {
        if let Some(device) = known.filter(|_| !self.runner.has(Program::Hdiutil)) {
            return Ok(vec![Image { file: place.file.clone(), device, mount_points: Vec::new() }]);
        }
        Ok(self.images().await?.into_iter().filter(|image| image.file == place.file).collect())
    }
}
