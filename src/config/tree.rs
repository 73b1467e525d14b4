//! A property list as a tree, with a limit on its depth and size.
//!
//! ```text
//!   bytes ── plist's events ──► Tree { serde_json::Value, what JSON cannot say }
//! ```
//! A binary property list may name one object many times, so that a few bytes make a tree without end;
//! a tree as deep as its file is long would run over the stack. Both are refused while they are read.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// The keys whose value is an array.
const ARRAYS: [&str; 2] = ["Portals", "Algorithms"];

/// How deep dictionaries and arrays may be in each other; the deepest key here is seven down.
const DEEPEST: u32 = 32;

/// How much memory a tree may take, in bytes, about.
const MOST: usize = 32 << 20;

/// What a value takes beside its text.
const VALUE: usize = 64;

thread_local! {
    /// What is left of [`DEEPEST`] and [`MOST`] for the tree that this thread reads: `plist` has no way
    /// to hand a seed down to the values in a value.
    static LEFT: Cell<(u32, usize)> = const { Cell::new((DEEPEST, MOST)) };
    /// Why the tree that this thread reads was refused: `plist` tells of it as `Debug` text alone.
    static REFUSED: Cell<Option<String>> = const { Cell::new(None) };
}

/// Before the text of a number that is none, on its way through `plist`: of its plane for private use, so no text has it.
const NO_NUMBER: char = '\u{f8ff0}';

/// Reads a property list in any of Apple's encodings. The error is a clause.
pub(super) fn read(bytes: &[u8]) -> Result<Tree, String> {
    let parse = |bytes: &[u8]| {
        LEFT.set((DEEPEST, MOST));
        REFUSED.set(None);
        plist::from_bytes::<Tree>(bytes)
    };
    // `plist` tells of a number that is none only where it is. As a text it gets as far as its key, which is then named.
    let tree = parse(bytes).or_else(|error| {
        let of_number =
            ["InvalidIntegerString", "InvalidRealString"].iter().any(|kind| error.to_string().contains(kind));
        match of_number.then(|| with_numbers_as_texts(bytes)).flatten() {
            Some(with_texts) => parse(&with_texts).map_err(|_| unreadable(bytes, &error)),
            None => Err(unreadable(bytes, &error)),
        }
    })?;
    if tree.value.is_object() { Ok(tree) } else { Err("its root is not a dictionary".to_owned()) }
}

/// Whether it was written as a number and is none.
pub(super) fn is_no_number(text: &str) -> bool {
    text.starts_with(NO_NUMBER)
}

/// A text that may be of a number that is none, for people.
pub(super) fn for_people(text: &str) -> String {
    text.replace(NO_NUMBER, "").replace(&NO_NUMBER.escape_debug().to_string(), "")
}

/// The same XML with each number that is none as a text that begins with [`NO_NUMBER`].
fn with_numbers_as_texts(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut rest = std::str::from_utf8(bytes).ok()?;
    // Room for all of it at once: a file of secrets leaves no copy behind.
    let mut whole = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_mul(3)));
    let mut mark = [0; 4];
    let mark: &str = NO_NUMBER.encode_utf8(&mut mark);
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        whole.extend_from_slice(before.as_bytes());
        let number = number(tag, "integer", |text| {
            text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() || hexadecimal(text)
        })
        .or_else(|| number(tag, "real", |text| text.parse::<f64>().is_ok()));
        match number {
            Some(Number { name, text, sound: true, length }) => {
                for part in ["<", name, ">", text, "</", name, ">"] {
                    whole.extend_from_slice(part.as_bytes());
                }
                rest = tag.get(length..)?;
            }
            Some(Number { text, length, .. }) => {
                for part in ["<string>", mark, text, "</string>"] {
                    whole.extend_from_slice(part.as_bytes());
                }
                rest = tag.get(length..)?;
            }
            None => {
                whole.push(b'<');
                rest = tag.get(1..)?;
            }
        }
    }
    whole.extend_from_slice(rest.as_bytes());
    Some(whole)
}

/// A number as it is written in XML.
struct Number<'a> {
    name: &'a str,
    text: &'a str,
    sound: bool,
    /// From its `<` to its last `>`.
    length: usize,
}

