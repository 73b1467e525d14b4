//! Why a login failed, and whose turn it is; what is wrong with settings of CHAP.

use alloc::borrow::Cow;
use core::fmt;

use crate::error::{Error, PeerMisbehaved};

/// Why a login failed; displays as one sentence. Nothing secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginError {
    /// The target broke the protocol, or the caller misused this one.
    Protocol(Error),
    /// The target refused (RFC 7143 §11.13.5). Class 2 is not to be retried as it is, class 3 is.
    Refused {
        /// Status-Class: 2 initiator error, 3 target error; others do not exist.
        class: u8,
        /// Status-Detail within the class.
        detail: u8,
    },
    /// The target rejected a request of the login by a Reject PDU (§11.17), as some do with what they do not read.
    Rejected {
        /// Reason.
        reason: u8,
    },
    /// One side could not prove to the other who it is.
    Authentication(Cow<'static, str>),
    /// Both sides keep the rules, yet they have no common ground.
    Incompatible(Cow<'static, str>),
}

impl LoginError {
    /// Whether the same login may succeed later: the target said it cannot now (03xx).
    pub const fn is_temporary(&self) -> bool {
        matches!(self, LoginError::Refused { class: 3, .. })
    }
}

/// What a login response's status means (RFC 7143 §11.13.5). An unknown detail is its class.
pub const fn status_text(class: u8, detail: u8) -> &'static str {
    match (class, detail) {
        (0, _) => "success",
        (1, 1) => "moved temporarily",
        (1, 2) => "moved permanently",
        (1, _) => "moved",
        (2, 0x01) => "authentication failure",
        (2, 0x02) => "access denied",
        (2, 0x03) => "target not found",
        (2, 0x04) => "target removed",
        (2, 0x05) => "unsupported version",
        (2, 0x06) => "too many connections",
        (2, 0x07) => "missing parameter",
        (2, 0x08) => "can't include in session",
        (2, 0x09) => "session type not supported",
        (2, 0x0a) => "session does not exist",
        (2, 0x0b) => "invalid request during login",
        (2, _) => "initiator error",
        (3, 0x01) => "service unavailable",
        (3, 0x02) => "out of resources",
        (3, _) => "target error",
        _ => "unknown status",
    }
}

/// What the person at the keyboard can do about a refusal.
const fn advice(class: u8, detail: u8) -> &'static str {
    match (class, detail) {
        (2, 0x01) => "; check the CHAP names and secrets on both sides",
        (2, 0x02) => "; allow this initiator's name on the target",
        (2, 0x03 | 0x04) => "; check the target's name, or discover its portal again",
        (2, 0x06) => "; end another session with the target first",
        (3, _) => "; try again later",
        _ => "",
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::Protocol(error) => error.fmt(f),
            &LoginError::Refused { class, detail } => {
                let (text, advice) = (status_text(class, detail), advice(class, detail));
                write!(f, "the target refused the login: {text} (status {class:02x}{detail:02x}){advice}")
            }
            LoginError::Rejected { reason } => write!(f, "the target rejected a login request (reason {reason:#04x})"),
            LoginError::Authentication(why) => write!(f, "authentication failed: {why}"),
            LoginError::Incompatible(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for LoginError {}

impl From<Error> for LoginError {
    fn from(error: Error) -> LoginError {
        match error {
            Error::Incompatible(why) => LoginError::Incompatible(why),
            Error::Refused { class, detail } => LoginError::Refused { class, detail },
            error => LoginError::Protocol(error),
        }
    }
}

impl From<PeerMisbehaved> for LoginError {
    fn from(how: PeerMisbehaved) -> LoginError {
        LoginError::Protocol(how.into())
    }
}

/// What is wrong with CHAP settings; displays as one sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChapError {
    /// No name, one above 255 bytes, or with control characters.
    Name,
    /// A secret of no bytes.
    SecretEmpty,
    /// A secret above 128 bytes.
    SecretTooLong,
    /// Initiator and target have the same secret.
    EqualSecrets,
    /// Nothing to offer.
    NoAlgorithm,
    /// No such algorithm.
    Algorithm,
}

impl fmt::Display for ChapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChapError::Name => "a CHAP name has 1 to 255 bytes and no control characters",
            ChapError::SecretEmpty => "the CHAP secret is empty, give one of 12 to 128 bytes",
            ChapError::SecretTooLong => "the CHAP secret is longer than 128 bytes, give one of 12 to 128",
            ChapError::EqualSecrets => {
                "the initiator's and the target's CHAP secret are the same, which proves nothing; give them different ones"
            }
            ChapError::NoAlgorithm => "no CHAP algorithm is allowed, name at least one of SHA3-256, SHA-256, SHA1 and MD5",
            ChapError::Algorithm => "there is no such CHAP algorithm, use SHA3-256, SHA-256, SHA1 or MD5",
        })
    }
}

impl core::error::Error for ChapError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    // check: login-unknown-status
    #[test]
    fn every_status_of_the_standard_has_its_own_words() {
        for (status, words) in [
            (0x0200_u16, "initiator error"),
            (0x0201, "authentication failure"),
            (0x0202, "access denied"),
            (0x0203, "target not found"),
            (0x0204, "target removed"),
            (0x0205, "unsupported version"),
            (0x0206, "too many connections"),
            (0x0207, "missing parameter"),
            (0x0208, "can't include in session"),
            (0x0209, "session type not supported"),
            (0x020a, "session does not exist"),
            (0x020b, "invalid request during login"),
            (0x0300, "target error"),
            (0x0301, "service unavailable"),
            (0x0302, "out of resources"),
            (0x02ff, "initiator error"),
            (0x03ff, "target error"),
            (0x0900, "unknown status"),
        ] {
            let [class, detail] = status.to_be_bytes();
            let error = LoginError::Refused { class, detail };
            let sentence = error.to_string();
            assert!(sentence.contains(words) && sentence.contains(&alloc::format!("{status:04x}")), "{sentence}");
            assert_eq!(error.is_temporary(), class == 3);
        }
    }
}
