//! What clients of the control socket ask, and the answers.
//!
//! ```text
//!   clients ──► socket ──► requests ──► session, discovery          changes
//!                              ├──────► view                        list, show, stats
//!                              └──────► bench ──► load              a unit, measured
//! ```

pub(crate) mod bench;
mod redact;
pub(crate) mod requests;
pub(crate) mod socket;
pub(crate) mod view;
