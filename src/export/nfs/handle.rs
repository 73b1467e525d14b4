//! File handles: what they stand for, and a code that only this installation can make.
//!
//! ```text
//!   0        1        2 … 4     4 … 24                        24 … 40     40 … 56
//!   version  kind     0         which unit: SHA-256(name)     nonce       SHA-256(secret, bytes 0 … 40)
//! ```
//! One that was got by a ticket has the nonce of its attach, and is good as long as that. One that was got by the
//! path of the installation has none: it follows from the unit's name and the secret alone, and a client may keep
//! it for as long as it likes.

use std::fmt;
use std::hint::black_box;
use std::io;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How long a handle is, in bytes.
pub(super) const LENGTH: usize = 56;

const VERSION: u8 = 2;
const CODED: usize = 40;

/// What an installation knows and nobody else. It prints as dots and is wiped when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The path to mount the directory of all units, without the `/` before it: follows from the secret,
    /// which does not follow from it.
    pub fn path(&self) -> String {
        self.code(b"path").iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The code that proves that the maker of `message` knew the secret. A plain hash over both will do: messages
    /// have a fixed length and only half of the hash is shown, so nobody can extend one.
    fn code(&self, message: &[u8]) -> [u8; 16] {
        let digest = Sha256::new().chain_update(&self.0[..]).chain_update(message).finalize();
        let mut code = [0; 16];
        code.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        code
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |all, (one, other)| black_box(all | (one ^ other)));
    one.len() == other.len() && difference == 0
}

/// Which unit, whether it is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnitId([u8; 20]);

impl UnitId {
    /// The unit of that name.
    pub(super) fn of(unit: &str) -> UnitId {
        let mut id = [0; 20];
        id.iter_mut().zip(Sha256::digest(unit.as_bytes())).for_each(|(to, from)| *to = from);
        UnitId(id)
    }

    /// What stands for a name in the directory of this unit.
    pub(super) fn named(&self, name: &[u8]) -> UnitId {
        let mut id = [0; 20];
        let digest = Sha256::new().chain_update(self.0).chain_update(name).finalize();
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        UnitId(id)
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// A number for its file, neither 0 nor that of a directory.
    pub(super) fn file_id(&self) -> u64 {
        let word = self.0.first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
        (word | 1 << 62) & !(1 << 63)
    }
}

/// What tells one attach of a unit from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nonce([u8; 16]);

impl Nonce {
    /// That of no attach: of what is got by the installation's path.
    pub(super) const NONE: Nonce = Nonce([0; 16]);

    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub(super) fn new() -> io::Result<Nonce> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        Ok(Nonce(nonce))
    }

    /// From 32 hexadecimal digits, as it displays.
    pub(super) fn parse(digits: &str) -> Option<Nonce> {
        let all = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(digits, 16).ok().filter(|_| all)?;
        Some(Nonce(number.to_be_bytes())).filter(|nonce| *nonce != Nonce::NONE)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// The directory of all units.
    Root,
    /// The directory of that unit alone.
    Directory(UnitId),
    /// The unit.
    File(UnitId),
    /// A proof of whose the server is: its number stands for a name in a unit's directory.
    Proof(UnitId),
}

/// A handle, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) object: Object,
    /// Of the attach for which it is good.
    pub(super) nonce: Nonce,
}

impl Handle {
    /// As clients get it.
    pub(super) fn bytes(&self, secret: &Secret) -> [u8; LENGTH] {
        let (kind, id) = match &self.object {
            Object::Root => (1, UnitId([0; 20])),
            Object::Directory(id) => (2, *id),
            Object::File(id) => (3, *id),
            Object::Proof(id) => (4, *id),
        };
        let mut handle = [0; LENGTH];
        let (coded, code) = handle.split_at_mut(CODED);
        for (to, from) in coded.iter_mut().zip([VERSION, kind, 0, 0].into_iter().chain(id.0).chain(self.nonce.0)) {
            *to = from;
        }
        code.copy_from_slice(&secret.code(coded));
        handle
    }

    /// A client's; `None` for one that was not made by this installation.
    pub(super) fn read(handle: &[u8], secret: &Secret) -> Option<Handle> {
        let handle: &[u8; LENGTH] = handle.try_into().ok()?;
        let (coded, code) = handle.split_at(CODED);
        if !same(&secret.code(coded), code) {
            return None;
        }
        let (head, rest) = coded.split_first_chunk()?;
        let (id, nonce) = rest.split_first_chunk()?;
        let (id, nonce) = (UnitId(*id), Nonce(nonce.try_into().ok()?));
        let object = match *head {
            [VERSION, 1, 0, 0] => Object::Root,
            [VERSION, 2, 0, 0] => Object::Directory(id),
            [VERSION, 3, 0, 0] => Object::File(id),
            [VERSION, 4, 0, 0] => Object::Proof(id),
            _ => return None,
        };
        Some(Handle { object, nonce })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "iqn.2026-11.org.example:a/0";

    #[test]
    fn a_handle_stands_for_the_same_thing_in_the_next_life() {
        for nonce in [Nonce::NONE, Nonce([3; 16])] {
            for object in [Object::Root, Object::Directory(UnitId::of(UNIT)), Object::File(UnitId::of(UNIT))] {
                let handle = Handle { object, nonce };
                let bytes = handle.bytes(&Secret::new([7; 32]));
                assert_eq!(Handle::read(&bytes, &Secret::new([7; 32])), Some(handle));
            }
        }
    }

    #[test]
    fn a_handle_of_another_installation_or_with_a_changed_bit_stands_for_nothing() {
        let secret = Secret::new([7; 32]);
        let handle = Handle { object: Object::File(UnitId::of(UNIT)), nonce: Nonce([3; 16]) }.bytes(&secret);
        assert_eq!(Handle::read(&handle, &Secret::new([8; 32])), None);
        for bit in 0..LENGTH * 8 {
            let mut changed = handle;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Handle::read(&changed, &secret), None, "bit {bit}");
        }
        assert_eq!(Handle::read(&handle[..LENGTH - 1], &secret), None);
        assert_eq!(Handle::read(&[], &secret), None);
    }

    #[test]
    fn a_nonce_is_read_as_it_is_written() {
        let nonce = Nonce([0x0a; 16]);
        assert_eq!(Nonce::parse(&nonce.to_string()), Some(nonce));
        for bad in ["", "0a", "+a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", &Nonce::NONE.to_string()] {
            assert_eq!(Nonce::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new([0x41; 32])), "Secret(…)");
        assert!(!Secret::new([0x41; 32]).path().contains("4141"));
    }
}
