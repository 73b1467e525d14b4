//! The lowest edge: a user client of the extension.
//!
//! ```text
//!   Port ──► sys      IOKit, on macOS
//!        └─► harness  a Unix socket of iscsi-kernel-sim, where one is named
//! ```
//! Both have the same calls. In the harness nobody but the daemon issues tasks to the SCSI stack; in a kernel the
//! operating system's own disk driver does.

use std::os::fd::BorrowedFd;
use std::path::Path;

use iscsi_kext_messages::IscsiNotice;
use iscsi_kext_messages::io_return::Code;
use tokio::sync::mpsc::UnboundedSender;

use super::harness;
#[cfg(target_os = "macos")]
use super::sys;

/// A user client.
pub(super) enum Port {
    /// Of the extension in this machine's kernel.
    #[cfg(target_os = "macos")]
    Kernel(sys::Port),
    /// Of the extension in its harness.
    Harness(harness::Port),
}

impl Port {
    /// Opens one: of the harness that listens at `sim`, else of this machine's kernel. `Err`: a sentence's end that says
    /// why not. Notices go to `notices`, which is closed when the other side goes.
    pub(super) fn open(sim: Option<&Path>, notices: UnboundedSender<IscsiNotice>) -> Result<Port, String> {
        match sim {
            Some(socket) => harness::Port::open(socket, notices).map(Port::Harness),
            None => Port::of_this_machine(notices),
        }
    }

    #[cfg(target_os = "macos")]
    fn of_this_machine(notices: UnboundedSender<IscsiNotice>) -> Result<Port, String> {
        sys::Port::open(notices).map(Port::Kernel)
    }

    #[cfg(not(target_os = "macos"))]
    fn of_this_machine(_notices: UnboundedSender<IscsiNotice>) -> Result<Port, String> {
        Err("kernel extensions are for macOS".to_owned())
    }

    /// How the extension is told of a descriptor.
    pub(super) fn descriptor(&self, fd: BorrowedFd<'_>) -> i32 {
        match self {
            #[cfg(target_os = "macos")]
            Port::Kernel(port) => port.descriptor(fd),
            Port::Harness(port) => port.descriptor(fd),
        }
    }

    /// One call, from any thread: `input` in, at most `room` bytes out. Waits for its end.
    pub(super) fn call(
        &self,
        selector: u32,
        input: &[u8],
        room: usize,
        pass: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<u8>, Code> {
        match self {
            #[cfg(target_os = "macos")]
            Port::Kernel(port) => port.call(selector, input, room, pass),
            Port::Harness(port) => port.call(selector, input, room, pass),
        }
    }

    /// Notices come from now on.
    pub(super) fn listen(&self) -> Result<(), Code> {
        match self {
            #[cfg(target_os = "macos")]
            Port::Kernel(port) => port.listen(),
            Port::Harness(port) => port.listen(),
        }
    }

    /// The device node that the system has made of a unit. The harness makes none.
    pub(super) fn device(&self, target: u32, lun: u64) -> Option<String> {
        match self {
            #[cfg(target_os = "macos")]
            Port::Kernel(port) => port.device(target, lun),
            Port::Harness(_) => {
                let _ = (target, lun);
                None
            }
        }
    }

    /// The harness, which takes tasks for its SCSI stack.
    pub(super) fn harness(&self) -> Option<&harness::Port> {
        match self {
            #[cfg(target_os = "macos")]
            Port::Kernel(_) => None,
            Port::Harness(port) => Some(port),
        }
    }
}
