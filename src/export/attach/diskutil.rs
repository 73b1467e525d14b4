//! Disks that macOS made of units by itself, as it does over the kernel extension: only unmounting is left to do.

use std::sync::Arc;

use super::AttachError;
use super::disk_images::{CHANGE_LIMIT, LOOK_LIMIT, to_the_end};
use super::mac_tools::{MacTools, dissenters, mounted_of, nodes};
use super::open_files::open_files;
use super::program::Program;
use super::runner::{Runner, System};

/// Unmounts whole disks.
pub struct Diskutil {
    runner: Arc<dyn Runner>,
}

impl Diskutil {
    /// By these tools.
    pub fn new(tools: MacTools) -> Diskutil {
        Diskutil::with(Arc::new(System { tools }))
    }

    pub(super) fn with(runner: Arc<dyn Runner>) -> Diskutil {
        Diskutil { runner }
    }

    /// Unmounts all volumes of a disk, such as `/dev/disk4`.
    ///
    /// # Errors
    /// [`AttachError::InUse`] without `force`, if somebody does not let go, who is named.
    pub async fn unmount_disk(&self, device: &str, force: bool) -> Result<(), AttachError> {
        let (runner, device) = (self.runner.clone(), device.to_owned());
        to_the_end(async move { unmount_disk(&*runner, &device, force).await }).await
    }
}

async fn unmount_disk(runner: &dyn Runner, device: &str, force: bool) -> Result<(), AttachError> {
    let words = if force { &["unmountDisk", "force", device][..] } else { &["unmountDisk", device] };
    let words = words.iter().map(Into::into).collect();
    let outcome = runner.run(Program::Diskutil, words, CHANGE_LIMIT).await?;
    if outcome.ok() {
        return Ok(());
    }
    // It takes volume by volume: those that it has unmounted before one was refused are mounted again.
    if !force {
        match runner.run(Program::Diskutil, vec!["mountDisk".into(), device.into()], CHANGE_LIMIT).await {
            Ok(again) if again.ok() => {}
            Ok(again) => tracing::warn!("{device} may have lost volumes: {}", again.reason()),
            Err(error) => tracing::warn!("{device} may have lost volumes: {error}"),
        }
    }
    let mut by = dissenters(&outcome.text());
    if by.is_empty() {
        // What it says may be in any language.
        by = users(runner, device).await.unwrap_or_default();
    }
    match by {
        by if by.is_empty() => Err(AttachError::Failed(format!("{device} cannot be unmounted: {}", outcome.reason()))),
        by => Err(AttachError::InUse(by)),
    }
}

/// Who has something open on a disk or its volumes.
async fn users(runner: &dyn Runner, device: &str) -> Result<Vec<String>, AttachError> {
    let mounts = runner.run(Program::Mount, Vec::new(), LOOK_LIMIT).await?;
    let mut files = mounted_of(&mounts.stdout, device);
    files.extend(nodes(device));
    open_files(runner, &files, LOOK_LIMIT).await
}
