//! The parts that pages are made of, in the words of man(7).

use roff::Roff;

/// When the words of the pages were last changed.
const REVISED: &str = "2026-11-26";

/// What the pages belong to.
const SOURCE: &str = concat!("iscsid ", env!("CARGO_PKG_VERSION"));

/// The head of a page.
pub(super) fn begin(name: &str, section: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name.to_uppercase().as_str(), section, REVISED, SOURCE]);
    page.control("SH", ["NAME"]);
    page.text([roff::roman(format!("{name} - {about}"))]);
    page
}

/// Paragraphs: those with indented lines are set as they are, the others as text.
pub(super) fn paragraphs(page: &mut Roff, text: &str) {
    for (number, paragraph) in text.trim().split("\n\n").enumerate() {
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

/// Text to be filled, in source lines of at most 80 characters: readers of a page's source, `mandoc -T lint`
/// first of all, expect that.
pub(super) fn prose(page: &mut Roff, text: &str) {
    let (mut line, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        // As roff writes them: a dash has a backslash, an apostrophe is a string of its own.
        let length: usize = word
            .chars()
            .map(|c| {
                if c == '-' {
                    2
                } else if c == '\'' {
                    5
                } else {
                    1
                }
            })
            .sum();
        if width > 0 && width + 1 + length > 78 {
            page.text([roff::roman(std::mem::take(&mut line))]);
            width = 0;
        }
        if width > 0 {
            line.push(' ');
        }
        line.push_str(word);
        width += 1 + length;
    }
    if !line.is_empty() {
        page.text([roff::roman(line)]);
    }
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
