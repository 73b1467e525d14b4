//! Text keys: what initiator and target tell each other in `key=value` pairs.
//!
//! ```text
//!   Offer (as configured) ──► Negotiation::propose ──► TextWriter ──► target
//!                                    ▲   │
//!   target ──► TextReader ──► receive┘   └──► finish ──► Negotiated
//! ```
//! Every key is one row of [`TABLE`] (RFC 7143 §13, and §12 for security): who may send it, when, by which rule two
//! values become one, its default and range. Codec, configuration and negotiation all read that table.

mod codec;
mod negotiation;
mod offer;
mod table;

pub use codec::{MAX_KEY, MAX_KEYS, MAX_TEXT, Pair, SeenKeys, TextReader, TextWriter, number};
pub use negotiation::{Negotiated, Negotiation, SessionType};
pub use offer::{DigestOffer, KeyError, Offer};
pub use table::{Key, KeyRow, Rule, Scope, Sender, TABLE, When, lookup};
