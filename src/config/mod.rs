//! The configuration: one property list, one writer.
//!
//! ```text
//!   iscsid.plist ── schema ──► convert ──► settings::Config ──► the daemon
//!        ▲                                     ▲
//!        └── file::save (atomic) ◄── Store ── edit ◄── ipc::Request
//!   keychain, or secrets.plist (0600) ◄┘        nfs.plist (0600): what the NFS export keeps
//! ```
//! A value in another type is taken for what it obviously means (`lenient`). Unknown keys, other types and values
//! out of range are errors that name the file and the path of the key; a file with an error is never touched.
//! A file that others could exchange is not read (`place`), and what could not be read again is not written.

mod check;
mod convert;
mod credentials;
mod current;
mod edit;
mod file;
mod import;
mod initiator_name;
mod iscsi_osx;
mod keys;
mod lenient;
mod nfs;
mod no_effect;
mod paths;
mod place;
mod schema;
mod secrets;
mod settings;
mod store;
mod tree;

pub use check::{SECRET_BYTES, choose};
pub use credentials::{Credentials, Mutual};
pub(crate) use current::Current;
pub use edit::{Found, Recorded, irregular_name};
pub use iscsi_osx::{ISCSI_OSX_SETTINGS, IscsiOsxFile, IscsiOsxSecrets, read_iscsi_osx};
pub use keys::{Dictionary, KeyWords, dictionaries};
pub use nfs::NfsIdentity;
pub use no_effect::WithoutEffect;
pub use paths::{default_config, default_runtime_dir, left_behind, system_runtime_dir};
pub(crate) use place::{STICKY, safe_way_to_runtime_dir};
#[cfg(target_os = "macos")]
pub use secrets::macos_keychain::IscsiOsxKeychain;
pub use secrets::{NodeSecrets, SecretBytes, Secrets};
pub use settings::{
    ALGORITHMS, ChapSettings, Config, DEFAULT_DISCOVERY_INTERVAL, DEFAULT_PORT, DISCOVERY_INTERVAL, Discovery,
    Effective, Initiator, Portal, Target, TargetSettings, Timer, Timers, endpoint,
};
pub use store::{Store, look, secrets_path};
