//! The command line: a line → requests → the daemon → what is printed.
//!
//! ```text
//!   legacy ─► args (as typed) ─► action ─► client ═══ control.sock ═══ iscsid
//!                                           └─► show ─► standard output
//! ```
//! What was asked for goes to standard output; progress and errors go to standard error.

mod action;
mod args;
mod bar;
mod client;
mod complete;
mod import;
mod interrupt;
mod keys;
mod legacy;
pub mod manual;
mod secret;
mod show;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use nix::sys::resource::{Resource, setrlimit};

use crate::config;
use crate::doctor;
use crate::ipc::{ExitCode, Failure, Imported, Reply, Request};
use crate::printable::{clean, complain};
use crate::selftest;
use crate::selftest::practice_target;
use action::{Action, Local, Understood};
use args::{Format, Program};
use bar::Bar;
use client::Client;
use interrupt::Interrupt;

/// How long a daemon may keep silent to a doctor.
const DOCTORS_PATIENCE: Duration = Duration::from_secs(5);

/// Runs one command line, given without the program's name.
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    // A core would hold the secrets that are asked for here.
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        complain(format_args!("iscsictl: core dumps, which would hold secrets, cannot be switched off: {error}"));
    }
    match obey(line) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            for sentence in failure.sentences() {
                complain(format_args!("iscsictl: {}", clean(&sentence)));
            }
            failure.code
        }
    }
}

fn obey(line: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let line = line
        .into_iter()
        .map(|word| word.into_string().map_err(|word| usage(&format!("{} is not UTF-8", word.display()))))
        .collect::<Result<Vec<String>, Failure>>()?;
    let Understood { action, format, runtime_dir, notes } = action::understand(&line, &mut secret::ask)?;
    for note in notes {
        complain(format_args!("iscsictl: {}", clean(note)));
    }
    match action {
        Action::Ask(requests) => ask_daemon(&requests, format, runtime_dir),
        Action::Here(Local::Text(text)) => print(&text),
        Action::Here(Local::SelfTest) => self_test(format),
        Action::Here(Local::Import(order)) => take_over(&order, runtime_dir),
        Action::Here(Local::Manual(directory)) => write_manual(&directory),
        Action::Here(Local::PracticeTarget(practice)) => practice_target::run(practice),
        Action::Here(Local::Completions(shell)) => {
            print(&String::from_utf8_lossy(&complete::script(shell, &mut args::Typed::command())))
        }
        Action::Here(Local::Complete { program, words }) => print(&complete(program, &words)),
        Action::Here(Local::Doctor(config)) => examine(format, config, runtime_dir),
    }
}

fn ask_daemon(requests: &[Request], format: Format, runtime_dir: Option<PathBuf>) -> Result<(), Failure> {
    let mut client = connect(runtime_dir)?;
    for request in requests {
        let interrupt = match request {
            Request::Bench(_) => Interrupt::ends(client.connection()?)?,
            _ => Interrupt::default(),
        };
        let mut bar = Bar::default();
        let reply = client.ask(request, &mut |meanwhile| bar.hear(meanwhile));
        bar.clear();
        let reply = reply?;
        print(&show::reply(&reply, format)?)?;
        // Beside the list, which a program may read.
        if let Reply::Discovered { remarks, .. } = &reply {
            remarks.iter().for_each(|remark| complain(format_args!("iscsictl: {}", clean(remark))));
        }
        interrupt.outcome()?;
    }
    Ok(())
}

/// What may follow on a line of one of our programs.
fn complete(program: Program, words: &[String]) -> String {
    let (mut command, words) = complete::definitions(program, words);
    command.build();
    let named = words.iter().position(|word| word == "--runtime-dir").and_then(|place| words.get(place + 1));
    let named = named.map(PathBuf::from).or_else(|| std::env::var_os("ISCSID_RUNTIME_DIR").map(PathBuf::from));
    complete::candidates(&command, words, &complete::Machine(runtime_dirs(named)))
}

fn write_manual(directory: &Path) -> Result<(), Failure> {
    manual::write(directory).map_err(|error| {
        let message = format!("cannot write the manual pages to {}: {error}", directory.display());
        Failure::new(ExitCode::NotPermitted, message).advice("name another directory")
    })
}

