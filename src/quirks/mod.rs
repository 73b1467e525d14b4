//! What targets do otherwise than the standards say, and what is done about it: one policy, one table.
//!
//! ```text
//!   login, scan, an answer ── sees ──┬──► Seen::note(quirk) ──► the log, once per target or unit and quirk
//!                                    │            └── sentences ──► show target, list luns
//!                                    └──► what is done from now on: of units, `kernel_bridge::unit::habits`
//! ```
//! The rule: strict in what we send, and wherever data, memory, credentials or another's target are at stake; forgiving in
//! what a real target gets wrong and that harms nothing. What was seen switches a workaround on, for the rest of the
//! session; no product is known by its name.

mod seen;
mod table;

pub use self::seen::Seen;
pub use self::table::{Policy, Quirk, Treatment};
