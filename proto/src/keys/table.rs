//! The table: one row per text key (RFC 7143 §13; §12 for the security stage), and all that a row makes.
//!
//! ```text
//!   /// what it is for
//!   name, section, scope, when, sender, rule, default,        ──► Key, KeyRow
//!       offer field: kind = ours, only "why"                  ──► Offer, Negotiated
//! ```
//! Configuration, command line and manual read the rows; nothing else lists the keys.

use alloc::collections::BTreeMap;

use super::value::{DigestOffer, Value};

/// How far a key reaches (§13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// SW: the whole session.
    Session,
    /// CO: this connection.
    Connection,
}

/// When a key may be used (§13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// IO: initialisation of a connection only.
    Initialize,
    /// LO: login of the leading connection only.
    Login,
    /// FFPO: full-feature phase only.
    FullFeature,
    /// ALL: any time.
    Any,
}

/// Who may send a key (§13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The initiator.
    Initiator,
    /// The target.
    Target,
    /// Both.
    Both,
}

/// How a key's value comes about (§6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Said by one side, not answered: text.
    DeclareText,
    /// Said by one side, not answered: a number of that range.
    DeclareNumber {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The first value of the proposer's list that the other side has too.
    List(&'static [&'static str]),
    /// Yes if both say so.
    And,
    /// Yes if either says so.
    Or,
    /// The smaller number.
    Minimum {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The larger number.
    Maximum {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// Obsolete (§13.25): a proposal gets this answer.
    Obsolete(&'static str),
    /// A vendor's own (§13.22), and none that we know.
    Private,
    /// Belongs to the security stage, which has rules of its own (§12).
    Security,
}

/// The values an offered key has, and how they are told to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `None`, `CRC32C`, or both in the order of preference.
    Digest,
    /// Yes or No.
    Flag,
    /// A number of bytes.
    Bytes,
    /// A number of seconds.
    Seconds,
    /// A number.
    Count,
    /// A number that stands for a way to do something.
    Level,
}

/// A key that is offered, and so can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Its field in [`Offer`] and [`Negotiated`].
    pub field: &'static str,
    /// Its values.
    pub kind: Kind,
    /// A clause that says why only our default has an effect; `None` where every value has one. Another value is never
    /// offered: an offer is a promise (§13.2, §13.18 to §13.20).
    pub only: Option<&'static str>,
}

/// A key, as the standard describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub key: Key,
    /// What it is for, a sentence.
    pub about: &'static str,
    /// Its name on the wire, exactly.
    pub name: &'static str,
    /// Section of RFC 7143.
    pub section: &'static str,
    /// How far it reaches.
    pub scope: Scope,
    /// When it may be used.
    pub when: When,
    /// Who may send it.
    pub sender: Sender,
    /// Whether it means nothing in a discovery session.
    pub irrelevant_in_discovery: bool,
    /// How its value comes about.
    pub rule: Rule,
    /// What holds where nothing was said.
    pub default: Option<&'static str>,
    /// The longest value to take from a peer, in bytes.
    pub max_value: usize,
    /// `None`: the initiator itself decides what to say of it.
    pub offered: Option<Offered>,
}

/// Longest value of a key (§6.1): 255 bytes.
const SHORT: usize = 255;
/// Longest CHAP challenge or response (§12.1.3): 1024 bytes, as `0x` and hexadecimal digits.
const BINARY: usize = 2 + 2 * 1024;

/// The longest burst or segment that a length field holds.
const LENGTH_MAX: u32 = 0xff_ffff;

