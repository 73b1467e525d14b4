//! What `iscsictl import` has read, on its way to the daemon, and what became of it.

use serde::{Deserialize, Serialize};

use super::changes::{DiscoveryChanges, InitiatorChanges, TargetChanges};

/// Settings of another initiator. Names and portals are as they were found there; the daemon checks
/// each, and takes what it can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The initiator's settings; what was left at the other one's defaults is not among them.
    pub initiator: InitiatorChanges,
    /// The targets.
    pub targets: Vec<ImportedTarget>,
    /// How targets are looked for.
    pub discovery: DiscoveryChanges,
    /// Where.
    pub discovery_portals: Vec<ImportedPortal>,
    /// Also what would replace settings that the user has made here.
    pub replace: bool,
}

/// A target of another initiator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedTarget {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub portals: Vec<ImportedPortal>,
    /// The discovery portal that named it, `host[:port]`; `None` for one that was added by hand.
    pub discovered_from: Option<String>,
    /// Its settings, as far as they differ from the other initiator's defaults.
    pub changes: TargetChanges,
}

/// A portal of another initiator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedPortal {
    /// `host[:port]`.
    pub at: String,
    /// The interface to connect from.
    pub interface: Option<String>,
}

impl Import {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Import { replace: self.replace, ..Import::default() }
    }
}

/// What became of an [`Import`]: sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// What holds here now.
    pub taken: Vec<String>,
    /// What does not, and why.
    pub left: Vec<String>,
}
