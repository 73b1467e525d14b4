//! From a portal to a connection in its full-feature phase. Knows no daemon: the daemon, the self-test and
//! `doctor` log in by it.
//!
//! ```text
//!   Plan ──► open_any ──► Opener: tcp ──► connect ──► one portal after the other
//!                                  └────► iscsi_proto::login, bytes in, bytes out
//!   Opened { socket, Handoff, facts } ◄── or Failed: a portal, a cause, and when to try again
//!   Plan, without a target ──► send_targets: discovery
//! ```

pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod meant;
pub(crate) mod plan;
pub(crate) mod send_targets;
pub(crate) mod tcp;
