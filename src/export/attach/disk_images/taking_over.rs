//! A disk of an earlier life.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::check::Misfit;
use super::images::Seen;
use super::inner::{Inner, LOOK_LIMIT};
use super::place::Place;
use crate::block::Geometry;
use crate::export::attach::AttachError;
use crate::export::attach::mount_proof::{Shown, shown};
use crate::export::attach::program::Program;

/// How long a disk may take to answer the daemon that comes after its own: as long as I/O waits for a lost connection
/// unless another time is set (ReplacementTimeout). The looks go the way of that I/O, and beside it through
/// diskarbitrationd, which is slow as a whole while it waits for any one disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long after a look it is looked again. Nothing tells that the system is done with others.
const PAUSE: Duration = Duration::from_secs(2);

impl Inner {
    /// The disk that an earlier life has made of the unit, which is as good as a new one. What is left of another is
    /// undone; the disk itself is when it is `lost`, which means that it will never be served again, or that somebody else
    /// serves it, and never else: its file system has data that are nowhere else yet.
    pub(super) async fn take_over(
        &self,
        name: &str,
        place: &Place,
        geometry: &Geometry,
        known: Option<&str>,
        lost: bool,
    ) -> Result<Option<String>, AttachError> {
        if !self.is_mounted(&place.point).await? {
            return Ok(None);
        }
        // The disk is as long as the unit was when it was attached. What the unit has grown by shows in the next attach.
        let size = self.attachment(name).map_or(geometry.bytes(), |attachment| attachment.size());
        let blocks = size.min(geometry.bytes()) / u64::from(geometry.block_size);
        let geometry = &Geometry { blocks, ..*geometry };
        let lost = lost || (known.is_none() && !self.is_ours(name, place).await?);
        let shown = match self.seen(place, known).await? {
            Seen::Listed(image) | Seen::Unlisted(image) => Some(image),
            Seen::Nothing => match self.unmount_unused(place).await {
                Ok(None) => return Ok(None),
                Ok(shown) => shown,
                Err(error) if !lost => return Err(error),
                Err(_) => None,
            },
        };
        if lost {
            if let Some(image) = shown {
                tracing::warn!(
                    "{} is of an earlier life and not served any more: it is detached by force",
                    image.device
                );
                self.force_out(&image.device).await?;
            }
            self.unmount_by_force(&place.point).await?;
            return Ok(None);
        }
        match shown {
            Some(image) if self.attachment(name).is_some_and(|attachment| attachment.fails()) => {
                Err(AttachError::Failed(format!(
                    "{} was to be detached by force, which failed, and nothing can be read from it or written to it any more: detach it by force again, and attach the unit then",
                    image.device
                )))
            }
            Some(image) => self.answering(place, geometry, image.device).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a mount of an earlier life leads to this daemon.
    ///
    /// # Errors
    /// If it does not show.
    async fn is_ours(&self, name: &str, place: &Place) -> Result<bool, AttachError> {
        let Some(door) = self.door.as_ref() else { return Ok(false) };
        match shown(&*self.runner, &place.point, name, &door.proofs).await? {
            Shown::Ours => Ok(true),
            Shown::Another => Ok(false),
            // It may still be ours, with data that are nowhere else yet. Nothing is read from it or written to it meanwhile.
            Shown::Silent => {
                let point = place.point.display();
                Err(AttachError::Failed(format!(
                    "the mount {point} of an earlier life does not show whom it leads to; it stays as it is: attach the unit again later, or give up what is not written yet by `sudo umount -f {point}`"
                )))
            }
        }
    }

    /// The device, when it is known that it is the unit's disk and that this daemon serves it.
    async fn answering(&self, place: &Place, geometry: &Geometry, device: String) -> Result<String, AttachError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let why = match self.fitness(place, geometry, &device).await {
                Ok(()) => return Ok(device),
                Err(Misfit::Silent(why)) => why,
                Err(Misfit::Other(why) | Misfit::Foreign(why)) => {
                    return Err(AttachError::Failed(format!(
                        "{device} is of an earlier life, when the unit was another disk ({why}): eject it by `diskutil eject {device}`, and attach the unit again"
                    )));
                }
            };
            if Instant::now() >= until {
                return Err(AttachError::Failed(format!(
                    "{device} is of an earlier life and does not answer yet ({why}); it stays as it is: attach the unit again later, or give up what is not written yet by `sudo hdiutil detach -force {device}`"
                )));
            }
            tracing::info!("{device} is of an earlier life and does not answer yet: {why}");
            sleep(PAUSE).await;
        }
    }

    async fn fitness(&self, place: &Place, geometry: &Geometry, device: &str) -> Result<(), Misfit> {
        // The length of the file, by way of this daemon.
        let words = ["-f", "%z", &place.file.to_string_lossy()];
        let answer = self.run(Program::Stat, &words, LOOK_LIMIT).await;
        let outcome = answer.map_err(|error| Misfit::Silent(error.to_string()))?;
        let length: Option<u64> = String::from_utf8_lossy(&outcome.stdout).trim().parse().ok();
        match length.filter(|_| outcome.ok()) {
            Some(length) if length == geometry.bytes() => self.check(device, geometry).await,
            Some(length) => Err(Misfit::Other(format!("its file has {length} bytes now"))),
            None => Err(Misfit::Silent(outcome.reason())),
        }
    }
}
