//! Text keys: what initiator and target tell each other in `key=value` pairs.
//!
//! ```text
//!   Choices ──► Offer ──► Negotiation::propose ──► TextWriter ──► target
//!                                    ▲   │
//!   target ──► RawReader ──► receive ┘   └──► finish ──► Negotiated
//! ```
//! Every key is one row of [`TABLE`] (RFC 7143 §13, and §12 for security): who may send it, when, by which rule two
//! values become one, its default and range, what it is for. A key that is offered is a field of [`Offer`] and of
//! [`Negotiated`] by the same row. Codec, configuration, command line, manual and negotiation all read that table.

mod choices;
mod codec;
mod negotiation;
mod offer;
mod parse;
mod table;
mod value;

pub use choices::{Choices, NoEffect};
pub use codec::{
    MAX_KEY, MAX_KEYS, MAX_TEXT, Pair, RawPair, RawReader, SeenKeys, TextReader, TextWriter, is_terminated, number,
};
pub use negotiation::{Negotiation, SessionType};
pub use parse::KeyError;
pub use table::{Key, KeyRow, Kind, Negotiated, Offer, Offered, Rule, Scope, Sender, TABLE, When, lookup};
pub use value::{DigestOffer, OtherKind, Value};
