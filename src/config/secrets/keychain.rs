//! A keychain, as the vault knows it.

use std::fmt;

use super::SecretBytes;

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

    /// Every item that settings with these targets can have.
    pub(super) fn all<'a>(targets: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Item> {
        let targets = targets.into_iter().map(|target| Some(target.to_owned()));
        let whose: Vec<Option<String>> = [None].into_iter().chain(targets).collect();
        whose.into_iter().flat_map(|target| [false, true].map(|mutual| Item { target: target.clone(), mutual }))
    }
}

/// A keychain. Errors are clauses.
pub(super) trait Keychain: fmt::Debug + Send + Sync {
    /// A secret; `None` where there is none.
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, String>;
    /// Stores one, in the place of one that is there.
    fn set(&self, item: &Item, secret: &SecretBytes) -> Result<(), String>;
    /// Removes one; one that is not there is removed already.
    fn remove(&self, item: &Item) -> Result<(), String>;
}
