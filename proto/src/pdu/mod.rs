//! Protocol data units: the wire structs of RFC 7143 §11 in [`initiator`] and [`target`], 48 bytes
//! each; Additional Header Segments in [`ahs`]; what the codes mean in [`meaning`].
//!
//! ```text
//!   +-----+-----+---------------+--------------+-----+-------------+
//!   | BHS | AHS | header digest | data segment | pad | data digest |
//!   +-----+-----+---------------+--------------+-----+-------------+
//!     48   0–1020     0 or 4        0–2^24-1     0–3     0 or 4
//! ```
//! Header digest covers BHS and AHS, data digest the data segment and its padding (§13.1).

pub mod ahs;
pub mod initiator;
pub mod meaning;
pub mod target;
mod wire;

pub use initiator::*;
pub use meaning::*;
pub use target::*;
pub use wire::{
    BHS_LEN, Bhs, FINAL, Field, IMMEDIATE, Wire, ahs_len, data_segment_len, is_immediate, opcode, padding, set_lengths,
};

#[cfg(test)]
mod tests;
