//! iscsid(8) and iscsictl(8), from the definitions that command lines are read with.

use clap::{Arg, Command};
use roff::{Roff, bold, italic, roman};

use super::text::{begin, examples, file, paragraphs, prose, see_also, tagged, word};

/// iscsid(8).
pub(super) fn daemon(command: &Command) -> String {
    let mut page = begin("iscsid", "8", &about(command).to_lowercase_first());
    page.control("SH", ["SYNOPSIS"]);
    synopsis(&mut page, command, "iscsid");
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut page, &long_about(command));
    page.control("SH", ["OPTIONS"]);
    arguments(&mut page, command.get_arguments());
    page.control("SH", ["SIGNALS"]);
    paragraphs(
        &mut page,
        "SIGTERM and SIGINT end it: what is written is flushed and all targets are logged out of, in fifty seconds at most; \
         another signal meanwhile ends it at once. On a Mac that is shut down or restarted, disks are unmounted first, \
         whoever uses them. SIGINT (Ctrl-C) waits while a disk is in use that would fail without iscsid, \
         as loop devices do, and the log says who uses it; a second one does not wait. If iscsid has ended under such a disk, its \
         exit status is 75, and the next iscsid logs in to its target again. At SIGHUP iscsid opens its log \
         again, where that is a file: it may have been put aside.",
    );
    examples(
        &mut page,
        &[
            ("In a terminal, with everything in the log:", "sudo iscsid --log debug"),
            (
                "As a user without privileges; its disks are reached by NBD:",
                "iscsid --config ~/iscsid.plist --runtime-dir /tmp/iscsid-me",
            ),
            ("Started by launchd on a Mac, from now on and at every boot:", "sudo brew services start iscsid"),
        ],
    );
    page.control("SH", ["EXIT STATUS"]);
    paragraphs(&mut page, "As that of iscsictl(8): the codes of sysexits.h.");
    see_also(&mut page, &[("iscsictl", "8"), ("iscsid.plist", "5")]);
    page.render()
}

/// iscsictl(8): all commands in one page, so that it can be searched.
pub(super) fn control(command: &Command) -> String {
    let mut page = begin("iscsictl", "8", &about(command).to_lowercase_first());
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("iscsictl"), roman(" ["), italic("OPTIONS"), roman("] "), italic("COMMAND"), roman(" …")]);
    page.control("SH", ["DESCRIPTION"]);
    let more = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut description = long_about(command);
    for paragraph in more.split("\n\n") {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        match HEADS.iter().find(|(head, _)| *head == first) {
            Some((_, section)) => sections.push((section, rest.to_owned())),
            None => description.extend(["\n\n", paragraph]),
        }
    }
    paragraphs(&mut page, &description);
    page.control("SH", ["OPTIONS"]);
    arguments(&mut page, command.get_arguments());
    page.control("SH", ["COMMANDS"]);
    leaves(&mut page, command);
    examples(
        &mut page,
        &[
            (
                "The first disk, from a NAS at nas.example:",
                "iscsictl discover nas.example --add\niscsictl login iqn.2001-04.com.example:disk1\niscsictl list luns",
            ),
            (
                "A target that asks for a name and a secret (it is asked for, and never shown):",
                "iscsictl modify target iqn.2001-04.com.example:disk1 --chap-name jo --chap-secret",
            ),
            ("Whenever iscsid starts:", "iscsictl modify target iqn.2001-04.com.example:disk1 --auto-login yes"),
            (
                "Checksums of everything, against bits that a network or a target turns over (not against attackers, since they have no key):",
                "iscsictl modify target iqn.2001-04.com.example:disk1 --header-digest CRC32C --data-digest CRC32C",
            ),
            ("For a script:", "iscsictl list luns --format json"),
            ("Does it work at all, on this machine, without a NAS?", "iscsictl selftest"),
        ],
    );
    for (section, text) in sections.iter().filter(|(section, _)| *section != "EXAMPLES") {
        page.control("SH", [*section]);
        match *section {
            "EXIT STATUS" => tagged(&mut page, text, word),
            "FILES" => tagged(&mut page, text, file),
            _ => paragraphs(&mut page, text),
        }
    }
    see_also(&mut page, &[("iscsid", "8"), ("iscsid.plist", "5")]);
    page.render()
}

