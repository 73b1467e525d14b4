//! What a line of the command line means: requests for the daemon, and how to print what it answers.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::args::{
    Add, Attach, Bench, Chap, Command, Detach, Discover, Doctor, Format, Import, List, Listed, Load, Login, Logout,
    Maker, Modify, ModifyTarget, Program, Remove, Scope, Show, Shown, Stats, Typed, Which,
};
use super::keys::option_of;
use super::{import, legacy};
use crate::ipc::{
    self, ChapChanges, DiscoveryChanges, ExitCode, Failure, InitiatorChanges, Request, Rw, Secret, TargetChanges,
    Workload,
};
use crate::selftest::practice_target::Practice;
use crate::usage;

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Understood {
    /// What to do.
    pub(super) action: Action,
    /// How to print what comes of it.
    pub(super) format: Format,
    /// Where the daemon is, if that was said.
    pub(super) runtime_dir: Option<PathBuf>,
    /// Sentences for standard error beforehand.
    pub(super) notes: Vec<&'static str>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the daemon, one request after the other, as long as it succeeds.
    Ask(Vec<Request>),
    /// Do it here.
    Here(Local),
}

/// What is done here. Some of it asks the daemon as well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// Print a text: help, or the version.
    Text(String),
    /// The self-test, which needs no daemon.
    SelfTest,
    /// Find settings to take over, and hand them to the daemon.
    Import(import::Order),
    /// Write the manual pages into that directory.
    Manual(PathBuf),
    /// Be a target to practise on.
    PracticeTarget(Practice),
    /// Print what may follow on that program's line.
    Complete { program: Program, words: Vec<String> },
    /// Print what that shell needs to complete our lines.
    Completions(clap_complete::Shell),
    /// Examine that property list, or the usual one, and the daemon.
    Doctor(Option<PathBuf>),
}

/// Where a secret comes from that is not on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A line of standard input.
    StandardInput,
    /// The user, at the terminal.
    Prompt,
}

/// The note on a secret on the command line.
const SEEN: &str = "a secret on the command line is shown to everybody by `ps` while the command runs, and your shell may keep it; \
                    give no value to be asked for it, or `-` to have it read from standard input";

/// Gets a secret; the text says which.
pub(super) type Ask<'a> = &'a mut dyn FnMut(Source, &str) -> Result<Secret, Failure>;

/// Understands a line of any of the three grammars, without the program's name.
///
/// # Errors
/// The line is wrong; a sentence says how.
pub(super) fn understand(line: &[String], ask: Ask<'_>) -> Result<Understood, Failure> {
    let line = &asked(line);
    if line.first().is_some_and(|word| Maker::command().find_subcommand(word).is_some()) {
        return maker(line).map(here);
    }
    let legacy::Lines { lines, notes } = legacy::canonical(line)?;
    let mut understood =
        Understood { action: Action::Ask(Vec::new()), format: Format::default(), runtime_dir: None, notes };
    for line in lines {
        let words = std::iter::once("iscsictl").chain(line.iter().map(String::as_str));
        let typed = match Typed::try_parse_from(words) {
            Ok(typed) => typed,
            Err(error) => return refusal(&Typed::command(), &line, &error).map(here),
        };
        let (action, format) = action(typed.command, ask, &mut understood.notes)?;
        understood.format = format;
        understood.runtime_dir = typed.runtime_dir;
        match (&mut understood.action, action) {
            (Action::Ask(requests), Action::Ask(more)) => requests.extend(more),
            // The older grammars have no line that is done here and says more than one thing.
            (_, local) => {
                understood.action = local;
                return Ok(understood);
            }
        }
    }
    Ok(understood)
}

fn here(local: Local) -> Understood {
    Understood { action: Action::Here(local), format: Format::default(), runtime_dir: None, notes: Vec::new() }
}

fn maker(line: &[String]) -> Result<Local, Failure> {
    let words = std::iter::once("iscsictl").chain(line.iter().map(String::as_str));
    match Maker::try_parse_from(words) {
        Ok(Maker::Man { directory }) => Ok(Local::Manual(directory)),
        Ok(Maker::Complete { program, words }) => Ok(Local::Complete { program, words }),
        Ok(Maker::Completions { shell }) => Ok(Local::Completions(shell)),
        Ok(Maker::PracticeTarget { port, mebibytes, block_size }) => {
            Ok(Local::PracticeTarget(Practice { port, mebibytes, block_size }))
        }
        Err(error) => refusal(&Maker::command(), line, &error),
    }
}

/// `help` and `version`, as other programs have them, are our options.
fn asked(line: &[String]) -> Vec<String> {
    let help = || "--help".to_owned();
    match line.split_first() {
        Some((word, rest)) if word == "help" => {
            // Both are explained along with everything.
            let about = rest.iter().filter(|word| !["help", "version"].contains(&word.as_str()));
            about.cloned().chain([help()]).collect()
        }
        Some((word, [about])) if word == "version" && ["help", "--help", "-h"].contains(&about.as_str()) => {
            vec![help()]
        }
        Some((word, [])) if word == "version" => vec!["--version".to_owned()],
        _ => line.to_vec(),
    }
}

