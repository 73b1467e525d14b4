//! The vocabulary between the two faces: what `iscsictl` asks and what `iscsid` answers.
//!
//! ```text
//!   cli                               daemon
//!    │ ── Hello { version } ───────────► │   first frame; another version is answered by an error
//!    │ ── Request ─────────────────────► │   any number, one at a time
//!    │ ◄── Progress* ─ Reply ─────────── │
//! ```
//! Frames are a 32-bit big-endian length (at most [`MAX_FRAME`]) and that many bytes of JSON.
//! Any local user may read; whoever changes something must be root or the daemon's own user, by the
//! credentials of the accepted socket.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Version of this vocabulary. Both faces are one binary; it differs only across an upgrade.
pub const VERSION: u32 = 1;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// The longest frame of a client, in bytes: many clients may each send most of one.
pub const MAX_REQUEST: usize = 64 << 10;

/// The first frame of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
}

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

/// Settings of a target to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetChanges {
    /// Log in when the daemon starts.
    pub auto_login: Option<bool>,
    /// Keep it in the configuration.
    pub persistent: Option<bool>,
    /// Attach its units after a login.
    pub attach: Option<bool>,
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

/// What the daemon sends back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// Something to show while the client waits; any number of them.
    Progress(String),
    /// The answer; the last frame for a request.
    Reply(Result<Reply, Failure>),
}

/// A refusal or failure: an exit code and a sentence that names what failed, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How the command exits.
    pub code: ExitCode,
    /// The sentence, for standard error.
    pub message: String,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Exit codes, from sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// The command line, or an argument on it, is wrong.
    Usage = 64,
    /// Data is wrong: names something that is not there or is there twice.
    Data = 65,
    /// The host is unknown or does not answer.
    NoHost = 68,
    /// The daemon, or the target, is not there.
    Unavailable = 69,
    /// A bug of ours.
    Internal = 70,
    /// Busy now; may work later.
    TryAgain = 75,
    /// The other side does not speak iSCSI, or speaks it wrongly.
    Protocol = 76,
    /// Not permitted: not root, or refused by the target.
    NotPermitted = 77,
    /// The configuration is wrong.
    Configuration = 78,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done; sentences to print, often none.
    Done(Vec<String>),
    /// For [`Request::ListTargets`], sorted by name.
    Targets(Vec<Target>),
    /// For [`Request::ListLuns`], by target and number.
    Luns(Vec<Lun>),
    /// For [`Request::ListSessions`].
    Sessions(Vec<Session>),
    /// For [`Request::ListDiscoveryPortals`].
    DiscoveryPortals(Vec<DiscoveryPortal>),
    /// For [`Request::ShowTarget`].
    Target(Box<TargetDetails>),
    /// For [`Request::ShowInitiator`].
    Initiator(Initiator),
    /// For [`Request::ShowDiscovery`].
    Discovery(Discovery),
    /// For [`Request::ShowSession`].
    Session(Box<SessionDetails>),
    /// For [`Request::Discover`].
    Discovered(Vec<Discovered>),
    /// For [`Request::Stats`].
    Stats(Vec<Stats>),
}

/// A portal of a target, and the connection over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portal {
    /// Host: an address (IPv6 without brackets) or a name.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// The interface to connect from; `default` where none is set.
    pub interface: String,
    /// TargetPortalGroupTag, where known.
    pub group_tag: Option<u16>,
    /// The connection's CID, while there is one.
    pub cid: Option<u16>,
}

/// How a target came into the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The user added it.
    Static,
    /// Discovery found it.
    Dynamic,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Logged in.
    Active,
    /// The connection is lost and being replaced.
    Recovering,
    /// On its way out.
    Closing,
}

/// A target in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its alias, where it has told one.
    pub alias: Option<String>,
    /// How it came here.
    pub origin: Origin,
    /// Logged in when the daemon starts.
    pub auto_login: bool,
    /// Its portals.
    pub portals: Vec<Portal>,
    /// Its session, while there is one.
    pub session: Option<Session>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number, 0 for the first since the daemon's start.
    pub id: u32,
    /// The target's name.
    pub target: String,
    /// What it is doing.
    pub state: SessionState,
    /// Which kernel runs it: `user` or `kext`.
    pub kernel: String,
    /// ISID, twelve hexadecimal digits.
    pub isid: String,
    /// TSIH.
    pub tsih: u16,
    /// TargetPortalGroupTag.
    pub group_tag: u16,
    /// CID.
    pub cid: u16,
    /// Where it is connected to: `address:port`.
    pub portal: String,
    /// Seconds since the first login.
    pub age_seconds: u64,
}

