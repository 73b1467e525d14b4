//! How a unit becomes a disk.

use std::sync::Arc;

use super::check::Misfit;
use super::inner::{CHANGE_LIMIT, Inner};
use super::place::{Place, make_directory};
use crate::block::{Geometry, UnitName};
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Tool, attached_device};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn attach(self: Arc<Inner>, name: UnitName, geometry: Geometry) -> Result<String, AttachError> {
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
            return Ok(device);
        }
        *unit.device() = None;
        make_directory(&place.point)?;
        let attached = match self.mount(&name, &place, &door, &geometry).await {
            Ok(()) => self.make_disk(&place, &geometry).await,
            Err(error) => Err(Unmade { why: error, device: None }),
        };
        match attached {
            Ok(device) => {
                *unit.device() = Some(device.clone());
                Ok(device)
            }
            Err(Unmade { why, device }) => {
                if let Err(second) = self.undo(&place, device).await {
                    tracing::warn!("what is left of an attach that failed stays: {second}");
                }
                Err(why)
            }
        }
    }

    /// Makes a disk of the file, which must become what the unit is.
    async fn make_disk(&self, place: &Place, geometry: &Geometry) -> Result<String, Unmade> {
        let mut first = None;
        // A disk with nothing on it that could be mounted is a disk. That this is why the tools fail they say in
        // whatever language; where it is not, they fail once more, and nothing is lost.
        for volumes in [true, false] {
            let why = match self.make_image(place, geometry, volumes).await {
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
    async fn make_image(&self, place: &Place, geometry: &Geometry, volumes: bool) -> Result<String, AttachError> {
        let tool = if self.runner.has(Program::Hdiutil) { Tool::Hdiutil } else { Tool::Diskutil };
        let failed = |why: &str| AttachError::Failed(format!("no disk can be made of the unit: {why}"));
        let words = tool.attach(&place.file, geometry, volumes);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = self.change(tool.program(), &words, CHANGE_LIMIT).await?;
        match attached_device(&outcome.stdout).filter(|_| outcome.ok()) {
            Some(device) => Ok(device),
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

/// Why a disk was not made.
struct Unmade {
    why: AttachError,
    /// What was made instead.
    device: Option<String>,
}
