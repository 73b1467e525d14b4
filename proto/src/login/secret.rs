//! A CHAP secret: wiped when dropped, never printed.

use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::ChapError;

/// A CHAP secret of 1 to 128 bytes. It prints as dots, compares in constant time and leaves no trace
/// in memory.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Fewer bytes than this are a weak secret: RFC 7143 §12.1.3 asks for 96 bits.
    pub const SHORT: usize = 12;
    /// More bytes than this are refused.
    pub const MAX: usize = 128;

    /// Takes the secret over.
    ///
    /// # Errors
    /// [`ChapError::SecretEmpty`], [`ChapError::SecretTooLong`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Secret, ChapError> {
        let bytes = Zeroizing::new(bytes.into());
        match bytes.len() {
            0 => Err(ChapError::SecretEmpty),
            1..=Secret::MAX => Ok(Secret(bytes)),
            _ => Err(ChapError::SecretTooLong),
        }
    }

    /// Whether it is shorter than the standard allows without IPsec: worth a warning.
    pub fn is_short(&self) -> bool {
        self.0.len() < Secret::SHORT
    }

    /// The bytes. A caller that copies them has to wipe the copy.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: chap-secret-length
    #[test]
    fn secrets_have_1_to_128_bytes_and_below_12_are_short() {
        assert_eq!(Secret::new(b"").err(), Some(ChapError::SecretEmpty));
        assert_eq!(Secret::new([b'x'; 129]).err(), Some(ChapError::SecretTooLong));
        for (len, short) in [(1, true), (11, true), (12, false), (128, false)] {
            assert_eq!(Secret::new(alloc::vec![b'x'; len]).map(|secret| secret.is_short()), Ok(short), "{len}");
        }
    }

    // check: chap-secret-log
    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new(*b"correct horse").expect("a secret");
        assert_eq!(alloc::format!("{secret:?}"), "Secret(…)");
    }
}
