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
            schema::parse(&bytes).map_err(|what| failure(format!("{shown}: {}", without_values(&what))))?;
        if file.version != VERSION {
            let found = file.version;
            return Err(failure(format!("{shown}: Version: is {found}, and this iscsid reads version {VERSION}")));
        }
        let mut targets = BTreeMap::new();
        for (name, secrets) in file.targets {
            let name = super::check::target_name(&name).map_err(|what| failure(format!("{shown}: Targets: {what}")))?;
            if targets.insert(name.as_str().to_owned(), secrets).is_some() {
                return Err(failure(format!("{shown}: Targets → {}: the target is there twice", name.as_str())));
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
        file::readable(path, &bytes, |bytes| {
            schema::parse::<File>(bytes).map(drop).map_err(|what| without_values(&what))
        })?;
        file::save(path, &bytes)
    }
}

/// serde's messages quote what they found, and here that may be a secret.
fn without_values(message: &str) -> String {
    let Some(start) = message.find("invalid type: ").or_else(|| message.find("invalid value: ")) else {
        return message.to_owned();
    };
    let expected = message.rfind(", expected ").and_then(|at| message.get(at..)).unwrap_or_default();
    format!("{}wrong type{expected}", message.get(..start).unwrap_or_default())
}
