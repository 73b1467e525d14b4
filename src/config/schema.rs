//! The property list as it is written: every key, and nothing that is not a key.
//!
//! What a value means (names, addresses, RFC keys) is settled in [`super::settings`]; here are shape
//! and types only. A value that does not fit is an error that names the path of the key.

use std::collections::BTreeMap;
use std::fmt;

use iscsi_proto::keys::Value;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::lenient::Lenient;
use super::tree;
use crate::ipc::FlushPolicy;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct File {
    /// Version of the layout: 1.
    pub(super) version: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) initiator: Initiator,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) defaults: Defaults,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) targets: BTreeMap<String, Target>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) discovered_targets: BTreeMap<String, DiscoveredTarget>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) discovery: Discovery,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Initiator {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<String>,
    #[serde(default, skip_serializing_if = "is_default", rename = "CHAP")]
    pub(super) chap: Chap,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Chap {
    /// `false`: this target is not authenticated although the initiator has a CHAP name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mutual_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) algorithms: Option<Vec<String>>,
}

/// What a target may say, said for all targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Defaults {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auto_login: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) persistent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attach: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flush_policy: Option<FlushPolicy>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) session: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) connection: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) timers: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Target {
    #[serde(default)]
    pub(super) portals: Vec<Portal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auto_login: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) persistent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attach: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flush_policy: Option<FlushPolicy>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) session: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) connection: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) timers: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "is_default", rename = "CHAP")]
    pub(super) chap: Chap,
}

/// A [`Target`] and who named it. Spelled out, because `flatten` and `deny_unknown_fields` exclude
/// each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct DiscoveredTarget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) discovered_from: Option<String>,
    #[serde(default)]
    pub(super) portals: Vec<Portal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auto_login: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) persistent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attach: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flush_policy: Option<FlushPolicy>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) session: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) connection: BTreeMap<String, KeyValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) timers: BTreeMap<String, u32>,
    #[serde(default, skip_serializing_if = "is_default", rename = "CHAP")]
    pub(super) chap: Chap,
}

impl DiscoveredTarget {
    /// The target, and the portal that named it.
    pub(super) fn split(self) -> (Target, Option<String>) {
        let DiscoveredTarget {
            discovered_from,
            portals,
            auto_login,
            persistent,
            attach,
            flush_policy,
            session,
            connection,
            timers,
            chap,
        } = self;
        (
            Target { portals, auto_login, persistent, attach, flush_policy, session, connection, timers, chap },
            discovered_from,
        )
    }

    /// The other way round.
    pub(super) fn join(target: Target, discovered_from: Option<String>) -> DiscoveredTarget {
        let Target { portals, auto_login, persistent, attach, flush_policy, session, connection, timers, chap } =
            target;
        DiscoveredTarget {
            discovered_from,
            portals,
            auto_login,
            persistent,
            attach,
            flush_policy,
            session,
            connection,
            timers,
            chap,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Portal {
    /// Address or name, IPv6 with or without brackets.
    pub(super) address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group_tag: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Discovery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) send_targets: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interval: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) portals: Vec<Portal>,
}

/// Value of a key of RFC 7143: in the file a string, an integer or a boolean, in the standard
/// always text, as which it displays. Numbers and booleans are written as such: that is what an
/// editor of property lists shows best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum KeyValue {
    Flag(bool),
    Number(u64),
    Text(String),
}

