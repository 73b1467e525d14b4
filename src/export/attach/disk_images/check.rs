//! Whether a disk is what its unit is.

use super::inner::{Inner, LOOK_LIMIT};
use crate::block::Geometry;
use crate::export::attach::mac_tools::{is_image, shape};
use crate::export::attach::program::Program;

/// Why a disk is not the unit's. Sentences.
pub(super) enum Misfit {
    /// It does not show what it is. It may in a while.
    Silent(String),
    /// It is another one than the unit is now.
    Other(String),
    /// It is no image: what names it is mistaken, and it is somebody else's.
    Foreign(String),
}

impl Inner {
    /// Whether the system has made of the file what the unit is: another block size would be another disk to
    /// every file system on it.
    pub(super) async fn check(&self, device: &str, geometry: &Geometry) -> Result<(), Misfit> {
        let answer = self.run(Program::Diskutil, &["info", "-plist", device], LOOK_LIMIT).await;
        let outcome = answer.map_err(|error| Misfit::Silent(error.to_string()))?;
        let Some((block_size, bytes)) = shape(&outcome.stdout) else {
            return Err(Misfit::Silent(format!("{device} does not show its size: {}", outcome.reason())));
        };
        if is_image(&outcome.stdout) == Some(false) {
            return Err(Misfit::Foreign(format!("{device}, which is named as the unit's disk, is no disk image")));
        }
        if (block_size, bytes) == (geometry.block_size.into(), geometry.bytes()) {
            return Ok(());
        }
        Err(Misfit::Other(format!(
            "macOS makes a disk of {bytes} bytes in blocks of {block_size} of it, and the unit has {} in blocks of {}; use its NBD URI",
            geometry.bytes(),
            geometry.block_size
        )))
    }
}
