//! A keychain, as the vault knows it.

use std::fmt;

use super::secret_bytes::SecretBytes;

/// One secret in a keychain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    /// Whose: the target's normalised name, or `None` for the initiator.
    pub(super) target: Option<String>,
    /// What the target authenticates itself with, and not we.
    pub(super) mutual: bool,
}

impl Item {
    /// As it is called in the keychain, together with the settings it belongs to: two daemons with
    /// settings of their own do not share secrets.
    pub(super) fn account(&self) -> String {
        let whose = self.target.as_deref().unwrap_or("initiator");
        format!("{whose} {}", if self.mutual { "mutual" } else { "ours" })
    }

    /// The command that stores it again.
    pub(super) fn command(&self) -> String {
        let option = if self.mutual { "--chap-mutual-secret" } else { "--chap-secret" };
        match &self.target {
            Some(target) => format!("iscsictl modify target {target} {option}"),
            None => format!("iscsictl modify initiator {option}"),
        }
    }

    /// Every item that settings with these targets can have.
    pub(super) fn all<'a>(targets: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Item> {
        let targets = targets.into_iter().map(|target| Some(target.to_owned()));
        let whose: Vec<Option<String>> = [None].into_iter().chain(targets).collect();
        whose.into_iter().flat_map(|target| [false, true].map(|mutual| Item { target: target.clone(), mutual }))
    }
}

/// Why a keychain does not do what it is asked for, as a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "only macOS has keychains"))]
pub(super) enum Refusal {
    /// The item is there, and it is not given to this program, or not now.
    Denied(String),
    /// There is no keychain to ask, or it cannot be read.
    Unavailable(String),
}

// Security/SecBase.h. What is looked for is found without its password, so each of these is said of an item that is
// there (securityd/src/acls.cpp, agentquery.cpp, and SecBase.cpp for the numbers).
#[cfg(any(test, target_os = "macos"))]
const DENIED: [i32; 4] = [
    -25293, // errSecAuthFailed: the item belongs to another program, or to another build of this one
    -25308, // errSecInteractionNotAllowed: somebody would have to be asked
    -25320, // errSecInDarkWake: the same, in a dark wake
    -128,   // errSecUserCanceled: somebody was asked
];

impl Refusal {
    /// That of an OSStatus, with its text.
    #[cfg(any(test, target_os = "macos"))]
    pub(super) fn of(status: i32, text: String) -> Refusal {
        if DENIED.contains(&status) { Refusal::Denied(text) } else { Refusal::Unavailable(text) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::Denied(why) | Refusal::Unavailable(why)) = self;
        f.write_str(why)
    }
}

/// A keychain.
pub(super) trait Keychain: fmt::Debug + Send + Sync {
    /// A secret; `None` where there is none.
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, Refusal>;
    /// Stores one that is not there.
    fn add(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal>;
    /// Stores another one in the place of one that is there and may be read.
    fn change(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal>;
    /// Removes one, also one that is not given; one that is not there is removed already.
    fn remove(&self, item: &Item) -> Result<(), Refusal>;
}

impl dyn Keychain + '_ {
    /// Stores one, whatever is there. To take any failed look for an absence would be to add what is there already; what
    /// another build of this program has stored is replaced, since nobody reads it any more.
    pub(super) fn set(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal> {
        match self.get(item) {
            Ok(Some(_)) => self.change(item, secret),
            Ok(None) => self.add(item, secret),
            Err(Refusal::Denied(_)) => {
                self.remove(item)?;
                self.add(item, secret)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_not_given_is_told_from_a_keychain_that_is_not_there() {
        for status in [-25293, -25308, -25320, -128] {
            assert_eq!(Refusal::of(status, "why".into()), Refusal::Denied("why".into()), "{status}");
        }
        // errSecNoDefaultKeychain, errSecNoSuchKeychain, errSecInvalidKeychain
        for status in [-25307, -25294, -25295] {
            assert_eq!(Refusal::of(status, "why".into()), Refusal::Unavailable("why".into()), "{status}");
        }
    }

    #[test]
    fn each_secret_has_the_command_that_stores_it_again() {
        let items = Item::all(["iqn.2026-11.org.example:disk"]);
        assert_eq!(
            items.map(|item| item.command()).collect::<Vec<_>>(),
            [
                "iscsictl modify initiator --chap-secret",
                "iscsictl modify initiator --chap-mutual-secret",
                "iscsictl modify target iqn.2026-11.org.example:disk --chap-secret",
                "iscsictl modify target iqn.2026-11.org.example:disk --chap-mutual-secret",
            ]
        );
    }
}
