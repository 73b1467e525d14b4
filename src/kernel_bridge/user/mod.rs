//! The user kernel: the full-feature phase inside the daemon.

pub mod block;
mod pool;
