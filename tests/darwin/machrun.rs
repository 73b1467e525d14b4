//! The loader, built by make, and the programs of `programs/`, built for macOS by rustc: each when it is older than its
//! sources, by whichever test comes first.
//!
//! ```text
//!   programs/NAME.rs ── rustc, ld64.lld ──► Mach-O ──┐
//!   loader/ system/ … ────────── make ──► machrun ───┴──► what it says, how it ends
//! ```
//! ARCH=arm64 is the other processor, whose programs run in qemu-user.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::SystemTime;

use iscsid::testing::{need, skip};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

/// How many seconds a program of a test may run.
const LIMIT: u32 = 60;

/// How many seconds something may be built, on a machine that has much to do.
const BUILD_LIMIT: u32 = 600;

/// What the program is made for.
struct Processor {
    /// As the Makefile calls it.
    arch: &'static str,
    /// As rustc calls it.
    target: &'static str,
    /// What runs the loader on this machine.
    emulator: &'static [&'static str],
    tools: &'static [&'static str],
}

const X86_64: Processor = Processor { arch: "x86_64", target: "x86_64-apple-darwin", emulator: &[], tools: &["cc"] };
const ARM64: Processor = Processor {
    arch: "arm64",
    target: "aarch64-apple-darwin",
    emulator: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
    tools: &["aarch64-linux-gnu-gcc", "qemu-aarch64"],
};

fn processor() -> &'static Processor {
    match std::env::var("ARCH").as_deref() {
        Ok("arm64") => &ARM64,
        _ => &X86_64,
    }
}

/// Whether programs of both processors of Macs can be told apart here: which one these tests are of.
pub(crate) fn is_arm64() -> bool {
    processor().arch == ARM64.arch
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where it is all built.
fn built() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("darwin")
}

/// How something ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The signal that ended it. `timeout`, which ran it, ends by the same one, or says so as shells do.
    pub(crate) fn signal(&self) -> Option<Signal> {
        const BY_A_SIGNAL: i32 = 128;
        let number = self.status.signal().or_else(|| self.status.code()?.checked_sub(BY_A_SIGNAL))?;
        Signal::try_from(number).ok()
    }
}

/// Runs a command to its end, which has to come in time.
pub(crate) fn ended(command: &Command) -> Ended {
    ended_within(LIMIT, command)
}

fn ended_within(limit: u32, command: &Command) -> Ended {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", &limit.to_string()]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    let output = limited.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.code() != Some(124), "{command:?} was still running after {limit} s");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn must(command: &mut Command) -> String {
    succeeded(command, ended(command))
}

fn built_by(command: &mut Command) {
    succeeded(command, ended_within(BUILD_LIMIT, command));
}

/// What it wrote.
fn succeeded(command: &Command, ended: Ended) -> String {
    let Ended { status, stdout, stderr } = ended;
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|about| about.modified()).ok()
}

/// One test at a time builds; the others find it done.
fn alone() -> Flock<File> {
    fs::create_dir_all(built()).expect("a directory to build in");
    let file = File::create(built().join("lock")).expect("a file to lock");
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("a lock")
}