macro_rules! table {
    ($( #[doc = $about:literal] $key:ident $name:literal $section:literal $scope:ident $when:ident $sender:ident
        $discovery:ident $rule:expr, $default:expr, $max:expr $(, offer $field:ident: $kind:ident = $ours:expr $(, only $why:literal)?)?; )*) => {
        /// Which key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key { $( #[doc = $about] $key, )* }

        /// All keys: §12's, then §13's in their order there.
        pub static TABLE: &[KeyRow] = &[$( KeyRow {
            key: Key::$key,
            about: $about.trim_ascii(),
            name: $name,
            section: $section,
            scope: Scope::$scope,
            when: When::$when,
            sender: Sender::$sender,
            irrelevant_in_discovery: table!(@$discovery),
            rule: $rule,
            default: $default,
            max_value: $max,
            offered: table!(@row $($field $kind $($why)?)?),
        }, )*];

        impl Key {
            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $( Key::$key => $name, )* }
            }
        }

        /// What to offer, and what to declare. Lengths in bytes, times in seconds.
        ///
        /// [`Offer::default`] is made for speed: data leaves with the command, bursts are long, several R2Ts
        /// may be outstanding. [`Value::parse`] keeps every value in its key's range.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Offer {
            $($(
                #[doc = concat!($about, " ", $name, " (§", $section, "), `", stringify!($rule), "`.")]
                pub $field: table!(@offered $kind),
            )?)*
        }

        impl Default for Offer {
            fn default() -> Offer {
                Offer { $($( $field: $ours, )?)* }
            }
        }

        impl Offer {
            /// The value to offer for `key`; `None` for a key that is never offered.
            pub fn value(&self, key: Key) -> Option<Value> {
                match key {
                    $($( Key::$key => Some(self.$field.into()), )?)*
                    _ => None,
                }
            }

            /// Stores a value of the key's kind and range; `None` for a key that is never offered, and a value of
            /// another kind.
            pub fn set(&mut self, key: Key, value: Value) -> Option<()> {
                match key {
                    $($( Key::$key => self.$field = value.try_into().ok()?, )?)*
                    _ => return None,
                }
                Some(())
            }
        }

        /// What was agreed. Lengths in bytes, times in seconds.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Negotiated {
            $($(
                #[doc = concat!($about, " ", $name, " (§", $section, "), `", stringify!($rule), "`.")]
                pub $field: table!(@agreed $kind),
            )?)*
            /// The longest data segment that the target takes: what it declared, or 8192 (§13.12).
            pub max_send_data_segment_length: u32,
        }

        impl Negotiated {
            /// Of a key that is not among the `agreed`, what we offered holds.
            pub(super) fn new(offer: &Offer, agreed: &BTreeMap<Key, Value>, target_takes: u32) -> Negotiated {
                let value = |key: Key| agreed.get(&key).copied().or_else(|| offer.value(key));
                Negotiated {
                    $($( $field: table!(@read $kind value(Key::$key), offer.$field), )?)*
                    max_send_data_segment_length: target_takes,
                }
            }

            /// What was agreed of `key`; `None` for a key that is never offered.
            pub fn value(&self, key: Key) -> Option<Value> {
                match key {
                    $($( Key::$key => Some(table!(@write $kind self.$field)), )?)*
                    _ => None,
                }
            }
        }
    };
    (@always) => { false };
    (@normal) => { true };
    (@row) => { None };
    (@row $field:ident $kind:ident) => {
        Some(Offered { field: stringify!($field), kind: table!(@kind $kind), only: None })
    };
    (@row $field:ident $kind:ident $why:literal) => {
        Some(Offered { field: stringify!($field), kind: table!(@kind $kind), only: Some($why) })
    };
    (@kind digest) => { Kind::Digest };
    (@kind flag) => { Kind::Flag };
    (@kind bytes) => { Kind::Bytes };
    (@kind seconds) => { Kind::Seconds };
    (@kind count) => { Kind::Count };
    (@kind level) => { Kind::Level };
    // Of two digests to offer in an order, one is agreed on: it is there, or not.
    (@offered digest) => { DigestOffer };
    (@offered $kind:ident) => { table!(@agreed $kind) };
    (@agreed digest) => { bool };
    (@agreed flag) => { bool };
    (@agreed bytes) => { u32 };
    (@agreed seconds) => { u16 };
    (@agreed count) => { u16 };
    (@agreed level) => { u8 };
    (@read digest $value:expr, $ours:expr) => { $value == Some(Value::Digests(DigestOffer::Crc32c)) };
    (@read $kind:ident $value:expr, $ours:expr) => { $value.and_then(|value| value.try_into().ok()).unwrap_or($ours) };
    (@write digest $on:expr) => { Value::Digests(if $on { DigestOffer::Crc32c } else { DigestOffer::None }) };
    (@write $kind:ident $agreed:expr) => { $agreed.into() };
}

use Rule::*;

