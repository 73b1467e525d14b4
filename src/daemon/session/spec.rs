//! What a kernel must know of a session.

use crate::config::Effective;
use crate::kernel_bridge::SessionSpec;

/// How many commands of a session may be under way.
const DEPTH: u16 = 128;

/// For a session with that target, of its settings.
pub(crate) fn spec(target: &str, effective: &Effective) -> SessionSpec {
    SessionSpec {
        target: target.to_owned(),
        depth: DEPTH,
        nop_interval: effective.timers.nop_interval,
        nop_timeout: effective.timers.nop_timeout,
        replacement_timeout: effective.timers.replacement,
        task_timeout: effective.timers.task,
    }
}
