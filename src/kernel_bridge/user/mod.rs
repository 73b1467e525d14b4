//! The user kernel: the full-feature phase inside the daemon.
//!
//! ```text
//!   Inbox ──► driver, a task on a lane: core, socket, buffers ──► outbox ──► one gathered write
//!   answers ◄──┘                                            ◄── ring, or the task's buffer
//! ```

pub(crate) mod driver;
pub(crate) mod lanes;
mod outbox;
mod ring;
