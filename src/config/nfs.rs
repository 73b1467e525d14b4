//! What the NFS export keeps from one start to the next: `nfs.plist`, mode 0600, beside the property list.
//!
//! ```text
//!   Version 1
//!   Port      where it listens: clients that have mounted come back there
//!   Secret    what file handles are derived from, 64 hexadecimal digits
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::{self, failure};
use super::schema;
use super::secrets::SecretBytes;
use crate::ipc::Failure;

/// The version of the layout this program reads and writes.
const VERSION: u32 = 1;

/// Ports to choose from: below those that systems give to outgoing connections, so that the port is still
/// free at the next start.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// What the NFS export is known by to its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NfsIdentity {
    /// Where it listens.
    pub port: u16,
    secret: SecretBytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct File {
    version: u32,
    port: u16,
    secret: SecretBytes,
}

impl NfsIdentity {
    /// Where it is kept, for the property list at `config`.
    pub fn path(config: &Path) -> PathBuf {
        config.with_file_name("nfs.plist")
    }

    /// A new one, with a port that is likely to be free.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new() -> Result<NfsIdentity, Failure> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut random[..])
            .map_err(|error| failure(format!("the system gives no random numbers: {error}")))?;
        let secret = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(NfsIdentity { port: any_port(), secret: secret.into() })
    }

    /// The same with another port.
    pub fn elsewhere(&self, port: Option<u16>) -> NfsIdentity {
        NfsIdentity { port: port.unwrap_or_else(any_port), ..self.clone() }
    }

    /// The secret.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, digits) in bytes.iter_mut().zip(self.secret.as_bytes().chunks(2)) {
            // It was looked at when it was loaded.
            *byte = std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0);
        }
        bytes
    }

    /// What the file holds; `None` where there is none. One that others may read is refused.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn load(path: &Path) -> Result<Option<NfsIdentity>, Failure> {
        let Some(bytes) = file::read_private(path, "the secret", "remove it, and a new one is made")? else {
            return Ok(None);
        };
        let shown = path.display();
        let File { version, port, secret } = schema::parse_secrets(&bytes).map_err(|_| {
            failure(format!("{shown} is not what iscsid writes there")).advice("remove it, and a new one is made")
        })?;
        if version != VERSION {
            return Err(failure(format!("{shown}: Version: is {version}, and this iscsid reads version {VERSION}"))
                .advice("use the iscsid that wrote it, or remove it, and a new one is made"));
        }
        let good = secret.as_bytes().len() == 64 && secret.as_bytes().iter().all(u8::is_ascii_hexdigit);
        if !good || port == 0 {
            return Err(
                failure(format!("{shown} is not what iscsid writes there")).advice("remove it, and a new one is made")
            );
        }
        Ok(Some(NfsIdentity { port, secret }))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let file = File { version: VERSION, port: self.port, secret: self.secret.clone() };
        let mut bytes = Zeroizing::new(Vec::new());
        plist::to_writer_xml(&mut *bytes, &file)
            .map_err(|error| failure(format!("cannot write the NFS export's secret as a property list: {error}")))?;
        file::save(path, &bytes)
    }
}

fn any_port() -> u16 {
    fastrand::u16(PORTS)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_again_and_only_its_owner_may_read_it() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("nfs.plist");
        assert_eq!(NfsIdentity::load(&path), Ok(None));
        let identity = NfsIdentity::new().expect("random numbers");
        identity.save(&path).expect("a file");
        let loaded = NfsIdentity::load(&path).expect("a good file").expect("it is there");
        assert_eq!((&loaded, loaded.secret()), (&identity, identity.secret()));
        assert_ne!(*identity.secret(), [0; 32]);
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
        assert!(PORTS.contains(&identity.port));
        assert!(!format!("{identity:?}").contains(std::str::from_utf8(identity.secret.as_bytes()).expect("digits")));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("our file");
        let refusal = NfsIdentity::load(&path).expect_err("everybody has read it");
        assert!(refusal.to_string().contains("mode 0644"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_and_its_secret_not_told() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("nfs.plist");
        let identity = NfsIdentity::new().expect("random numbers");
        identity.save(&path).expect("a file");
        let good = fs::read_to_string(&path).expect("text");
        let port = format!("<integer>{}</integer>", identity.port);
        let secret = std::str::from_utf8(identity.secret.as_bytes()).expect("digits");
        for bad in [
            good.replace(&port, "<integer>0</integer>"),
            good.replace(&port, &format!("<string>{secret}</string>")),
            good.replace(secret, "0123"),
            good.replace("Port", "Harbour"),
            "nonsense".to_owned(),
        ] {
            fs::write(&path, &bad).expect("our file");
            let refusal = NfsIdentity::load(&path).expect_err("it is broken");
            assert!(refusal.to_string().contains("nfs.plist") && !refusal.to_string().contains(secret), "{refusal}");
        }
    }
}
