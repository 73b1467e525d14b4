//! How a unit becomes a disk.

use std::sync::Arc;

use tokio::time::timeout;

use super::check::Misfit;
use super::inner::{CHANGE_LIMIT, Inner, LOOK_LIMIT};
use super::place::{Place, make_directory};
use super::volumes::close;
use crate::block::{Block, Geometry, UnitName, read_first_block};
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Tool, attached};
use crate::export::attach::program::Program;
use crate::export::nfs::Attachment;

impl Inner {
    pub(super) async fn attach(self: Arc<Inner>, name: UnitName, block: Arc<dyn Block>) -> Result<String, AttachError> {
        let geometry = block.geometry();
        let Some(door) = self.door.clone() else {
            return Err(AttachError::NotExported);
        };
        if !self.runner.is_root() {
            let why = "attaching a unit as a disk needs root, for mount_nfs";
            return Err(AttachError::NotPermitted(why.to_owned()));
        }
        if geometry.bytes() == 0 {
            return Err(AttachError::Unsupported(format!("{name} has no blocks")));
        }
        make_directory(&self.luns)?;
        let place = self.place(&name)?;
        let unit = self.lock().entry(name.clone()).or_default().clone();
        let _turn = unit.busy.lock().await;
        let known = unit.device().clone();
        let lost = door.moved && known.is_none();
        if let Some(device) = self.take_over(&name, &place, &geometry, known.as_deref(), lost).await? {
            *unit.device() = Some(device.clone());
            if let Some(attachment) = self.attachment(&name).filter(|_| known.is_none()) {
                self.watch_volumes(&name, attachment);
            }
            return Ok(device);
        }
        *unit.device() = None;
        answers(&*block).await?;
        make_directory(&place.point)?;
        let attachment = door
            .attachments
            .open(&name, geometry.bytes())
            .map_err(|error| AttachError::Failed(format!("what the unit is mounted by cannot be kept: {error}")))?;
        let attached = match self.mount(&attachment, &place, &door, &geometry).await {
            Ok(()) => self.make_disk(&attachment, &place, &geometry).await,
            Err(error) => Err(Unmade { why: error, device: None }),
        };
        match attached {
            Ok(device) => {
                *unit.device() = Some(device.clone());
                self.watch_volumes(&name, attachment);
                Ok(device)
            }
            Err(Unmade { why, device }) => {
                match self.undo(&place, device).await {
                    Ok(()) => close(&attachment),
                    Err(second) => {
                        tracing::warn!("what is left of an attach that failed stays: {second}");
                        // It may be mounted later.
                        self.watch_volumes(&name, attachment);
                    }
                }
                Err(why)
            }
        }
    }

    /// Makes a disk of the file, which must become what the unit is.
    async fn make_disk(&self, attachment: &Attachment, place: &Place, geometry: &Geometry) -> Result<String, Unmade> {
        let mut first = None;
        // A disk with nothing on it that could be mounted is a disk. That this is why the tools fail they say in
        // whatever language; where it is not, they fail once more, and nothing is lost.
        for volumes in [true, false] {
            let why = match self.make_image(attachment, place, geometry, volumes).await {
                Ok(device) => return self.checked(device, geometry).await,
                Err(why) => why,
            };
            let listed = self.listed(place).await;
            // What took too long may still be at it.
            let at_it = matches!(why, AttachError::TimedOut(_));
            let why = first.get_or_insert(why).clone();
            match listed {
                Ok(None) if at_it => break,
                Ok(None) => {}
                Ok(Some(image)) => {
                    tracing::warn!("{} is attached nevertheless: {why}", image.device);
                    if !image.mount_points.is_empty() {
                        attachment.set_mounted(true);
                    }
                    return self.checked(image.device, geometry).await;
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    break;
                }
            }
        }
        let why = first.unwrap_or(AttachError::NotAttached);
        Err(Unmade { why, device: None })
    }

    /// Makes an image of the file and returns its device; `volumes`: what is on it is mounted.
    async fn make_image(
        &self,
        attachment: &Attachment,
        place: &Place,
        geometry: &Geometry,
        volumes: bool,
    ) -> Result<String, AttachError> {
        let tool = if self.runner.has(Program::Hdiutil) { Tool::Hdiutil } else { Tool::Diskutil };
        let failed = |why: &str| AttachError::Failed(format!("no disk can be made of the unit: {why}"));
        let words = tool.attach(&place.file, geometry, volumes);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = self.change(tool.program(), &words, CHANGE_LIMIT).await?;
        match attached(&outcome.stdout).filter(|_| outcome.ok()) {
            Some((device, mount_points)) => {
                // The first look at the volumes may come too late for what is written there by now.
                if !mount_points.is_empty() {
                    attachment.set_mounted(true);
                }
                Ok(device)
            }
            None if outcome.ok() => Err(failed(&format!("{} does not say which it is", tool.program().path()))),
            None => Err(failed(&outcome.reason())),
        }
    }

    async fn checked(&self, device: String, geometry: &Geometry) -> Result<String, Unmade> {
        let (why, device) = match self.check(&device, geometry).await {
            Ok(()) => return Ok(device),
            Err(Misfit::Silent(why)) => (AttachError::Failed(why), Some(device)),
            Err(Misfit::Other(why)) => (AttachError::Unsupported(why), Some(device)),
            // It is not ours to detach.
            Err(Misfit::Foreign(why)) => (AttachError::Failed(why), None),
        };
        Err(Unmade { why, device })
    }

    /// Undoes what an attach that failed has left: a disk nobody uses yet, if one is known or shows, and the mount.
    async fn undo(&self, place: &Place, device: Option<String>) -> Result<(), AttachError> {
        let device = match device {
            Some(device) => device,
            None => match self.unmount_unused(place).await? {
                Some(image) => image.device,
                None => return Ok(()),
            },
        };
        self.force_out(&device).await?;
        self.unmount_by_force(&place.point).await
    }
}

/// Whether the unit answers. macOS looks at a disk as soon as there is one, and must not have to wait for it.
async fn answers(unit: &dyn Block) -> Result<(), AttachError> {
    let why = match timeout(LOOK_LIMIT, read_first_block(unit)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the target does not answer within {} seconds", LOOK_LIMIT.as_secs()),
    };
    Err(AttachError::Failed(format!("its first block cannot be read: {why}")))
}

/// Why a disk was not made.
struct Unmade {
    why: AttachError,
    /// What was made instead.
    device: Option<String>,
}
