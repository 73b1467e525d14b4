//! How a disk goes when the machine ends.
//!
//! ```text
//!   diskutil unmountDisk force, eject ─┬─ done ─────────────────────────────────────────┐
//!                                      └─ not in time ─► umount of each volume, by force │
//!                                                        if need be ─► the file is synced┴─► umount of the mount
//! ```
//! launchd ends all daemons at the same moment, also diskarbitrationd, which diskutil asks, and those that serve disk images,
//! which eject theirs: through us. umount(8) asks none of them, and writes back with force and without. From reboot(2) on the
//! NFS client of macOS fails every request (NFS, kext/nfs_socket.c, `nfs_sigintr`): what has not reached the unit by then is
//! lost. So nobody is asked whether the disk is in use, and the mount is waited for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::images::Seen;
use super::inner::{FORCED_LIMIT, Inner};
use super::place::Place;
use super::volumes::close;
use crate::export::attach::AttachError;
use crate::export::attach::mac_tools::{Image, mount_table, mounted_of};
use crate::export::attach::program::Program;

/// How long diskutil may take, which may wait for somebody who is gone.
const DISKUTIL_LIMIT: Duration = Duration::from_secs(10);

/// How long hdiutil may take to tell what is on the disk: it waits for the same.
const TELL_LIMIT: Duration = Duration::from_secs(5);

/// How long the mount may take to go of which no disk shows.
const UNUSED_LIMIT: Duration = Duration::from_secs(10);

/// How long whoever serves the disk image may take to let go of its file, once nothing of it is mounted any more.
const LET_GO_LIMIT: Duration = Duration::from_secs(5);

/// How long a volume that nobody unmounts may take to go: less than the end of the daemon has for its disks, so that it is
/// named.
const VOLUMES_LIMIT: Duration = Duration::from_secs(40);

/// How long it may take in all, also where something hangs: less than that, too.
const LIMIT: Duration = Duration::from_secs(42);

/// How often it is looked at what is still mounted: macOS reports that to no program that does not ask.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    /// Takes a disk away from whoever uses it, so that what is on it is whole.
    pub(super) async fn put_away(&self, name: &str) -> Result<Vec<String>, AttachError> {
        timeout(LIMIT, self.put_away_in_time(name)).await.unwrap_or_else(|_| {
            let seconds = LIMIT.as_secs();
            Err(AttachError::TimedOut(format!(
                "that has not ended within {seconds} seconds, and what was written there may be lost"
            )))
        })
    }

    async fn put_away_in_time(&self, name: &str) -> Result<Vec<String>, AttachError> {
        let begun = Instant::now();
        let unit = self.unit(name).ok_or(AttachError::NotAttached)?;
        let _turn = unit.busy.lock().await;
        let place = self.place(name)?;
        let device = unit.device().clone().ok_or(AttachError::NotAttached)?;
        // The last of what was written goes to the file when no volume is mounted any more, and nobody writes it again.
        unit.stop_watching().await;
        let attachment = self.attachment(name);
        if let Some(attachment) = &attachment {
            attachment.set_mounted(true);
        }
        let (image, known) = self.volumes(&place, &device).await;
        if let Some(image) = image
            && !self.ejected(&image.device).await
        {
            join_all(image.mount_points.iter().map(|point| self.unmount_volume(point))).await;
            let synced = self.write_back_file(&place).await;
            if let Err(error) = &synced {
                tracing::warn!("{name} is not synced: {error}");
            }
            let volumes: BTreeSet<&str> = image.mount_points.iter().map(String::as_str).collect();
            self.wait_for_mount(&place, &volumes, known && synced.is_ok(), begun).await?;
        }
        *unit.device() = None;
        self.unmount_by_force(&place.point).await?;
        attachment.iter().for_each(close);
        Ok(Vec::new())
    }

    /// The disk's image with its volumes, and whether those are all. Who serves images may be gone already: then the table of
    /// mounts tells of those volumes that are on the disk itself.
    async fn volumes(&self, place: &Place, device: &str) -> (Option<Image>, bool) {
        match timeout(TELL_LIMIT, self.seen(place, Some(device))).await {
            Ok(Ok(Seen::Listed(image))) => return (Some(image), true),
            // After an eject in the Finder the mount alone is left. Where it does not go, there must be time for the rest.
            Ok(Ok(Seen::Nothing))
                if matches!(timeout(UNUSED_LIMIT, self.unmount_unused(place)).await, Ok(Ok(None))) =>
            {
                return (None, true);
            }
            Ok(Err(error)) => tracing::warn!("what is on {device} is not known: {error}"),
            Ok(Ok(_)) | Err(_) => {}
        }
        let mounts = self.mounts().await.unwrap_or_else(|error| {
            tracing::warn!("where {device} is mounted is not known: {error}");
            Vec::new()
        });
        let mount_points = mounted_of(&mounts, device);
        (Some(Image { file: place.file.clone(), device: device.to_owned(), mount_points }), false)
    }

    /// Whether diskutil has unmounted and ejected a disk.
    async fn ejected(&self, device: &str) -> bool {
        let ejected = timeout(DISKUTIL_LIMIT, async {
            for words in [&["unmountDisk", "force", device][..], &["eject", device]] {
                self.run(Program::Diskutil, words, DISKUTIL_LIMIT).await?.done()?;
            }
            Ok::<_, AttachError>(())
        });
        let why = match ejected.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("diskutil did not end within {} seconds", DISKUTIL_LIMIT.as_secs()),
        };
        tracing::warn!("{device} is not ejected ({why}): its volumes are unmounted one by one");
        false
    }

    async fn unmount_volume(&self, point: &str) {
        for words in [&[point][..], &["-f", point]] {
            match self.run(Program::Umount, words, FORCED_LIMIT).await.and_then(|outcome| outcome.done()) {
                Ok(()) => return,
                // diskutil may have come as far as that.
                Err(error) => tracing::warn!("umount {}: {error}", words.join(" ")),
            }
        }
    }

    /// Waits until none of the disk's volumes is mounted, and nobody holds its file any more, for a while. `whole`: there are
    /// no other volumes, and the file is synced.
    async fn wait_for_mount(
        &self,
        place: &Place,
        volumes: &BTreeSet<&str>,
        whole: bool,
        begun: Instant,
    ) -> Result<(), AttachError> {
        let mut without_volumes: Option<Instant> = None;
        loop {
            let mounted = match self.mounts().await {
                Ok(mounts) => mount_table(&mounts),
                Err(error) if begun.elapsed() >= VOLUMES_LIMIT => return Err(error),
                Err(error) => {
                    // It may be there still, and is waited for.
                    tracing::warn!("{error}");
                    sleep(LOOK_INTERVAL).await;
                    continue;
                }
            };
            if !mounted.iter().any(|point| Path::new(point) == place.point) {
                return Ok(());
            }
            let volume = mounted.iter().find(|point| volumes.contains(point.as_str()));
            if volume.is_none() {
                // Refused while the file is open.
                let shown = place.point.to_string_lossy();
                if self.run(Program::Umount, &[&shown], FORCED_LIMIT).await?.ok() {
                    return Ok(());
                }
                let since = *without_volumes.get_or_insert_with(Instant::now);
                if whole && since.elapsed() >= LET_GO_LIMIT {
                    // Nothing hangs on it any more.
                    return Ok(());
                }
            }
            if begun.elapsed() >= VOLUMES_LIMIT {
                let what = volume.cloned().unwrap_or_else(|| place.point.display().to_string());
                let why = format!("{what} is still mounted, and what was written there may be lost");
                return Err(AttachError::Failed(why));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}
