//! What may happen to the machine.

use super::hold::Hold;

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
