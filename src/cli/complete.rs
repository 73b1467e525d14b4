//! What may follow on a command line, for shells: commands, options, values, and the names of what is there.
//!
//! ```text
//!   shell ── iscsictl complete PROGRAM -- WORDS… ──► the definitions of the options ─┐
//!            a line for each candidate, its purpose after a tab ◄── what iscsid has ◄┘
//! ```
//! The words of the shells' scripts are here and not in them, since what a target is called only iscsid knows. The part
//! of `clap_complete` for that is not stable yet, and its script for bash breaks names at their colons.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use nix::ifaddrs::getifaddrs;

use super::args::{Maker, Program, Typed};
use super::client::Client;
use crate::config::ALGORITHMS;
use crate::ipc::{Reply, Request};
use crate::options::Options;
use crate::printable::is_harmful;
use crate::usage;

/// A shell waits, and its user with it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a shell needs: the script that asks here, or, for shells that we have none for, one of words alone.
pub(super) fn script(shell: Shell, command: &mut Command) -> Vec<u8> {
    match shell {
        Shell::Bash => include_bytes!("complete/iscsictl.bash").to_vec(),
        Shell::Zsh => include_bytes!("complete/iscsictl.zsh").to_vec(),
        Shell::Fish => include_bytes!("complete/iscsictl.fish").to_vec(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, command, "iscsictl", &mut script);
            script
        }
    }
}

/// What a line of one of our programs is of, and its words behind that.
pub(super) fn definitions(program: Program, words: &[String]) -> (Command, &[String]) {
    let after = |first: &str| words.split_first().filter(|(word, rest)| *word == first && !rest.is_empty());
    let line = match program {
        Program::Iscsictl => Some(words),
        Program::Iscsid => after("ctl").map(|(_, rest)| rest),
    };
    let Some(line) = line else { return (Options::command(), words) };
    let makers = Maker::command();
    let maker = line.first().filter(|_| line.len() > 1).and_then(|word| makers.find_subcommand(word));
    match line.split_first() {
        _ if maker.is_some_and(|maker| !maker.is_hide_set()) => (makers, line),
        Some((first, rest)) if first == "help" && !rest.is_empty() => (Typed::command(), rest),
        _ => (Typed::command(), line),
    }
}

/// What may be there: asked only where it is wanted.
pub(super) trait Things {
    /// What iscsid answers; nothing where it does not.
    fn ask(&self, request: &Request) -> Option<Reply>;
    /// The network interfaces of this machine.
    fn interfaces(&self) -> Vec<String>;
}

/// This machine, and the daemon of the first of these runtime directories that has one.
pub(super) struct Machine(pub(super) Vec<PathBuf>);

impl Things for Machine {
    fn ask(&self, request: &Request) -> Option<Reply> {
        let mut client = Client::connect(&self.0).ok()?;
        client.be_patient_for(PATIENCE).ok()?;
        client.ask(request, &mut |_| {}).ok()
    }

    fn interfaces(&self) -> Vec<String> {
        getifaddrs().map(|all| all.map(|entry| entry.interface_name).collect()).unwrap_or_default()
    }
}

/// What may follow the words, of which the last one has been begun: a candidate a line, its purpose after a tab; or
/// `:files` or `:directories`.
pub(super) fn candidates(command: &Command, words: &[String], things: &dyn Things) -> String {
    let Some((begun, before)) = words.split_last() else { return String::new() };
    let (_, here) = usage::named(command, before);
    let globals = command.get_arguments().filter(|argument| argument.is_global_set());
    let options: Vec<&Arg> = here.get_arguments().chain(globals).filter(|argument| !argument.is_hide_set()).collect();
    let option = |word: &str| {
        let name = word.strip_prefix("--")?;
        options.iter().find(|option| option.get_long() == Some(name)).copied()
    };
    let takes_value = |option: &&Arg| option.get_action().takes_values();
    if let Some((name, value)) = begun.split_once('=').filter(|(name, _)| name.starts_with("--")) {
        let Some(option) = option(name).filter(takes_value) else { return String::new() };
        return shown(values(option, before, things), value, &format!("{name}="));
    }
    if let Some(option) = before.last().and_then(|word| option(word)).filter(takes_value) {
        return shown(values(option, before, things), begun, "");
    }
    if begun.starts_with('-') {
        let named = options.iter().filter_map(|option| {
            let purpose = option.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{}", option.get_long()?), purpose))
        });
        return shown(Found::Words(named.collect()), begun, "");
    }
    if here.has_subcommands() {
        let next = here
            .get_subcommands()
            .filter(|next| !next.is_hide_set())
            .map(|next| (next.get_name().to_owned(), next.get_about().map(ToString::to_string).unwrap_or_default()));
        return shown(Found::Words(next.collect()), begun, "");
    }
    // Which of the words without a dash the next one is.
    let mut count = 0_usize;
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if option(word).filter(takes_value).is_some() {
            words.next();
        } else if !word.starts_with('-') {
            count = count.saturating_add(1);
        }
    }
    let depth = usage::named(command, before).0.split(' ').count().saturating_sub(1);
    match here.get_positionals().nth(count.saturating_sub(depth)) {
        Some(argument) => shown(values(argument, before, things), begun, ""),
        None => String::new(),
    }
}

