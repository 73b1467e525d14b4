//! Producers of block I/O: servers that offer a unit to the operating system or to other programs.
//!
//! ```text
//!   nbd client ── Unix socket ──► nbd ──────────► Block (trait of the user kernel)
//!   loop device ── /dev/fuse ──► fuse ──► bytes ──► Block
//!   disk image ── loopback NFS ─► nfs ──► bytes ──► Block
//! ```
//! An export knows a unit by the trait [`Block`](crate::block::Block) and finds
//! it in the [`Registry`](crate::block::Registry); it never sees a session.

pub mod attach;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "FUSE asks for more than NFS does"))]
mod bytes;
#[cfg(target_os = "linux")]
mod fuse;
#[cfg(not(target_os = "linux"))]
#[path = "no_fuse.rs"]
mod fuse;
mod name;
pub mod nbd;
pub mod nfs;
mod outbox;
mod ring;
mod split;
