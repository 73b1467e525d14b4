//! What an earlier life has left that no disk is made of.

use super::inner::Inner;
use super::place::Place;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, nfs_mounts};

impl Inner {
    pub(super) async fn clean_stale(&self) -> Result<Vec<String>, AttachError> {
        let Ok(luns) = self.luns.canonicalize() else { return Ok(Vec::new()) };
        let ours: Vec<Place> = nfs_mounts(&self.mounts().await?)
            .into_iter()
            .filter(|point| point.parent() == Some(&luns))
            .filter_map(|point| Some(Place { file: point.join(point.file_name()?), point }))
            .collect();
        // Whoever has unmounted the others, their handles are good no more.
        self.close_attaches(|unit| self.place(unit).is_ok_and(|its| ours.iter().all(|our| our.point != its.point)));
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let images = self.images().await?;
        let (mut cleaned, mut failed) = (Vec::new(), None);
        let lost = self.door.as_ref().is_none_or(|door| door.moved);
        for place in ours {
            let image = images.iter().find(|image| image.file == place.file).cloned();
            match self.clean(&place, image, lost).await {
                Ok(done) if done.is_empty() => {}
                Ok(done) => {
                    self.close_attaches(|unit| self.place(unit).is_ok_and(|its| its.point == place.point));
                    cleaned.extend(done);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(cleaned), Err)
    }

    async fn clean(&self, place: &Place, listed: Option<Image>, lost: bool) -> Result<Vec<String>, AttachError> {
        let unmounted = format!("unmounted {}", place.point.display());
        let image = match listed {
            Some(image) => image,
            None => match self.unmount_unused(place).await {
                Ok(None) => return Ok(vec![unmounted]),
                Ok(Some(image)) => image,
                Err(error) if !lost => return Err(error),
                Err(_) => return self.unmount_by_force(&place.point).await.map(|()| vec![unmounted]),
            },
        };
        if !lost {
            tracing::info!("{} of an earlier life waits for a login to its target", image.device);
            return Ok(Vec::new());
        }
        // Its volumes go with it; macOS leaves no mount point behind that could be written to.
        if !image.mount_points.is_empty() {
            tracing::warn!(
                "{} (mounted on {}) cannot be served any more, for NFS is off or has another port now: it is detached by force, and what was not written yet is lost; log in again",
                image.device,
                image.mount_points.join(", ")
            );
        }
        self.force_out(&image.device).await?;
        self.unmount_by_force(&place.point).await?;
        Ok(vec![format!("detached {}", image.device), unmounted])
    }
}
