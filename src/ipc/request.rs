//! What a client asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Import, Workload};

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

/// Which targets a login or logout is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Every target that is configured (login) or logged in (logout).
    All,
    /// One, over one of its portals or over whichever answers.
    One {
        /// Its name.
        target: String,
        /// `host[:port]` of one of its portals.
        portal: Option<String>,
    },
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

/// What a client may ask. Names and portals are as the user typed them; the daemon normalises them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Add a target, or a portal to one that is there.
    AddTarget {
        /// Its name.
        target: String,
        /// `host[:port]`.
        portal: String,
        /// The interface to connect from.
        interface: Option<String>,
    },
    /// Remove a target, or one of its portals.
    RemoveTarget {
        /// Its name.
        target: String,
        /// Only this portal.
        portal: Option<String>,
        /// Even if it is logged in.
        force: bool,
    },
    /// Change a target's settings; they hold from its next login on.
    ModifyTarget {
        /// Its name.
        target: String,
        /// What to change.
        changes: TargetChanges,
    },
    /// Change the initiator's settings.
    ModifyInitiator(InitiatorChanges),
    /// Change discovery's settings.
    ModifyDiscovery(DiscoveryChanges),
    /// Add a portal to ask for targets.
    AddDiscoveryPortal {
        /// `host[:port]`.
        portal: String,
        /// The interface to connect from.
        interface: Option<String>,
    },
    /// Ask it no more.
    RemoveDiscoveryPortal {
        /// `host[:port]`.
        portal: String,
    },
    /// Ask a portal for its targets now.
    Discover {
        /// `host[:port]`.
        portal: String,
        /// The interface to connect from.
        interface: Option<String>,
        /// Add what it names to the configuration.
        add: bool,
    },
    /// Log in.
    Login(Which),
    /// Log out.
    Logout {
        /// Of what.
        which: Which,
        /// Even if a unit is in use.
        force: bool,
    },
    /// All targets, configured and discovered.
    ListTargets,
    /// All units of all sessions.
    ListLuns,
    /// All sessions.
    ListSessions,
    /// All discovery portals.
    ListDiscoveryPortals,
    /// A target's settings and state.
    ShowTarget {
        /// Its name.
        target: String,
    },
    /// The initiator's settings.
    ShowInitiator,
    /// Discovery's settings.
    ShowDiscovery,
    /// A session's parameters and counters.
    ShowSession {
        /// Its number in `list sessions`.
        session: u32,
    },
    /// Attach units to the operating system as disks.
    Attach {
        /// Of this target.
        target: String,
        /// Only this unit.
        lun: Option<u32>,
    },
    /// Detach them.
    Detach {
        /// Of this target.
        target: String,
        /// Only this unit.
        lun: Option<u32>,
        /// Even if one is in use.
        force: bool,
    },
    /// Look for new, removed and resized units.
    Rescan {
        /// Of this target; of all.
        target: Option<String>,
    },
    /// Counters.
    Stats {
        /// Of this target; of all.
        target: Option<String>,
    },
    /// How fast a unit is. The one request that ends when its client hangs up.
    Bench(Workload),
    /// Take over settings of another initiator.
    Import(Box<Import>),
}

impl Request {
    /// Whether it only reads, so that any local user may ask it.
    pub const fn is_read_only(&self) -> bool {
        matches!(
            self,
            Request::ListTargets
                | Request::ListLuns
                | Request::ListSessions
                | Request::ListDiscoveryPortals
                | Request::ShowTarget { .. }
                | Request::ShowInitiator
                | Request::ShowDiscovery
                | Request::ShowSession { .. }
                | Request::Stats { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Rw;

    #[test]
    fn a_benchmark_is_not_for_everybody() {
        let workload = Workload {
            target: "iqn.2026-11.org.example:a".into(),
            lun: None,
            rw: Rw::Read,
            block_size: 4096,
            depth: 32,
            seconds: 5,
            verify: false,
            destroy_data: false,
        };
        assert!(!Request::Bench(workload).is_read_only(), "it takes the link and the disk");
    }

    // check: chap-secret-log
    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret("hush".into())), "Secret(…)");
    }
}
