//! What the keys of the property list mean, told once: for its manual page.
//!
//! ```text
//!   schema::Target, … (what is read) ── names ──────┐
//!   WORDS (what it is for) ─────────────────────────┼─► Dictionary ──► iscsid.plist(5)
//!   Timer, the protocol's keys::TABLE (all of both) ┘
//! ```
//! The names come from the very types a file is read into, ranges and defaults from the tables it is checked
//! with. A key without words fails a test.

use std::borrow::Cow;

use iscsi_proto::keys::{KeyRow, Offer, Rule, TABLE};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor, value};

use super::check::is_of_connection;
use super::schema;
use super::settings::{ALGORITHMS, DEFAULT_DISCOVERY_INTERVAL, DEFAULT_PORT, DISCOVERY_INTERVAL, Timer};

/// A dictionary of the property list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    /// Where it is, as errors name it: the keys that lead to it; none is the root.
    pub path: &'static [&'static str],
    /// What it is for; may be empty.
    pub about: &'static str,
    /// Its keys, in the order they are written.
    pub keys: Vec<KeyWords>,
}

/// A key of the property list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWords {
    /// Its name, exactly.
    pub name: &'static str,
    /// Its type in a property list, with the range where there is one.
    pub kind: String,
    /// What holds where it is missing, if that can be said in a word.
    pub default: Option<String>,
    /// What it is for.
    pub about: Cow<'static, str>,
}

/// Every dictionary with every key.
pub fn dictionaries() -> Vec<Dictionary> {
    let target = ["Targets", "IQN"].as_slice();
    vec![
        dictionary::<schema::File>(&[], ""),
        dictionary::<schema::Initiator>(&["Initiator"], "Who we are."),
        dictionary::<schema::Chap>(
            &["Initiator", "CHAP"],
            "The same keys are in CHAP of a target, where they hold for that target alone. Secrets are in a file of their own.",
        ),
        dictionary::<schema::Defaults>(&["Defaults"], "What holds for every target that does not say otherwise."),
        dictionary::<schema::Target>(target, "A target, by its iSCSI name."),
        dictionary::<schema::Portal>(&["Targets", "IQN", "Portals"], "An array of dictionaries, tried in their order."),
        Dictionary {
            path: &["Targets", "IQN", "Session"],
            about: "Keys of RFC 7143 that hold for the session, and the value to offer at login. What holds is agreed on with the target.",
            keys: offered(false),
        },
        Dictionary {
            path: &["Targets", "IQN", "Connection"],
            about: "Keys of RFC 7143 that hold for a connection.",
            keys: offered(true),
        },
        Dictionary { path: &["Targets", "IQN", "Timers"], about: "In seconds.", keys: timers() },
        dictionary::<schema::DiscoveredTarget>(
            &["DiscoveredTargets", "IQN"],
            "A target that a discovery portal named. iscsid adds these itself.",
        ),
        dictionary::<schema::Discovery>(&["Discovery"], "How targets are looked for."),
    ]
}

/// The keys that a type is read from.
fn dictionary<T: for<'de> Deserialize<'de>>(path: &'static [&'static str], about: &'static str) -> Dictionary {
    let keys = names_of::<T>().iter().map(|name| {
        let words = WORDS.iter().find(|words| words.0 == *name);
        let (_, kind, default, about) = words.copied().unwrap_or((name, "", "", ""));
        KeyWords {
            name,
            kind: filled(kind),
            default: Some(filled(default)).filter(|text| !text.is_empty()),
            about: about.into(),
        }
    });
    Dictionary { path, about, keys: keys.collect() }
}

/// A row of [`WORDS`] with the numbers of the tables in it.
fn filled(text: &str) -> String {
    text.replace("{PORT}", &DEFAULT_PORT.to_string())
        .replace("{INTERVAL}", &format!("{} to {}", DISCOVERY_INTERVAL.start(), DISCOVERY_INTERVAL.end()))
        .replace("{ASKED}", &DEFAULT_DISCOVERY_INTERVAL.to_string())
        .replace("{ALGORITHMS}", &ALGORITHMS.join(", "))
}

