//! How long macOS waits before it offers to give up a mount whose server does not answer.
//!
//! After five seconds without an answer, with "try again later" for an answer, or without a listener (as at each
//! upgrade of the daemon), Apple's client tells that a server is down (NFS, kext/nfs_socket.c: nfs_request_timer,
//! nfs_request_finish, nfs_reconnect), and people are shown "Server connections interrupted". Its button *Disconnect
//! All* takes the disk away from under its file system. That a target is away, the daemon tells by itself, and what
//! waits is not lost.
//!
//! The client has a variable for it, which a mount copies when it is made (kext/nfs_vfsops.c): it is set for as long as
//! a mount of ours takes, so that mounts of others get what they had. Not to 0, which a reconnect takes for no time at
//! all; and mutejukebox does not do it alone, for it is about one of the three causes.

use super::inner::{Inner, LOOK_LIMIT};
use crate::export::attach::AttachError;
use crate::export::attach::program::Program;

/// The variable, in seconds.
const NAME: &str = "vfs.generic.nfs.client.initialdowndelay";

/// What no outage lasts for: a year.
const LONG: u32 = 31_536_000;

/// What macOS has (xnu, bsd/nfs/nfs.h: NFS_TPRINTF_INITIAL_DELAY).
const USUAL: u32 = 5;

/// The client, which is loaded by the first mount, and has no variables before.
const CLIENT: &str = "com.apple.filesystems.nfs";

impl Inner {
    /// Does what mounts, so that the mount never tells that its server is down. Where that cannot be had, the mount is
    /// made all the same.
    pub(super) async fn patiently<T>(&self, mount: impl Future<Output = T>) -> T {
        let _one_at_a_time = self.mounting.lock().await;
        let before = match self.lengthen().await {
            Ok(before) => Some(before),
            Err(error) => {
                tracing::warn!(
                    "macOS may say \"Server connections interrupted\" while a target is away: do not disconnect then, for it destroys disks ({error})"
                );
                None
            }
        };
        let mounted = mount.await;
        if let Some(before) = before
            && let Err(error) = self.set(before).await
        {
            tracing::warn!("{NAME} is not {before} again, as it was: {error}");
        }
        mounted
    }

    /// Sets the variable and says what it was.
    async fn lengthen(&self) -> Result<u32, AttachError> {
        let before = match self.variable().await {
            Ok(before) => before,
            Err(_) => {
                // If that fails, what follows says it.
                self.run(Program::Kmutil, &["load", "-b", CLIENT], LOOK_LIMIT).await?;
                self.variable().await?
            }
        };
        self.set(LONG).await?;
        // Who has left it so was ended in the middle of a mount.
        Ok(if before == LONG { USUAL } else { before })
    }

    async fn variable(&self) -> Result<u32, AttachError> {
        let outcome = self.run(Program::Sysctl, &["-n", NAME], LOOK_LIMIT).await?;
        let value = String::from_utf8_lossy(&outcome.stdout).trim().parse().ok().filter(|_| outcome.ok());
        value.ok_or_else(|| AttachError::Failed(format!("{NAME} is not known: {}", outcome.reason())))
    }

    async fn set(&self, seconds: u32) -> Result<(), AttachError> {
        let outcome = self.run(Program::Sysctl, &["-w", &format!("{NAME}={seconds}")], LOOK_LIMIT).await?;
        match outcome.ok() {
            true => Ok(()),
            false => Err(AttachError::Failed(format!("{NAME} cannot be set: {}", outcome.reason()))),
        }
    }
}
