//! What was written to a disk and is not on its unit yet.
//!
//! ```text
//!   volumes ─ sync_volume_np ─► the image's disk ─► its file ─ F_FULLFSYNC ─► NFS ─► the unit
//! ```
//! It is done by a process of its own, `iscsid --write-back`. A thread of the daemon that waits there for a file system cannot
//! be ended: what it waits for comes by the daemon's own NFS export. With it the daemon itself could not end any more, and no
//! next one could start.

use std::time::Duration;

use super::images::Seen;
use super::inner::Inner;
use super::place::Place;
use crate::export::attach::AttachError;
use crate::export::attach::program::Program;

/// How long a target may take to get what was written to a disk: less than the machine waits before it sleeps, and than the
/// daemon has at its end.
const WRITE_BACK_LIMIT: Duration = Duration::from_secs(15);

impl Inner {
    /// Writes a unit's disk back: its volumes, and then its file.
    pub(super) async fn write_back(&self, name: &str) -> Result<(), AttachError> {
        let Some(device) = self.unit(name).and_then(|unit| unit.device().clone()) else { return Ok(()) };
        let place = self.place(name)?;
        match self.seen(&place, Some(&device)).await {
            Ok(Seen::Listed(image)) => return self.sync(&place, &image.mount_points).await,
            Ok(Seen::Unlisted(_) | Seen::Nothing) => tracing::warn!("{device} is not listed, nor are its volumes"),
            Err(error) => tracing::warn!("which volumes {device} has is not known: {error}"),
        }
        self.sync_everything().await?;
        self.write_back_file(&place).await
    }

    /// Writes the file of a disk back, of which nothing is mounted.
    pub(super) async fn write_back_file(&self, place: &Place) -> Result<(), AttachError> {
        self.sync(place, &[]).await
    }

    async fn sync(&self, place: &Place, points: &[String]) -> Result<(), AttachError> {
        // While it runs, an upgrade may put another program in place of ours, or take it away.
        if !self.runner.has(Program::Own) {
            return self.sync_everything().await;
        }
        let file = place.file.to_string_lossy();
        let mut words = vec!["--write-back"];
        words.extend(points.iter().map(String::as_str));
        words.push(&file);
        self.run(Program::Own, &words, WRITE_BACK_LIMIT).await?.done()
    }

    /// Begins to write back all that there is: sync(2) does not wait on macOS.
    async fn sync_everything(&self) -> Result<(), AttachError> {
        self.run(Program::Sync, &[], WRITE_BACK_LIMIT).await?.done()
    }
}