table! {
    /// Which security protocol.
    AuthMethod "AuthMethod" "12.1" Session Initialize Both always Security, Some("None"), SHORT;
    /// CHAP's algorithms, or the one chosen.
    ChapA "CHAP_A" "12.1.3" Session Initialize Both always Security, None, SHORT;
    /// CHAP's identifier.
    ChapI "CHAP_I" "12.1.3" Session Initialize Both always Security, None, SHORT;
    /// CHAP's challenge.
    ChapC "CHAP_C" "12.1.3" Session Initialize Both always Security, None, BINARY;
    /// Who answers.
    ChapN "CHAP_N" "12.1.3" Session Initialize Both always Security, None, SHORT;
    /// The answer.
    ChapR "CHAP_R" "12.1.3" Session Initialize Both always Security, None, BINARY;

    /// Checksum of headers.
    HeaderDigest "HeaderDigest" "13.1" Connection Initialize Both always List(&["None", "CRC32C"]), Some("None"), SHORT,
        offer header_digest: digest = DigestOffer::None;
    /// Checksum of data.
    DataDigest "DataDigest" "13.1" Connection Initialize Both always List(&["None", "CRC32C"]), Some("None"), SHORT,
        offer data_digest: digest = DigestOffer::None;
    /// Connections of a session.
    MaxConnections "MaxConnections" "13.2" Session Login Both normal Minimum { min: 1, max: 65_535 }, Some("1"), SHORT,
        offer max_connections: count = 1, only "this iscsid has one connection per session";
    /// Asks for targets.
    SendTargets "SendTargets" "13.3" Session FullFeature Initiator always DeclareText, None, SHORT;
    /// The target's name.
    TargetName "TargetName" "13.4" Session Any Both always DeclareText, None, SHORT;
    /// The initiator's name.
    InitiatorName "InitiatorName" "13.5" Session Initialize Initiator always DeclareText, None, SHORT;
    /// What people call the target.
    TargetAlias "TargetAlias" "13.6" Session Any Target always DeclareText, None, SHORT;
    /// What people call the initiator.
    InitiatorAlias "InitiatorAlias" "13.7" Session Any Initiator always DeclareText, None, SHORT;
    /// A portal of the target.
    TargetAddress "TargetAddress" "13.8" Session Any Target always DeclareText, None, SHORT;
    /// The portal group this connection is to.
    TargetPortalGroupTag "TargetPortalGroupTag" "13.9" Session Initialize Target always
        DeclareNumber { min: 0, max: 65_535 }, None, SHORT;
    /// Wait for the target's word before any unasked data beyond the command's own.
    InitialR2T "InitialR2T" "13.10" Session Login Both normal Or, Some("Yes"), SHORT,
        offer initial_r2t: flag = false;
    /// Send data along with the command.
    ImmediateData "ImmediateData" "13.11" Session Login Both normal And, Some("Yes"), SHORT,
        offer immediate_data: flag = true;
    /// The longest data segment we receive, in bytes.
    MaxRecvDataSegmentLength "MaxRecvDataSegmentLength" "13.12" Connection Any Both always
        DeclareNumber { min: 512, max: LENGTH_MAX }, Some("8192"), SHORT,
        offer max_recv_data_segment_length: bytes = 262_144;
    /// The longest burst, in bytes.
    MaxBurstLength "MaxBurstLength" "13.13" Session Login Both normal
        Minimum { min: 512, max: LENGTH_MAX }, Some("262144"), SHORT,
        offer max_burst_length: bytes = 1 << 20;
    /// The most data that is sent unasked, in bytes.
    FirstBurstLength "FirstBurstLength" "13.14" Session Login Both normal
        Minimum { min: 512, max: LENGTH_MAX }, Some("65536"), SHORT,
        offer first_burst_length: bytes = 262_144;
    /// Wait before a lost connection is replaced, in seconds.
    DefaultTime2Wait "DefaultTime2Wait" "13.15" Session Login Both always Maximum { min: 0, max: 3600 }, Some("2"), SHORT,
        offer default_time2wait: seconds = 2;
    /// The target keeps tasks of a lost connection this long, in seconds.
    DefaultTime2Retain "DefaultTime2Retain" "13.16" Session Login Both always
        Minimum { min: 0, max: 3600 }, Some("20"), SHORT,
        offer default_time2retain: seconds = 20;
    /// Requests for data the target may have open for a command.
    MaxOutstandingR2T "MaxOutstandingR2T" "13.17" Session Login Both normal
        Minimum { min: 1, max: 65_535 }, Some("1"), SHORT,
        offer max_outstanding_r2t: count = 16;
    /// Data of a burst comes in order.
    DataPDUInOrder "DataPDUInOrder" "13.18" Session Login Both normal Or, Some("Yes"), SHORT,
        offer data_pdu_in_order: flag = true, only "this iscsid takes the data of a burst in order only";
    /// Bursts come in order.
    DataSequenceInOrder "DataSequenceInOrder" "13.19" Session Login Both normal Or, Some("Yes"), SHORT,
        offer data_sequence_in_order: flag = true, only "this iscsid takes bursts in order only";
    /// How much is recovered without a new session.
    ErrorRecoveryLevel "ErrorRecoveryLevel" "13.20" Session Login Both always Minimum { min: 0, max: 2 }, Some("0"), SHORT,
        offer error_recovery_level: level = 0, only "this iscsid replaces a lost connection by a new session";
    /// What the session is for.
    SessionType "SessionType" "13.21" Session Login Initiator always DeclareText, Some("Normal"), SHORT;
    /// A vendor's own key.
    Private "X-" "13.22" Session Any Both always Private, None, SHORT;
    /// How aborted tasks are reported.
    TaskReporting "TaskReporting" "13.23" Session Login Both normal List(&["RFC3720"]), Some("RFC3720"), SHORT;
    /// Version of the protocol.
    ISCSIProtocolLevel "iSCSIProtocolLevel" "13.24" Session Login Both normal Minimum { min: 0, max: 31 }, Some("1"), SHORT;
    /// Markers towards the initiator.
    IFMarker "IFMarker" "13.25" Connection Login Both always Obsolete("No"), Some("No"), SHORT;
    /// Markers towards the target.
    OFMarker "OFMarker" "13.25" Connection Login Both always Obsolete("No"), Some("No"), SHORT;
    /// How far they are apart.
    IFMarkInt "IFMarkInt" "13.25" Connection Login Both always Obsolete("Reject"), None, SHORT;
    /// How far they are apart.
    OFMarkInt "OFMarkInt" "13.25" Connection Login Both always Obsolete("Reject"), None, SHORT;
}