/// What clap has to say: a text that was asked for, or what is wrong, in one sentence.
fn refusal(command: &clap::Command, line: &[String], error: &clap::Error) -> Result<Local, Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Ok(Local::Text(error.to_string()));
    }
    let failure = usage::refusal(command, line, error);
    Err(match hint(command, line, error) {
        Some(hint) => failure.advice(hint),
        None => failure,
    })
}

/// What was meant, where that can be told from what `iscsictl` is for.
fn hint(command: &clap::Command, line: &[String], error: &clap::Error) -> Option<String> {
    let (name, here) = usage::named(command, line);
    let told = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument if here.get_arguments().any(|argument| argument.get_id() == "all") => {
            Some("name a target, or give --all for all of them".to_owned())
        }
        ErrorKind::InvalidSubcommand => {
            let word = told(ContextKind::InvalidSubcommand)?;
            let lower = word.to_ascii_lowercase();
            let is_name = ["iqn.", "eui.", "naa."].iter().any(|kind| lower.starts_with(kind));
            (is_name && here.find_subcommand("target").is_some())
                .then(|| format!("did you mean `{name} target {word}`?"))
        }
        ErrorKind::UnknownArgument => {
            let told = told(ContextKind::InvalidArg)?;
            // Of `-json`, clap names the first letter alone.
            let short = |word: &&String| word.starts_with(told) && !word.starts_with("--") && word.len() > 1;
            let (place, word) = match told.starts_with("--") {
                true => (line.iter().position(|word| word.starts_with(told)), told),
                false => (line.iter().position(|word| short(&word)), line.iter().find(short).map_or(told, |word| word)),
            };
            let dashed = word.trim_start_matches('-');
            let formats: Vec<&str> = Format::NAMES.to_vec();
            let follows = place.and_then(|place| line.get(place.checked_add(1)?)).map(String::as_str);
            let takes_format = here.get_arguments().any(|argument| argument.get_id() == "format");
            let format = [Some(dashed), follows].into_iter().flatten().find(|word| formats.contains(word));
            match format {
                Some(format) if takes_format => Some(format!("say `--format {format}`")),
                _ => option_of(word)
                    .filter(|option| here.get_arguments().any(|known| known.get_long() == option.strip_prefix("--")))
                    .map(|option| format!("did you mean `{option}`?"))
                    .or_else(|| setting(command, &name, word)),
            }
        }
        _ => None,
    }
}

/// Where a setting is set that another command was given: of a target, or, for discovery, of the initiator.
fn setting(command: &clap::Command, name: &str, word: &str) -> Option<String> {
    let long = word.strip_prefix("--")?;
    let (node, whose) = if name.ends_with(" discover") { ("initiator", "") } else { ("target", " IQN") };
    let modify = command.find_subcommand("modify")?.find_subcommand(node)?;
    let known = modify.get_arguments().find(|argument| argument.get_long() == Some(long))?;
    // A secret is asked for.
    let needs_value =
        known.get_action().takes_values() && known.get_num_args().is_none_or(|count| count.min_values() > 0);
    let value = known.get_value_names().and_then(|names| names.first()).filter(|_| needs_value);
    let value = value.map(|name| format!(" {name}"));
    let first =
        if name.ends_with(" add target") { "the target is added without it, and then: " } else { "that is said by " };
    Some(format!("{first}`iscsictl modify {node}{whose} {word}{}`", value.unwrap_or_default()))
}

fn wrong(message: &str) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

