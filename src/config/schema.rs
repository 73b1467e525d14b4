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
use super::settings::{DISCOVERY_INTERVAL, Timer};
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
    /// Address or name, IPv6 with or without brackets; a port may be behind it.
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

/// Reads a property list in any of Apple's encodings. The error is a clause that names the key's path, what is there and
/// what should be, such as "Discovery → Interval: is the string \"soon\", and has to be an integer from 30 to 32767".
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    read(bytes, Values::Shown)
}

/// As [`parse`], of a file whose values are secrets: no error shows one.
pub(super) fn parse_secrets<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    read(bytes, Values::Hidden)
}

/// Whether errors show what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    Shown,
    Hidden,
}

fn read<T: DeserializeOwned>(bytes: &[u8], values: Values) -> Result<T, String> {
    let tree = tree::read(bytes)?;
    let parsed = serde_path_to_error::deserialize(Lenient(tree.value)).map_err(|error| {
        let path = keys(error.path());
        let what = in_words(&error.into_inner().to_string(), &path, values);
        if path.is_empty() { what } else { format!("{}: {what}", path.join(ARROW)) }
    })?;
    match (tree.problem, values) {
        (None, _) => Ok(parsed),
        (Some((path, what)), Values::Shown) => Err(format!("{}: {what}", path.join(ARROW))),
        (Some((path, _)), Values::Hidden) => {
            Err(format!("{}: is something that does not belong there", path.join(ARROW)))
        }
    }
}

/// Between the keys of a path.
pub(super) const ARROW: &str = " → ";

/// `Targets`, `iqn…`, `Portals`, `1`: items of an array are counted from 1.
fn keys(path: &serde_path_to_error::Path) -> Vec<String> {
    use serde_path_to_error::Segment;

    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.saturating_add(1).to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
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
fn in_words(message: &str, path: &[String], values: Values) -> String {
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        let should = format!("has to be {}", expected_in_words(expected, path));
        return match values {
            Values::Shown => format!("is {}, and {should}", found_in_words(found)),
            Values::Hidden => format!("is something else than belongs there: it {should}"),
        };
    }
    // The words that are known come after the one that is not.
    if let Some(variants) = message.strip_prefix("unknown variant ").filter(|_| values == Values::Hidden) {
        return format!(
            "is another word than {}",
            variants.rsplit_once(", expected ").map_or("those known", |(_, known)| known)
        );
    }
    let message = message
        .replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
        .replace("unknown variant", "unknown word");
    tree::for_people(&message)
}

/// What is there, as serde names it.
fn found_in_words(found: &str) -> String {
    let kinds = [
        ("floating point ", "the real "),
        ("integer ", "the integer "),
        ("number ", "the number "),
        ("boolean ", "the boolean "),
        ("null", "binary data"),
        ("map", "a dictionary"),
        ("dictionary", "a dictionary"),
        ("sequence", "an array"),
        ("array", "an array"),
    ];
    if let Some(text) = found.strip_prefix("string") {
        // Rust has escaped it already.
        let (text, more) = tree::shortened(&tree::for_people(text.trim().trim_matches('"')));
        return if text.is_empty() { "empty".to_owned() } else { format!("the string \"{text}{more}\"") };
    }
    let known = kinds.into_iter().find_map(|(kind, words)| Some(format!("{words}{}", found.strip_prefix(kind)?)));
    known.unwrap_or_else(|| found.to_owned())
}

