//! What an earlier life has left that no disk is made of.

use std::path::PathBuf;

use super::inner::{Inner, LOOK_LIMIT};
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::nfs_mounts;
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let Ok(luns) = self.luns.canonicalize() else { return Ok(Vec::new()) };
        let outcome = self.run(Program::Mount, &[], LOOK_LIMIT).await?;
        let ours: Vec<PathBuf> =
            nfs_mounts(&outcome.stdout).into_iter().filter(|point| point.parent() == Some(&luns)).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let images = self.images().await?;
        let (mut cleaned, mut failed) = (Vec::new(), None);
        let lost = self.door.as_ref().is_none_or(|door| door.moved);
        for point in ours {
            if let Some(image) = images.iter().find(|image| image.file.parent() == Some(&point)) {
                if !lost {
                    tracing::info!("{} of an earlier life waits for a login to its target", image.device);
                    continue;
                }
                // Its volumes go with it; macOS leaves no mount point behind that could be written to.
                if !image.mount_points.is_empty() {
                    tracing::warn!(
                        "{} (mounted on {}) cannot be served any more, for NFS is off or has another port now: it is detached by force, and what was not written yet is lost; log in again",
                        image.device,
                        image.mount_points.join(", ")
                    );
                }
                match self.force_out(&image.device).await {
                    Ok(()) => cleaned.push(format!("detached {}", image.device)),
                    Err(error) => failed = Some(error),
                }
            }
            match self.unmount(&point, true).await {
                Ok(()) => cleaned.push(format!("unmounted {}", point.display())),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(cleaned), Err)
    }
}
