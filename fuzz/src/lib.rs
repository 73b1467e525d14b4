//! What a target, a client or a file may do to us, made up by libFuzzer; each module is one fuzz target.
//!
//! ```text
//!   bytes ──► pdu      headers come back as they were; a stream means the same whole and cut into pieces
//!         ──► text     pairs, negotiation, names, lists of targets, texts in pieces
//!         ──► login    a target that knows the protocol and bends it, or sends anything at all
//!         ──► scsi     answers of a unit
//!         ──► session  commands, time, losses and a target: the oracle is in there
//!         ──► plist    the configuration and the secrets as somebody has written them
//!         ──► control  requests of a client of the control socket, as far as they change the configuration
//! ```
//! A target panics where something is wrong; libFuzzer keeps the input.

pub mod control;
mod handoff;
pub mod login;
pub mod memory;
pub mod pdu;
pub mod plist;
pub mod scsi;
mod sentence;
pub mod session;
pub mod text;
