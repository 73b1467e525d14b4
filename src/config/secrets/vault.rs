//! Where CHAP secrets are kept: the System keychain of a Mac, or else a file that nobody but its owner
//! may read.
//!
//! ```text
//!   load ── secrets.plist, 0600 ────────────────┐
//!        └─ what is not there: the keychain ────┴─► Secrets       what is in both: the file is newer
//!   save ──► keychain ──► the file goes                           where that fails: the file, and it is said
//!        └─► the file ──► the keychain's go                       where the keychain would not know the next build
//! ```
//! An item belongs to who stored it. For a program that a team has signed that is the team; for any other it is this one
//! build, so that the next version would be refused its secrets (securityd/src/clientid.cpp of Security-61901.0.87.0.1,
//! `partitionIdForProcess`): such a program keeps a file. What an earlier version left in the keychain, it reads as far as
//! it is let, and moves it.
//!
//! A secret that the keychain does not give is not one that is not there: a login that would use it fails, and nothing
//! else does.

use std::collections::BTreeSet;
use std::path::Path;

use super::keychain::{Item, Keychain, Refusal};
use super::secret_bytes::SecretBytes;
use super::signer::Signer;
use super::{NodeSecrets, Secrets};
use crate::config::file::{self, failure};
use crate::ipc::Failure;

/// Where secrets are kept.
#[derive(Debug)]
pub(crate) struct Vault {
    keychain: Option<Box<dyn Keychain>>,
    signer: Signer,
}

impl Vault {
    /// That of this system, for the settings at `config`.
    pub(crate) fn system(config: &Path) -> Vault {
        #[cfg(target_os = "macos")]
        return match super::macos_keychain::system(config) {
            Some(keychain) => Vault { keychain: Some(keychain), signer: super::macos_keychain::signer() },
            None => Vault { keychain: None, signer: Signer::Nobody },
        };
        #[cfg(not(target_os = "macos"))]
        {
            let _ = config;
            Vault { keychain: None, signer: Signer::Nobody }
        }
    }

    /// One with that keychain.
    #[cfg(test)]
    pub(super) fn with(keychain: impl Keychain + 'static, signer: Signer) -> Vault {
        Vault { keychain: Some(Box::new(keychain)), signer }
    }

    /// Where there is a choice: a sentence that says what it was, and why.
    pub(crate) fn choice(&self, file: &Path) -> Option<String> {
        self.keychain.as_ref()?;
        Some(match self.signer {
            Signer::Team => "CHAP secrets are kept in the System keychain".to_owned(),
            Signer::Nobody => format!(
                "CHAP secrets are kept in {}, which nobody else may read, and not in the keychain: it would not give them to \
                 the next version of a program that no team has signed",
                file.display()
            ),
        })
    }

    /// All secrets that settings with these targets have, and which ones the keychain has and does not give.
    pub(crate) fn load<'a>(&self, file: &Path, targets: impl IntoIterator<Item = &'a str>) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::load(file)?;
        let Some(keychain) = &self.keychain else { return Ok(secrets) };
        for item in Item::all(targets) {
            if secrets.get(&item).is_some() {
                continue;
            }
            match keychain.get(&item) {
                Ok(None) => {}
                Ok(Some(secret)) => *place(&mut secrets, &item) = Some(secret),
                // Nothing of ours has to be there: the file has it all, but for what an earlier version had left.
                Err(Refusal::Unavailable(_)) if self.signer == Signer::Nobody => {}
                Err(refusal) => drop(secrets.kept_back.insert(item, refusal.to_string())),
            }
        }
        secrets.targets.retain(|_, secrets| *secrets != NodeSecrets::default());
        Ok(secrets)
    }

    /// Moves what the keychain still gives into the file, where it would not give it to the next build. An item stays until
    /// the file has it.
    pub(crate) fn settle(&self, file: &Path, secrets: &Secrets) -> Result<(), Failure> {
        let (Some(keychain), Signer::Nobody) = (&self.keychain, self.signer) else { return Ok(()) };
        let there = Secrets::load(file)?;
        let moving: Vec<Item> = everything(secrets).into_iter().filter(|item| there.get(item).is_none()).collect();
        if moving.is_empty() {
            return Ok(());
        }
        secrets.save(file)?;
        tracing::info!("the CHAP secrets that were in the keychain are in {} now", file.display());
        let_go(&**keychain, &moving);
        Ok(())
    }

    /// Stores what differs from `before`, which is what holds there.
    pub(crate) fn save(&self, file: &Path, before: &Secrets, after: &Secrets) -> Result<(), Failure> {
        let Some(keychain) = &self.keychain else { return after.save(file) };
        let keychain = &**keychain;
        // What was kept back, and has another secret now or is wanted no more.
        let outdated: Vec<Item> =
            before.kept_back.keys().filter(|item| !after.kept_back.contains_key(item)).cloned().collect();
        if self.signer == Signer::Nobody {
            after.save(file)?;
            // The keychain may still have one that was moved to the file, and would give it again.
            let gone = everything(before).difference(&everything(after)).cloned().collect::<Vec<_>>();
            let_go(keychain, &[outdated, gone].concat());
            return Ok(());
        }
        match store(keychain, file, before, after) {
            Ok(()) => {
                let_go(keychain, &outdated.into_iter().filter(|item| after.get(item).is_none()).collect::<Vec<_>>());
                return remove_file(file);
            }
            Err(why) => tracing::warn!(
                "the keychain does not take the CHAP secrets ({why}); they are in {}, which nobody else may read",
                file.display()
            ),
        }
        // What is taken away must not come back. What has changed may stay, for the file is newer.
        for item in everything(before).difference(&everything(after)) {
            keychain.remove(item).map_err(|why| {
                let account = item.account();
                failure(format!("the keychain does not give up the CHAP secret `{account}`: {why}")).advice("unlock it")
            })?;
        }
        after.save(file)?;
        let changed = everything(after).into_iter().filter(|item| before.get(item) != after.get(item));
        let_go(keychain, &changed.chain(outdated).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        Ok(())
    }
}

/// Brings the keychain to `after`: what has changed, and what is in the file alone.
fn store(keychain: &dyn Keychain, file: &Path, before: &Secrets, after: &Secrets) -> Result<(), Refusal> {
    let moves = file.exists();
    for item in everything(after) {
        if let Some(secret) = after.get(&item).filter(|secret| moves || before.get(&item) != Some(secret)) {
            keychain.set(&item, secret)?;
        }
    }
    for item in everything(before).difference(&everything(after)) {
        keychain.remove(item)?;
    }
    Ok(())
}

/// Removes items that are in the file now, or wanted no more. One that stays is older than the file, and is not used.
fn let_go(keychain: &dyn Keychain, items: &[Item]) {
    for item in items {
        if let Err(why) = keychain.remove(item) {
            tracing::warn!("an old CHAP secret, `{}`, stays in the keychain: {why}", item.account());
        }
    }
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
    Item::all(secrets.targets.keys().map(String::as_str)).filter(|item| secrets.get(item).is_some()).collect()
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
