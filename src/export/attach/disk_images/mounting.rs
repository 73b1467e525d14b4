//! The mount of a unit's file.

use std::fs;
use std::io;
use std::path::Path;

use super::door::NfsDoor;
use super::inner::{CHANGE_LIMIT, FORCED_LIMIT, Inner, LOOK_LIMIT};
use super::place::Place;
use crate::block::Geometry;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{nfs_mounts, nfs_options};
use crate::export::attach::program::Program;

impl Inner {
    pub(super) async fn mount(
        &self,
        name: &str,
        place: &Place,
        door: &NfsDoor,
        geometry: &Geometry,
    ) -> Result<(), AttachError> {
        let ticket = door.tickets.issue(name).map_err(|error| AttachError::Failed(error.to_string()))?;
        let (options, source) = (nfs_options(door.port, geometry), format!("127.0.0.1:/{ticket}"));
        let words = ["-o", &options, &source, &place.point.to_string_lossy()];
        let outcome = self.run(Program::MountNfs, &words, CHANGE_LIMIT).await?;
        match outcome.ok() {
            true => Ok(()),
            false => Err(AttachError::Failed(format!("the unit's file cannot be mounted: {}", outcome.reason()))),
        }
    }

    pub(super) async fn is_mounted(&self, point: &Path) -> Result<bool, AttachError> {
        let outcome = self.run(Program::Mount, &[], LOOK_LIMIT).await?;
        Ok(nfs_mounts(&outcome.stdout).iter().any(|mounted| mounted == point))
    }

    pub(super) async fn unmount(&self, point: &Path, force: bool) -> Result<(), AttachError> {
        let shown = point.to_string_lossy();
        let gently = self.run(Program::Umount, &[&shown], FORCED_LIMIT).await;
        let done = match gently {
            Ok(outcome) if outcome.ok() || !self.is_mounted(point).await? => Ok(()),
            Ok(outcome) if !force => Err(AttachError::Failed(outcome.reason())),
            Err(error) if !force => Err(error),
            _ => match self.run(Program::Umount, &["-f", &shown], FORCED_LIMIT).await? {
                outcome if outcome.ok() => Ok(()),
                outcome => Err(AttachError::Failed(outcome.reason())),
            },
        };
        done?;
        match fs::remove_dir(point) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(AttachError::Failed(format!("{}: {error}", point.display())))
            }
            _ => Ok(()),
        }
    }
}
