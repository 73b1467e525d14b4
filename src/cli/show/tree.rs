//! Answers as trees: JSON, and property lists of the same shape.
//!
//! Lists are plain arrays of dictionaries whose fields are those of [`crate::ipc`].

use serde::Serialize;
use serde_json::Value;

use super::is_harmful;
use crate::ipc::{
    BenchReport, Discovered, Discovery, DiscoveryPortal, ExitCode, Failure, Imported, Initiator, Lun, Reply, Session,
    SessionDetails, Stats, Target, TargetDetails,
};

fn bug(error: impl std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("the answer cannot be written in this format: {error}"))
}

/// What a reply is about, without the vocabulary's wrapping.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Done(&'a [String]),
    Targets(&'a [Target]),
    Luns(&'a [Lun]),
    Sessions(&'a [Session]),
    DiscoveryPortals(&'a [DiscoveryPortal]),
    Target(&'a TargetDetails),
    Initiator(&'a Initiator),
    Discovery(&'a Discovery),
    Session(&'a SessionDetails),
    Discovered(&'a [Discovered]),
    Stats(&'a [Stats]),
    Bench(&'a BenchReport),
    Imported(&'a Imported),
}

impl<'a> From<&'a Reply> for Content<'a> {
    fn from(reply: &'a Reply) -> Content<'a> {
        match reply {
            Reply::Done(sentences) => Content::Done(sentences),
            Reply::Targets(list) => Content::Targets(list),
            Reply::Luns(list) => Content::Luns(list),
            Reply::Sessions(list) => Content::Sessions(list),
            Reply::DiscoveryPortals(list) => Content::DiscoveryPortals(list),
            Reply::Target(details) => Content::Target(details),
            Reply::Initiator(initiator) => Content::Initiator(initiator),
            Reply::Discovery(discovery) => Content::Discovery(discovery),
            Reply::Session(details) => Content::Session(details),
            Reply::Discovered { targets, .. } => Content::Discovered(targets),
            Reply::Stats(list) => Content::Stats(list),
            Reply::Bench(report) => Content::Bench(report),
            Reply::Imported(imported) => Content::Imported(imported),
        }
    }
}

/// JSON, indented.
pub(super) fn json(content: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(content).map_err(bug)?;
    // serde_json escapes C0 alone; outside of strings there is no other harmful character but the
    // line's end.
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && is_harmful(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Ok(out)
}

/// A property list: what is null is not there.
pub(super) fn plist(content: &impl Serialize) -> Result<String, Failure> {
    let Some(value) = property(serde_json::to_value(content).map_err(bug)?) else {
        return Err(bug("it is empty"));
    };
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &value).map_err(bug)?;
    let mut text = String::from_utf8(bytes).map_err(bug)?;
    text.push('\n');
    Ok(text)
}

fn property(value: Value) -> Option<plist::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => plist::Value::Boolean(value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => plist::Value::Integer(value.into()),
            (None, Some(value)) => plist::Value::Integer(value.into()),
            (None, None) => plist::Value::Real(number.as_f64()?),
        },
        // XML has no way to write them at all.
        Value::String(text) => plist::Value::String(super::clean(&text)),
        Value::Array(items) => plist::Value::Array(items.into_iter().filter_map(property).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().filter_map(|(name, value)| Some((super::clean(&name), property(value)?)));
            plist::Value::Dictionary(fields.collect())
        }
    })
}
