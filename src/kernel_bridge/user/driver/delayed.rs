//! A request that is issued again later, in the order of when.

use std::cmp::Ordering;

use iscsi_proto::reissue::Arrival;
use tokio::time::Instant;

use super::Request;

/// A request that is issued again later.
pub(super) struct Delayed {
    pub(super) at: Instant,
    pub(super) request: Request,
}

impl Delayed {
    /// Of the same moment, the one that arrived first.
    fn key(&self) -> (Instant, Arrival) {
        (self.at, self.request.arrival)
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
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
        self.key().cmp(&other.key())
    }
}