/// The number of that name that begins here.
fn number<'a>(tag: &'a str, name: &'a str, is_sound: impl Fn(&str) -> bool) -> Option<Number<'a>> {
    let inside = tag.strip_prefix('<')?.strip_prefix(name)?.trim_start();
    if let Some(rest) = inside.strip_prefix("/>") {
        return Some(Number { name, text: "", sound: false, length: tag.len() - rest.len() });
    }
    let (text, end) = inside.strip_prefix('>')?.split_once('<')?;
    let rest = end.strip_prefix('/')?.strip_prefix(name)?.trim_start().strip_prefix('>')?;
    let text = text.trim();
    Some(Number { name, text, sound: is_sound(text), length: tag.len() - rest.len() })
}

fn hexadecimal(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits.is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok() && !digits.starts_with('+'))
}

/// Why bytes are no tree, in words: those of the `plist` crate are for its developers.
fn unreadable(bytes: &[u8], error: &plist::Error) -> String {
    if bytes.trim_ascii().is_empty() {
        return "it is empty".to_owned();
    }
    if let Some(refused) = REFUSED.take() {
        return refused;
    }
    // It says no more of the place than this.
    let said = error.to_string();
    let offset = said.rsplit_once("(offset ").and_then(|(_, rest)| rest.trim_end_matches(')').parse::<usize>().ok());
    let whole = "it is not a whole property list";
    match offset.map(|offset| offset.min(bytes.len())) {
        Some(offset) if bytes.starts_with(b"bplist") => format!("{whole}: byte {offset} of the binary cannot be read"),
        _ if bytes.starts_with(b"bplist") => format!("{whole}: the binary cannot be read"),
        Some(offset) if bytes.trim_ascii_start().starts_with(b"<") || bytes.starts_with(b"\xef\xbb\xbf<") => {
            let before = bytes.get(..offset).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
            format!("{whole}: its XML cannot be read from line {line} on")
        }
        _ if bytes.trim_ascii_start().starts_with(b"<") => format!("{whole}: its XML cannot be read"),
        _ => format!("{whole}: it is neither XML nor a binary property list"),
    }
}

/// As much of a text as an error shows, and what tells that there is more.
pub(super) fn shortened(text: &str) -> (String, &'static str) {
    const LONGEST: usize = 64;
    let mut rest = text.chars();
    (rest.by_ref().take(LONGEST).collect(), if rest.next().is_some() { "…" } else { "" })
}

/// A text as it is shown in an error.
fn quoted(text: &str) -> String {
    let (shown, more) = shortened(&for_people(text));
    let shown: String = shown.chars().flat_map(char::escape_debug).collect();
    if shown.is_empty() { "empty".to_owned() } else { format!("`{shown}{more}`") }
}

/// Remembers why a tree is refused, and refuses it.
fn refuse<E: de::Error>(why: String) -> E {
    let error = E::custom(&why);
    REFUSED.set(Some(why));
    error
}

/// A value of so many bytes.
fn charge<E: de::Error>(bytes: usize) -> Result<(), E> {
    let (depth, left) = LEFT.get();
    match left.checked_sub(bytes.saturating_add(VALUE)) {
        Some(left) => {
            LEFT.set((depth, left));
            Ok(())
        }
        None => Err(refuse(format!("there is more in it than {MOST} bytes can hold"))),
    }
}

/// One step down into a dictionary or an array, and up again when it is dropped.
struct Step;

impl Step {
    fn down<E: de::Error>() -> Result<Step, E> {
        charge(0)?;
        let (depth, left) = LEFT.get();
        match depth.checked_sub(1) {
            Some(depth) => {
                LEFT.set((depth, left));
                Ok(Step)
            }
            None => Err(refuse(format!("it has more than {DEEPEST} dictionaries and arrays in each other"))),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let (depth, left) = LEFT.get();
        LEFT.set((depth.saturating_add(1), left));
    }
}

/// A property list as a tree, on the way to serde_json: its errors read well, those of the `plist`
/// crate are `Debug` text. What JSON cannot say, and a key that is there twice, is kept as a problem.
pub(super) struct Tree {
    pub(super) value: serde_json::Value,
    /// Path of the key, and what is wrong with it.
    pub(super) problem: Option<(Vec<String>, String)>,
}

impl Tree {
    fn sound(value: impl Into<serde_json::Value>) -> Tree {
        Tree { value: value.into(), problem: None }
    }

