//! Who has something open on a disk.

use super::images::Seen;
use super::inner::{Inner, LOOK_LIMIT};
use crate::export::attach::AttachError;
use crate::export::attach::open_files::open_files;
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn in_use(&self, name: &str) -> Result<Vec<String>, AttachError> {
        let Some(device) = self.unit(name).and_then(|unit| unit.device().clone()) else { return Ok(Vec::new()) };
        if !self.runner.has(Program::Hdiutil) {
            // The eject will tell.
            return Ok(Vec::new());
        }
        match self.seen(&self.place(name)?, Some(&device)).await? {
            Seen::Listed(image) => self.open_files(&image.mount_points).await,
            Seen::Nothing => Ok(Vec::new()),
            Seen::Unlisted(_) => Err(AttachError::Failed(format!(
                "{device} is there, and the system does not list it: what uses it is not known; do this again in a moment"
            ))),
        }
    }

    /// Who has one of these files open, or something on a volume that is mounted there.
    pub(super) async fn open_files(&self, files: &[String]) -> Result<Vec<String>, AttachError> {
        open_files(&*self.runner, files, LOOK_LIMIT).await
    }
}
