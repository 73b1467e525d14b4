//! Sockets that launchd or systemd has opened for the daemon: `iscsictl` then waits for a daemon that is
//! on its way up, and does not report that there is none.
//!
//! ```text
//!   launchd   Sockets → Control in the job's property list ─┐
//!   systemd   a socket unit: LISTEN_FDS, LISTEN_PID ────────┴─► inherited ─► RuntimeDir::adopt
//!   nobody    ───────────────────────────────────────────────────────────► RuntimeDir::listen
//! ```

use std::os::unix::net::UnixListener;

/// The control socket that was handed to this process. Call it once, before there are threads: the
/// environment is changed.
#[cfg(target_os = "linux")]
pub(crate) fn inherited() -> Option<UnixListener> {
    let mut handed = listenfd::ListenFd::from_env();
    (0..handed.len()).find_map(|index| match handed.take_unix_listener(index) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("descriptor {index} of those handed to iscsid is no listening Unix socket: {error}");
            None
        }
    })
}

/// The control socket that was handed to this process. Call it once: launchd gives it once.
#[cfg(target_os = "macos")]
pub(crate) fn inherited() -> Option<UnixListener> {
    /// Its name in the job's property list.
    const NAME: &str = "Control";

    match super::platform::handed_by_launchd(NAME) {
        Ok(mut listeners) => listeners.pop(),
        Err(why) => {
            tracing::debug!("launchd has no socket for iscsid: {why}");
            None
        }
    }
}

/// This system hands no socket over.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn inherited() -> Option<UnixListener> {
    None
}
