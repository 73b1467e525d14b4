//! What scripts of ours do with a machine's packages: they install, and nothing that is there goes away for it.

use std::fs;
use std::path::{Path, PathBuf};

/// Every script and Makefile.
fn scripts() -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> =
        ["tests/scripts", "tests/targets", "packaging", ".ci", "kext-shim"].map(Into::into).to_vec();
    let mut found = vec![PathBuf::from("Makefile")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// The commands of a file, each on one line, without comments and what is only said.
fn commands(path: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let lines = text.replace("\\\n", " ");
    let said = |line: &str| {
        line.trim_start().starts_with(['#', '@']) && line.contains('#') || line.contains("echo ") || line.contains('`')
    };
    lines.lines().filter(|line| !said(line)).map(str::to_owned).collect()
}

/// What is wrong with a command, if anything.
fn wrong(command: &str) -> Option<&'static str> {
    let words: Vec<&str> =
        command.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';' | '"' | '\'')).collect();
    let apt = words.iter().any(|word| matches!(*word, "apt-get" | "apt" | "aptitude"));
    let has = |wanted: &str| words.contains(&wanted);
    if apt && ["remove", "purge", "autoremove", "dist-upgrade", "full-upgrade"].iter().any(|word| has(word)) {
        return Some("it removes packages");
    }
    if words.contains(&"dpkg") && ["-r", "-P", "--remove", "--purge"].iter().any(|word| has(word)) {
        return Some("it removes packages");
    }
    // What is only downloaded is not installed.
    let installs = apt && (has("install") || has("upgrade")) && !has("--download-only");
    (installs && !has("--no-remove")).then_some("it lacks --no-remove")
}

// check: install-removes-no-package
#[test]
fn no_script_removes_a_package() {
    let mut installs = 0;
    for script in scripts() {
        for command in commands(&script) {
            assert_eq!(wrong(&command), None, "{}: {command}", script.display());
            installs += usize::from(command.contains("apt-get install") && command.contains("--no-remove"));
        }
    }
    assert!(installs >= 3, "they install: {installs}");
}

#[test]
fn a_command_that_removes_is_found() {
    assert!(wrong("sudo apt-get install -y tgt").is_some());
    assert!(wrong("apt-get autoremove").is_some() && wrong("dpkg -r qemu-utils").is_some());
    assert_eq!(wrong("env A=b apt-get install -y --no-remove tgt"), None);
    assert_eq!(wrong("apt-get install --download-only tgt"), None);
}
