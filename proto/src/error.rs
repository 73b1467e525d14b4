//! Whose fault it was.
//!
//! | | who must act |
//! |---|---|
//! | [`Error::PeerMisbehaved`] | the target broke the protocol: drop the connection, recover |
//! | [`Error::Incompatible`] | both are right, but cannot work together: tell the user |
//! | [`Error::Refused`] | the target said no and said why |
//! | [`Error::Misuse`] | the caller asked for what cannot be: a bug on this side |

use alloc::borrow::Cow;
use core::fmt;

/// What went wrong, by whose fault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The target broke the protocol. The connection is of no further use.
    PeerMisbehaved(PeerMisbehaved),
    /// Initiator and target have no common ground, although both keep the rules.
    Incompatible(Cow<'static, str>),
    /// The target refused: the login response's status class and detail (RFC 7143 §11.13.5).
    Refused {
        /// Status-Class: 1 redirection, 2 initiator error, 3 target error.
        class: u8,
        /// Status-Detail within the class.
        detail: u8,
    },
    /// The caller asked for something the core does not do.
    Misuse(&'static str),
}

/// How the target broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// An opcode that does not exist, or not from a target, or not in this phase.
    UnexpectedOpcode(u8),
    /// A data segment or AHS longer than this opcode may carry or than we declared.
    SegmentTooLong {
        /// The PDU's opcode.
        opcode: u8,
        /// The length it claims, in bytes.
        length: u32,
        /// The most it may have.
        limit: u32,
    },
    /// The header digest does not match (RFC 7143 §13.1).
    HeaderDigest,
    /// The data digest does not match.
    DataDigest,
    /// A PDU names a task that does not exist, or not any more.
    UnknownTask(u32),
    /// A status number out of order (RFC 7143 §4.2.2.2).
    StatSn {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        received: u32,
    },
    /// Nothing came for longer than it may take to answer a ping.
    Silent,
    /// A text key that came with a wrong value, twice, or at the wrong time (RFC 7143 §6).
    Key {
        /// The key's name, as received; its form has been checked.
        key: Cow<'static, str>,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Any other rule; the sentence names it and cites the section.
    Rule(&'static str),
}

impl PeerMisbehaved {
    /// A complaint about a text key.
    #[cfg(feature = "login")]
    pub(crate) fn key(key: &str, wrong: &'static str) -> PeerMisbehaved {
        PeerMisbehaved::Key { key: Cow::Owned(key.into()), wrong }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PeerMisbehaved(how) => write!(f, "the target broke the protocol: {how}"),
            Error::Incompatible(what) => f.write_str(what),
            Error::Refused { class, detail } => write!(f, "the target refused with status {class:02x}{detail:02x}"),
            Error::Misuse(what) => write!(f, "misuse of the protocol core: {what}"),
        }
    }
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerMisbehaved::UnexpectedOpcode(opcode) => write!(f, "unexpected opcode {opcode:#04x}"),
            PeerMisbehaved::SegmentTooLong { opcode, length, limit } => {
                write!(f, "a segment of {length} bytes in opcode {opcode:#04x}, at most {limit} allowed")
            }
            PeerMisbehaved::HeaderDigest => f.write_str("header digest mismatch"),
            PeerMisbehaved::DataDigest => f.write_str("data digest mismatch"),
            PeerMisbehaved::UnknownTask(itt) => write!(f, "a PDU for task {itt:#010x}, which does not exist"),
            PeerMisbehaved::StatSn { expected, received } => {
                write!(f, "StatSN {received:#x} where {expected:#x} was due")
            }
            PeerMisbehaved::Silent => f.write_str("no answer to a ping"),
            PeerMisbehaved::Key { key, wrong } => write!(f, "key {key}: {wrong}"),
            PeerMisbehaved::Rule(rule) => f.write_str(rule),
        }
    }
}

impl core::error::Error for Error {}

impl From<PeerMisbehaved> for Error {
    fn from(how: PeerMisbehaved) -> Self {
        Error::PeerMisbehaved(how)
    }
}
