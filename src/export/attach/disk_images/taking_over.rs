//! A disk of an earlier life.

use super::inner::{Inner, LOOK_LIMIT};
use super::place::Place;
use crate::block::Geometry;
use crate::export::attach::AttachError;
use crate::export::attach::program::Program;

impl Inner {
    /// The disk that an earlier life has made of the unit, if it is as good as a new one. What is left of
    /// another is undone.
    pub(super) async fn take_over(
        &self,
        place: &Place,
        geometry: &Geometry,
        lost: bool,
    ) -> Result<Option<String>, AttachError> {
        if !self.is_mounted(&place.point).await? {
            return Ok(None);
        }
        let image = self.images_of(place, None).await?.pop();
        let served = !lost && self.is_served(place, geometry).await;
        if let Some(image) = &image
            && served
            && self.check(&image.device, geometry).await.is_ok()
        {
            return Ok(Some(image.device.clone()));
        }
        if let Some(image) = image {
            tracing::warn!("{} is of an earlier life and does not answer: it is detached by force", image.device);
            self.force_out(&image.device).await?;
        }
        self.unmount(&place.point, true).await?;
        Ok(None)
    }

    /// Whether the mount leads to this daemon, and the file is as long as the unit.
    async fn is_served(&self, place: &Place, geometry: &Geometry) -> bool {
        let words = ["-f", "%z", &place.file.to_string_lossy()];
        let served = self.run(Program::Stat, &words, LOOK_LIMIT).await;
        served.is_ok_and(|outcome| {
            outcome.ok() && String::from_utf8_lossy(&outcome.stdout).trim().parse() == Ok(geometry.bytes())
        })
    }
}
