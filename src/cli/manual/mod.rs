//! The manual pages, made from what the program itself goes by.
//!
//! ```text
//!   options, cli::args (clap) ──► command ──► iscsid(8), iscsictl(8)
//!   config::dictionaries ──────► settings ──► iscsid.plist(5)
//! ```
//! Packages are built from `iscsictl man`, which is not for people and so not in the help.

mod command;
mod settings;
mod text;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::args;
use crate::options::Options;

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

fn built(mut command: Command) -> Command {
    command.build();
    command
}
