//! A session's counters, written by its driver once per round.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::kernel_bridge::SessionStats;

#[derive(Debug, Default)]
pub(in crate::kernel_bridge) struct Counters {
    pub(in crate::kernel_bridge) commands: AtomicU64,
    pub(in crate::kernel_bridge) errors: AtomicU64,
    pub(in crate::kernel_bridge) bytes_read: AtomicU64,
    pub(in crate::kernel_bridge) bytes_written: AtomicU64,
    pub(in crate::kernel_bridge) receives: AtomicU64,
    pub(in crate::kernel_bridge) sends: AtomicU64,
    pub(in crate::kernel_bridge) reconnects: AtomicU64,
    pub(in crate::kernel_bridge) in_flight: AtomicU64,
    pub(in crate::kernel_bridge) pdus_in: AtomicU64,
    pub(in crate::kernel_bridge) pdus_out: AtomicU64,
}

/// Adds to a counter that has a single writer: no locked instruction is needed.
pub(in crate::kernel_bridge) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    pub(in crate::kernel_bridge) fn stats(&self) -> SessionStats {
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
