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
use std::path::Path;

use super::keychain::{Item, Keychain};
use super::{NodeSecrets, SecretBytes, Secrets};
use crate::config::file::{self, failure};
use crate::ipc::Failure;

/// Where secrets are kept.
#[derive(Debug)]
pub(crate) struct Vault {
    keychain: Option<Box<dyn Keychain>>,
}

impl Vault {
    /// That of this system, for the settings at `config`.
    pub(crate) fn system(config: &Path) -> Vault {
        #[cfg(target_os = "macos")]
        return Vault { keychain: super::macos_keychain::system(config) };
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
    pub(crate) fn load<'a>(&self, file: &Path, targets: impl IntoIterator<Item = &'a str>) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::load(file)?;
        let Some(keychain) = &self.keychain else { return Ok(secrets) };
        for item in Item::all(targets) {
            match keychain.get(&item) {
                Ok(None) => {}
                Ok(Some(secret)) => *place(&mut secrets, &item) = Some(secret),
                Err(why) => {
                    let account = item.account();
                    return Err(failure(format!("the keychain does not give the CHAP secret `{account}` ({why})"))
                        .advice("unlock it, or let iscsid use it"));
                }
            }
        }
        secrets.targets.retain(|_, secrets| *secrets != NodeSecrets::default());
        Ok(secrets)
    }

    /// Stores what differs from `before`, which is what holds there.
    pub(crate) fn save(&self, file: &Path, before: &Secrets, after: &Secrets) -> Result<(), Failure> {
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
                    failure(format!("the keychain neither takes nor gives up the CHAP secret `{account}`: {why}"))
                        .advice("unlock it")
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

/// Removes the file once the keychain has its secrets: it would be one more place to lose them from.
fn remove_file(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(format!(
            "the CHAP secrets are in the keychain now, but {} cannot be removed: {error}",
            file.display()
        ))
        .advice("remove it")),
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
mod tests;
