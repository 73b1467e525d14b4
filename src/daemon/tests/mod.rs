//! The daemon between a scripted login, a scripted kernel and disks that a test holds.

mod floods;
mod policy;
pub(super) mod stage;
mod system_disk;
