//! The parts that pages are made of, in the words of man(7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roff::{Inline, Roff, bold, italic, roman};

/// What was changed in which release, and when that was.
const CHANGES: &str = include_str!("../../../CHANGELOG.md");

/// What the pages belong to.
const SOURCE: &str = concat!("iscsid ", env!("CARGO_PKG_VERSION"));

/// The date of a page: as who builds it says (<https://reproducible-builds.org/specs/source-date-epoch/>), else that of
/// the last release, as a heading of the list of changes has it, else today.
fn date() -> String {
    let of = |time: SystemTime| plist::Date::from(time).to_xml_format().chars().take("2026-11-30".len()).collect();
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.trim().parse().ok());
    if let Some(time) = said.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))) {
        return of(time);
    }
    released(CHANGES).map_or_else(|| of(SystemTime::now()), str::to_owned)
}

/// `2026-12-24` of `## 0.2.0 - 2026-12-24`, the first one.
fn released(changes: &str) -> Option<&str> {
    let dates = changes.lines().filter_map(|line| line.strip_prefix("## ")?.rsplit(' ').next());
    dates.into_iter().find(|word| {
        let parts: Vec<&str> = word.split('-').collect();
        parts.iter().map(|part| part.len()).eq([4, 2, 2])
            && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The head of a page.
pub(super) fn begin(name: &str, section: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name.to_uppercase().as_str(), section, date().as_str(), SOURCE]);
    page.control("SH", ["NAME"]);
    page.text([roff::roman(format!("{name} - {about}"))]);
    page
}

/// Paragraphs: those with indented lines are set as they are, the others as text.
pub(super) fn paragraphs(page: &mut Roff, text: &str) {
    // The indentation of the first line says what it is.
    for (number, paragraph) in text.trim_end().trim_start_matches('\n').split("\n\n").enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        lines(page, paragraph);
    }
}

fn lines(page: &mut Roff, paragraph: &str) {
    let mut set = false;
    for line in paragraph.lines() {
        let indented = line.starts_with(' ');
        if indented != set {
            if indented {
                page.control("RS", ["4"]).control("nf", []);
            } else {
                page.control("fi", []).control("RE", []);
            }
            set = indented;
        }
        if indented {
            page.text([roff::roman(line.strip_prefix("  ").unwrap_or(line))]);
        } else {
            prose(page, line);
        }
    }
    if set {
        page.control("fi", []).control("RE", []);
    }
}

/// A list of things and what they are: lines of `  THING  what it is`.
pub(super) fn tagged(page: &mut Roff, text: &str, tag: fn(String) -> Inline) {
    for line in text.lines() {
        let (thing, what) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        page.control("TP", []);
        page.text([tag(thing.to_owned())]);
        prose(page, what);
    }
}

/// A file, or a directory.
pub(super) fn file(name: String) -> Inline {
    italic(name)
}

/// A number, or a word that is typed.
pub(super) fn word(name: String) -> Inline {
    bold(name)
}

/// Text to be filled, in source lines of at most 80 characters: readers of a page's source, `mandoc -T lint`
/// first of all, expect that. What is in backticks is bold, as commands are in pages.
pub(super) fn prose(page: &mut Roff, text: &str) {
    let mut line: Vec<Inline> = Vec::new();
    let mut width = 0;
    let mut typed = false;
    for word in text.split_whitespace() {
        let mut pieces = Vec::new();
        let mut length = 0;
        for (number, piece) in word.split('`').enumerate() {
            typed ^= number > 0;
            if !piece.is_empty() {
                length += width_of(piece) + if typed { 6 } else { 0 };
                pieces.push(if typed { bold(piece) } else { roman(piece) });
            }
        }
        if width > 0 && width + 1 + length > 78 {
            page.text(std::mem::take(&mut line));
            width = 0;
        }
        if width > 0 {
            line.push(roman(" "));
        }
        line.append(&mut pieces);
        width += 1 + length;
    }
    if !line.is_empty() {
        page.text(line);
    }
}

/// How long a text is as roff writes it: a dash has a backslash, an apostrophe is a string of its own.
fn width_of(text: &str) -> usize {
    let width = |c: char| match c {
        '-' => 2,
        '\'' => 5,
        _ => 1,
    };
    text.chars().map(width).sum()
}

/// Examples: what one wants, and what one types.
pub(super) fn examples(page: &mut Roff, examples: &[(&str, &str)]) {
    page.control("SH", ["EXAMPLES"]);
    for (number, (what, typed)) in examples.iter().enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        prose(page, what);
        page.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in typed.lines() {
            page.text([roff::bold(line)]);
        }
        page.control("fi", []).control("RE", []);
    }
}

/// Other pages.
pub(super) fn see_also(page: &mut Roff, others: &[(&str, &str)]) {
    page.control("SH", ["SEE ALSO"]);
    for (number, (name, section)) in others.iter().enumerate() {
        let comma = if number + 1 < others.len() { "," } else { "" };
        page.control("BR", [*name, &format!("({section}){comma}")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_bold_and_what_follows_is_not() {
        let mut page = Roff::new();
        prose(&mut page, "see `iscsictl login`, or not");
        let text = page.render();
        assert!(text.contains("see \\fBiscsictl\\fR \\fBlogin\\fR, or not"), "{text}");
        assert!(!text.contains('`'), "{text}");
    }

    #[test]
    fn the_date_is_that_of_the_last_release() {
        let changes = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-24\n\n## 0.1.0 - 2026-11-01\n";
        assert_eq!(released(changes), Some("2026-12-24"));
        assert_eq!(released("## Unreleased\n## 0.1.0\n"), None);
    }
}
