//! What a line of the command line means: requests for the daemon, and how to print what it answers.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::args::{
    Add, Attach, Bench, Chap, Command, Detach, Discover, Doctor, Format, Import, List, Listed, Load, Login, Logout,
    Maker, Modify, ModifyTarget, Remove, Scope, Show, Shown, Stats, Typed, Which,
};
use super::{import, legacy};
use crate::ipc::{
    self, ChapChanges, DiscoveryChanges, ExitCode, Failure, InitiatorChanges, Request, Rw, Secret, TargetChanges,
    Workload,
};
use crate::selftest::practice_target::Practice;

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

/// Gets a secret; the text says which.
pub(super) type Ask<'a> = &'a mut dyn FnMut(Source, &str) -> Result<Secret, Failure>;

/// Understands a line of any of the three grammars, without the program's name.
///
/// # Errors
/// The line is wrong; a sentence says how.
pub(super) fn understand(line: &[String], ask: Ask<'_>) -> Result<Understood, Failure> {
    if line.first().is_some_and(|word| Maker::command().find_subcommand(word).is_some()) {
        return maker(line).map(here);
    }
    let legacy::Lines { lines, notes } = legacy::canonical(line)?;
    let mut understood =
        Understood { action: Action::Ask(Vec::new()), format: Format::default(), runtime_dir: None, notes };
    for line in lines {
        let words = std::iter::once("iscsictl".to_owned()).chain(line);
        let typed = match Typed::try_parse_from(words) {
            Ok(typed) => typed,
            Err(error) => return refusal(&error).map(here),
        };
        let (action, format) = action(typed.command, ask)?;
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
        Ok(Maker::Completions { shell }) => Ok(Local::Completions(shell)),
        Ok(Maker::PracticeTarget { port, mebibytes, block_size }) => {
            Ok(Local::PracticeTarget(Practice { port, mebibytes, block_size }))
        }
        Err(error) => refusal(&error),
    }
}

/// What clap has to say: a text that was asked for, or what is wrong, in one sentence.
fn refusal(error: &clap::Error) -> Result<Local, Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Ok(Local::Text(error.to_string()));
    }
    let text = error.to_string();
    let body = text.split("\n\nUsage:").next().unwrap_or_default().split("\n\nFor more information").next();
    let body = body.unwrap_or_default().trim_start_matches("error: ");
    let sentence: Vec<&str> = body.split_whitespace().collect();
    Err(usage(&sentence.join(" ")).advice("`iscsictl --help`, or --help after a command, explains"))
}

fn usage(message: &str) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

fn action(command: Command, ask: Ask<'_>) -> Result<(Action, Format), Failure> {
    let mut format = Format::default();
    let request = match command {
        Command::Add(Add::Target { target, portal, interface }) => Request::AddTarget { target, portal, interface },
        Command::Add(Add::DiscoveryPortal { portal, interface }) => Request::AddDiscoveryPortal { portal, interface },
        Command::Remove(Remove::Target { target, portal, force }) => Request::RemoveTarget { target, portal, force },
        Command::Remove(Remove::DiscoveryPortal { portal }) => Request::RemoveDiscoveryPortal { portal },
        Command::Modify(Modify::Target(modify)) => modify_target(*modify, ask)?,
        Command::Modify(Modify::Initiator { name, alias, chap }) => {
            let changes = InitiatorChanges { name, alias, chap: chap_changes(chap, ask)? };
            if changes == InitiatorChanges::default() {
                let hint = "`iscsictl modify initiator --help` lists the settings";
                return Err(usage("there is nothing to change").advice(hint));
            }
            Request::ModifyInitiator(changes)
        }
        Command::Modify(Modify::Discovery { send_targets, interval }) => {
            let changes = DiscoveryChanges { send_targets, interval };
            if changes == DiscoveryChanges::default() {
                return Err(usage("there is nothing to change").advice("give --send-targets or --interval"));
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
        Which { target: None, .. } => Err(usage("name a target, or give --all")),
    }
}

fn modify_target(typed: ModifyTarget, ask: Ask<'_>) -> Result<Request, Failure> {
    let ModifyTarget { target, auto_login, persistent, attach, flush_policy, keys, timers, chap } = typed;
    let changes = TargetChanges {
        auto_login,
        persistent,
        attach,
        flush_policy,
        keys: keys.changes()?,
        timers: timers.given(),
        chap: chap_changes(chap, ask)?,
    };
    if changes == TargetChanges::default() {
        return Err(usage("there is nothing to change").advice("`iscsictl modify target --help` lists the settings"));
    }
    Ok(Request::ModifyTarget { target, changes })
}

fn chap_changes(typed: Chap, ask: Ask<'_>) -> Result<ChapChanges, Failure> {
    let Chap { chap_name, chap_secret, chap_mutual_name, chap_mutual_secret, chap_algorithms, no_chap } = typed;
    let mut secret = |typed: Option<Option<String>>, what: &str| match typed {
        None => Ok(None),
        Some(None) => ask(Source::Prompt, what).map(Some),
        Some(Some(value)) if value == "-" => ask(Source::StandardInput, what).map(Some),
        Some(Some(value)) => Ok(Some(Secret(value))),
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
