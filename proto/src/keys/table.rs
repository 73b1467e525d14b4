//! The table: one row per text key (RFC 7143 §13; §12 for the security stage).

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

/// A key, as the standard describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRow {
    /// Which.
    pub key: Key,
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
}

/// Longest value of a key (§6.1): 255 bytes.
const SHORT: usize = 255;
/// Longest CHAP challenge or response (§12.1.3): 1024 bytes, as `0x` and hexadecimal digits.
const BINARY: usize = 2 + 2 * 1024;

/// The longest burst or segment that a length field holds.
const LENGTH_MAX: u32 = 0xff_ffff;

macro_rules! table {
    ($( $(#[$doc:meta])* $key:ident $name:literal $section:literal $scope:ident $when:ident $sender:ident
        $discovery:ident $rule:expr, $default:expr, $max:expr; )*) => {
        /// Which key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key { $( $(#[$doc])* $key, )* }

        /// All keys: §12's, then §13's in their order there.
        pub static TABLE: &[KeyRow] = &[$( KeyRow {
            key: Key::$key,
            name: $name,
            section: $section,
            scope: Scope::$scope,
            when: When::$when,
            sender: Sender::$sender,
            irrelevant_in_discovery: table!(@$discovery),
            rule: $rule,
            default: $default,
            max_value: $max,
        }, )*];

        impl Key {
            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $( Key::$key => $name, )* }
            }
        }
    };
    (@always) => { false };
    (@normal) => { true };
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

    /// CRC32C over headers.
    HeaderDigest "HeaderDigest" "13.1" Connection Initialize Both always List(&["None", "CRC32C"]), Some("None"), SHORT;
    /// CRC32C over data segments.
    DataDigest "DataDigest" "13.1" Connection Initialize Both always List(&["None", "CRC32C"]), Some("None"), SHORT;
    /// Connections of a session.
    MaxConnections "MaxConnections" "13.2" Session Login Both normal Minimum { min: 1, max: 65_535 }, Some("1"), SHORT;
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
    /// No unsolicited Data-Out.
    InitialR2T "InitialR2T" "13.10" Session Login Both normal Or, Some("Yes"), SHORT;
    /// Data in the command's own PDU.
    ImmediateData "ImmediateData" "13.11" Session Login Both normal And, Some("Yes"), SHORT;
    /// The longest data segment its sender takes.
    MaxRecvDataSegmentLength "MaxRecvDataSegmentLength" "13.12" Connection Any Both always
        DeclareNumber { min: 512, max: LENGTH_MAX }, Some("8192"), SHORT;
    /// The longest sequence of Data-In or solicited Data-Out.
    MaxBurstLength "MaxBurstLength" "13.13" Session Login Both normal
        Minimum { min: 512, max: LENGTH_MAX }, Some("262144"), SHORT;
    /// The most unsolicited data of a command.
    FirstBurstLength "FirstBurstLength" "13.14" Session Login Both normal
        Minimum { min: 512, max: LENGTH_MAX }, Some("65536"), SHORT;
    /// Seconds before a reconnect.
    DefaultTime2Wait "DefaultTime2Wait" "13.15" Session Login Both always Maximum { min: 0, max: 3600 }, Some("2"), SHORT;
    /// Seconds the tasks are kept after that.
    DefaultTime2Retain "DefaultTime2Retain" "13.16" Session Login Both always
        Minimum { min: 0, max: 3600 }, Some("20"), SHORT;
    /// R2Ts of a task at a time.
    MaxOutstandingR2T "MaxOutstandingR2T" "13.17" Session Login Both normal
        Minimum { min: 1, max: 65_535 }, Some("1"), SHORT;
    /// Data PDUs of a sequence in order.
    DataPDUInOrder "DataPDUInOrder" "13.18" Session Login Both normal Or, Some("Yes"), SHORT;
    /// Sequences of a command in order.
    DataSequenceInOrder "DataSequenceInOrder" "13.19" Session Login Both normal Or, Some("Yes"), SHORT;
    /// How much is recovered below the session.
    ErrorRecoveryLevel "ErrorRecoveryLevel" "13.20" Session Login Both always Minimum { min: 0, max: 2 }, Some("0"), SHORT;
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
}