/// Name, type, default and purpose of the keys that a type is read from. A name means the same everywhere.
const WORDS: [(&str, &str, &str, &str); 27] = [
    ("Version", "integer", "", "Version of the layout: 1. It must be there."),
    ("Initiator", "dictionary", "", "Who we are; see below, as for the others."),
    ("Defaults", "dictionary", "", "What holds for every target that does not say otherwise."),
    ("Targets", "dictionary", "", "The configured targets: a dictionary for each iSCSI name."),
    (
        "DiscoveredTargets",
        "dictionary",
        "",
        "The targets that discovery portals named: a dictionary for each iSCSI name.",
    ),
    ("Discovery", "dictionary", "", "How targets are looked for."),
    (
        "Name",
        "string",
        "",
        "Of Initiator: our iSCSI name; iscsid makes one up and keeps it. Of CHAP: our user name; the iSCSI name where there is none.",
    ),
    ("Alias", "string", "", "What targets show to people."),
    ("CHAP", "dictionary", "", "Authentication, but for the secrets."),
    ("Enabled", "boolean", "", "false: this target is not authenticated, although the initiator has a CHAP name."),
    ("MutualName", "string", "", "The target's user name, for mutual authentication; any where it is missing."),
    ("Algorithms", "array of {ALGORITHMS}", "all of them", "What to offer, the preferred one first."),
    ("AutoLogin", "boolean", "false", "Log in when iscsid starts."),
    ("Persistent", "boolean", "true", "Keep the target after a logout."),
    ("Attach", "boolean", "true for root, else false", "Attach the target's units as disks after a login."),
    (
        "FlushPolicy",
        "WriteThrough or OnCommit",
        "WriteThrough",
        "When what is written through the NFS export, as to a disk on macOS, is on the target's stable storage: before \
         the write is done, or when the system flushes. With OnCommit, what is not flushed yet is lost if the target \
         or its power fails.",
    ),
    ("Session", "dictionary", "", "Keys of RFC 7143 that hold for the session."),
    ("Connection", "dictionary", "", "Keys of RFC 7143 that hold for a connection."),
    ("Timers", "dictionary", "", "How long to wait for what."),
    ("Portals", "array of dictionaries", "", "Where a target is; in Discovery, whom to ask."),
    (
        "Address",
        "string",
        "",
        "A name, an IPv4 address, or an IPv6 address with or without brackets. It must be there. Without Port, a port may follow it after a colon.",
    ),
    ("Port", "integer, 1 to 65535", "{PORT}", "TCP port."),
    ("Interface", "string", "any", "Connect from this network interface only, such as en0; default means any."),
    ("SendTargets", "boolean", "false", "Ask the discovery portals again and again."),
    ("Interval", "integer, {INTERVAL} seconds", "{ASKED}", "How often."),
    ("DiscoveredFrom", "string", "", "The portal that named the target."),
    ("GroupTag", "integer, 0 to 65535", "", "The target's portal group tag, where it is known. iscsid notes it down."),
];

fn timers() -> Vec<KeyWords> {
    let words = |timer: Timer| KeyWords {
        name: timer.name(),
        kind: format!("integer, {} to {}", timer.range().start(), timer.range().end()),
        default: Some(timer.default_seconds().to_string()),
        about: Cow::Borrowed(match timer {
            Timer::LoginTimeout => "A login must be through after this long.",
            Timer::LogoutTimeout => "A logout must be answered after this long.",
            Timer::NopInterval => "An idle connection is pinged this often; 0 never.",
            Timer::NopTimeout => "A ping unanswered for this long loses the connection; 0 waits for ever.",
            Timer::ReplacementTimeout => "I/O waits this long for a lost connection to come back; 0 fails it at once.",
            Timer::TaskTimeout => "A command unanswered for this long is aborted and issued again; 0 waits for ever.",
        }),
    };
    Timer::ALL.into_iter().map(words).collect()
}

/// The keys of RFC 7143 that can be offered, with our own defaults.
fn offered(of_connection: bool) -> Vec<KeyWords> {
    let defaults = Offer::default();
    let words = |row: &'static KeyRow| {
        let default = defaults.value(row.key)?.to_string();
        let kind = match row.rule {
            Rule::List(values) => format!("string: {}, or both in the order of preference", values.join(" or ")),
            Rule::And | Rule::Or => "boolean, or the string Yes or No".to_owned(),
            Rule::DeclareNumber { min, max } | Rule::Minimum { min, max } | Rule::Maximum { min, max } => {
                format!("integer, {min} to {max}")
            }
            _ => "string".to_owned(),
        };
        let about = match row.offered?.only {
            None => Cow::Borrowed(row.about),
            Some(why) => format!("{} Only {default} has an effect: {why}.", row.about).into(),
        };
        Some(KeyWords { name: row.name, kind, default: Some(default), about })
    };
    TABLE.iter().filter(|row| is_of_connection(row.key) == of_connection).filter_map(words).collect()
}

/// The keys that a type is read from, in order, as serde hands them to a reader.
fn names_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(value::Error::custom("not a structure"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(value::Error::custom("only the names were asked for"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    // It always fails: nothing was there to be read.
    drop(T::deserialize(Ask(&mut names)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_words_in_src_config_keys_rs() {
        for dictionary in dictionaries() {
            assert!(!dictionary.keys.is_empty(), "{:?} has no keys", dictionary.path);
            for key in dictionary.keys {
                assert!(
                    !key.about.is_empty() && !key.kind.is_empty(),
                    "{:?}: {} has no words",
                    dictionary.path,
                    key.name
                );
            }
        }
    }

    #[test]
    fn no_words_are_left_of_a_key_that_is_gone() {
        let all: Vec<&str> = dictionaries().iter().flat_map(|d| d.keys.iter().map(|key| key.name)).collect();
        for (name, ..) in WORDS {
            assert!(all.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_file() {
        assert_eq!(names_of::<schema::Portal>(), ["Address", "Port", "Interface", "GroupTag"]);
        assert_eq!(names_of::<u8>(), [""; 0]);
    }
}
