//! Settings on their way to the daemon.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret on its way to the daemon: it prints as dots and is wiped when it goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// CHAP settings to change; `None` stays as it is, an empty name or `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChapChanges {
    /// Our name.
    pub name: Option<String>,
    /// Our secret.
    pub secret: Option<Secret>,
    /// The target's name, for mutual authentication.
    pub mutual_name: Option<String>,
    /// The target's secret.
    pub mutual_secret: Option<Secret>,
    /// Algorithms, strongest first: `SHA3-256`, `SHA-256`, `SHA1`, `MD5`.
    pub algorithms: Option<Vec<String>>,
    /// CHAP is switched off: names and secrets are removed.
    pub off: bool,
}

/// When what is written through the NFS export, which is what disks on macOS are made of, is on the
/// target's stable storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlushPolicy {
    /// Before it is answered.
    #[default]
    WriteThrough,
    /// When the writing program asks for it. A write is lost if the target or its power fails before that.
    OnCommit,
}

impl FlushPolicy {
    /// All of them, with their name on the command line.
    pub const ALL: [(&'static str, FlushPolicy); 2] =
        [("write-through", FlushPolicy::WriteThrough), ("on-commit", FlushPolicy::OnCommit)];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        FlushPolicy::ALL.into_iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

/// Settings of a target to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetChanges {
    /// Log in when the daemon starts.
    pub auto_login: Option<bool>,
    /// Keep it in the configuration.
    pub persistent: Option<bool>,
    /// Attach its units after a login.
    pub attach: Option<bool>,
    /// When writes through the NFS export are on stable storage.
    pub flush_policy: Option<FlushPolicy>,
    /// Keys of RFC 7143 §13 with the value to offer, in the standard's own spelling, such as
    /// `HeaderDigest` = `CRC32C,None`. An empty value goes back to the default.
    pub keys: Vec<(String, String)>,
    /// Timers by their name in the property list (`NopInterval`), in seconds.
    pub timers: Vec<(String, u32)>,
    /// CHAP.
    pub chap: ChapChanges,
}

/// Settings of the initiator to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitiatorChanges {
    /// Its iSCSI name.
    pub name: Option<String>,
    /// Its alias.
    pub alias: Option<String>,
    /// CHAP for every target that has none of its own.
    pub chap: ChapChanges,
}

/// Settings of discovery to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryChanges {
    /// Ask the discovery portals.
    pub send_targets: Option<bool>,
    /// Every so many seconds, 30 to 32767.
    pub interval: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // check: chap-secret-log
    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret("hush".into())), "Secret(…)");
    }
}
