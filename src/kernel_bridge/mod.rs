//! The border between the daemon, which logs in, and the kernel that runs the full-feature phase.
//!
//! ```text
//!   daemon ── Handoff + descriptor ──► KernelBridge ──► kext | user
//!   daemon ◄── BridgeEvent ─────────── KernelBridge
//! ```
//! Policy (when to log in again, to which portal) stays with the daemon; the bridge tells what happened.

mod bridge;
mod counters;
mod kext;
mod orders;
mod router;
mod session;
mod sessions;
mod unit;
mod user;

pub use self::bridge::{BridgeError, BridgeEvent, BridgeFuture, KernelBridge, SessionId, SessionSpec};
pub use self::counters::SessionStats;
pub(crate) use self::router::Router;
pub use self::sessions::{Sessions, SystemDevices};
pub use self::unit::failures::FailedIo;
pub use self::unit::info::{UnitInfo, unit_name};
pub use self::user::lanes::Lanes;
