//! The proof that a mount leads to this daemon, and not to somebody who has its port.
//!
//! ```text
//!   Proofs::ask ─► a name that nobody has ever asked for ─► cat <mount>/<name> ─► LOOKUP, READ ─► whoever serves the mount
//!              └─► what it has to contain: SHA-256(key of this life, unit, name)
//! ```
//! NFS has the server check the client, and not the other way round (RFC 1813 has no such thing): a hard mount keeps an
//! address and a port, and whoever listens there is the disk. So the daemon asks a question through the mount that only
//! itself can answer. The name is new each time, because a client answers from its memory what it has once read; the key is
//! new in each life, so that nobody has an answer before the question. Who passes the question on to the daemon has a
//! connection of his own to it, and that shows whose it is.

use std::fmt;
use std::io;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::handle::UnitId;

/// How the names of proofs begin. No unit's file has a name that begins with a full stop.
const PREFIX: &str = ".iscsid-proof-";

/// Random bytes in a name, and bytes of the hash in the content: each is two digits.
const RANDOM: usize = 16;

/// How long the content is, in bytes: digits, and the end of the line.
pub(super) const CONTENT: usize = 2 * RANDOM + 1;

/// What this life of the daemon knows and nobody else.
pub struct Proofs(Zeroizing<[u8; 32]>);

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proofs(…)")
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The file to read in the unit's directory.
    pub file_name: String,
    /// What is in it, if the directory is this daemon's.
    pub content: String,
}

impl Proofs {
    /// Those of a new life.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new() -> io::Result<Proofs> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..]).map_err(io::Error::other)?;
        Ok(Proofs(key))
    }

    /// A question that was never asked, for the directory of a unit.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn ask(&self, unit: &str) -> io::Result<Proof> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let file_name = format!("{PREFIX}{}", digits(&random));
        let content = self.content_of(unit, &file_name);
        Ok(Proof { file_name, content })
    }

    /// What is in the file of that name in the directory of a unit.
    pub(crate) fn content_of(&self, unit: &str, file_name: &str) -> String {
        String::from_utf8_lossy(&self.content(&UnitId::of(unit).named(file_name.as_bytes()))).into_owned()
    }

    /// What is in the file that a number stands for. The number has a fixed length and half of the hash is shown, so a plain
    /// hash behind the key will do.
    pub(super) fn content(&self, id: &UnitId) -> [u8; CONTENT] {
        let digest = Sha256::new().chain_update(&self.0[..]).chain_update(id.bytes()).finalize();
        let mut content = [b'\n'; CONTENT];
        let text = digits(digest.as_slice().get(..RANDOM).unwrap_or_default());
        content.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        content
    }
}

/// Whether a name asks for a proof.
pub(super) fn is_asked_by(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| {
        digits.len() == 2 * RANDOM && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_new_and_its_answer_is_that_unit_s_and_that_life_s() {
        let (one, next) = (Proofs::new().expect("random numbers"), Proofs::new().expect("random numbers"));
        let [first, second] = [(); 2].map(|()| one.ask("a/0").expect("random numbers"));
        assert_ne!(first.file_name, second.file_name);
        assert_ne!(first.content, second.content);
        assert!(is_asked_by(first.file_name.as_bytes()), "{first:?}");
        assert_eq!(one.content_of("a/0", &first.file_name), first.content);
        assert_ne!(one.content_of("a/1", &first.file_name), first.content);
        assert_ne!(next.content_of("a/0", &first.file_name), first.content);
        assert_eq!(format!("{one:?}"), "Proofs(…)");
    }

    #[test]
    fn other_names_ask_for_nothing() {
        let asked = Proofs::new().and_then(|proofs| proofs.ask("a/0")).expect("random numbers").file_name;
        for name in
            ["", ".", PREFIX, &asked[1..], &asked[..asked.len() - 1], &format!("{asked}0"), &asked.to_uppercase()]
        {
            assert!(!is_asked_by(name.as_bytes()), "{name}");
        }
    }
}
