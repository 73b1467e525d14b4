//! Units as disks of the operating system, from the daemon's side.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tracing::{info, warn};

use super::nfs::NfsPlace;
use crate::block::Block;
use crate::export::attach::{AttachError, Attachments};
use crate::ipc::{ExitCode, Failure};

/// A change to a disk under way.
pub(crate) type DiskFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Who attaches units: the operating system's way, or a test's script. Units go by their name,
/// `<target>/<lun>`.
pub(crate) trait Disks: Send + Sync + 'static {
    /// Makes a unit a disk; what the disk is called, such as `/dev/loop3`. One that is attached
    /// stays as it is.
    fn attach(&self, unit: &str, block: Arc<dyn Block>) -> DiskFuture<'_, String>;

    /// Takes the disk away. Refused while it is in use, unless `force`. Nothing to do for one that
    /// is not attached.
    fn detach(&self, unit: &str, force: bool) -> DiskFuture<'_, ()>;

    /// Unmounts a disk that the operating system made by itself, by the disk's name. Refused while it is in
    /// use, unless `force`.
    fn release(&self, device: &str, force: bool) -> DiskFuture<'_, ()>;

    /// Writes cached data of the disk back to the unit, for a while.
    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()>;

    /// What the disk is called.
    fn device(&self, unit: &str) -> Option<String>;

    /// Whether a disk that is in use when the daemon ends waits for the next one.
    fn outlive_the_daemon(&self) -> bool;

    /// Who uses it, such as "mounted on /mnt"; nobody if empty.
    fn in_use(&self, unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;
}

/// This system's way to attach, below a runtime directory, after what a daemon that died has left
/// there is cleared away.
pub(crate) async fn system(runtime_dir: &Path, nfs: Option<&NfsPlace>) -> Arc<dyn Disks> {
    let attachments = attachments(runtime_dir, nfs);
    match attachments.clean_stale().await {
        Ok(cleared) => cleared.iter().for_each(|what| info!("left behind by an iscsid that died: {what}")),
        Err(error) => warn!("what an iscsid that died has left behind stays: {error}"),
    }
    Arc::new(attachments)
}

#[cfg(target_os = "linux")]
fn attachments(runtime_dir: &Path, _nfs: Option<&NfsPlace>) -> Attachments {
    Attachments::new(runtime_dir)
}

#[cfg(not(target_os = "linux"))]
fn attachments(runtime_dir: &Path, nfs: Option<&NfsPlace>) -> Attachments {
    use crate::export::attach::diskimage::NfsDoor;
    Attachments::new(
        runtime_dir,
        nfs.map(|nfs| NfsDoor { port: nfs.port, moved: nfs.moved, tickets: nfs.tickets.clone() }),
    )
}

impl Disks for Attachments {
    fn attach(&self, unit: &str, block: Arc<dyn Block>) -> DiskFuture<'_, String> {
        let unit = unit.to_owned();
        Box::pin(async move {
            let device = Attachments::attach(self, &unit, block).await;
            device.map(|path| path.display().to_string()).map_err(|error| failure("attached", &unit, &error))
        })
    }

    fn detach(&self, unit: &str, force: bool) -> DiskFuture<'_, ()> {
        let unit = unit.to_owned();
        Box::pin(async move {
            match Attachments::detach(self, &unit, force).await {
                Ok(()) | Err(AttachError::NotAttached) => Ok(()),
                Err(error) => Err(failure("detached", &unit, &error)),
            }
        })
    }

    fn release(&self, device: &str, force: bool) -> DiskFuture<'_, ()> {
        let device = device.to_owned();
        Box::pin(async move {
            let released = Attachments::release(self, &device, force).await;
            released.map_err(|error| failure("let go of", &device, &error))
        })
    }

    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()> {
        let unit = unit.to_owned();
        Box::pin(async move {
            Attachments::write_back(self, &unit).await.map_err(|error| failure("written back", &unit, &error))
        })
    }

    fn device(&self, unit: &str) -> Option<String> {
        Attachments::device(self, unit).map(|path| path.display().to_string())
    }

    fn outlive_the_daemon(&self) -> bool {
        Attachments::outlive_the_daemon(self)
    }

    fn in_use(&self, unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        let unit = unit.to_owned();
        Box::pin(async move { Attachments::in_use(self, &unit).await })
    }
}

fn failure(what: &str, unit: &str, error: &AttachError) -> Failure {
    let code = match error {
        AttachError::NotPermitted(_) => ExitCode::NotPermitted,
        AttachError::InUse(_) => ExitCode::TryAgain,
        AttachError::NotAttached => ExitCode::Data,
        AttachError::Unsupported(_) | AttachError::Failed(_) => ExitCode::Unavailable,
    };
    Failure::new(code, format!("{unit} cannot be {what}: {error}"))
}
