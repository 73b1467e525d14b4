//! What the machine does under the daemon: it sleeps and wakes, its network comes and goes, it ends.
//!
//! ```text
//!   macos.rs  power and network of macOS ─┐
//!   linux.rs  network of Linux ───────────┼─► PlatformEvent ─► policy ─► flush, then let it sleep
//!   a test ───────────────────────────────┘                        └──► nudge the recoveries of sessions,
//!                                                                        automatic logins, discovery
//! ```
//! Sources are thin: they say what happened. What follows is in [`policy`], and runs on any system.

pub(crate) mod hold;
pub(crate) mod interfaces;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
mod macos_sys;
mod policy;
#[cfg(test)]
mod tests;

use tokio::sync::mpsc;

use self::hold::Hold;
#[cfg(target_os = "macos")]
pub(crate) use self::macos_sys::handed_by_launchd;
pub(crate) use self::policy::obey;

/// What happened to the machine.
#[derive(Debug)]
#[cfg_attr(not(any(test, target_os = "macos")), allow(dead_code, reason = "only macOS tells of sleep and of its end"))]
pub(crate) enum PlatformEvent {
    /// It goes to sleep, and waits until the hold is let go of.
    WillSleep(Hold),
    /// It has slept.
    DidWake,
    /// A network interface is gone, is switched off or has lost its link or its last address.
    InterfaceGone(String),
    /// One is there that was not.
    InterfaceBack(String),
    /// One has other addresses.
    AddressChanged(String),
    /// It is switched off or restarted, and waits until the hold is let go of.
    ShuttingDown(Hold),
}

/// Begins to listen to this machine. The log names events that cannot be had; they never come.
pub(crate) fn listen() -> mpsc::UnboundedReceiver<PlatformEvent> {
    let (events, heard) = mpsc::unbounded_channel();
    #[cfg(target_os = "macos")]
    macos::listen(&events);
    #[cfg(target_os = "linux")]
    linux::listen(&events);
    // Other systems have no source: the policy waits for ever.
    #[cfg(not(any(target_os = "macos", target_os = "linux")))]
    drop(events);
    heard
}
