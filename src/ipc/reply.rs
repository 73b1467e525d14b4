//! What the daemon answers.

use serde::{Deserialize, Serialize};

use super::bench::BenchReport;
use super::changes::FlushPolicy;
use super::import::Imported;

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done; sentences to print, often none.
    Done(Vec<String>),
    /// For [`Request::ListTargets`](super::Request::ListTargets), sorted by name.
    Targets(Vec<Target>),
    /// For [`Request::ListLuns`](super::Request::ListLuns), by target and number.
    Luns(Vec<Lun>),
    /// For [`Request::ListSessions`](super::Request::ListSessions).
    Sessions(Vec<Session>),
    /// For [`Request::ListDiscoveryPortals`](super::Request::ListDiscoveryPortals).
    DiscoveryPortals(Vec<DiscoveryPortal>),
    /// For [`Request::ShowTarget`](super::Request::ShowTarget).
    Target(Box<TargetDetails>),
    /// For [`Request::ShowInitiator`](super::Request::ShowInitiator).
    Initiator(Initiator),
    /// For [`Request::ShowDiscovery`](super::Request::ShowDiscovery).
    Discovery(Discovery),
    /// For [`Request::ShowSession`](super::Request::ShowSession).
    Session(Box<SessionDetails>),
    /// For [`Request::Discover`](super::Request::Discover).
    Discovered {
        /// The targets.
        targets: Vec<Discovered>,
        /// What is odd about the list, or was left out of it; a sentence each.
        remarks: Vec<String>,
    },
    /// For [`Request::Stats`](super::Request::Stats).
    Stats(Vec<Stats>),
    /// For [`Request::Bench`](super::Request::Bench).
    Bench(Box<BenchReport>),
    /// For [`Request::Import`](super::Request::Import).
    Imported(Imported),
}

impl Reply {
    /// The first and the second half of a list of two items or more; `None` for what cannot be divided.
    pub fn halves(self) -> Option<(Reply, Reply)> {
        fn divided<T>(mut list: Vec<T>, whole: impl Fn(Vec<T>) -> Reply) -> Option<(Reply, Reply)> {
            let second = list.split_off(list.len() / 2);
            (!list.is_empty()).then(|| (whole(list), whole(second)))
        }
        match self {
            Reply::Done(list) => divided(list, Reply::Done),
            Reply::Targets(list) => divided(list, Reply::Targets),
            Reply::Luns(list) => divided(list, Reply::Luns),
            Reply::Sessions(list) => divided(list, Reply::Sessions),
            Reply::Discovered { mut targets, remarks } => {
                let second = targets.split_off(targets.len() / 2);
                let whole = |targets, remarks| Reply::Discovered { targets, remarks };
                (!targets.is_empty()).then(|| (whole(targets, remarks), whole(second, Vec::new())))
            }
            Reply::Stats(list) => divided(list, Reply::Stats),
            Reply::DiscoveryPortals(mut list) if list.len() == 1 => {
                // A portal may have named any number of targets.
                let portal = list.pop()?;
                let mut first = portal.clone();
                let second = first.targets.split_off(portal.targets.len() / 2);
                let one = |portal| Reply::DiscoveryPortals(vec![portal]);
                (!first.targets.is_empty()).then(|| (one(first), one(DiscoveryPortal { targets: second, ..portal })))
            }
            Reply::DiscoveryPortals(list) => divided(list, Reply::DiscoveryPortals),
            _ => None,
        }
    }