/// A session in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetails {
    /// As in the list.
    pub session: Session,
    /// What was negotiated, by the RFC's key names, in its order.
    #[serde(with = "dictionary")]
    pub keys: Vec<(String, String)>,
    /// How the target was authenticated: `None`, or `CHAP` and the algorithm.
    pub authentication: String,
    /// Counters.
    pub stats: Stats,
}

/// A unit in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lun {
    /// The target's name.
    pub target: String,
    /// Its number.
    pub lun: u64,
    /// Number of the session.
    pub session: u32,
    /// Peripheral device type.
    pub r#type: u8,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Revision.
    pub revision: String,
    /// Serial number.
    pub serial: Option<String>,
    /// Logical block, in bytes; 0 for what is not a disk.
    pub block_size: u32,
    /// How many.
    pub blocks: u64,
    /// Size.
    pub bytes: u64,
    /// Writes are refused.
    pub read_only: bool,
    /// The disk it is attached as, such as `/dev/loop3`.
    pub device: Option<String>,
    /// Its NBD URI.
    pub nbd: Option<String>,
    /// Why it is not usable.
    pub problem: Option<String>,
}

/// A portal that is asked for targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryPortal {
    /// Host.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// The interface to connect from; `default` where none is set.
    pub interface: String,
    /// What it named when it was asked last.
    pub targets: Vec<String>,
    /// Why it could not be asked last time.
    pub problem: Option<String>,
}

/// A target that a portal named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Its name.
    pub name: String,
    /// `address:port,group-tag` of each of its portals, IPv6 in brackets.
    pub portals: Vec<String>,
}

/// A target's settings and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDetails {
    /// As in the list.
    pub target: Target,
    /// The discovery portal that named it.
    pub discovered_from: Option<String>,
    /// Kept in the configuration.
    pub persistent: bool,
    /// Units are attached after a login.
    pub attach: bool,
    /// Keys to offer, by the RFC's names, in its order.
    #[serde(with = "dictionary")]
    pub keys: Vec<(String, String)>,
    /// Timers by their name in the property list, in seconds.
    #[serde(with = "dictionary")]
    pub timers: Vec<(String, u32)>,
    /// CHAP.
    pub chap: Chap,
}

/// CHAP settings, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chap {
    /// Our name.
    pub name: Option<String>,
    /// A secret is stored.
    pub secret_set: bool,
    /// The target's name.
    pub mutual_name: Option<String>,
    /// A secret is stored.
    pub mutual_secret_set: bool,
    /// Algorithms, strongest first.
    pub algorithms: Vec<String>,
}

/// The initiator's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// Its name.
    pub name: String,
    /// Its alias.
    pub alias: String,
    /// CHAP for every target that has none of its own.
    pub chap: Chap,
    /// Version of the daemon.
    pub version: String,
    /// The configuration file.
    pub config: String,
    /// Which kernel new sessions run in.
    pub kernel: String,
}

/// Discovery's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Discovery portals are asked.
    pub send_targets: bool,
    /// Every so many seconds.
    pub interval: u32,
    /// Which.
    pub portals: Vec<DiscoveryPortal>,
}

/// Counters of a target's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The target's name.
    pub target: String,
    /// Number of the session.
    pub session: u32,
    /// The counters.
    #[serde(flatten)]
    pub counters: crate::kernel_bridge::SessionStats,
}

/// Pairs that are written as a dictionary and keep their order: whoever reads the JSON looks names up.
/// Read they are from either.
mod dictionary {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    pub(super) fn serialize<V: Serialize, S: Serializer>(
        pairs: &[(String, V)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, V)>, D::Error> {
        struct Pairs<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
            type Value = Vec<(String, V)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dictionary, or a list of pairs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = items.next_element()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_any(Pairs(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shown {
        #[serde(with = "dictionary")]
        keys: Vec<(String, u32)>,
    }

    #[test]
    fn pairs_are_written_as_a_dictionary_in_their_order_and_read_from_either() {
        let shown = Shown { keys: vec![("b".into(), 1), ("a".into(), 2)] };
        let json = serde_json::to_string(&shown).expect("JSON");
        assert_eq!(json, r#"{"keys":{"b":1,"a":2}}"#);
        assert_eq!(serde_json::from_str::<Shown>(&json).expect("a dictionary"), shown);
        assert_eq!(serde_json::from_str::<Shown>(r#"{"keys":[["b",1],["a",2]]}"#).expect("pairs"), shown);
    }

    // check: chap-secret-log
    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret("hush".into())), "Secret(…)");
    }
}
