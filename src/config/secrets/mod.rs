//! CHAP secrets, where there is no keychain in a file of their own: `secrets.plist`, mode 0600, beside the
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
pub(super) mod vault;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::{self, failure};
use super::schema;
use crate::ipc::{self, Failure};

/// A CHAP secret in the daemon's memory: it prints as dots and is wiped when it goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretBytes(Zeroizing<String>);

impl SecretBytes {
    /// What goes into the CHAP response.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

impl From<String> for SecretBytes {
    fn from(secret: String) -> SecretBytes {
        SecretBytes(Zeroizing::new(secret))
    }
}

impl From<&ipc::Secret> for SecretBytes {
    fn from(secret: &ipc::Secret) -> SecretBytes {
        SecretBytes(Zeroizing::new(secret.0.clone()))
    }
}

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
        Ok(Secrets { initiator: file.initiator, targets })
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
