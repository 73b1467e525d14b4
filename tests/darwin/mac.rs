//! The Mac under the programs of a test: a directory that holds its state, and the words that are said to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::machrun::{Ended, Program, ended};

/// How long a program of a test may run.
const LIMIT: &str = "60";

/// A machine that is awake.
pub(crate) struct Mac {
    directory: TempDir,
}

impl Mac {
    pub(crate) fn new() -> Mac {
        Mac { directory: tempfile::tempdir().expect("a directory for the machine") }
    }

    /// What DARWIN_MACHINE names.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A program on it.
    pub(crate) fn command(&self, program: &Program, words: &[&str]) -> Command {
        let mut command = program.command(words);
        command.env("DARWIN_MACHINE", self.directory.path());
        command
    }

    /// What the program writes, having succeeded.
    pub(crate) fn says(&self, program: &Program, words: &[&str]) -> String {
        let ended = ended(&self.command(program, words));
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        ended.stdout
    }

    /// Starts one that talks.
    pub(crate) fn start(&self, program: &Program, words: &[&str]) -> Talk {
        let command = self.command(program, words);
        let mut limited = Command::new("timeout");
        limited.args(["--kill-after=5", LIMIT]).arg(command.get_program()).args(command.get_args());
        limited.env("DARWIN_MACHINE", self.directory.path());
        let mut child =
            limited.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let heard = BufReader::new(child.stdout.take().expect("a pipe"));
        Talk { said: child.stdin.take(), heard, child }
    }

    /// Something happens to the machine.
    pub(crate) fn told(&self, program: &Program, words: &[&str]) -> Ended {
        ended(program.machrun().arg("--machine").arg(self.directory.path()).args(words))
    }

    /// Something happens, and all programs that wait for it give this answer.
    pub(crate) fn tell(&self, program: &Program, words: &[&str], answer: &str) {
        let told = self.told(program, words);
        let answers: Vec<_> = told.stdout.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
        assert!(told.status.success() && !answers.is_empty(), "{words:?}: {told:?}");
        assert!(answers.iter().all(|it| *it == answer), "{words:?}: {told:?}");
    }

    /// Something happens that is told to no program.
    pub(crate) fn set(&self, program: &Program, words: &[&str]) {
        let told = self.told(program, words);
        assert!(told.status.success() && told.stdout.is_empty(), "{words:?}: {told:?}");
    }

    /// What programs did towards it, without who did.
    pub(crate) fn log(&self) -> String {
        let whole = std::fs::read_to_string(self.directory.path().join("log")).expect("a log");
        whole.lines().filter_map(|line| Some(line.split_once(' ')?.1)).map(|what| format!("{what}\n")).collect()
    }
}

/// A program that answers lines with lines.
pub(crate) struct Talk {
    said: Option<ChildStdin>,
    heard: BufReader<ChildStdout>,
    child: Child,
}

impl Talk {
    /// Its next line. It fails when the program ends, which it does after a while.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.heard.read_line(&mut line).expect("a pipe");
        assert!(line.ends_with('\n'), "it has ended, with {line:?}");
        line.trim_end().to_owned()
    }

    pub(crate) fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.line(), *line);
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        let said = self.said.as_mut().expect("it listens");
        writeln!(said, "{line}").expect("a pipe");
        self.line()
    }

    /// It ends when its input does, or by itself.
    pub(crate) fn end(mut self) {
        drop(self.said.take());
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Of a test that failed: it ends with its input, or by its limit.
        drop(self.said.take());
    }
}
