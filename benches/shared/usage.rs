//! Processor time.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// User and system time, in seconds: of this process, or of its children that have ended.
pub(crate) fn cpu_time(who: UsageWho) -> f64 {
    let usage = getrusage(who).expect("a process's usage");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}