    /// Puts the items of `more` behind those of this list; whether they are of a kind.
    #[must_use]
    pub fn append(&mut self, more: Reply) -> bool {
        match (self, more) {
            (Reply::Done(list), Reply::Done(more)) => list.extend(more),
            (Reply::Targets(list), Reply::Targets(more)) => list.extend(more),
            (Reply::Luns(list), Reply::Luns(more)) => list.extend(more),
            (Reply::Sessions(list), Reply::Sessions(more)) => list.extend(more),
            (Reply::Discovered { targets, remarks }, Reply::Discovered { targets: more, remarks: more_remarks }) => {
                targets.extend(more);
                remarks.extend(more_remarks);
            }
            (Reply::Stats(list), Reply::Stats(more)) => list.extend(more),
            (Reply::DiscoveryPortals(list), Reply::DiscoveryPortals(more)) => {
                for portal in more {
                    let is_at = |last: &DiscoveryPortal| {
                        (&last.address, last.port, &last.interface) == (&portal.address, portal.port, &portal.interface)
                    };
                    match list.last_mut() {
                        Some(last) if is_at(last) => last.targets.extend(portal.targets),
                        _ => list.push(portal),
                    }
                }
            }
            _ => return false,
        }
        true
    }
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
    /// Its connection, while that is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
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
    /// Number of the session; none where nothing but a lost disk is left of the unit.
    pub session: Option<u32>,
    /// How it is with its I/O.
    #[serde(default)]
    pub state: LunState,
    /// Peripheral device type.
    pub r#type: u8,
    /// It administers other units and has no medium, whatever its type.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub administrative: bool,
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
    /// libnfs's URI of it, where it is exported by NFS and such a URI can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<String>,
    /// Why it is not usable, or not now.
    pub problem: Option<String>,
    /// What to do about that, where there is something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What of its I/O has failed since it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedIo>,
    /// What it does otherwise than others, and what is done about it; sentences without their subject.
    #[serde(default)]
    pub workarounds: Vec<String>,
    /// Disks of it that are gone, with an earlier daemon, and still in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostDisk>,
}

/// How it is with a unit's I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LunState {
    /// It is done.
    #[default]
    Ok,
    /// It waits: the connection is lost and being replaced.
    Waiting,
    /// It fails.
    Failing,
    /// The unit takes none: it is not ready, or it is not the disk any more that it was.
    Offline,
    /// The unit is gone, and a disk of it is still there.
    Lost,
}

/// I/O of a unit that has failed. Displays as one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedIo {
    /// How many operations.
    pub count: u64,
    /// How the last one did.
    pub last: String,
    /// How long ago it did, in seconds.
    pub seconds_ago: u64,
}

impl std::fmt::Display for FailedIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FailedIo { count, last, seconds_ago } = self;
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        write!(f, "I/O has failed {times} since the login, the last time {seconds_ago} s ago: {last}")
    }
}

/// A connection that is lost and being replaced. Displays as one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// For how long, in seconds.
    pub seconds: u64,
    /// Why there is none: what was seen last.
    pub why: String,
    /// I/O has waited for long enough: it fails until there is another connection.
    pub io_fails: bool,
}

impl Recovery {
    /// A clause: what to do.
    pub fn advice(&self, target: &str) -> String {
        format!(
            "see whether the target and the network are there; `iscsictl login {target}` tries at once, `iscsictl logout {target} --force` gives it up"
        )
    }
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Recovery { seconds, why, io_fails } = self;
        let io = if *io_fails { "I/O fails until there is another" } else { "I/O waits for another" };
        write!(f, "there has been no connection for {seconds} s, and {io}: {why}")
    }
}

/// A disk that is gone, with an earlier daemon or with its unit, and which somebody uses all the same. It fails; it is not taken away, because what is
/// written to its mount point would land on the disk below then. Displays as one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostDisk {
    /// The unit whose disk it was, `<target>/<lun>`.
    pub unit: String,
    /// Its device, such as `/dev/loop3`.
    pub device: String,
    /// Who uses it, such as `mounted on /mnt`.
    pub uses: Vec<String>,
}

impl LostDisk {
    /// A clause: what to do.
    pub fn advice(&self) -> &'static str {
        "end the programs that use it and unmount it, then mount the disk that `iscsictl list luns` names for the unit now"
    }
}

