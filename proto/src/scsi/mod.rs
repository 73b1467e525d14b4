//! As much SCSI as a disk needs: what to ask ([`cdb`]) and how to read the answers.
//!
//! ```text
//!   cdb::inquiry …          ──► target ──►  inquiry::StandardInquiry, vpd::*
//!   cdb::report_luns        ──► target ──►  report_luns::ReportLuns
//!   cdb::read_capacity_16 … ──► target ──►  capacity::Capacity
//!   cdb::mode_sense_6 …     ──► target ──►  mode::ModeParameters
//!   cdb::read_16 …          ──► target ──►  CHECK CONDITION ──► sense::Sense
//! ```
//! Standards: SAM-5 (units, status), SPC-5 (INQUIRY, REPORT LUNS, MODE SENSE, sense data), SBC-4
//! (everything with blocks).
//!
//! Every parser takes the bytes that really arrived and trusts no length that the target claims; fields past
//! their end read as zero where the standard lets a unit leave them out. Text from a target comes
//! out as printable ASCII.

pub mod capacity;
pub mod cdb;
pub mod inquiry;
pub mod mode;
pub mod report_luns;
pub mod sense;
pub mod vpd;

use alloc::string::String;
use core::fmt;

pub use cdb::Cdb;
pub use sense::{Sense, SenseKey};

/// Parameter data that make no sense: the sentence says which. It concerns one unit, not the
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the unit's answer makes no sense: {}", self.0)
    }
}

impl core::error::Error for Malformed {}

/// The `N` bytes at `at`, if they arrived.
fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk::<N>().copied()
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    bytes(data, at).map(u16::from_be_bytes)
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    bytes(data, at).map(u32::from_be_bytes)
}

fn be64(data: &[u8], at: usize) -> Option<u64> {
    bytes(data, at).map(u64::from_be_bytes)
}

/// Up to `length` bytes of `data`, or as many as there are.
fn at_most(data: &[u8], length: usize) -> &[u8] {
    data.get(..length).unwrap_or(data)
}

/// A text field of SPC-5 §4.3.1, trimmed. NUL, which some targets fill up with, counts as a space;
/// everything else that is not printable ASCII shows as `?`.
fn text(field: &[u8]) -> String {
    let shown: String = field
        .iter()
        .map(|&byte| match byte {
            0 => ' ',
            0x20..=0x7e => char::from(byte),
            _ => '?',
        })
        .collect();
    String::from(shown.trim())
}

#[cfg(test)]
pub(crate) mod tests {
    /// Calls `parse` with every prefix of `answer`: none may panic.
    pub(crate) fn every_prefix<T>(answer: &[u8], parse: impl Fn(&[u8]) -> T) {
        for length in 0..=answer.len() {
            parse(&answer[..length]);
        }
    }

    // check: text-characters
    #[test]
    fn control_characters_from_a_target_never_come_through() {
        assert_eq!(super::text(b"  a\x1b[2Jb\xff\0\0"), "a?[2Jb?");
    }
}
