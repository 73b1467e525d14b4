//! CHAP (RFC 1994 in the form of RFC 7143 §12.1.3): settings, and the arithmetic of challenges.
//!
//! The response is `hash(identifier ‖ secret ‖ challenge)`; binary values travel as `0x…` or `0b…`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use subtle::ConstantTimeEq;

pub use super::error::ChapError;
pub use super::secret::Secret;

/// The longest challenge or response, decoded, in bytes (§12.1.3).
pub const MAX_BINARY: usize = 1024;

/// Length of the challenges that we send, in bytes: as long as the longest hash.
pub(crate) const CHALLENGE: usize = 32;

/// A hash for CHAP (§12.1.3 and IANA's "PPP Authentication Algorithms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChapAlgorithm {
    /// 5; every target has it.
    Md5,
    /// 6.
    Sha1,
    /// 7.
    Sha256,
    /// 8.
    Sha3_256,
}

impl ChapAlgorithm {
    /// All, strongest first.
    pub const ALL: [ChapAlgorithm; 4] =
        [ChapAlgorithm::Sha3_256, ChapAlgorithm::Sha256, ChapAlgorithm::Sha1, ChapAlgorithm::Md5];

    /// Its number in CHAP_A.
    pub const fn number(self) -> u8 {
        match self {
            ChapAlgorithm::Md5 => 5,
            ChapAlgorithm::Sha1 => 6,
            ChapAlgorithm::Sha256 => 7,
            ChapAlgorithm::Sha3_256 => 8,
        }
    }

    /// Its name in the configuration: `MD5`, `SHA1`, `SHA-256`, `SHA3-256`.
    pub const fn name(self) -> &'static str {
        match self {
            ChapAlgorithm::Md5 => "MD5",
            ChapAlgorithm::Sha1 => "SHA1",
            ChapAlgorithm::Sha256 => "SHA-256",
            ChapAlgorithm::Sha3_256 => "SHA3-256",
        }
    }

    /// The proof that its sender knows `secret`, for the side that sent `identifier` and `challenge`.
    pub fn response(self, identifier: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
        fn hash<D: Digest>(identifier: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
            D::new()
                .chain_update([identifier])
                .chain_update(secret.as_bytes())
                .chain_update(challenge)
                .finalize()
                .to_vec()
        }
        match self {
            ChapAlgorithm::Md5 => hash::<Md5>(identifier, secret, challenge),
            ChapAlgorithm::Sha1 => hash::<Sha1>(identifier, secret, challenge),
            ChapAlgorithm::Sha256 => hash::<Sha256>(identifier, secret, challenge),
            ChapAlgorithm::Sha3_256 => hash::<Sha3_256>(identifier, secret, challenge),
        }
    }
}

impl fmt::Display for ChapAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ChapAlgorithm {
    type Err = ChapError;

    /// Reads the name in any case.
    fn from_str(name: &str) -> Result<ChapAlgorithm, ChapError> {
        let found = ChapAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or(ChapError::Algorithm)
    }
}

/// CHAP settings of a login. Check them with [`check`](ChapConfig::check) when they are configured.
#[derive(Debug, Clone)]
pub struct ChapConfig {
    /// Our name, CHAP_N.
    pub name: String,
    /// Our secret.
    pub secret: Secret,
    /// Where the target is to prove itself as well: its name (empty accepts any) and its secret.
    pub mutual: Option<(String, Secret)>,
    /// What to offer, strongest first.
    pub algorithms: Vec<ChapAlgorithm>,
}

impl ChapConfig {
    /// Whether a login can be tried with these settings.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn check(&self) -> Result<(), ChapError> {
        let fits = |name: &str| name.len() <= 255 && !name.contains(char::is_control);
        if self.name.is_empty() || !fits(&self.name) {
            return Err(ChapError::Name);
        }
        if self.algorithms.is_empty() {
            return Err(ChapError::NoAlgorithm);
        }
        if let Some((name, secret)) = &self.mutual {
            if !fits(name) {
                return Err(ChapError::Name);
            }
            // §12.1.3: the same secret both ways lets a target answer with our own response.
            if *secret == self.secret {
                return Err(ChapError::EqualSecrets);
            }
        }
        Ok(())
    }
}

