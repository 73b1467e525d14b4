//! A QEMU guest, for what takes a kernel:
//!
//! ```text
//!   guest/guest KIND run ──► QEMU ── its network: what KIND says
//!     ISCSID_GUEST_KIND ─┐    ├── control: a script in, its output back   ◄── Guest::script
//!                        └──► └── qmp: stop, cont, system_reset           ◄── Guest::{freeze, thaw, power_cut}
//! ```
//! One guest serves all tests of a kind, one after the other; each begins with `wipe`, a word of the kind's.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::common::process;

/// The guest that is up, for this test alone while it lives.
pub(crate) struct Guest {
    dir: PathBuf,
    /// Its address, one of this machine's loopback.
    address: String,
    control: Mutex<Control>,
    _turn: Flock<File>,
}

impl Guest {
    /// `None`, and a word in the list of what was skipped, where no guest is up; in CI that is a failure.
    pub(crate) fn get(kind: &str) -> Option<Guest> {
        let variable = format!("ISCSID_GUEST_{}", kind.to_uppercase());
        let Some(dir) = std::env::var_os(variable).map(PathBuf::from) else {
            process::skip(&format!("it needs the guest of `make test-{kind}`"));
            return None;
        };
        let turn = File::create(dir.join("turn")).expect("the lock file of the guest");
        let turn = Flock::lock(turn, FlockArg::LockExclusive).expect("the lock of the guest");
        let address = std::fs::read_to_string(dir.join("address")).expect("the guest's address").trim().to_owned();
        let control = Mutex::new(Control::connect(&dir));
        let guest = Guest { dir, address, control, _turn: turn };
        // A test before this one may have been killed while the guest stood still.
        guest.thaw();
        guest.script("wipe");
        Some(guest)
    }

    /// What a portal on that port is called; the guest is reached on 3260 and 3261.
    pub(crate) fn portal(&self, port: u16) -> String {
        format!("{}:{port}", self.address)
    }

    /// Runs a shell script in the guest that has to succeed; gives what it printed.
    pub(crate) fn script(&self, script: &str) -> String {
        let (code, output) = self.control().run(script);
        assert!(code == 0, "exit code {code} in the guest of:\n{script}\n----\n{output}");
        output
    }

    /// Stops the guest without a word to anybody, as a network that is gone looks like.
    pub(crate) fn freeze(&self) {
        self.machine("stop");
    }

    /// Lets it go on where it stopped.
    pub(crate) fn thaw(&self) {
        self.machine("cont");
    }

    /// Starts the guest anew, as if its power had failed for a moment: its memory is lost, its drive is not.
    pub(crate) fn power_cut(&self) {
        let mut control = self.control();
        self.machine("system_reset");
        control.await_ready();
    }

    /// The SHA-256 of a file in the guest, in hexadecimal.
    pub(crate) fn sha256(&self, file: &str) -> String {
        let line = self.script(&format!("sha256sum {file}"));
        line.split(' ').next().unwrap_or_default().to_owned()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command of QEMU's machine protocol.
    fn machine(&self, command: &str) {
        let stream = connect(&self.dir.join("qmp"));
        let mut answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
        let mut ask = |command: &str| {
            writeln!(&stream, "{}", json!({ "execute": command })).expect("a command to QEMU");
            // Events come in between, and the greeting before the first answer.
            loop {
                let mut line = String::new();
                answers.read_line(&mut line).expect("an answer of QEMU");
                let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
                assert!(answer.get("error").is_none(), "{command}: {line}");
                if answer.get("return").is_some() {
                    return;
                }
            }
        };
        ask("qmp_capabilities");
        ask(command);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read(self.dir.join("console")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let last: Vec<_> = said.lines().rev().take(40).collect();
            eprintln!("---- the guest's console");
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The line on which the guest takes scripts; see `guest/init`.
struct Control {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Control {
    fn connect(dir: &Path) -> Control {
        let stream = connect(&dir.join("control"));
        let answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
        Control { stream, answers }
    }

    fn run(&mut self, script: &str) -> (i32, String) {
        // A number of its own: an answer to a test that was killed may still be under way.
        let number = getrandom::u32().expect("entropy");
        let request = format!("run {number}\n{script}\nend {number}\n");
        self.stream.write_all(request.as_bytes()).expect("a script to the guest");
        let answer = self.skip_to(&format!("done {number} "));
        let (code, bytes) = answer.split_once(' ').expect("code and length");
        let mut output = vec![0; bytes.parse().expect("a length")];
        self.answers.read_exact(&mut output).expect("the output of a script");
        (code.parse().expect("an exit code"), String::from_utf8_lossy(&output).into_owned())
    }

    fn await_ready(&mut self) {
        self.skip_to("ready");
    }

    /// What follows on the first line that begins so.
    fn skip_to(&mut self, beginning: &str) -> String {
        loop {
            let mut line = Vec::new();
            self.answers.read_until(b'\n', &mut line).expect("an answer of the guest");
            assert!(!line.is_empty(), "the guest is gone");
            if let Some(rest) = String::from_utf8_lossy(&line).trim_end().strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    // Enough for a boot on a busy machine that emulates.
    stream.set_read_timeout(Some(Duration::from_secs(100))).expect("a time limit");
    stream
}
