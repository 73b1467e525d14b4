//! Disks that the operating system makes of units by itself, as macOS does over the kernel extension.
//!
//! ```text
//!   device   the bridge: unit ──► session, unit's number ──► what the system has made of it
//!   detach   Release: its volumes are unmounted; it is there until the logout
//! ```

use std::pin::Pin;
use std::sync::Arc;

use super::{Afterlife, DiskFuture, Disks, failure};
use crate::block::{Block, name_parts};
use crate::export::attach::Diskutil;
use crate::ipc::{ExitCode, Failure};
use crate::kernel_bridge::SystemDevices;

/// Makes the operating system let go of a disk.
pub(crate) trait Release: Send + Sync + 'static {
    /// Unmounts a disk's volumes. Refused while it is in use, unless `force`.
    fn release(&self, device: &str, force: bool) -> DiskFuture<'_, ()>;
}

impl Release for Diskutil {
    fn release(&self, device: &str, force: bool) -> DiskFuture<'_, ()> {
        let device = device.to_owned();
        Box::pin(async move {
            let released = self.unmount_disk(&device, force).await;
            released.map_err(|error| failure("let go of", &device, &error))
        })
    }
}

/// The system's own disks.
pub(crate) struct SystemDisks {
    devices: SystemDevices,
    release: Arc<dyn Release>,
}

impl SystemDisks {
    pub(crate) fn new(devices: SystemDevices, release: Arc<dyn Release>) -> SystemDisks {
        SystemDisks { devices, release }
    }
}

impl Disks for SystemDisks {
    fn attach(&self, unit: &str, _block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String> {
        let attached = self.device(unit).ok_or_else(|| {
            let (target, lun) = name_parts(unit);
            let why = "the system makes a disk of it by itself, and has not done so yet";
            Failure::new(ExitCode::TryAgain, format!("unit {lun} of {target} is not attached: {why}"))
                .advice("try again in a moment")
        });
        Box::pin(async { attached })
    }

    fn detach(&self, unit: &str, force: bool) -> DiskFuture<'_, Vec<String>> {
        let device = self.device(unit);
        Box::pin(async move {
            let Some(device) = device else { return Ok(Vec::new()) };
            self.release.release(&device, force).await?;
            Ok(vec![format!("{device} is unmounted; it is there until the logout")])
        })
    }

    fn write_back(&self, _unit: &str) -> DiskFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn device(&self, unit: &str) -> Option<String> {
        (self.devices)(unit)
    }

    fn attach_at_login(&self) -> bool {
        false
    }

    fn afterlife(&self) -> Afterlife {
        Afterlife::WorksOn
    }

    /// Nobody is known before the disk is let go of.
    fn in_use(&self, _unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}
