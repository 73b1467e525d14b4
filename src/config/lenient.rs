//! The obvious meaning of values that were written in another type: by hand, or by `defaults write`.
//!
//! ```text
//!   <string>3260</string>, <real>3260</real>   ─► 3260        where an integer belongs
//!   <string>YES</string>, <integer>1</integer> ─► true        where a boolean belongs
//!   <string>MD5,SHA1</string>, <dict>…</dict>  ─► [ … ]       where an array belongs
//!   <string>nas.example:3261</string>          ─► {Address, Port}  where a portal belongs
//!   <string>write-through</string>             ─► WriteThrough     where one of a few words belongs
//! ```
//! What has no obvious meaning goes on as it is, so that the error names its key and shows it. No number becomes a
//! text: a name or a secret `0123`, written as an integer, has lost its zero before it is read. When the file is
//! saved next, everything is in its proper type.

use iscsi_proto::names::PortalAddress;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde_json::{Error, Map, Number, Value};

/// A value of a property list, to be read as what belongs there.
pub(super) struct Lenient(pub(super) Value);

impl<'de> IntoDeserializer<'de, Error> for Lenient {
    type Deserializer = Lenient;

    fn into_deserializer(self) -> Lenient {
        self
    }
}

impl Lenient {
    /// The integer that it means, or itself.
    fn integer(self) -> Lenient {
        let meant = match &self.0 {
            Value::String(text) => whole(text),
            Value::Number(number) => integral(number),
            _ => None,
        };
        meant.map_or(self, |number| Lenient(Value::Number(number)))
    }

    /// The boolean that it means, or itself.
    fn boolean(self) -> Lenient {
        let meant = match &self.0 {
            Value::String(text) => truth(text),
            Value::Number(number) => match number.as_f64() {
                Some(1.0) => Some(true),
                Some(0.0) => Some(false),
                _ => None,
            },
            _ => None,
        };
        meant.map_or(self, |truth| Lenient(Value::Bool(truth)))
    }
}

/// yes, no, and what else people and programs say for it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" | "enable" | "enabled" => Some(true),
        "no" | "n" | "off" | "false" | "0" | "disable" | "disabled" => Some(false),
        _ => None,
    }
}

/// The integer in a text: decimal, hexadecimal after 0x, or a real without a fraction.
fn whole(text: &str) -> Option<Number> {
    let text = text.trim();
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if let Some(hexadecimal) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hexadecimal, 16).ok().filter(|_| digits(hexadecimal)).map(Number::from);
    }
    match text.parse::<u64>() {
        Ok(number) if digits(text) => Some(number.into()),
        _ => text
            .split_once('.')
            .filter(|(_, zeros)| zeros.bytes().all(|b| b == b'0'))
            .and_then(|(number, _)| number.parse::<u64>().ok().filter(|_| digits(number)).map(Number::from)),
    }
}

/// A real that is an integer.
fn integral(number: &Number) -> Option<Number> {
    // Up to 2^53 every integer has a real of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let real = number.as_f64().filter(|real| number.is_f64() && real.fract() == 0.0 && (0.0..EXACT).contains(real))?;
    Some(Number::from(real as u64))
}

/// A portal as it is typed on the command line, as the dictionary that it is in the file.
fn portal(text: &str) -> Option<Map<String, Value>> {
    let PortalAddress { host, port } = PortalAddress::parse(text.trim()).ok()?;
    let mut dictionary = Map::new();
    dictionary.insert("Address".to_owned(), Value::String(host));
    dictionary.insert("Port".to_owned(), Value::Number(port.into()));
    Some(dictionary)
}