/// A connection to the daemon; which one it is is told where it is not the user's own.
fn connect(runtime_dir: Option<PathBuf>) -> Result<Client, Failure> {
    let client = Client::connect(&runtime_dirs(runtime_dir))?;
    if let Some(note) = client.note() {
        complain(format_args!("iscsictl: {}", clean(&note)));
    }
    Ok(client)
}

/// Where a daemon may be.
fn runtime_dirs(given: Option<PathBuf>) -> Vec<PathBuf> {
    match given {
        Some(directory) => vec![directory],
        None => {
            let mut places = vec![config::default_runtime_dir(), config::system_runtime_dir()];
            places.dedup();
            places
        }
    }
}

/// Prints what was found; a problem is the command's failure.
fn examine(format: Format, config: Option<PathBuf>, runtime_dir: Option<PathBuf>) -> Result<(), Failure> {
    let places = runtime_dirs(runtime_dir);
    let connected = Client::connect(&places);
    let runtime_dir = match &connected {
        Ok(client) => client.runtime_dir(),
        Err(_) => places.into_iter().next().unwrap_or_default(),
    };
    let daemon = connected.and_then(|mut client| {
        client.be_patient_for(DOCTORS_PATIENCE)?;
        let mut ask = |request| client.ask(&request, &mut |_| {});
        match (ask(Request::ShowInitiator)?, ask(Request::ListTargets)?, ask(Request::ListLuns)?) {
            (Reply::Initiator(initiator), Reply::Targets(targets), Reply::Luns(luns)) => {
                Ok(doctor::Answer { initiator, targets, luns })
            }
            _ => Err(Failure::new(ExitCode::Protocol, "iscsid answered something else").advice("restart it")),
        }
    });
    let config = match &daemon {
        Ok(answer) => PathBuf::from(&answer.initiator.config),
        Err(_) => config.unwrap_or_else(config::default_config),
    };
    let report = doctor::examine(&doctor::Subject { config, runtime_dir, daemon }, &doctor::Machine);
    print(&show::report(&report, format)?)?;
    match report.code() {
        ExitCode::Ok => Ok(()),
        code => {
            Err(Failure::new(code, "not everything is as a login and a disk need it").advice("see above what to do"))
        }
    }
}

/// What was taken goes to standard output as it is taken, all else to standard error.
fn take_over(order: &import::Order, runtime_dir: Option<PathBuf>) -> Result<(), Failure> {
    #[cfg(target_os = "macos")]
    let keychain = config::IscsiOsxKeychain;
    #[cfg(not(target_os = "macos"))]
    let keychain = import::NoKeychain;
    let import::Found { requests, notes } = import::find(order, &keychain)?;
    let mut all = Imported { taken: Vec::new(), left: notes };
    // Even where there is nothing to take: whether iscsid runs is worth knowing.
    let mut client = connect(runtime_dir)?;
    for request in &requests {
        match client.ask(request, &mut |_| {})? {
            Reply::Imported(Imported { taken, left }) => {
                taken.iter().try_for_each(|sentence| print(&format!("{}\n", clean(sentence))))?;
                all.taken.extend(taken);
                all.left.extend(left);
            }
            _ => return Err(Failure::new(ExitCode::Protocol, "iscsid answered something else").advice("restart it")),
        }
    }
    for sentence in &all.left {
        complain(format_args!("iscsictl: {}", clean(sentence)));
    }
    import::outcome(&all)
}

/// For people step by step, as it is done; for programs all at the end, and nothing if it fails.
fn self_test(format: Format) -> Result<(), Failure> {
    let mut steps = Vec::new();
    let mut printed = Ok(());
    selftest::run(|step| {
        steps.push(step.clone());
        if format == Format::Table && printed.is_ok() {
            printed = print(&format!("{:<8} {:>8.1} ms  {}\n", step.step, step.milliseconds, clean(&step.result)));
        }
    })?;
    printed?;
    print(&show::steps(&steps, format)?)
}

fn usage(message: &str) -> Failure {
    Failure::new(ExitCode::Usage, message)
}

/// Prints to standard output. A reader that has read enough, such as `head`, may hang up.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let (code, advice) = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    (ExitCode::TryAgain, "make room, and try again")
                }
                _ => (ExitCode::Unavailable, "look at where it goes"),
            };
            Err(Failure::new(code, format!("cannot write to standard output: {error}")).advice(advice))
        }
        _ => Ok(()),
    }
}