/// What may be there.
enum Found {
    Files,
    Directories,
    /// Candidates, and what they are.
    Words(Vec<(String, String)>),
}

fn values(argument: &Arg, before: &[String], things: &dyn Things) -> Found {
    let plain = |words: &[&str]| Found::Words(words.iter().map(|word| ((*word).to_owned(), String::new())).collect());
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        let all = possible.iter().filter(|value| !value.is_hide_set());
        let word = |value: &clap::builder::PossibleValue| {
            (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default())
        };
        return Found::Words(all.map(word).collect());
    }
    let name = argument.get_value_names().unwrap_or_default().first().map(ToString::to_string).unwrap_or_default();
    match (name.as_str(), argument.get_id().as_str()) {
        ("FILE" | "SOCKET", _) => Found::Files,
        ("DIRECTORY", _) => Found::Directories,
        ("YES|NO", _) => plain(&["yes", "no"]),
        ("Yes|No", _) => plain(&["Yes", "No"]),
        ("CRC32C|None", _) => plain(&["CRC32C", "None", "CRC32C,None", "None,CRC32C"]),
        ("WHETHER", _) => plain(&["auto", "yes", "no"]),
        ("ALGORITHM,…", _) => plain(&ALGORITHMS),
        ("FILTER", _) => plain(&["error", "warn", "info", "debug", "trace"]),
        ("INTERFACE", _) => Found::Words(things.interfaces().into_iter().map(|name| (name, String::new())).collect()),
        ("IQN", _) if before.first().is_none_or(|word| word != "add") && argument.is_positional() => {
            let Some(Reply::Targets(targets)) = things.ask(&Request::ListTargets) else { return plain(&[]) };
            let word = |target: crate::ipc::Target| {
                let portals: Vec<String> = target.portals.iter().map(|portal| portal.address.clone()).collect();
                (target.name, portals.join(", "))
            };
            Found::Words(targets.into_iter().map(word).collect())
        }
        ("PORTAL", _) if before.first().is_none_or(|word| word != "add") => portals(before, things),
        ("NUMBER", "session") => {
            let Some(Reply::Sessions(sessions)) = things.ask(&Request::ListSessions) else { return plain(&[]) };
            Found::Words(sessions.into_iter().map(|session| (session.id.to_string(), session.target)).collect())
        }
        ("NUMBER", "lun") => {
            let Some(Reply::Luns(luns)) = things.ask(&Request::ListLuns) else { return plain(&[]) };
            let of_target = luns.into_iter().filter(|lun| before.contains(&lun.target));
            Found::Words(
                of_target.map(|lun| (lun.lun.to_string(), format!("{} {}", lun.vendor, lun.product))).collect(),
            )
        }
        _ => plain(&[]),
    }
}

/// The portals of the target on the line, or those that are asked.
fn portals(before: &[String], things: &dyn Things) -> Found {
    let mut found = BTreeMap::new();
    if before.iter().any(|word| word == "discovery-portal") {
        if let Some(Reply::DiscoveryPortals(portals)) = things.ask(&Request::ListDiscoveryPortals) {
            found.extend(portals.iter().map(|portal| (typed(&portal.address, portal.port), String::new())));
        }
    } else if let Some(Reply::Targets(targets)) = things.ask(&Request::ListTargets) {
        for target in targets.into_iter().filter(|target| before.contains(&target.name)) {
            found.extend(target.portals.iter().map(|portal| (typed(&portal.address, portal.port), String::new())));
        }
    }
    Found::Words(found.into_iter().collect())
}

fn typed(address: &str, port: u16) -> String {
    crate::config::endpoint(address, port)
}

