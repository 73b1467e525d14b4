//! What a test says that cannot run here.
//!
//! ```text
//!   need(["fio"]) ── there ──► the test runs
//!        └── missing ──► a line in target/tmp/skipped, which `make test` prints at its end; with CI set, a failure
//! ```
//! It stands on std alone: sim-target, which does not know this crate, compiles it as a file of its tests.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Whether the tools are there. Where not, says so where `make test` prints it; in CI that is a failure.
pub fn need(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| !is_installed(tool)).copied().collect();
    missing.is_empty() || skip(&format!("{} not installed", missing.join(", ")))
}

/// Says where `make test` prints it that this test is skipped, and why; in CI that is a failure. Gives `false`.
pub fn skip(why: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("CI").is_none(), "nothing may be skipped in CI, but for {test}: {why}");
    cannot(why)
}

/// Says there that this test does not apply to what is tested, and why; in CI as well, as nothing that could be
/// installed would help. Gives `false`.
pub fn cannot(why: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let directory = list_directory();
    fs::create_dir_all(&directory).expect("the directory of the list of skipped tests");
    let list = OpenOptions::new().create(true).append(true).open(directory.join("skipped"));
    // In one piece: other tests write to it as well.
    list.and_then(|mut list| list.write_all(format!("{test}: {why}\n").as_bytes())).expect("the list of skipped tests");
    false
}

/// Where the list is: `tmp` of the target directory that this test was built in, which has it as `debug/deps/<test>`.
fn list_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("the target directory").join("tmp")
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Administrators' tools are there; a user's PATH may leave them out.
    let admin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(admin).any(|dir| dir.join(tool).is_file())
}
