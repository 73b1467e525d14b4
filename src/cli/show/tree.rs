//! Answers as trees: JSON, and property lists of the same shape.
//!
//! Lists are plain arrays of dictionaries whose fields are those of [`crate::ipc`]. Keys of the RFC
//! and timers, pairs in the vocabulary, are dictionaries here.

use serde::Serialize;
use serde_json::{Map, Value};

use super::is_harmful;
use crate::ipc::{ExitCode, Failure, Reply};

fn bug(error: impl std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("the answer cannot be written in this format: {error}"))
}

/// What the reply is about, without the vocabulary's wrapping.
fn tree(reply: &Reply) -> Result<Value, Failure> {
    fn value(content: &impl Serialize) -> Result<Value, Failure> {
        serde_json::to_value(content).map_err(bug)
    }
    let mut tree = match reply {
        Reply::Done(sentences) => value(sentences),
        Reply::Targets(list) => value(list),
        Reply::Luns(list) => value(list),
        Reply::Sessions(list) => value(list),
        Reply::DiscoveryPortals(list) => value(list),
        Reply::Target(details) => value(details),
        Reply::Initiator(initiator) => value(initiator),
        Reply::Discovery(discovery) => value(discovery),
        Reply::Session(details) => value(details),
        Reply::Discovered(list) => value(list),
        Reply::Stats(list) => value(list),
    }?;
    if let Value::Object(fields) = &mut tree {
        for name in ["keys", "timers"] {
            if let Some(pairs) = fields.get_mut(name) {
                *pairs = dictionary(pairs.take());
            }
        }
    }
    Ok(tree)
}

/// `[["a", 1], …]` → `{"a": 1, …}`.
fn dictionary(pairs: Value) -> Value {
    let Value::Array(pairs) = pairs else { return pairs };
    let entries = pairs.into_iter().filter_map(|pair| match pair {
        Value::Array(pair) => {
            let [Value::String(name), value]: [Value; 2] = pair.try_into().ok()? else { return None };
            Some((name, value))
        }
        _ => None,
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

/// JSON, indented.
pub(super) fn json(reply: &Reply) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&tree(reply)?).map_err(bug)?;
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
pub(super) fn plist(reply: &Reply) -> Result<String, Failure> {
    let Some(value) = property(tree(reply)?) else {
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
            let fields = fields.into_iter().filter_map(|(name, value)| Some((name, property(value)?)));
            plist::Value::Dictionary(fields.collect())
        }
    })
}
