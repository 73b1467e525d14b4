//! CHAP (RFC 7143 §12.1.3, RFC 1994) from the target's side.

use sha2::Digest as _;

/// How the target authenticates.
#[derive(Debug, Clone)]
pub struct Chap {
    /// The name the initiator must give.
    pub name: String,
    /// The secret it must know.
    pub secret: String,
    /// The target's own name and secret: what it answers to a challenge of the initiator's. Without
    /// it a challenge is refused.
    pub mutual: Option<(String, String)>,
    /// The algorithms it knows: 5 MD5, 6 SHA1, 7 SHA-256, 8 SHA3-256.
    pub algorithms: Vec<u32>,
    /// How long its challenges are, in bytes.
    pub challenge_length: usize,
    /// Whether its binary values are in base64, else in hexadecimal.
    pub base64: bool,
    /// Whether identifiers are in hexadecimal, else in decimal.
    pub hexadecimal_identifier: bool,
    /// It compares CHAP_A as a whole with `5`, and ends the login so over anything else.
    pub md5_alone: Option<NoChoice>,
}

/// How a login ends over a list of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChoice {
    /// By a login response with this status (class, detail).
    Status(u8, u8),
    /// By a Reject PDU with this reason.
    Reject(u8),
    /// The connection is closed.
    Close,
}

impl Chap {
    /// One-way CHAP with all four algorithms.
    pub fn new(name: &str, secret: &str) -> Chap {
        Chap {
            name: name.into(),
            secret: secret.into(),
            mutual: None,
            algorithms: vec![5, 6, 7, 8],
            challenge_length: 16,
            base64: false,
            hexadecimal_identifier: false,
            md5_alone: None,
        }
    }

    /// Does not read a list of algorithms: what is not `CHAP_A=5` ends the login.
    #[must_use]
    pub fn md5_alone(mut self, end: NoChoice) -> Chap {
        self.md5_alone = Some(end);
        self
    }

    /// The target proves itself as well.
    #[must_use]
    pub fn mutual(mut self, name: &str, secret: &str) -> Chap {
        self.mutual = Some((name.into(), secret.into()));
        self
    }

    /// Knows only these algorithms.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[u32]) -> Chap {
        self.algorithms = algorithms.into();
        self
    }
}

/// The response to a challenge; `None` if the algorithm is none of the four.
pub(crate) fn response(algorithm: u32, identifier: u8, secret: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
    let message = [&[identifier], secret, challenge].concat();
    Some(match algorithm {
        5 => md5::Md5::digest(&message).to_vec(),
        6 => sha1::Sha1::digest(&message).to_vec(),
        7 => sha2::Sha256::digest(&message).to_vec(),
        8 => sha3::Sha3_256::digest(&message).to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_answers_in_its_own_length() {
        for (algorithm, length) in [(5, 16), (6, 20), (7, 32), (8, 32)] {
            assert_eq!(response(algorithm, 1, b"secret", b"challenge").map(|bytes| bytes.len()), Some(length));
        }
        assert_eq!(response(9, 1, b"secret", b"challenge"), None);
    }

    #[test]
    fn md5_answers_as_printf_and_md5sum_do() {
        // printf '\001secretchallenge' | md5sum
        let got = crate::text::to_hexadecimal(&response(5, 1, b"secret", b"challenge").unwrap_or_default());
        assert_eq!(got, "0x46e47770030e2b4e26a0db72a7efec00");
    }
}
