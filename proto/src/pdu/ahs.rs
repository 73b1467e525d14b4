//! Additional Header Segments (RFC 7143 §11.2.2).
//!
//! ```text
//!    0| AHSLength                     | AHSType       | AHS-Specific  |
//!    4/ AHS-Specific                                                  / padded to a word
//! ```
//! AHSLength counts the specific bytes without padding, the first of them (byte 3) included.

use crate::error::PeerMisbehaved;

/// One Additional Header Segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahs<'a> {
    /// CDB bytes from the 17th on (§11.2.2.3).
    ExtendedCdb(&'a [u8]),
    /// Expected Bidirectional Read Data Length (§11.2.2.4).
    BidirectionalReadLength(u32),
    /// A type this RFC does not name; to be ignored.
    Unknown {
        /// The low six bits of AHSType.
        kind: u8,
        /// The bytes from byte 3 on.
        specific: &'a [u8],
    },
}

/// Walks over the segments of an AHS area of `TotalAHSLength` bytes.
#[derive(Debug, Clone)]
pub struct AhsIter<'a> {
    rest: &'a [u8],
}

/// Reads the segments of `area`, the bytes between BHS and header digest.
pub fn segments(area: &[u8]) -> AhsIter<'_> {
    AhsIter { rest: area }
}

impl<'a> Iterator for AhsIter<'a> {
    type Item = Result<Ahs<'a>, PeerMisbehaved>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = split(self.rest);
        self.rest = match parsed {
            Some((_, rest)) => rest,
            None => &[],
        };
        Some(match parsed {
            Some((segment, _)) => Ok(segment),
            None => Err(PeerMisbehaved::Rule("AHSLength runs past TotalAHSLength (RFC 7143 §11.2.2.1)")),
        })
    }
}

fn split(area: &[u8]) -> Option<(Ahs<'_>, &[u8])> {
    let (&[high, low, kind], specific) = area.split_first_chunk::<3>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let padded = (3 + len).next_multiple_of(4);
    let specific = specific.get(..len)?;
    let rest = area.get(padded..)?;
    let segment = match (kind & 0x3f, specific) {
        (1, [_, cdb @ ..]) => Ahs::ExtendedCdb(cdb),
        (2, &[_, a, b, c, d]) => Ahs::BidirectionalReadLength(u32::from_be_bytes([a, b, c, d])),
        (kind, specific) => Ahs::Unknown { kind, specific },
    };
    Some((segment, rest))
}

/// Appends the AHS that carries `rest`, the CDB bytes from the 17th on, to `out`.
/// At most 244 bytes go into it (a CDB has at most 260); the area then has 248.
pub fn push_extended_cdb(rest: &[u8], out: &mut impl Extend<u8>) {
    let rest = rest.get(..244).unwrap_or(rest);
    let len = rest.len() as u16 + 1;
    out.extend(len.to_be_bytes());
    out.extend([1, 0]);
    out.extend(rest.iter().copied());
    out.extend(core::iter::repeat_n(0, super::padding(rest.len())));
}

/// Appends the AHS that says how much a bidirectional command reads, in bytes, to `out`.
pub fn push_bidirectional_read_length(length: u32, out: &mut impl Extend<u8>) {
    out.extend([0, 5, 2, 0]);
    out.extend(length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_long_cdb_and_a_read_length_come_back() {
        let mut area = Vec::new();
        push_extended_cdb(&[7; 16], &mut area);
        push_bidirectional_read_length(0x1234, &mut area);
        assert_eq!(area.len(), 20 + 8);
        let got: Vec<_> = segments(&area).collect();
        assert_eq!(got, [Ok(Ahs::ExtendedCdb(&[7; 16])), Ok(Ahs::BidirectionalReadLength(0x1234))]);
    }

    #[test]
    fn a_length_past_the_end_is_an_error_and_ends_the_walk() {
        let mut walk = segments(&[0xff, 0xff, 1, 0, 1, 2, 3, 4]);
        assert!(matches!(walk.next(), Some(Err(_))));
        assert_eq!(walk.next(), None);
    }

    #[test]
    fn unknown_types_are_passed_on_whole() {
        let got: Vec<_> = segments(&[0, 2, 0x3f, 9, 8, 0, 0, 0]).collect();
        assert_eq!(got, [Ok(Ahs::Unknown { kind: 0x3f, specific: &[9, 8] })]);
    }
}
