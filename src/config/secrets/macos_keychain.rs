//! The System keychain of macOS: generic passwords.
//!
//! ```text
//!   ours          service org.iscsid.iscsid, or with the path of the settings; account "<iqn> ours|mutual"
//!   iscsi-osx     service = account = the IQN and a NUL; the secret and a NUL
//! ```
//! It is opened by its path: the default keychain of a daemon of root's is none that anybody unlocks.

use std::path::Path;

use security_framework::base::Error;
use security_framework::os::macos::keychain::SecKeychain;

use super::SecretBytes;
use super::keychain::{Item, Keychain};
use crate::config::iscsi_osx::IscsiOsxSecrets;
use crate::ipc::Secret;

const SYSTEM: &str = "/Library/Keychains/System.keychain";

const SERVICE: &str = "org.iscsid.iscsid";

/// `errSecItemNotFound` of Security/SecBase.h.
const NOT_FOUND: i32 = -25300;

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
    let usual = config == crate::config::default_config();
    let service = if usual { SERVICE.to_owned() } else { format!("{SERVICE} {}", config.display()) };
    Some(Box::new(SystemKeychain { service }))
}

fn open() -> Result<SecKeychain, String> {
    SecKeychain::open(SYSTEM).map_err(|error| error.to_string())
}

/// A password as text; `None` where there is none.
fn find(service: &str, account: &str) -> Result<Option<String>, String> {
    match open()?.find_generic_password(service, account) {
        Ok((password, _)) => match std::str::from_utf8(&password) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("it is not UTF-8".to_owned()),
        },
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn is_absent(error: &Error) -> bool {
    error.code() == NOT_FOUND
}

impl Keychain for SystemKeychain {
    fn get(&self, item: &Item) -> Result<Option<SecretBytes>, String> {
        Ok(find(&self.service, &item.account())?.map(SecretBytes::from))
    }

    fn set(&self, item: &Item, secret: &SecretBytes) -> Result<(), String> {
        let set = open()?.set_generic_password(&self.service, &item.account(), secret.as_bytes());
        set.map_err(|error| error.to_string())
    }

    fn remove(&self, item: &Item) -> Result<(), String> {
        let keychain = open()?;
        match keychain.find_generic_password(&self.service, &item.account()) {
            Ok((_, item)) => item.delete(),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        // `delete` does not say whether it did.
        match keychain.find_generic_password(&self.service, &item.account()) {
            Err(error) if is_absent(&error) => Ok(()),
            Ok(_) => Err("it does not let go of it".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// iscsi-osx's secrets in the System keychain.
#[derive(Debug, Clone, Copy)]
pub struct IscsiOsxKeychain;

impl IscsiOsxSecrets for IscsiOsxKeychain {
    fn secret(&self, node: &str) -> Result<Option<Secret>, String> {
        let name = format!("{node}\0");
        let found = match find(&name, &name)? {
            // Earlier versions wrote no NUL.
            None => find(node, node)?,
            found => found,
        };
        Ok(found.map(|text| Secret(text.trim_end_matches('\0').to_owned())).filter(|secret| !secret.0.is_empty()))
    }
}
