//! The daemon between a scripted login, a scripted kernel and disks that a test holds.

mod end;
mod first_look;
mod floods;
mod policy;
mod slow_look;
pub(super) mod stage;
mod system_disk;
