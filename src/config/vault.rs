//! Where CHAP secrets are kept: the System keychain of a Mac, or else a file that nobody but its owner
//! may read.
//!
//! ```text
//!   load ── keychain, where there is one ─┐
//!        └─ secrets.plist, 0600 ──────────┴─► Secrets          what is in both: the file is older
//!   save ──► keychain ──► the file goes                        where that fails: the file, and it is said
//! ```
//! A file from before there was a keychain, or that somebody has put there, is moved into the keychain at
//! the first save; until then both are read.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::file::{self, failure};
use super::secrets::{NodeSecrets, SecretBytes, Secrets};
use crate::ipc::Failure;

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
    fn all<'a>(targets: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Item> {
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

/// Where secrets are kept.
#[derive(Debug)]
pub(super) struct Vault {
    keychain: Option<Box<dyn Keychain>>,
}

impl Vault {
    /// That of this system, for the settings at `config`.
    pub(super) fn system(config: &Path) -> Vault {
        #[cfg(target_os = "macos")]
        return Vault { keychain: super::keychain::system(config) };
        #[cfg(not(target_os = "macos"))]
        {
            let _ = config;
            Vault { keychain: None }
        }
    }

    /// One with that keychain.
    #[cfg(test)]
    pub(super) fn with(keychain: impl Keychain + 'static) -> Vault {
        Vault { keychain: Some(Box::new(keychain)) }
    }

    /// All secrets that settings with these targets have. A keychain that cannot be read, such as one that
    /// is locked, is an error: without it, a change would take its secrets for gone.
    pub(super) fn load<'a>(&self, file: &Path, targets: impl IntoIterator<Item = &'a str>) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::load(file)?;
        let Some(keychain) = &self.keychain else { return Ok(secrets) };
        for item in Item::all(targets) {
            match keychain.get(&item) {
                Ok(None) => {}
                Ok(Some(secret)) => *place(&mut secrets, &item) = Some(secret),
                Err(why) => {
                    let account = item.account();
                    return Err(failure(format!(
                        "the keychain does not give the CHAP secret `{account}` ({why}); unlock it, or let iscsid use it"
                    )));
                }
            }
        }
        secrets.targets.retain(|_, secrets| *secrets != NodeSecrets::default());
        Ok(secrets)
    }

    /// Stores what differs from `before`, which is what holds there.
    pub(super) fn save(&self, file: &Path, before: &Secrets, after: &Secrets) -> Result<(), Failure> {
        if let Some(keychain) = &self.keychain {
            match store(&**keychain, file, before, after) {
                Ok(()) => return remove_file(file),
                Err(why) => tracing::warn!(
                    "the keychain does not take the CHAP secrets ({why}); they are in {}, which nobody else may read",
                    file.display()
                ),
            }
            // What is in both would be read from the keychain: there must be nothing older in it.
            let stale = everything(before).union(&everything(after)).cloned().collect::<BTreeSet<Item>>();
            for item in stale.iter().filter(|item| of(before, item) != of(after, item)) {
                keychain.remove(item).map_err(|why| {
                    let account = item.account();
                    failure(format!(
                        "the keychain neither takes nor gives up the CHAP secret `{account}`: {why}; unlock it"
                    ))
                })?;
            }
        }
        after.save(file)
    }
}

/// Brings the keychain to `after`: what has changed, and what is in the file alone.
fn store(keychain: &dyn Keychain, file: &Path, before: &Secrets, after: &Secrets) -> Result<(), String> {
    let moves = file.exists();
    for item in everything(after) {
        if let Some(secret) = of(after, &item).filter(|secret| moves || of(before, &item) != Some(secret)) {
            keychain.set(&item, secret)?;
        }
    }
    for item in everything(before).difference(&everything(after)) {
        keychain.remove(item)?;
    }
    Ok(())
}

/// All that is in the keychain now, so that the file would only be one more place to lose them from.
fn remove_file(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(format!(
            "the CHAP secrets are in the keychain now, but {} cannot be removed: {error}; remove it",
            file.display()
        ))),
        Err(_) => Ok(()),
        Ok(()) => {
            tracing::info!("the CHAP secrets of {} are in the keychain now", file.display());
            file::sync_directory(file);
            Ok(())
        }
    }
}

/// The items that there are.
fn everything(secrets: &Secrets) -> BTreeSet<Item> {
    Item::all(secrets.targets.keys().map(String::as_str)).filter(|item| of(secrets, item).is_some()).collect()
}

fn of<'a>(secrets: &'a Secrets, item: &Item) -> Option<&'a SecretBytes> {
    let node = match &item.target {
        None => &secrets.initiator,
        Some(target) => secrets.targets.get(target)?,
    };
    if item.mutual { node.mutual_secret.as_ref() } else { node.secret.as_ref() }
}

fn place<'a>(secrets: &'a mut Secrets, item: &Item) -> &'a mut Option<SecretBytes> {
    let node = match &item.target {
        None => &mut secrets.initiator,
        Some(target) => secrets.targets.entry(target.clone()).or_default(),
    };
    if item.mutual { &mut node.mutual_secret } else { &mut node.secret }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
