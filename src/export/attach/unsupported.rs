//! Where attaching is not built yet: everything answers that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AttachError;
use crate::kernel_bridge::user::block::Block;

/// Attached units, of which there are none here.
#[derive(Debug)]
pub struct Attachments {}

impl Attachments {
    /// None.
    pub fn new(_runtime_dir: &Path) -> Attachments {
        Attachments {}
    }

    /// Cleans nothing.
    ///
    /// # Errors
    /// None here.
    pub async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        Ok(Vec::new())
    }

    /// # Errors
    /// [`AttachError::Unsupported`], always.
    pub async fn attach(&self, _unit: &str, _block: Arc<dyn Block>) -> Result<PathBuf, AttachError> {
        Err(AttachError::Unsupported(
            "units cannot be attached as disks on this system yet: use the unit's NBD URI instead".to_owned(),
        ))
    }

    /// # Errors
    /// [`AttachError::NotAttached`], always.
    pub async fn detach(&self, _unit: &str, _force: bool) -> Result<(), AttachError> {
        Err(AttachError::NotAttached)
    }

    /// None.
    pub fn device(&self, _unit: &str) -> Option<PathBuf> {
        None
    }

    /// Nothing that could be written back.
    ///
    /// # Errors
    /// None here.
    pub async fn write_back(&self, _unit: &str) -> Result<(), AttachError> {
        Ok(())
    }

    /// Nothing.
    pub async fn in_use(&self, _unit: &str) -> Vec<String> {
        Vec::new()
    }

    /// Nothing that could fail.
    pub async fn detach_all(&self, _force: bool) -> Vec<(String, AttachError)> {
        Vec::new()
    }
}
