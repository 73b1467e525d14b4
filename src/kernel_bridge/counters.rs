//! A session's counters, written by its driver once per round.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of a session, since its first login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Commands completed.
    pub commands: u64,
    /// Of them, with an error.
    pub errors: u64,
    /// Bytes read from units.
    pub bytes_read: u64,
    /// Bytes written to units.
    pub bytes_written: u64,
    /// PDUs received.
    pub pdus_in: u64,
    /// PDUs sent.
    pub pdus_out: u64,
    /// System calls that received.
    pub receives: u64,
    /// System calls that sent.
    pub sends: u64,
    /// Times the connection was replaced.
    pub reconnects: u64,
    /// Commands under way now.
    pub in_flight: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commands: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) receives: AtomicU64,
    pub(crate) sends: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) pdus_in: AtomicU64,
    pub(crate) pdus_out: AtomicU64,
}

/// Adds to a counter that has a single writer: no locked instruction is needed.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Counters {
    pub(crate) fn stats(&self) -> SessionStats {
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
