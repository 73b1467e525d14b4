//! The command line: a line → requests → the daemon → what is printed.
//!
//! ```text
//!   older ─► args (as typed) ─► meant ─► client ═══ control.sock ═══ iscsid
//!                                           └─► show ─► standard output
//! ```
//! What was asked for goes to standard output; progress and errors go to standard error.

mod args;
mod bar;
mod client;
#[cfg(test)]
mod grammar_tests;
mod meant;
mod older;
mod secret;
mod show;

use std::ffi::OsString;
use std::io::{self, Write};

use crate::config;
use crate::ipc::{ExitCode, Failure};
use crate::printable::clean;
use crate::selftest;
use args::Format;
use bar::Bar;
use client::Client;
use meant::{Meant, Nothing};

/// Runs one command line, given without the program's name.
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    match obey(line) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            eprintln!("iscsictl: {}", clean(&failure.message));
            failure.code
        }
    }
}

fn obey(line: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let line = line
        .into_iter()
        .map(|word| word.into_string().map_err(|word| usage(&format!("{} is not UTF-8", word.display()))))
        .collect::<Result<Vec<String>, Failure>>()?;
    let Meant { requests, format, runtime_dir, notes } = match meant::meant(&line, &mut secret::ask) {
        Ok(meant) => meant,
        Err(Nothing::Text(text)) => return print(&text),
        Err(Nothing::SelfTest(format)) => return self_test(format),
        Err(Nothing::Wrong(failure)) => return Err(failure),
    };
    for note in notes {
        eprintln!("iscsictl: {}", clean(note));
    }
    let runtime_dirs = match runtime_dir {
        Some(directory) => vec![directory],
        None => vec![config::default_runtime_dir(), config::system_runtime_dir()],
    };
    let mut client = Client::connect(&runtime_dirs)?;
    for request in &requests {
        let mut bar = Bar::default();
        let reply = client.ask(request, &mut |meanwhile| bar.hear(meanwhile));
        bar.clear();
        let reply = reply?;
        print(&show::reply(&reply, format)?)?;
    }
    Ok(())
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

/// To standard output. Whoever has read enough, such as `head`, may hang up.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(ExitCode::Internal, format!("cannot write to standard output: {error}; make room")))
        }
        _ => Ok(()),
    }
}
