//! Logical units: what a target has, found, watched and turned into disks.
//!
//! ```text
//!   scan ──► UnitInfo, Features ──► Unit ──► Disk ── Request ──► Inbox ──► driver (user, kext)
//!                                    ▲                              │
//!   notices, verification ── Gate ───┤      disposition ◄── answer ─┘
//!                           Habits ──┘ ◄── refusal ──┘
//! ```
//! All of it serves both drivers: that of this process and that of the kernel extension.

pub(crate) mod disk;
pub(crate) mod disposition;
pub(crate) mod failures;
pub(crate) mod features;
pub(crate) mod gate;
pub(crate) mod habits;
pub(crate) mod identity;
pub(crate) mod info;
pub(crate) mod listing;
pub(crate) mod logical_unit;
pub(crate) mod notices;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod scan;
pub(crate) mod step;
pub(crate) mod units;
pub(crate) mod verification;
