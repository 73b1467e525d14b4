//! Secrets that are not on the command line, where any user's `ps` would show them.

use std::io::{self, BufRead, IsTerminal, stdin};

use nix::sys::termios::{FlushArg, tcflush};

use super::action::Source;
use crate::ipc::{ExitCode, Failure, Secret};

/// Gets a secret from where it was said it would be.
pub(super) fn ask(source: Source, what: &str) -> Result<Secret, Failure> {
    match source {
        Source::StandardInput => from_line(stdin().lock(), what),
        Source::Prompt if stdin().is_terminal() => match from_terminal(what) {
            Ok(secret) if secret.is_empty() => {
                Err(Failure::new(ExitCode::Usage, format!("{what}: none was given; nothing is changed")))
            }
            Ok(secret) => Ok(Secret(secret)),
            Err(error) => {
                Err(Failure::new(ExitCode::Usage, format!("{what}: cannot be read from the terminal: {error}")))
            }
        },
        Source::Prompt => {
            let message = format!("{what}: there is no terminal to ask for it");
            Err(Failure::new(ExitCode::Usage, message).advice("give `-` as its value to read it from standard input"))
        }
    }
}

/// A line typed from now on: what was pasted together with the command is the next command, and no secret.
fn from_terminal(what: &str) -> io::Result<String> {
    tcflush(stdin(), FlushArg::TCIFLUSH)?;
    rpassword::prompt_password(format!("{what}: "))
}

/// One line, without its end.
fn from_line(mut input: impl BufRead, what: &str) -> Result<Secret, Failure> {
    let mut secret = Secret(String::new());
    input.read_line(&mut secret.0).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("{what}: cannot be read from standard input: {error}"))
    })?;
    let length = secret.0.trim_end_matches(['\r', '\n']).len();
    secret.0.truncate(length);
    if secret.0.is_empty() {
        return Err(Failure::new(ExitCode::Usage, format!("{what}: standard input has none; nothing is changed")));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_without_its_end() {
        let mut input = &b"first secret\r\nsecond one\n"[..];
        assert_eq!(from_line(&mut input, "s").expect("one").0, "first secret");
        assert_eq!(from_line(&mut input, "s").expect("another").0, "second one");
        assert_eq!(from_line(&mut input, "s").expect_err("no more").code, ExitCode::Usage);
    }
}