/// Whether two proofs are the same, in constant time for equal lengths.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Decodes a binary value of 1 to [`MAX_BINARY`] bytes: `0x` and an even number of hexadecimal digits,
/// or `0b` and Base64 (§6.1).
pub(crate) fn decode(value: &str) -> Option<Vec<u8>> {
    let (prefix, digits) = value.split_at_checked(2)?;
    let bytes = match prefix {
        "0x" | "0X" => unhex(digits)?,
        "0b" | "0B" => STANDARD.decode(digits).ok()?,
        _ => return None,
    };
    (1..=MAX_BINARY).contains(&bytes.len()).then_some(bytes)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match rest {
        [] => pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect(),
        _ => None,
    }
}

/// Encodes a binary value as `0x` and lower-case digits, which every target reads.
pub(crate) fn encode(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut out = String::from("0x");
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn secret(text: &str) -> Secret {
        Secret::new(text).expect("a secret")
    }

    // check: chap-algorithms
    #[test]
    fn each_algorithm_hashes_identifier_secret_and_challenge() {
        // printf '\x2acorrect horse\x01\x02\x03' | md5sum, sha1sum, sha256sum, openssl dgst -sha3-256
        for (algorithm, expected) in [
            (ChapAlgorithm::Md5, "0xcd870fa38347d941e50278bf8ead7463"),
            (ChapAlgorithm::Sha1, "0x202d2f766640bbc310008e0ad35c1cd8690e35c7"),
            (ChapAlgorithm::Sha256, "0x4e4d976deb828add4ddcab7109e46824c11720f2ec9ddeb0e33a048d27542511"),
            (ChapAlgorithm::Sha3_256, "0x8dd3434591097b5cbd1e8fb433c83fe7bd508f0d9210b232da0638219bd44300"),
        ] {
            let response = algorithm.response(0x2a, &secret("correct horse"), &[1, 2, 3]);
            assert_eq!(encode(&response), expected, "{algorithm}");
        }
    }

    // check: chap-challenge
    #[test]
    fn binary_values_come_in_hexadecimal_of_either_case_and_in_base64() {
        assert_eq!(decode("0xDEADbeef"), Some(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(decode("0X00"), Some(vec![0]));
        assert_eq!(decode("0b3q2+7w=="), Some(vec![0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(decode(&encode(&[7; MAX_BINARY])), Some(vec![7; MAX_BINARY]));
    }

    // check: chap-challenge, text-value-length
    #[test]
    fn empty_odd_overlong_and_malformed_binary_values_are_none() {
        let long = encode(&[7; MAX_BINARY + 1]);
        for value in
            ["", "0", "0x", "0b", "0x123", "0xgg", "0x+1", "0b3q2+7w", "0b3q2+7w=", "0b!!!!", "1234", "é", &long]
        {
            assert_eq!(decode(value), None, "{value}");
        }
    }

    #[test]
    fn algorithms_are_read_by_name() {
        for algorithm in ChapAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(algorithm.name().to_ascii_lowercase().parse(), Ok(algorithm));
        }
        assert_eq!("MD4".parse::<ChapAlgorithm>(), Err(ChapError::Algorithm));
    }

    // check: chap-equal-secrets
    #[test]
    fn settings_that_cannot_work_are_refused_when_they_are_made() {
        let good = ChapConfig {
            name: "host".into(),
            secret: secret("correct horse"),
            mutual: Some(("disk".into(), secret("battery staple"))),
            algorithms: ChapAlgorithm::ALL.into(),
        };
        assert_eq!(good.check(), Ok(()));
        let equal = ChapConfig { mutual: Some((String::new(), secret("correct horse"))), ..good.clone() };
        assert_eq!(equal.check(), Err(ChapError::EqualSecrets));
        assert_eq!(ChapConfig { name: String::new(), ..good.clone() }.check(), Err(ChapError::Name));
        assert_eq!(ChapConfig { name: "a\0b".into(), ..good.clone() }.check(), Err(ChapError::Name));
        assert_eq!(ChapConfig { algorithms: vec![], ..good.clone() }.check(), Err(ChapError::NoAlgorithm));
        assert!(!alloc::format!("{good:?}").contains("horse"));
    }
}
