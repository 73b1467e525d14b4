//! One secret.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ipc;

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