impl From<Value> for KeyValue {
    fn from(value: Value) -> KeyValue {
        match value {
            Value::Flag(flag) => KeyValue::Flag(flag),
            Value::Number(number) => KeyValue::Number(number.into()),
            Value::Digests(digests) => KeyValue::Text(digests.as_str().to_owned()),
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyValue::Flag(true) => f.write_str("Yes"),
            KeyValue::Flag(false) => f.write_str("No"),
            KeyValue::Number(number) => write!(f, "{number}"),
            KeyValue::Text(text) => f.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for KeyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = KeyValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<KeyValue, E> {
                Ok(KeyValue::Flag(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<KeyValue, E> {
                Ok(KeyValue::Number(value))
            }

            /// A negative one: no key takes it, and its error quotes it.
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<KeyValue, E> {
                Ok(KeyValue::Text(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<KeyValue, E> {
                Ok(KeyValue::Text(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a property list in any of Apple's encodings. The error is a clause that names the key's path,
/// such as "Targets → iqn.2026-11.org.example:a → Session: …".
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let tree = tree::read(bytes)?;
    let parsed = serde_path_to_error::deserialize(Lenient(tree.value)).map_err(|error| {
        let path = arrows(error.path());
        let what = in_words(&error.into_inner().to_string());
        if path.is_empty() { what } else { format!("{path}: {what}") }
    })?;
    match tree.problem {
        None => Ok(parsed),
        Some((path, what)) => Err(format!("{}: {what}", path.join(ARROW))),
    }
}

/// Between the keys of a path.
pub(super) const ARROW: &str = " → ";

/// `Targets → iqn… → Portals → 1`: items of an array are counted from 1.
fn arrows(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;

    let segments: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.saturating_add(1).to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect();
    segments.join(ARROW)
}

/// The version that a property list says it has, whatever else is in it: what another version wrote has other keys.
pub(super) fn version(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Any {
        version: u32,
    }
    Any::deserialize(Lenient(tree::read(bytes).ok()?.value)).ok().map(|any| any.version)
}

/// serde's message with the words of the field instead of Rust's.
fn in_words(message: &str) -> String {
    let message = match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a dictionary"),
        None => message.to_owned(),
    };
    message
        .replace("expected u16", "expected an integer from 0 to 65535")
        .replace("expected u32", "expected an integer from 0 to 4294967295")
        .replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
        .replace("invalid type: null", "invalid type: binary data")
        .replace("invalid type: map", "invalid type: dictionary")
        .replace("invalid type: sequence", "invalid type: array")
        .replace("invalid type: floating point", "invalid type: real")
        .replace("unknown variant", "unknown word")
        .replace("expected a sequence", "expected an array")
        .replace("expected a map", "expected a dictionary")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(body: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">{body}</plist>").into_bytes()
    }

    /// The error for a file of that version and these further keys.
    fn error(keys: &str) -> String {
        let body = format!("<dict><key>Version</key><integer>1</integer>{keys}</dict>");
        parse::<File>(&xml(&body)).expect_err("the file is wrong")
    }

    #[test]
    fn an_unknown_key_is_named_by_its_path() {
        assert!(
            error(
                "<key>Targets</key><dict><key>iqn.2026-11.org.example:a</key><dict><key>Sesion</key><dict/></dict></dict>"
            )
            .starts_with(
                "Targets → iqn.2026-11.org.example:a → Sesion: unknown key `Sesion`, expected one of `Portals`, "
            )
        );
    }

    #[test]
    fn a_wrong_type_is_named_by_its_path_and_what_belongs_there() {
        for (keys, told) in [
            (
                "<key>Discovery</key><dict><key>SendTargets</key><string>perhaps</string></dict>",
                "Discovery → SendTargets: invalid type: string \"perhaps\", expected a boolean",
            ),
            (
                "<key>Discovery</key><dict><key>SendTargets</key><integer>2</integer></dict>",
                "Discovery → SendTargets: invalid type: integer `2`, expected a boolean",
            ),
            (
                "<key>Discovery</key><dict><key>Interval</key><real>30.5</real></dict>",
                "Discovery → Interval: invalid type: real `30.5`, expected an integer from 0 to 4294967295",
            ),
            (
                "<key>Discovery</key><dict><key>Interval</key><string>soon</string></dict>",
                "Discovery → Interval: invalid type: string \"soon\", expected an integer from 0 to 4294967295",
            ),
            (
                "<key>Initiator</key><dict><key>Alias</key><integer>5</integer></dict>",
                "Initiator → Alias: invalid type: integer `5`, expected a string",
            ),
            (
                "<key>Initiator</key><dict><key>CHAP</key><dict><key>Algorithms</key><true/></dict></dict>",
                "Initiator → CHAP → Algorithms: invalid type: boolean `true`, expected an array",
            ),
            (
                "<key>Defaults</key><dict><key>FlushPolicy</key><integer>1</integer></dict>",
                "Defaults → FlushPolicy: invalid type: number `1`, expected `WriteThrough` or `OnCommit`",
            ),
            (
                "<key>Defaults</key><dict><key>FlushPolicy</key><string>Never</string></dict>",
                "Defaults → FlushPolicy: unknown word `Never`, expected `WriteThrough` or `OnCommit`",
            ),
            ("<key>Targets</key><array/>", "Targets: invalid type: array, expected a dictionary"),
            (
                "<key>Initiator</key><string>iqn.2026-11.org.example:i</string>",
                "Initiator: invalid type: string \"iqn.2026-11.org.example:i\", expected a dictionary",
            ),
        ] {
            assert_eq!(error(keys), told);
        }
        assert_eq!(
            error("<key>Initiator</key><dict><key>Alias</key><data>AAAA</data></dict>"),
            "Initiator → Alias: binary data, which no key here takes"
        );
        for number in ["nan", "inf", "1e400"] {
            assert_eq!(
                error(&format!("<key>Initiator</key><dict><key>Name</key><real>{number}</real></dict>")),
                "Initiator → Name: a number without end, or none, which no key here takes"
            );
        }
    }

    #[test]
    fn items_of_an_array_are_counted_from_one() {
        assert_eq!(
            error(
                "<key>Discovery</key><dict><key>Portals</key><array><dict><key>Address</key><string>a</string></dict>\
                 <dict><key>Address</key><string>b</string><key>Port</key><integer>70000</integer></dict></array></dict>"
            ),
            "Discovery → Portals → 2 → Port: invalid value: integer `70000`, expected an integer from 0 to 65535"
        );
        assert_eq!(
            error("<key>Discovery</key><dict><key>Portals</key><array><dict/></array></dict>"),
            "Discovery → Portals → 1: missing key `Address`"
        );
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error_and_not_the_last_ones_victory() {
        assert_eq!(
            error("<key>Defaults</key><dict><key>AutoLogin</key><true/><key>AutoLogin</key><false/></dict>"),
            "Defaults → AutoLogin: the key is there twice"
        );
    }

    #[test]
    fn an_array_does_not_pass_for_a_dictionary() {
        assert_eq!(error("<key>Initiator</key><array/>"), "Initiator: an array, where none belongs");
        let portals = "<array><array><string>a</string></array></array>";
        assert_eq!(
            error(&format!("<key>Discovery</key><dict><key>Portals</key>{portals}</dict>")),
            "Discovery → Portals → 1: an array, where none belongs"
        );
        assert_eq!(parse::<File>(&xml("<array/>")).expect_err("no dictionary"), "its root is not a dictionary");
    }

    #[test]
    fn what_is_cut_off_or_no_property_list_is_told_so() {
        let whole = xml("<dict><key>Version</key><integer>1</integer></dict>");
        parse::<File>(&whole).expect("a whole file");
        for length in 0..whole.len() - "</plist>".len() {
            let why = parse::<File>(&whole[..length]).expect_err("cut off");
            assert!(why.starts_with("it is not a whole property list") || why == "it is empty", "{length}: {why}");
        }
    }

    // check: plist-obvious-meaning
    #[test]
    fn values_in_another_type_are_what_they_obviously_mean() {
        let file: File = parse(&xml(
            "<dict><key>Version</key><string>1</string><key>Discovery</key><dict><key>SendTargets</key><string>YES</string>\
             <key>Interval</key><real>60</real><key>Portals</key><string>nas.example:3261</string></dict>\
             <key>Defaults</key><dict><key>AutoLogin</key><integer>1</integer><key>Attach</key><real>0</real>\
             <key>FlushPolicy</key><string>on-commit</string><key>Timers</key><dict><key>NopInterval</key><string>7</string>\
             </dict><key>Session</key><dict><key>MaxBurstLength</key><real>262144</real></dict></dict>\
             <key>Targets</key><dict><key>iqn.2026-11.org.example:a</key><dict><key>Portals</key><dict><key>Address</key>\
             <string>192.0.2.1</string><key>Port</key><string>3262</string><key>GroupTag</key><string>0x10</string></dict>\
             <key>CHAP</key><dict><key>Enabled</key><string>no</string><key>Algorithms</key><string>SHA1,MD5</string></dict>\
             </dict></dict></dict>",
        ))
        .expect("good");
        assert_eq!(file.version, 1);
        let asked = Portal { address: "nas.example".into(), port: Some(3261), interface: None, group_tag: None };
        let discovery = Discovery { send_targets: Some(true), interval: Some(60), portals: vec![asked] };
        assert_eq!(file.discovery, discovery);
        let defaults = &file.defaults;
        assert_eq!((defaults.auto_login, defaults.attach), (Some(true), Some(false)));
        assert_eq!(defaults.flush_policy, Some(FlushPolicy::OnCommit));
        assert_eq!(defaults.timers.get("NopInterval"), Some(&7));
        assert_eq!(defaults.session.get("MaxBurstLength"), Some(&KeyValue::Number(262_144)));
        let target = file.targets.values().next().expect("a target");
        let place = Portal { address: "192.0.2.1".into(), port: Some(3262), interface: None, group_tag: Some(16) };
        assert_eq!(target.portals, [place]);
        assert_eq!(target.chap.enabled, Some(false));
        assert_eq!(target.chap.algorithms.as_deref(), Some(&["SHA1".to_owned(), "MD5".to_owned()][..]));
    }

    #[test]
    fn values_of_rfc_keys_may_be_strings_integers_or_booleans() {
        let file: File = parse(&xml(
            "<dict><key>Version</key><integer>1</integer><key>Defaults</key><dict><key>Session</key><dict>\
             <key>ImmediateData</key><true/><key>InitialR2T</key><false/><key>MaxBurstLength</key><integer>262144</integer>\
             <key>FirstBurstLength</key><string>0x1000</string></dict></dict></dict>",
        ))
        .expect("good");
        let value = |key: &str| file.defaults.session.get(key).expect("there").to_string();
        assert_eq!(value("ImmediateData"), "Yes");
        assert_eq!(value("InitialR2T"), "No");
        assert_eq!(value("MaxBurstLength"), "262144");
        assert_eq!(value("FirstBurstLength"), "0x1000");
    }
}
