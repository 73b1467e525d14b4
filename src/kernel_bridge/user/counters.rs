//! A session's counters, written by its driver once per round.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::kernel_bridge::SessionStats;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commands: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) receives: AtomicU64,
    pub(super) sends: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) pdus_in: AtomicU64,
    pub(super) pdus_out: AtomicU64,
}

/// Adds to a counter that has a single writer: no locked instruction is needed.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    pub(super) fn stats(&self) -> SessionStats {
        SessionStats {
            commands: self.commands.load(Relaxed),
            errors: self.errors.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            pdus_in: self.pdus_in.load(Relaxed),
            pdus_out: self.pdus_out.load(Relaxed),
            receives: self.receives.load(Relaxed),
            sends: self.sends.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
        }
    }
}
