//! Units as disks of the operating system, from the daemon's side.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::user::block::Block;

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

    /// What the disk is called.
    fn device(&self, unit: &str) -> Option<String>;

    /// Who uses it, such as "mounted on /mnt"; nobody if empty.
    fn in_use(&self, unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;
}

/// This system's way to attach, below a runtime directory.
pub(crate) async fn system(_runtime_dir: &Path) -> Arc<dyn Disks> {
    Arc::new(NoDisks)
}

/// Where there is no way to attach.
#[derive(Debug)]
pub(crate) struct NoDisks;

impl Disks for NoDisks {
    fn attach(&self, unit: &str, _block: Arc<dyn Block>) -> DiskFuture<'_, String> {
        let message =
            format!("{unit} cannot be attached on this system yet; reach it over NBD, see `iscsictl list luns`");
        Box::pin(async move { Err(Failure::new(ExitCode::Unavailable, message)) })
    }

    fn detach(&self, _unit: &str, _force: bool) -> DiskFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn device(&self, _unit: &str) -> Option<String> {
        None
    }

    fn in_use(&self, _unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}
