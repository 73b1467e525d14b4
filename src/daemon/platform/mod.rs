//! What the machine does under the daemon: it sleeps and wakes, its network comes and goes, it ends.
//!
//! ```text
//!   macos.rs  power and network of macOS ─┐
//!   linux.rs  network of Linux ───────────┼─► PlatformEvent ─► policy ─► flush, then let it sleep
//!   a test ───────────────────────────────┘                        └──► nudge the recoveries of sessions,
//!                                                                        automatic logins, discovery
//! ```
//! Sources are thin: they say what happened. What follows is in [`policy`], and runs on any system.
//! Two things are asked and done rather than heard: whether the machine ends ([`machine_end`]), and that what was written
//! reaches stable storage ([`write_back`](mod@write_back)).

mod event;
pub(crate) mod hold;
pub(crate) mod interfaces;
#[cfg(target_os = "linux")]
mod linux;
mod machine_end;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
mod macos_sys;
mod policy;
#[cfg(test)]
mod tests;
mod write_back;

use tokio::sync::mpsc;

pub(crate) use self::event::PlatformEvent;
pub(crate) use self::machine_end::machine_ends;
#[cfg(target_os = "macos")]
pub(crate) use self::macos_sys::handed_by_launchd;
pub(crate) use self::policy::obey;
pub(crate) use self::write_back::write_back;
use crate::export::nfs::ListSockets;

/// Gives the system's list of all TCP sockets, where it has one.
#[cfg(target_os = "macos")]
pub(crate) const LIST_SOCKETS: Option<ListSockets> = Some(macos_sys::tcp_sockets);

/// Gives the system's list of all TCP sockets, where it has one.
#[cfg(not(target_os = "macos"))]
pub(crate) const LIST_SOCKETS: Option<ListSockets> = None;

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