/// The same word, whatever stands between its parts.
fn same_word(a: &str, b: &str) -> bool {
    let letters = |text: &str| {
        text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    letters(a) == letters(b)
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.integer().deserialize_any(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => {
                let number = integral(&number).unwrap_or(number);
                match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(value), ..) => visitor.visit_u64(value),
                    (_, Some(value), _) => visitor.visit_i64(value),
                    (.., Some(value)) => visitor.visit_f64(value),
                    _ => Err(Error::custom("a number that is out of every range")),
                }
            }
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Lenient))),
            Value::Object(entries) => {
                visitor.visit_map(MapDeserializer::new(entries.into_iter().map(|(key, value)| (key, Lenient(value)))))
            }
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.boolean().deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self.0 {
            // No word or portal in a list has a comma in it.
            Value::String(text) if !text.trim().is_empty() => {
                text.split(',').map(|item| Value::String(item.trim().to_owned())).collect()
            }
            single @ Value::Object(_) => vec![single],
            other => return Lenient(other).deserialize_any(visitor),
        };
        Lenient(Value::Array(items)).deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) if fields.contains(&"Address") => match portal(text) {
                Some(dictionary) => Lenient(Value::Object(dictionary)).deserialize_any(visitor),
                None => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => {
                let meant = variants.iter().find(|variant| same_word(variant, &text));
                let word = meant.map_or(text, |variant| (*variant).to_owned());
                visitor.visit_enum(word.into_deserializer())
            }
            other => Err(Error::custom(format_args!(
                "invalid type: {}, expected {}",
                kind(&other),
                variants.iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(" or ")
            ))),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "binary data".to_owned(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(number) => format!("number `{number}`"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "dictionary".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
        T::deserialize(Lenient(value)).ok()
    }

    #[test]
    fn an_integer_may_be_a_text_or_a_real_and_nothing_else() {
        for meant in [json!(3260), json!("3260"), json!(" 3260 "), json!("0xcbc"), json!(3260.0), json!("3260.0")] {
            assert_eq!(read::<u16>(meant.clone()), Some(3260), "{meant}");
        }
        for no in [
            json!(""),
            json!("-1"),
            json!("+1"),
            json!("0x+1"),
            json!("1.5"),
            json!(1.5),
            json!(-1.0),
            json!(true),
            json!("70000"),
            json!(1e300),
            json!("three"),
            json!([1]),
        ] {
            assert_eq!(read::<u16>(no.clone()), None, "{no}");
        }
    }

    #[test]
    fn a_boolean_may_be_a_word_or_a_number() {
        for yes in [json!(true), json!(1), json!(1.0), json!("1"), json!("YES"), json!("true"), json!("On ")] {
            assert_eq!(read::<bool>(yes.clone()), Some(true), "{yes}");
        }
        for no in [json!(false), json!(0), json!(0.0), json!("0"), json!("NO"), json!("False"), json!("off")] {
            assert_eq!(read::<bool>(no.clone()), Some(false), "{no}");
        }
        for neither in [json!(2), json!(-1), json!("perhaps"), json!(""), json!([true]), json!({})] {
            assert_eq!(read::<bool>(neither.clone()), None, "{neither}");
        }
    }

    #[test]
    fn no_number_becomes_a_text() {
        assert_eq!(read::<String>(json!(123)), None, "it may have had a zero in front");
    }

    #[test]
    fn one_of_something_may_stand_for_an_array_of_it() {
        assert_eq!(read::<Vec<String>>(json!("MD5")), Some(vec!["MD5".to_owned()]));
        assert_eq!(read::<Vec<String>>(json!("SHA1, MD5")), Some(vec!["SHA1".to_owned(), "MD5".to_owned()]));
        assert_eq!(read::<Vec<String>>(json!("")), None);
        assert_eq!(read::<Vec<String>>(json!(5)), None);
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "PascalCase")]
    struct Place {
        address: String,
        port: Option<u16>,
    }

    #[test]
    fn a_portal_may_be_written_as_it_is_typed() {
        let place = |address: &str, port| Place { address: address.to_owned(), port };
        assert_eq!(read(json!("nas.example")), Some(place("nas.example", Some(3260))));
        assert_eq!(read(json!("[::1]:13260")), Some(place("::1", Some(13260))));
        assert_eq!(read(json!({"Address": "nas", "Port": "1"})), Some(place("nas", Some(1))));
        assert_eq!(read::<Place>(json!("a b")), None);
        assert_eq!(read(json!("a:1,b:2")), Some(vec![place("a", Some(1)), place("b", Some(2))]));
        assert_eq!(read(json!({"Address": "nas"})), Some(vec![place("nas", None)]));
    }

    #[test]
    fn one_of_a_few_words_may_be_written_as_on_the_command_line() {
        use crate::ipc::FlushPolicy;
        for word in ["OnCommit", "on-commit", "oncommit", "ON_COMMIT"] {
            assert_eq!(read(json!(word)), Some(FlushPolicy::OnCommit), "{word}");
        }
        assert_eq!(read::<FlushPolicy>(json!("later")), None);
        assert_eq!(read::<FlushPolicy>(json!(1)), None);
    }
}