impl std::fmt::Display for LostDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LostDisk { unit, device, uses } = self;
        write!(
            f,
            "{device}, a disk of {unit}, is lost with the iscsid that made it or the unit behind it, and still {}",
            uses.join(", ")
        )?;
        f.write_str(": what is written there is lost, also where the writing seems to succeed")
    }
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
    /// When writes through the NFS export are on stable storage.
    #[serde(default)]
    pub flush_policy: FlushPolicy,
    /// Keys to offer, by the RFC's names, in its order.
    #[serde(with = "dictionary")]
    pub keys: Vec<(String, String)>,
    /// Timers by their name in the property list, in seconds.
    #[serde(with = "dictionary")]
    pub timers: Vec<(String, u32)>,
    /// CHAP.
    pub chap: Chap,
    /// What it does otherwise than others, and what is done about it; sentences without their subject. Empty where
    /// it is not logged in.
    #[serde(default)]
    pub workarounds: Vec<String>,
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
    /// Disks that are gone, with an earlier daemon, and still in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostDisk>,
}

/// Discovery's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Discovery portals are asked.
    pub send_targets: bool,
    /// Every so many seconds.
    pub interval: u32,
    /// The portals that are asked.
    pub portals: Vec<DiscoveryPortal>,
}

/// Counters of a session, since its first login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionStats {
    /// Commands completed.
    pub commands: u64,
    /// Of them, with an error.
    pub errors: u64,
    /// Bytes read from units.
    pub bytes_read: u64,
    /// Bytes written to units.
    pub bytes_written: u64,
    /// PDUs received.
    pub pdus_in: u64,
    /// PDUs sent.
    pub pdus_out: u64,
    /// System calls that received.
    pub receives: u64,
    /// System calls that sent.
    pub sends: u64,
    /// Times the connection was replaced.
    pub reconnects: u64,
    /// Commands under way now.
    pub in_flight: u64,
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
    pub counters: SessionStats,
}

/// Pairs that are written as a dictionary, in their order: readers of the JSON look names up. A list
/// of pairs can be read as well.
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
    fn a_list_that_is_divided_and_put_together_is_the_same_list() {
        let portal = |host: &str, targets: usize| DiscoveryPortal {
            address: host.to_owned(),
            port: 3260,
            interface: "default".to_owned(),
            targets: (0..targets).map(|number| format!("iqn.2026-11.org.example:{number}")).collect(),
            problem: None,
        };
        let lists = [
            Reply::Done(vec!["a".into(), "b".into(), "c".into()]),
            Reply::Discovered {
                targets: vec![Discovered { name: "a".into(), portals: vec![] }; 5],
                remarks: vec!["one was left out".into()],
            },
            Reply::DiscoveryPortals(vec![portal("a", 3)]),
            Reply::DiscoveryPortals(vec![portal("a", 3), portal("b", 1)]),
        ];
        for list in lists {
            let (mut first, second) = list.clone().halves().expect("two of them");
            assert!(first != list && second != list);
            assert!(first.append(second));
            assert_eq!(first, list);
        }
    }

    #[test]
    fn what_is_no_list_or_has_one_item_is_not_divided_nor_put_behind_another() {
        for whole in [Reply::Done(vec![]), Reply::Done(vec!["a".into()])] {
            assert_eq!(whole.halves(), None);
        }
        assert!(!Reply::Luns(vec![]).append(Reply::Done(vec![])));
    }

    #[test]
    fn pairs_are_written_as_a_dictionary_in_their_order_and_read_from_either() {
        let shown = Shown { keys: vec![("b".into(), 1), ("a".into(), 2)] };
        let json = serde_json::to_string(&shown).expect("JSON");
        assert_eq!(json, r#"{"keys":{"b":1,"a":2}}"#);
        assert_eq!(serde_json::from_str::<Shown>(&json).expect("a dictionary"), shown);
        assert_eq!(serde_json::from_str::<Shown>(r#"{"keys":[["b",1],["a",2]]}"#).expect("pairs"), shown);
    }
}