/// What should be there: of a number, what its key takes.
fn expected_in_words(expected: &str, path: &[String]) -> String {
    let (key, section) = (path.last().map(String::as_str), path.iter().rev().nth(1).map(String::as_str));
    let range = match (key, section) {
        (Some("Interval"), _) => Some(DISCOVERY_INTERVAL),
        (Some("Port"), _) => Some(1..=u16::MAX.into()),
        (Some(timer), Some("Timers")) => Timer::named(timer).map(Timer::range),
        _ => None,
    };
    let integer = |most: u32| {
        let range = range.unwrap_or(0..=most);
        format!("an integer from {} to {}", range.start(), range.end())
    };
    match expected {
        "u16" => integer(u16::MAX.into()),
        "u32" => integer(u32::MAX),
        "a sequence" => "an array".to_owned(),
        "a map" => "a dictionary".to_owned(),
        _ if expected.starts_with("struct ") => "a dictionary".to_owned(),
        other => other.to_owned(),
    }
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
                "Discovery → SendTargets: is the string \"perhaps\", and has to be a boolean",
            ),
            (
                "<key>Discovery</key><dict><key>SendTargets</key><integer>2</integer></dict>",
                "Discovery → SendTargets: is the integer `2`, and has to be a boolean",
            ),
            (
                "<key>Discovery</key><dict><key>Interval</key><real>30.5</real></dict>",
                "Discovery → Interval: is the real `30.5`, and has to be an integer from 30 to 32767",
            ),
            (
                "<key>Discovery</key><dict><key>Interval</key><string>soon</string></dict>",
                "Discovery → Interval: is the string \"soon\", and has to be an integer from 30 to 32767",
            ),
            (
                "<key>Initiator</key><dict><key>Alias</key><integer>5</integer></dict>",
                "Initiator → Alias: is the integer `5`, and has to be a string",
            ),
            (
                "<key>Initiator</key><dict><key>CHAP</key><dict><key>Algorithms</key><true/></dict></dict>",
                "Initiator → CHAP → Algorithms: is the boolean `true`, and has to be an array",
            ),
            (
                "<key>Defaults</key><dict><key>FlushPolicy</key><integer>1</integer></dict>",
                "Defaults → FlushPolicy: is the number `1`, and has to be `WriteThrough` or `OnCommit`",
            ),
            (
                "<key>Defaults</key><dict><key>FlushPolicy</key><string>Never</string></dict>",
                "Defaults → FlushPolicy: unknown word `Never`, expected `WriteThrough` or `OnCommit`",
            ),
            (
                "<key>Defaults</key><dict><key>FlushPolicy</key><integer>x</integer></dict>",
                "Defaults → FlushPolicy: unknown word `x`, expected `WriteThrough` or `OnCommit`",
            ),
            ("<key>Targets</key><array/>", "Targets: is an array, and has to be a dictionary"),
            (
                "<key>Initiator</key><string>iqn.2026-11.org.example:i</string>",
                "Initiator: is the string \"iqn.2026-11.org.example:i\", and has to be a dictionary",
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

    // check: plist-number
    #[test]
    fn a_number_that_is_none_is_told_with_its_key_and_what_belongs_there() {
        let portal = |port: &str| {
            format!(
                "<key>Targets</key><dict><key>iqn.2026-11.org.example:a</key><dict><key>Portals</key><array><dict>\
                 <key>Address</key><string>a</string><key>Port</key>{port}</dict></array></dict></dict>"
            )
        };
        let at = "Targets → iqn.2026-11.org.example:a → Portals → 1 → Port";
        let range = "and has to be an integer from 1 to 65535";
        for (port, found) in [
            ("<integer/>", "empty"),
            ("<integer></integer>", "empty"),
            ("<integer>99999999999999999999999</integer>", "the string \"99999999999999999999999\""),
            ("<integer>3260a</integer>", "the string \"3260a\""),
            ("<integer>-1</integer>", "the integer `-1`"),
            ("<integer >1e3</integer >", "the string \"1e3\""),
            ("<real>three</real>", "the string \"three\""),
            ("<date>2026-11-30T00:00:00Z</date>", "the string \"2026-11-30T00:00:00Z\""),
        ] {
            assert_eq!(error(&portal(port)), format!("{at}: is {found}, {range}"), "{port}");
        }
        // What takes a text as well takes none that was to be a number.
        let alias = "<key>Initiator</key><dict><key>Alias</key><integer>five</integer></dict>";
        assert_eq!(error(alias), "Initiator → Alias: is `five`, which is no number");
        let burst =
            "<key>Defaults</key><dict><key>Session</key><dict><key>MaxBurstLength</key><integer/></dict></dict>";
        assert_eq!(error(burst), "Defaults → Session → MaxBurstLength: is empty, which is no number");
        let timer =
            "<key>Defaults</key><dict><key>Timers</key><dict><key>LoginTimeout</key><string>x</string></dict></dict>";
        assert_eq!(
            error(timer),
            "Defaults → Timers → LoginTimeout: is the string \"x\", and has to be an integer from 1 to 3600"
        );
        let long =
            format!("<key>Discovery</key><dict><key>Interval</key><integer>{}</integer></dict>", "9".repeat(1000));
        assert!(error(&long).len() < 200, "{}", error(&long));
        // Spaces around a number mean nothing.
        let spaced = "<key>Discovery</key><dict><key>Interval</key><integer> 60\n</integer></dict>";
        let body = format!("<dict><key>Version</key><integer>1</integer>{spaced}</dict>");
        assert_eq!(parse::<File>(&xml(&body)).expect("good").discovery.interval, Some(60));
    }

    // check: plist-number
    #[test]
    fn of_a_file_of_secrets_no_value_is_told() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "PascalCase")]
        struct Secrets {
            #[serde(rename = "Secret")]
            _secret: String,
            #[serde(rename = "Policy", default)]
            _policy: Option<FlushPolicy>,
        }
        for value in ["<integer>hush1</integer>", "<integer>4711</integer>", "<real>hush</real>", "<true/>", "<array/>"]
        {
            let body = format!("<dict><key>Secret</key>{value}</dict>");
            let why = parse_secrets::<Secrets>(&xml(&body)).expect_err("no text");
            assert!(why.starts_with("Secret: ") && !why.contains("hush") && !why.contains("4711"), "{value}: {why}");
        }
        let body = "<dict><key>Secret</key><string>a</string><key>Policy</key><string>hush</string></dict>";
        let why = parse_secrets::<Secrets>(&xml(body)).expect_err("no such word");
        assert_eq!(why, "Policy: is another word than `WriteThrough` or `OnCommit`");
    }

    #[test]
    fn items_of_an_array_are_counted_from_one() {
        assert_eq!(
            error(
                "<key>Discovery</key><dict><key>Portals</key><array><dict><key>Address</key><string>a</string></dict>\
                 <dict><key>Address</key><string>b</string><key>Port</key><integer>70000</integer></dict></array></dict>"
            ),
            "Discovery → Portals → 2 → Port: is the integer `70000`, and has to be an integer from 1 to 65535"
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
