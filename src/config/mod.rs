//! The configuration: one property list, one writer.
//!
//! ```text
//!   iscsid.plist ── written ──► convert ──► settings::Config ──► the daemon
//!        ▲                                     ▲
//!        └── file::save (atomic) ◄── Store ── edit ◄── ipc::Request
//!   keychain, or secrets.plist (0600) ◄┘        nfs.plist (0600): what the NFS export keeps
//! ```
//! Unknown keys, wrong types and values out of range are errors that name the file and the path of
//! the key; a file with an error is never touched.

mod ancestor;
mod check;
mod convert;
mod credentials;
mod current;
mod edit;
#[cfg(test)]
mod edit_tests;
mod file;
mod import;
#[cfg(test)]
mod import_tests;
mod initiator_name;
#[cfg(target_os = "macos")]
mod keychain;
mod keys;
mod nfs;
mod paths;
mod secrets;
mod settings;
mod store;
#[cfg(test)]
mod store_tests;
mod tree;
mod vault;
mod written;

pub use ancestor::{ANCESTOR_SETTINGS, Ancestor, AncestorSecrets, read_ancestor};
pub use check::SECRET_BYTES;
pub use credentials::{Credentials, Mutual};
pub(crate) use current::Current;
pub use edit::{Found, Recorded};
#[cfg(target_os = "macos")]
pub use keychain::AncestorKeychain;
pub use keys::{Dictionary, KeyWords, dictionaries};
pub use nfs::NfsIdentity;
pub use paths::{default_config, default_runtime_dir, system_runtime_dir};
pub use secrets::{NodeSecrets, SecretBytes, Secrets};
pub use settings::{
    ALGORITHMS, ChapSettings, Config, DEFAULT_DISCOVERY_INTERVAL, DEFAULT_PORT, DISCOVERY_INTERVAL, Discovery,
    Effective, Initiator, Portal, Target, TargetSettings, Timer, Timers, endpoint,
};
pub use store::{Store, look, secrets_path};
