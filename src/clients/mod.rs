//! Clients of a listening socket: how many there are, whose they are, and who leaves for the next one.
//!
//! ```text
//!   Listener ─► serve ─► Clients::admit ─► Place ─► a task per client
//!                 │           └─ full: the one that has been idle longest leaves, or the newcomer is turned away
//!                 └─ no descriptor left: the spare one lets root in, and everybody else out
//! ```
//! The control socket and the exports have the same bouncer. What a stranger can make it say, it says seldom.

mod pace;
mod seldom;
mod serve;
mod table;

pub(crate) use self::seldom::Seldom;
pub(crate) use self::serve::{Caller, Listener, serve};
#[cfg(test)]
pub(crate) use self::table::Clients;
pub(crate) use self::table::{Limits, Place};
