//! CHAP secrets, and the file that they are in where they are not in a keychain: `secrets.plist`, mode 0600, beside the
//! property list.
//!
//! ```text
//!   Version 1
//!   Initiator {Secret, MutualSecret}                    for every target that has none of its own
//!   Targets   {iqn → {Secret, MutualSecret}}
//! ```
//! Secrets never print; the memory they were in is wiped when they go.

mod keychain;
#[cfg(target_os = "macos")]
pub(super) mod macos_keychain;
mod secret_bytes;
mod signer;
pub(super) mod vault;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::keychain::Item;
pub use self::secret_bytes::SecretBytes;
use super::file::{self, failure};
use super::schema;
use crate::ipc::Failure;

/// The secrets of one node: the initiator's (for all targets), or a target's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct NodeSecrets {
    /// Ours: what the target checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretBytes>,
    /// The target's: what we check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutual_secret: Option<SecretBytes>,
}

impl NodeSecrets {
    fn is_empty(&self) -> bool {
        *self == NodeSecrets::default()
    }
}

/// All secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// For every target that has none of its own, and for discovery.
    pub initiator: NodeSecrets,
    /// By the target's normalised name.
    pub targets: BTreeMap<String, NodeSecrets>,
    /// What is in the keychain and was not given, and why.
    kept_back: BTreeMap<Item, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "NodeSecrets::is_empty")]
    initiator: NodeSecrets,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    targets: BTreeMap<String, NodeSecrets>,
}

/// The version of the layout this program reads and writes.
const VERSION: u32 = 1;

/// What to do about a file that is wrong.
const CORRECT: &str = "correct it, or move the file away and store the secrets anew";

fn told(item: &Item, why: &str) -> Failure {
    let (account, command) = (item.account(), item.command());
    failure(format!("the keychain does not give the CHAP secret `{account}` ({why})")).advice(format!(
        "enter it again with `{command}`; if the keychain is only locked, unlock it and restart iscsid"
    ))
}

impl Secrets {
    /// Reads the file; none where there is none. One that others may read is refused, since what is
    /// in it is a secret no more.
    pub(super) fn load(path: &Path) -> Result<Secrets, Failure> {
        let advice = "change the secrets, and chmod 600 it";
        let Some(bytes) = file::read_private(path, "the CHAP secrets", advice)? else {
            return Ok(Secrets::default());
        };
        let shown = path.display();
        let file: File =
            schema::parse_secrets(&bytes).map_err(|what| failure(format!("{shown}: {what}")).advice(CORRECT))?;
        if file.version != VERSION {
            let found = file.version;
            return Err(failure(format!("{shown}: Version: is {found}, and this iscsid reads version {VERSION}"))
                .advice("use the iscsid that wrote it, or move the file away and store the secrets anew"));
        }
        let mut targets = BTreeMap::new();
        for (name, secrets) in file.targets {
            let name = super::check::target_name(&name)
                .map_err(|what| failure(format!("{shown}: Targets: {what}")).advice(CORRECT))?;
            if targets.insert(name.as_str().to_owned(), secrets).is_some() {
                let what = format!("{shown}: Targets → {}: the target is there twice", name.as_str());
                return Err(failure(what).advice("remove one of them"));
            }
        }
        Ok(Secrets { initiator: file.initiator, targets, ..Secrets::default() })
    }

    /// Whether a target has secrets of its own, be they given or not.
    pub fn has(&self, target: &str) -> bool {
        self.targets.contains_key(target) || self.kept_back.keys().any(|item| item.target.as_deref() == Some(target))
    }

    /// Forgets those of a target.
    pub(super) fn forget(&mut self, target: &str) {
        self.targets.remove(target);
        self.kept_back.retain(|item, _| item.target.as_deref() != Some(target));
    }

    /// A secret of that target's, or of the initiator's, is another one now, or none: what the keychain has does not matter
    /// any more.
    pub(super) fn changed(&mut self, target: Option<&str>, mutual: bool) {
        self.kept_back.remove(&Item { target: target.map(str::to_owned), mutual });
    }

    /// As if the keychain had it and did not give it.
    #[cfg(test)]
    pub(super) fn keep_back(&mut self, target: Option<&str>, mutual: bool) {
        self.kept_back.insert(Item { target: target.map(str::to_owned), mutual }, "it is locked".to_owned());
    }

    /// Why there is no login to a target, or no discovery (`None`): a secret that it would use is kept back.
    pub(super) fn kept_back(&self, target: Option<&str>) -> Option<Failure> {
        let own = target.map(|target| Some(target.to_owned()));
        [false, true].into_iter().find_map(|mutual| {
            let mut items = own.clone().into_iter().chain([None]).map(|target| Item { target, mutual });
            let item = items.find(|item| self.get(item).is_some() || self.kept_back.contains_key(item))?;
            self.kept_back.get(&item).map(|why| told(&item, why))
        })
    }

    /// What is kept back, a failure each.
    pub(super) fn all_kept_back(&self) -> impl Iterator<Item = Failure> {
        self.kept_back.iter().map(|(item, why)| told(item, why))
    }

    fn get(&self, item: &Item) -> Option<&SecretBytes> {
        let node = match &item.target {
            None => &self.initiator,
            Some(target) => self.targets.get(target)?,
        };
        if item.mutual { node.mutual_secret.as_ref() } else { node.secret.as_ref() }
    }

    /// Writes the file.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let mut targets = self.targets.clone();
        targets.retain(|_, secrets| !secrets.is_empty());
        let file = File { version: VERSION, initiator: self.initiator.clone(), targets };
        let mut bytes = Zeroizing::new(Vec::new());
        plist::to_writer_xml(&mut *bytes, &file)
            .map_err(|error| failure(format!("cannot write the secrets as a property list: {error}")))?;
        file::readable(path, &bytes, |bytes| schema::parse_secrets::<File>(bytes).map(drop))?;
        file::save(path, &bytes)
    }
}
