//! The kernel extension, from the daemon's side: `kext-shim/` runs the full-feature phase, and the operating
//! system owns the disks.
//!
//! ```text
//!   inbox ── commands of the scan ──► driver ── EXECUTE ──────► extension ──► port ──► IscsiUserClient
//!   control ── other connection, logout ──► driver ── REPLACE, SEND, REMOVE ──►│
//!   notices ◄── what happened ── driver ◄── notices, sorted by session ────────┘
//! ```
//! Scan, identity and verification of units are those of [`unit`](super::unit): a driver here takes the place of
//! that of [`user`](super::user). Only the port knows what is on the other side: IOKit on macOS; or the harness in which
//! the extension's own sources are executed, with a SCSI stack whose disks are exported as any others.

mod disk;
mod driver;
mod extension;
mod harness;
mod port;
#[cfg(target_os = "macos")]
mod sys;

pub(super) use self::driver::Driver;
pub(super) use self::extension::Extension;