/// Paragraphs of the long help that are sections of the page.
const HEADS: [(&str, &str); 3] = [
    ("The first disk, from a NAS at nas.example:", "EXAMPLES"),
    ("Exit codes (sysexits.h):", "EXIT STATUS"),
    ("Files:", "FILES"),
];

/// Each command that does something, with its options.
fn leaves(page: &mut Roff, command: &Command) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if sub.has_subcommands() {
            leaves(page, sub);
            continue;
        }
        let name = sub.get_bin_name().unwrap_or(sub.get_name());
        page.control("SS", [name.strip_prefix("iscsictl ").unwrap_or(name)]);
        synopsis(page, sub, name);
        page.control("PP", []);
        paragraphs(page, &format!("{}.", long_about(sub).trim_end_matches('.')));
        arguments(
            page,
            sub.get_arguments()
                .filter(|argument| !argument.is_global_set() || argument.get_id() == "format")
                .filter(|argument| argument.get_id() != "help"),
        );
        if let Some(help) = sub.get_after_help() {
            page.control("PP", []);
            paragraphs(page, &help.to_string());
        }
    }
}

/// The usage line of `--help`.
fn synopsis(page: &mut Roff, command: &Command, name: &str) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    match usage.strip_prefix(name) {
        Some(rest) => page.text([bold(name), roman(rest)]),
        None => page.text([roman(usage)]),
    };
}

fn arguments<'a>(page: &mut Roff, arguments: impl Iterator<Item = &'a Arg>) {
    let mut heading = None;
    for argument in arguments.filter(|argument| !argument.is_hide_set()) {
        if argument.get_help_heading() != heading {
            heading = argument.get_help_heading();
            page.control("PP", []);
            page.text([roman(format!("{}:", heading.unwrap_or("Others")))]);
        }
        page.control("TP", []);
        page.text(typed(argument));
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let mut said = format!("{}.", help.trim().trim_end_matches('.'));
        let possible = argument.get_possible_values();
        if !argument.is_hide_possible_values_set() && !possible.is_empty() && takes_value(argument) {
            let values: Vec<String> = possible
                .iter()
                .filter(|value| !value.is_hide_set())
                .map(|value| match value.get_help() {
                    Some(help) => format!("{} ({})", value.get_name(), help.to_string().to_lowercase_first()),
                    None => value.get_name().to_owned(),
                })
                .collect();
            said.push_str(&format!(" One of {}.", values.join(", ")));
        }
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if takes_value(argument) && !defaults.is_empty() {
            said.push_str(&format!(" Default: {}.", defaults.join(",")));
        }
        if let Some(variable) = argument.get_env() {
            said.push_str(&format!(" In the environment: {}.", variable.to_string_lossy()));
        }
        for (number, paragraph) in said.split("\n\n").enumerate() {
            if number > 0 {
                page.control("IP", []);
            }
            prose(page, &format!("{}.", paragraph.trim_end_matches('.')));
        }
    }
}

/// An argument as one types it.
fn typed(argument: &Arg) -> Vec<roff::Inline> {
    let names = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = names.join(" ");
    if argument.is_positional() {
        return vec![italic(value)];
    }
    let mut words = Vec::new();
    if let Some(short) = argument.get_short() {
        words.extend([bold(format!("-{short}")), roman(", ")]);
    }
    words.push(bold(format!("--{}", argument.get_long().unwrap_or(argument.get_id().as_str()))));
    if takes_value(argument) {
        let optional = argument.get_num_args().is_some_and(|range| range.min_values() == 0);
        words.push(roman(if optional { " [" } else { " " }));
        words.push(italic(value));
        words.push(roman(if optional { "]" } else { "" }));
    }
    words
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.takes_values())
}

fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    about.trim_end_matches('.').to_owned()
}

fn long_about(command: &Command) -> String {
    command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default()
}

trait LowercaseFirst {
    /// The same with a small first letter, unless the second is a capital too.
    fn to_lowercase_first(&self) -> String;
}

impl LowercaseFirst for str {
    fn to_lowercase_first(&self) -> String {
        let mut letters = self.chars();
        match (letters.next(), letters.clone().next()) {
            (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
                first.to_lowercase().chain(letters).collect()
            }
            _ => self.to_owned(),
        }
    }
}
