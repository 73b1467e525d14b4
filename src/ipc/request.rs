//! What a client asks.

use serde::{Deserialize, Serialize};

use super::bench::Workload;
use super::changes::{DiscoveryChanges, InitiatorChanges, TargetChanges};
use super::import::Import;

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
}
