//! The System keychain of macOS: generic passwords.
//!
//! ```text
//!   ours          service org.iscsid.iscsid, or with the path of the settings; account "<iqn> ours|mutual"
//!   iscsi-osx     service = account = the IQN and a NUL; the secret and a NUL
//! ```
//! It is opened by its path: the default keychain of a daemon of root's is none that anybody unlocks.

use std::path::Path;
use std::process::{Command, Stdio};

use security_framework::base::Error;
use security_framework::os::macos::code_signing::{Flags, SecCode, SecRequirement};
use security_framework::os::macos::keychain::SecKeychain;

use super::keychain::{Item, Keychain, Refusal};
use super::secret_bytes::SecretBytes;
use super::signer::Signer;
use crate::config::iscsi_osx::IscsiOsxSecrets;
use crate::ipc::Secret;

const SYSTEM: &str = "/Library/Keychains/System.keychain";

const SERVICE: &str = "org.iscsid.iscsid";

/// `errSecItemNotFound` of Security/SecBase.h.
const NOT_FOUND: i32 = -25300;

/// The same, as the `security` tool exits with it: its lowest byte.
const TOOL_NOT_FOUND: i32 = NOT_FOUND & 0xff;

/// Who has a Developer ID: the marks that Apple puts into its intermediate certificate and into the leaf. To securityd this
/// is one of those whose partition is `teamid:`, in all versions of macOS (clientid.cpp, `partitionIdForProcess`).
const DEVELOPER_ID: &str = "anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] \
                            and certificate leaf[field.1.2.840.113635.100.6.1.13]";

#[derive(Debug)]
struct SystemKeychain {
    service: String,
}

/// The System keychain, for the settings at `config`. Only root has it: anybody else's daemon keeps a
/// file.
pub(super) fn system(config: &Path) -> Option<Box<dyn Keychain>> {
    if !nix::unistd::geteuid().is_root() || !Path::new(SYSTEM).exists() {
        return None;
    }
    // A daemon asks nobody: with somebody at the screen, it would wait for him with all its sessions.
    match SecKeychain::disable_user_interaction() {
        // For as long as the process lives.
        Ok(lock) => std::mem::forget(lock),
        Err(error) => tracing::warn!("the keychain may ask the person at the screen: {error}"),
    }
    let usual = config == crate::config::default_config();
    let service = if usual { SERVICE.to_owned() } else { format!("{SERVICE} {}", config.display()) };
    Some(Box::new(SystemKeychain { service }))
}

/// Who has signed the program that runs.
pub(super) fn signer() -> Signer {
    let checked = DEVELOPER_ID.parse::<SecRequirement>().and_then(|requirement| {
        let program = SecCode::for_self(Flags::NONE)?;
        program.check_validity(Flags::NONE, &requirement)
    });
    match checked {
        Ok(()) => Signer::Team,
        Err(error) => {
            tracing::debug!("this program is signed by no team that Apple knows: {error}");
            Signer::Nobody
        }
    }
}

fn open() -> Result<SecKeychain, Refusal> {
    SecKeychain::open(SYSTEM).map_err(refusal)
}

fn refusal(error: Error) -> Refusal {
    Refusal::of(error.code(), error.to_string())
}

/// A password as text; `None` where there is none.
fn find(service: &str, account: &str) -> Result<Option<String>, Refusal> {
    match open()?.find_generic_password(service, account) {
        Ok((password, _)) => match std::str::from_utf8(&password) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Refusal::Denied("it is not UTF-8".to_owned())),
        },
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(refusal(error)),
    }
}

fn is_absent(error: &Error) -> bool {
    error.code() == NOT_FOUND
}

impl SystemKeychain {
    /// Removes one that cannot be read: to find it, `security` asks for no password, which our binding always does.
    fn remove_unread(&self, item: &Item) -> Result<(), Refusal> {
        let account = item.account();
        let run = Command::new("/usr/bin/security")
            .args(["delete-generic-password", "-s", &self.service, "-a", &account, SYSTEM])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match run {
            Ok(status) if status.success() || status.code() == Some(TOOL_NOT_FOUND) => Ok(()),
            Ok(status) => Err(Refusal::Denied(format!("`security delete-generic-password` ends with {status}"))),
            Err(error) => Err(Refusal::Denied(format!("/usr/bin/security cannot be run: {error}"))),
        }
    }
}

impl Keychain for SystemKeychain {
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, Refusal> {
        Ok(find(&self.service, &item.account())?.map(SecretBytes::from))
    }

    fn add(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal> {
        open()?.add_generic_password(&self.service, &item.account(), secret.as_bytes()).map_err(refusal)
    }

    fn change(&self, item: &Item, secret: &SecretBytes) -> Result<(), Refusal> {
        let (_, mut there) = open()?.find_generic_password(&self.service, &item.account()).map_err(refusal)?;
        there.set_password(secret.as_bytes()).map_err(refusal)
    }

    fn remove(&self, item: &Item) -> Result<(), Refusal> {
        let keychain = open()?;
        match keychain.find_generic_password(&self.service, &item.account()).map(|(_, there)| there) {
            Ok(there) => there.delete(),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => {
                return match refusal(error) {
                    Refusal::Denied(_) => self.remove_unread(item),
                    unavailable => Err(unavailable),
                };
            }
        }
        // `delete` does not say whether it did.
        match keychain.find_generic_password(&self.service, &item.account()) {
            Err(error) if is_absent(&error) => Ok(()),
            Ok(_) => Err(Refusal::Denied("it does not let go of it".to_owned())),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// iscsi-osx's secrets in the System keychain.
#[derive(Debug, Clone, Copy)]
pub struct IscsiOsxKeychain;

impl IscsiOsxSecrets for IscsiOsxKeychain {
    fn secret(&self, node: &str) -> Result<Option<Secret>, String> {
        let find = |name: &str| find(name, name).map_err(|why| why.to_string());
        let found = match find(&format!("{node}\0"))? {
            // Earlier versions wrote no NUL.
            None => find(node)?,
            found => found,
        };
        Ok(found.map(|text| Secret(text.trim_end_matches('\0').to_owned())).filter(|secret| !secret.0.is_empty()))
    }
}
