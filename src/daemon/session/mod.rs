//! The sessions of targets: in, out, and again after a loss.
//!
//! ```text
//!   auto_login ──► login ──► slot: what a target is doing ──► units: scanned, attached
//!                    └─────► recovery: one task for each session ◄── router ◄── the bridge's events
//!   logout ──► recovery, units, slot        survivors: who is logged in, for the next daemon
//! ```

pub(crate) mod auto_login;
pub(crate) mod back_off;
mod first_look;
pub(crate) mod group_tag;
pub(crate) mod lives;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod pace;
pub(crate) mod recovery;
pub(crate) mod router;
pub(crate) mod slot;
pub(crate) mod slow_look;
pub(crate) mod spec;
pub(crate) mod survivors;
pub(crate) mod units;