/// The row of the key called `name` on the wire (exact spelling). Any `X-…` finds [`Key::Private`]'s.
pub fn lookup(name: &str) -> Option<&'static KeyRow> {
    let private = |row: &&KeyRow| row.key == Key::Private && name.starts_with(row.name);
    TABLE.iter().find(|row| row.name == name || private(row))
}

impl Key {
    /// Its row.
    pub fn row(self) -> Option<&'static KeyRow> {
        TABLE.iter().find(|row| row.key == self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;

    #[test]
    fn every_key_is_found_by_its_name_and_only_once() {
        for row in TABLE {
            assert_eq!(lookup(row.name), Some(row));
            assert_eq!(TABLE.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
            assert_eq!(row.key.row(), Some(row));
            assert!(row.name.len() <= super::super::MAX_KEY);
        }
        assert_eq!(lookup("headerdigest"), None, "names are exact (§6.1)");
        assert_eq!(lookup("X-com.example.Key").map(|row| row.key), Some(Key::Private));
    }

    #[test]
    fn every_default_lies_in_its_own_range() {
        for row in TABLE {
            let Some(default) = row.default else { continue };
            match row.rule {
                DeclareNumber { min, max } | Minimum { min, max } | Maximum { min, max } => {
                    let number = super::super::number(default).expect(row.name);
                    assert!((u64::from(min)..=u64::from(max)).contains(&number), "{}", row.name);
                }
                And | Or => assert!(matches!(default, "Yes" | "No"), "{}", row.name),
                List(values) => assert!(values.contains(&default), "{}", row.name),
                DeclareText | Obsolete(_) | Private | Security => {}
            }
        }
    }
    #[test]
    fn every_offered_key_has_a_field_that_holds_all_of_its_range() {
        let mut offer = Offer::default();
        for row in TABLE {
            let Some(ours) = offer.value(row.key) else {
                assert_eq!(row.offered, None, "{}", row.name);
                continue;
            };
            assert_eq!(Value::parse(row.key, &ours.to_string()), Ok(ours), "our own default of {}", row.name);
            let values = match (row.rule, row.offered.map(|offered| offered.kind)) {
                (List(_), Some(Kind::Digest)) => ["None,CRC32C", "CRC32C"].map(String::from),
                (And | Or, Some(Kind::Flag)) => ["Yes", "No"].map(String::from),
                (
                    DeclareNumber { min, max } | Minimum { min, max } | Maximum { min, max },
                    Some(Kind::Bytes | Kind::Seconds | Kind::Count | Kind::Level),
                ) => [min, max].map(|number| number.to_string()),
                other => panic!("{}: {other:?}", row.name),
            };
            for text in values {
                let value = Value::parse(row.key, &text).expect(row.name);
                assert_eq!(offer.set(row.key, value), Some(()), "{}={text}", row.name);
                assert_eq!(offer.value(row.key), Some(value));
            }
        }
    }
}