/// Those that begin so, a line each; nothing of what a target has said ends its line or reaches the terminal.
fn shown(found: Found, begun: &str, prefix: &str) -> String {
    let words = match found {
        Found::Files => return ":files\n".to_owned(),
        Found::Directories => return ":directories\n".to_owned(),
        Found::Words(words) => words,
    };
    let harmless = |text: &str| text.chars().filter(|c| !is_harmful(*c)).collect::<String>();
    let fits = words.into_iter().filter(|(word, _)| {
        word.get(..begun.len()).is_some_and(|start| start.eq_ignore_ascii_case(begun)) && !word.contains(is_harmful)
    });
    fits.map(|(word, purpose)| match harmless(&purpose) {
        purpose if purpose.is_empty() => format!("{prefix}{word}\n"),
        purpose => format!("{prefix}{word}\t{purpose}\n"),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{DiscoveryPortal, Origin, Portal, Target};

    const DISK: &str = "iqn.2026-11.org.example:disk1";

    struct Scene;

    impl Things for Scene {
        fn ask(&self, request: &Request) -> Option<Reply> {
            let portal = Portal {
                address: "2001:db8::1".into(),
                port: 3260,
                interface: "default".into(),
                group_tag: None,
                cid: None,
            };
            match request {
                Request::ListTargets => Some(Reply::Targets(
                    [DISK, "iqn.2026-11.org.example:evil\nword"]
                        .map(|name| Target {
                            name: name.into(),
                            alias: None,
                            origin: Origin::Static,
                            auto_login: false,
                            portals: vec![portal.clone()],
                            session: None,
                        })
                        .into(),
                )),
                Request::ListDiscoveryPortals => Some(Reply::DiscoveryPortals(vec![DiscoveryPortal {
                    address: "nas".into(),
                    port: 3261,
                    interface: "default".into(),
                    targets: vec![],
                    problem: None,
                }])),
                _ => None,
            }
        }

        fn interfaces(&self) -> Vec<String> {
            vec!["lo".into(), "eth0".into()]
        }
    }

    /// The candidates for a line, without what they are.
    fn found(program: Program, line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (mut command, words) = definitions(program, &words);
        command.build();
        let lines = candidates(&command, words, &Scene);
        lines.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    // check: completions-names
    #[test]
    fn what_may_follow_is_what_is_there_and_a_file_only_where_one_is_meant() {
        let ours = |line: &str| found(Program::Iscsictl, line);
        assert!(ours("").contains(&"login".to_owned()) && ours("").contains(&"doctor".to_owned()));
        assert_eq!(ours("lo"), ["login", "logout"]);
        assert_eq!(ours("list "), ["targets", "luns", "sessions", "discovery-portals"]);
        assert_eq!(ours("list lu"), ["luns"]);
        assert_eq!(ours("list luns --format "), ["table", "plist", "json"]);
        assert_eq!(ours("list luns --format=j"), ["--format=json"]);
        // A name with a line's end in it is no word to be typed.
        for line in ["login ", "login iqn", "show target ", "modify target IQN", "bench ", "logout --force "] {
            assert_eq!(ours(line), [DISK], "{line}");
        }
        assert!(ours("add target ").is_empty(), "a new one");
        assert_eq!(ours(&format!("login {DISK} --portal ")), ["[2001:db8::1]:3260"]);
        assert_eq!(ours("remove discovery-portal "), ["nas:3261"]);
        assert_eq!(ours("add target x --portal a --interface "), ["lo", "eth0"]);
        assert_eq!(ours(&format!("modify target {DISK} --auto-login ")), ["yes", "no"]);
        assert_eq!(ours(&format!("modify target {DISK} --auto-login y")), ["yes"]);
        assert_eq!(ours(&format!("modify target {DISK} --header-digest c")), ["CRC32C", "CRC32C,None"]);
        assert!(ours(&format!("modify target {DISK} --chap")).contains(&"--chap-secret".to_owned()));
        assert!(ours(&format!("login {DISK} ")).is_empty(), "that is all");
        assert_eq!(ours("import "), [":files"]);
        assert_eq!(ours("--runtime-dir "), [":directories"]);
        assert!(ours("discover ").is_empty(), "a host is no file");
        assert!(ours("completions ").contains(&"zsh".to_owned()), "{:?}", ours("completions "));
        assert_eq!(ours("completions ba"), ["bash"]);
        assert_eq!(ours("man "), [":directories"]);
        assert_eq!(ours("help lo"), ["login", "logout"]);
        assert_eq!(ours("help modify "), ["target", "initiator", "discovery"]);
        let daemons = |line: &str| found(Program::Iscsid, line);
        assert_eq!(daemons("ctl list lu"), ["luns"]);
        assert_eq!(daemons("ctl completions ba"), ["bash"]);
        assert_eq!(daemons("--config "), [":files"]);
        assert_eq!(daemons("--bridge "), ["auto", "kext", "user"]);
        assert_eq!(daemons("--br"), ["--bridge"]);
    }
}
