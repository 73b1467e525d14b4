//! The driver's clock, in both ways of counting: tokio's timers, and the core's nanoseconds since a zero.

use std::time::Duration;

use iscsi_proto::time::Instant as CoreInstant;
use tokio::time::Instant;

/// Where the core's time begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    zero: Instant,
}

impl Clock {
    pub(super) fn new(zero: Instant) -> Clock {
        Clock { zero }
    }

    /// A moment, as the core counts it.
    pub(super) fn core(self, at: Instant) -> CoreInstant {
        let since = at.saturating_duration_since(self.zero);
        CoreInstant::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// A moment of the core's, as a timer takes it.
    pub(super) fn timer(self, at: CoreInstant) -> Instant {
        self.zero + Duration::from_nanos(at.as_nanos())
    }
}