    /// The problem of a child, as its parent sees it.
    fn problem_at(self, key: &str) -> Option<(Vec<String>, String)> {
        self.problem.map(|(mut path, what)| {
            path.insert(0, key.to_owned());
            (path, what)
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Node;

        impl<'de> Visitor<'de> for Node {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a property list")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
                charge(0)?;
                Ok(Tree::sound(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
                charge(0)?;
                Ok(Tree::sound(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
                charge(0)?;
                Ok(Tree::sound(value))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
                charge(0)?;
                if !value.is_finite() {
                    // JSON has no such number, and would make nothing of it: then a default would be taken for what was meant.
                    let what = "a number without end, or none, which no key here takes".to_owned();
                    return Ok(Tree { value: serde_json::Value::Null, problem: Some((Vec::new(), what)) });
                }
                Ok(Tree::sound(value))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
                charge(value.len())?;
                if is_no_number(value) {
                    // Whatever takes a text there must not take it for one.
                    let problem = Some((Vec::new(), format!("is {}, which is no number", quoted(value))));
                    return Ok(Tree { value: value.into(), problem });
                }
                Ok(Tree::sound(value))
            }

            fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Tree, E> {
                charge(value.len())?;
                let what = "binary data, which no key here takes".to_owned();
                Ok(Tree { value: serde_json::Value::Null, problem: Some((Vec::new(), what)) })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let _step = Step::down()?;
                let mut values = Vec::new();
                let mut problem = None;
                while let Some(mut item) = items.next_element::<Tree>()? {
                    let value = item.value.take();
                    if value.is_array() {
                        item.problem = Some((Vec::new(), "an array, where none belongs".to_owned()));
                    }
                    values.push(value);
                    problem = problem.or(item.problem_at(&values.len().to_string()));
                }
                Ok(Tree { value: serde_json::Value::Array(values), problem })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
                let _step = Step::down()?;
                let mut values = serde_json::Map::new();
                let mut problem = None;
                while let Some((key, mut entry)) = entries.next_entry::<String, Tree>()? {
                    charge(key.len())?;
                    let value = entry.value.take();
                    problem = problem.or(entry.problem_at(&key));
                    if value.is_array() && !ARRAYS.contains(&key.as_str()) {
                        // serde would take an array for a structure, by position.
                        problem = problem.or(Some((vec![key.clone()], "an array, where none belongs".to_owned())));
                    }
                    if values.insert(key.clone(), value).is_some() {
                        problem = problem.or(Some((vec![key], "the key is there twice".to_owned())));
                    }
                }
                Ok(Tree { value: serde_json::Value::Object(values), problem })
            }
        }

        deserializer.deserialize_any(Node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        read(body.as_bytes()).err().expect("refused")
    }

    #[test]
    fn a_tree_as_deep_as_its_file_is_long_is_refused() {
        let deep = format!("<plist version=\"1.0\"><dict><key>a</key>{}", "<array>".repeat(100_000));
        assert!(error(&deep).contains("more than 32 dictionaries and arrays in each other"), "{}", error(&deep));
    }

    // check: plist-unreadable-words
    #[test]
    fn what_cannot_be_read_is_told_in_words_and_where_it_is() {
        assert_eq!(error(""), "it is empty");
        assert_eq!(error(" \n"), "it is empty");
        let line =
            "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n<key>a</key>\n<data>x</data>\n</dict></plist>";
        assert_eq!(error(line), "it is not a whole property list: its XML cannot be read from line 5 on");
        assert_eq!(error("junk\u{0}"), "it is not a whole property list: it is neither XML nor a binary property list");
        let pieces = ["bplist00", "<plist", "<plist version=\"1.0\"><dict><key>a</key>", "{ \"a\": 1 }"];
        for piece in pieces {
            let error = error(piece);
            assert!(error.starts_with("it is not a whole property list: "), "{piece}: {error}");
            for debug in ["(", "{", "Error", "Unexpected", "Eof"] {
                assert!(!error.contains(debug), "{piece}: {error}");
            }
        }
    }

    #[test]
    fn few_bytes_that_make_a_tree_without_end_are_refused() {
        // Object 0 is a dictionary, 1 its key; each of the others an array that names the next one eight times.
        let levels = 24_u8;
        let mut bytes = b"bplist00".to_vec();
        let arrays = (0..levels).map(|level| [&[0xa8][..], &[level + 3; 8]].concat());
        let objects = [vec![0xd1, 1, 2], vec![0x51, b'a']].into_iter().chain(arrays).chain([vec![0x09]]);
        let mut offsets = Vec::new();
        for object in objects {
            offsets.push(bytes.len() as u16);
            bytes.extend_from_slice(&object);
        }
        let table = bytes.len() as u64;
        bytes.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 2, 1]);
        for number in [offsets.len() as u64, 0, table] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let error = read(&bytes).err().expect("refused");
        assert!(error.contains("more in it than"), "{error}");
    }
}
