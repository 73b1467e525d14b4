//! A request that is issued again later, in the order of when.

use std::cmp::Ordering;

use tokio::time::Instant;

use super::Request;

/// A request that is issued again later.
pub(super) struct Delayed {
    pub(super) at: Instant,
    /// Tells two of the same moment apart.
    pub(super) order: u64,
    pub(super) request: Request,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
