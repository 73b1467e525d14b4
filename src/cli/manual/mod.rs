//! The manual pages and the completions for shells, made from what the program itself goes by.
//!
//! ```text
//!   options, cli::args (clap) ──► command ──► iscsid(8), iscsictl(8)
//!                             └─► clap_complete ──► bash, zsh, fish
//!   config::dictionaries ──────► settings ──► iscsid.plist(5)
//! ```
//! Packages are built from `iscsictl man` and `iscsictl completions`, which are not for people and so not
//! in the help.

mod command;
mod settings;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use roff::Roff;

use super::args;
use crate::options::Options;

/// When the words of the pages were last changed.
const REVISED: &str = "2026-11-26";

/// What the pages belong to.
const SOURCE: &str = concat!("iscsid ", env!("CARGO_PKG_VERSION"));

/// A manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name, such as `iscsid`.
    pub name: &'static str,
    /// The section of the manual it is in.
    pub section: u8,
    /// Its source, for man(7).
    pub text: String,
}

/// All of them.
pub fn pages() -> Vec<Page> {
    vec![
        Page { name: "iscsid", section: 8, text: command::daemon(&built(Options::command())) },
        Page { name: "iscsictl", section: 8, text: command::control(&built(args::Typed::command())) },
        Page { name: "iscsid.plist", section: 5, text: settings::page() },
    ]
}

/// Writes them to `directory`: `man5/iscsid.plist.5` and so on, as a manual's root has them.
///
/// # Errors
/// A directory or a file could not be written.
pub fn write(directory: &Path) -> io::Result<()> {
    for page in pages() {
        let section = directory.join(format!("man{}", page.section));
        fs::create_dir_all(&section)?;
        fs::write(section.join(format!("{}.{}", page.name, page.section)), page.text)?;
    }
    Ok(())
}

/// What a shell needs to complete `iscsictl`.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::Typed::command(), "iscsictl", &mut script);
    script
}

fn built(mut command: Command) -> Command {
    command.build();
    command
}

/// The head of a page.
fn begin(name: &str, section: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name.to_uppercase().as_str(), section, REVISED, SOURCE]);
    page.control("SH", ["NAME"]);
    page.text([roff::roman(format!("{name} - {about}"))]);
    page
}

/// Paragraphs: those with indented lines are set as they are, the others as text.
fn paragraphs(page: &mut Roff, text: &str) {
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
fn prose(page: &mut Roff, text: &str) {
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
fn examples(page: &mut Roff, examples: &[(&str, &str)]) {
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
fn see_also(page: &mut Roff, others: &[(&str, &str)]) {
    page.control("SH", ["SEE ALSO"]);
    for (number, (name, section)) in others.iter().enumerate() {
        let comma = if number + 1 < others.len() { "," } else { "" };
        page.control("BR", [*name, &format!("({section}){comma}")]);
    }
}
