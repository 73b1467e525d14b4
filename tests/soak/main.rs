//! Long runs that prove what docs/reliability.md says. Only `make soak` and `make hold` run them.
//!
//! ```text
//!   load (32 under way each, every block checked) ══ NBD ══ iscsid ══ FaultyProxy ══ tgt, sim-target
//!     └── remembers outside of the daemon what was acknowledged        └── breaks, when told to
//! ```
//! `FAULTS`, `KILL_EVERY`, `SEED`, `SECONDS`, `SESSIONS` in the environment say how much, `ONLY` which kinds of faults
//! (a part of their names); the same seed makes the same choices, though not at the same moments.

#![cfg(target_os = "linux")]
#![allow(dead_code, unused_imports, reason = "the harness is shared with tests that use more of it")]

#[path = "../common/mod.rs"]
mod common;
mod endpoints;
mod faults;
mod hold;
mod load;
mod memory;
mod nbd;
mod pattern;
mod soak;
mod tally;
#[path = "../targets/mod.rs"]
mod targets;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")),
        _ => default,
    }
}
