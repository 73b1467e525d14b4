//! Who has something open on a disk.

use super::inner::{Inner, LOOK_LIMIT};
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, holders};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn in_use(&self, name: &str) -> Result<Vec<String>, AttachError> {
        let device = self.unit(name).and_then(|unit| unit.device().clone());
        let image = match device {
            Some(device) => self.images_of(&self.place(name)?, Some(device)).await?.pop(),
            None => None,
        };
        match image {
            Some(image) => self.open_files(&image).await,
            None => Ok(Vec::new()),
        }
    }

    pub(super) async fn open_files(&self, image: &Image) -> Result<Vec<String>, AttachError> {
        if image.mount_points.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = vec!["-F", "pcn", "--"];
        words.extend(image.mount_points.iter().map(String::as_str));
        // It ends with 1 where nothing is open.
        Ok(holders(&self.run(Program::Lsof, &words, LOOK_LIMIT).await?.stdout))
    }
}