fn action(command: Command, ask: Ask<'_>, notes: &mut Vec<&'static str>) -> Result<(Action, Format), Failure> {
    let mut format = Format::default();
    let request = match command {
        Command::Add(Add::Target { target, portal, interface }) => Request::AddTarget { target, portal, interface },
        Command::Add(Add::DiscoveryPortal { portal, interface }) => Request::AddDiscoveryPortal { portal, interface },
        Command::Remove(Remove::Target { target, portal, force }) => Request::RemoveTarget { target, portal, force },
        Command::Remove(Remove::DiscoveryPortal { portal }) => Request::RemoveDiscoveryPortal { portal },
        Command::Modify(Modify::Target(modify)) => modify_target(*modify, ask, notes)?,
        Command::Modify(Modify::Initiator { name, alias, chap }) => {
            let changes = InitiatorChanges { name, alias, chap: chap_changes(chap, ask, notes)? };
            if changes == InitiatorChanges::default() {
                let hint = "`iscsictl modify initiator --help` lists the settings";
                return Err(wrong("there is nothing to change").advice(hint));
            }
            Request::ModifyInitiator(changes)
        }
        Command::Modify(Modify::Discovery { send_targets, interval }) => {
            let changes = DiscoveryChanges { send_targets, interval };
            if changes == DiscoveryChanges::default() {
                return Err(wrong("there is nothing to change").advice("give --send-targets or --interval"));
            }
            Request::ModifyDiscovery(changes)
        }
        Command::Discover(Discover { portal, interface, add, output }) => {
            format = output.format;
            Request::Discover { portal, interface, add }
        }
        Command::Login(Login { which: typed }) => Request::Login(which(typed)?),
        Command::Logout(Logout { which: typed, force }) => Request::Logout { which: which(typed)?, force },
        Command::List(List { what, output }) => {
            format = output.format;
            match what {
                Listed::Targets => Request::ListTargets,
                Listed::Luns => Request::ListLuns,
                Listed::Sessions => Request::ListSessions,
                Listed::DiscoveryPortals => Request::ListDiscoveryPortals,
            }
        }
        Command::Show(Show { what, output }) => {
            format = output.format;
            match what {
                Shown::Target { target } => Request::ShowTarget { target },
                Shown::Initiator => Request::ShowInitiator,
                Shown::Discovery => Request::ShowDiscovery,
                Shown::Session { session } => Request::ShowSession { session },
            }
        }
        Command::Attach(Attach { target, lun }) => Request::Attach { target, lun },
        Command::Detach(Detach { target, lun, force }) => Request::Detach { target, lun, force },
        Command::Rescan(Scope { target }) => Request::Rescan { target },
        Command::Stats(Stats { scope, output }) => {
            format = output.format;
            Request::Stats { target: scope.target }
        }
        Command::Bench(bench) => {
            format = bench.output.format;
            Request::Bench(workload(bench)?)
        }
        Command::Selftest(output) => return Ok((Action::Here(Local::SelfTest), output.format)),
        Command::Doctor(Doctor { config, output }) => return Ok((Action::Here(Local::Doctor(config)), output.format)),
        Command::Import(Import { file, replace }) => {
            return Ok((Action::Here(Local::Import(import::Order { file, replace })), format));
        }
    };
    Ok((Action::Ask(vec![request]), format))
}

fn workload(typed: Bench) -> Result<Workload, Failure> {
    let Bench { target, lun, rw, bs, depth, seconds, verify, destroy_data, output: _ } = typed;
    let rw = match rw {
        Load::Read => Rw::Read,
        Load::RandRead => Rw::RandRead,
        Load::Write => Rw::Write,
        Load::RandWrite => Rw::RandWrite,
        Load::RandRw => Rw::RandRw,
    };
    let workload = Workload { target, lun, rw, block_size: bs, depth, seconds, verify, destroy_data };
    workload.check()?;
    Ok(workload)
}

fn which(typed: Which) -> Result<ipc::Which, Failure> {
    match typed {
        Which { all: true, .. } => Ok(ipc::Which::All),
        Which { target: Some(target), portal, .. } => Ok(ipc::Which::One { target, portal }),
        Which { target: None, .. } => Err(wrong("name a target, or give --all")),
    }
}

fn modify_target(typed: ModifyTarget, ask: Ask<'_>, notes: &mut Vec<&'static str>) -> Result<Request, Failure> {
    let ModifyTarget { target, auto_login, persistent, attach, flush_policy, keys, timers, chap } = typed;
    let changes = TargetChanges {
        auto_login,
        persistent,
        attach,
        flush_policy,
        keys: keys.changes()?,
        timers: timers.given(),
        chap: chap_changes(chap, ask, notes)?,
    };
    if changes == TargetChanges::default() {
        return Err(wrong("there is nothing to change").advice("`iscsictl modify target --help` lists the settings"));
    }
    Ok(Request::ModifyTarget { target, changes })
}

fn chap_changes(typed: Chap, ask: Ask<'_>, notes: &mut Vec<&'static str>) -> Result<ChapChanges, Failure> {
    let Chap { chap_name, chap_secret, chap_mutual_name, chap_mutual_secret, chap_algorithms, no_chap } = typed;
    let mut secret = |typed: Option<Option<String>>, what: &str| match typed {
        None => Ok(None),
        Some(None) => ask(Source::Prompt, what).map(Some),
        Some(Some(value)) if value == "-" => ask(Source::StandardInput, what).map(Some),
        Some(Some(value)) => {
            if !value.is_empty() && !notes.contains(&SEEN) {
                notes.push(SEEN);
            }
            Ok(Some(Secret(value)))
        }
    };
    Ok(ChapChanges {
        name: chap_name,
        secret: secret(chap_secret, "CHAP secret")?,
        mutual_name: chap_mutual_name,
        mutual_secret: secret(chap_mutual_secret, "The target's CHAP secret")?,
        algorithms: chap_algorithms.map(|names| names.into_iter().filter(|name| !name.is_empty()).collect()),
        off: no_chap,
    })
}

#[cfg(test)]
mod tests;