/// The linker, of the version of LLVM that links the program itself, too; `None` where this machine cannot build for a
/// Mac, which is told as a skipped test.
fn linker() -> Option<String> {
    let target = processor().target;
    let libraries = must(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if !Path::new(libraries.trim()).is_dir() && !skip(&format!("rustc has no standard library for {target}")) {
        return None;
    }
    let llvm = repository().join("packaging/apple/install-llvm");
    let there = Command::new(&llvm).arg("there").output().is_ok_and(|output| output.status.success());
    if !there && !skip("LLVM's linker for Mach-O is not installed") {
        return None;
    }
    Some(format!("ld64.lld-{}", must(Command::new(&llvm).arg("version")).trim()))
}

/// What stands for the SDK: text stubs of macOS' libraries.
fn sdk() -> PathBuf {
    let (sdk, script) = (built().join("sdk"), repository().join("packaging/apple/sdk.py"));
    let symbols = fs::read_dir(script.with_file_name("symbols")).expect("the lists of symbols");
    let symbols = symbols.map(|list| changed(&list.expect("a list").path())).max().flatten();
    if changed(&sdk) < changed(&script).max(symbols) {
        must(Command::new("python3").arg(script).arg("make").arg(&sdk));
        // What is written anew in the directories below does not show here.
        File::open(&sdk).and_then(|sdk| sdk.set_modified(SystemTime::now())).expect("the time of a directory");
    }
    sdk
}

/// The loader; `None` where this machine cannot build it, which is told as a skipped test.
pub(crate) fn loader() -> Option<PathBuf> {
    let Processor { arch, tools, .. } = processor();
    let tools: Vec<_> = ["make", "python3"].iter().chain(*tools).copied().collect();
    if !need(&tools) {
        return None;
    }
    let _alone = alone();
    let mut make = Command::new("make");
    make.arg("-C").arg(repository().join("tests/darwin")).arg("-s").arg(format!("ARCH={arch}"));
    // A make that runs these tests has flags of its own.
    make.arg(format!("OUT={}", built().display())).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    built_by(&mut make);
    Some(built().join(arch).join("machrun"))
}

/// A program for macOS, and the loader to run it.
pub(crate) struct Program {
    pub(crate) loader: PathBuf,
    pub(crate) file: PathBuf,
}

impl Program {
    /// `programs/NAME.rs`, built; `None` where this machine cannot, which is told as a skipped test.
    pub(crate) fn named(name: &str) -> Option<Program> {
        Program::linked(name, "", &[])
    }

    /// The same, with more words for the linker: `how` tells it from the others.
    pub(crate) fn linked(name: &str, how: &str, words: &[&str]) -> Option<Program> {
        let loader = loader()?;
        let source = repository().join(format!("tests/darwin/programs/{name}.rs"));
        let file = built().join(processor().target).join(format!("{name}{how}"));
        let _alone = alone();
        if changed(&file) < changed(&source) {
            build(&source, &file, &linker()?, words);
        }
        Some(Program { loader, file })
    }

    /// As `machrun PROGRAM` runs it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.machrun();
        command.arg(&self.file).args(words);
        command
    }

    /// The loader alone.
    pub(crate) fn machrun(&self) -> Command {
        emulated(self.loader.as_os_str())
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        ended(&self.command(words))
    }

    /// What it writes, having succeeded.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        must(&mut self.command(words))
    }

    /// One file that runs it, as `machrun --pack` writes it.
    pub(crate) fn packed(&self, out: &Path) {
        must(self.machrun().arg("--pack").arg(&self.file).arg(out));
    }
}

/// A scenario of `programs/NAME.rs` that the program itself judges.
pub(crate) fn holds(name: &str, scenario: &str) {
    let Some(program) = Program::named(name) else { return };
    program.says(&[scenario]);
}

/// A scenario of `programs/NAME.rs`, and the lines that it tells.
pub(crate) fn tells(name: &str, scenario: &str, told: &[&str]) {
    let Some(program) = Program::named(name) else { return };
    assert_eq!(program.says(&[scenario]).lines().collect::<Vec<_>>(), told, "{scenario}");
}

/// A program for this kernel, made for the processor under test.
pub(crate) fn emulated(program: &OsStr) -> Command {
    let Processor { emulator, .. } = processor();
    let mut words = emulator.iter().map(OsStr::new).chain([program]);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words);
    command
}

fn build(source: &Path, file: &Path, linker: &str, words: &[&str]) {
    let directory = file.parent().expect("a directory of programs");
    fs::create_dir_all(directory).expect("a directory of programs");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "--target", processor().target, "-Copt-level=1", "-Dwarnings"]);
    rustc.args(["-Clinker-flavor=ld", "-Clink-arg=-adhoc_codesign"]).arg(format!("-Clinker={linker}"));
    // What a program imports need not be in the stubs, which are what the product may import.
    rustc.args(["-Clink-arg=-undefined", "-Clink-arg=dynamic_lookup"]);
    rustc.args(words.iter().map(|word| format!("-Clink-arg={word}")));
    rustc.arg("-o").arg(file).arg(source).current_dir(directory);
    rustc.env("SDKROOT", sdk()).env("MACOSX_DEPLOYMENT_TARGET", "13.0");
    built_by(&mut rustc);
}
