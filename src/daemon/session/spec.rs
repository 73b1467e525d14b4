//! What a kernel must know of a session.

use crate::config::Effective;
use crate::kernel_bridge::SessionSpec;

/// How many commands of a session may be under way. As many statuses may come before we can acknowledge any, and a
/// target has to keep them until then (RFC 7143 §4.2.2.2): some leave at 128. The rest is for pings and task management.
const DEPTH: u16 = 120;

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
