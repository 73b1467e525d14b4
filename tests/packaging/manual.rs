//! The manual pages and completions that packages get: complete, and without a fault that a formatter finds.

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use iscsid::cli::manual;
use iscsid::options::Options;

use crate::process::need;
use crate::program;

fn iscsictl(words: &[&str]) -> std::process::Output {
    Command::new(program::under_test()).arg("ctl").args(words).output().expect("iscsid runs")
}

fn page(name: &str) -> String {
    let page = manual::pages().into_iter().find(|page| page.name == name).expect("there is such a page");
    // As a reader sees it: without roff's escapes.
    page.text.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
}

#[test]
fn every_option_of_every_command_is_in_its_page() {
    // The script for elvish is of the options alone.
    let words = iscsictl(&["completions", "elvish"]);
    assert!(words.status.success());
    let script = String::from_utf8(words.stdout).expect("UTF-8");
    let page = page("iscsictl");
    let mut options: Vec<&str> = script.split(|c: char| c.is_whitespace() || c == '"').collect();
    options.retain(|word| word.starts_with("--") && word.len() > 2 && !word.ends_with(')') && !word.contains('…'));
    assert!(options.len() > 100, "the completions name the options: {}", options.len());
    for option in options {
        assert!(page.split([' ', '\n']).any(|word| word == option), "{option} is not in iscsictl(8)");
    }
    for command in ["add target", "modify discovery", "list", "show session", "bench", "selftest", "logout"] {
        assert!(page.contains(&format!(".SS \"{command}\"")) || page.contains(&format!(".SS {command}")), "{command}");
    }
}

#[test]
fn every_option_of_the_daemon_is_in_its_page() {
    let (page, daemon) = (page("iscsid"), Options::command());
    // Hidden ones are for tests, and nothing that a user should try.
    let (hidden, shown): (Vec<_>, Vec<_>) = daemon.get_arguments().partition(|argument| argument.is_hide_set());
    for argument in shown {
        let option = format!("\n--{}", argument.get_long().expect("all are long"));
        assert!(page.contains(&option), "{option}");
    }
    for argument in hidden {
        let option = argument.get_long().expect("all are long");
        assert!(!page.contains(&format!("--{option}")), "--{option} is hidden from --help, and must be from the page");
    }
    assert!(page.contains("ISCSID_CONFIG"), "variables too");
}

#[test]
fn every_key_of_the_property_list_is_in_its_page() {
    let page = page("iscsid.plist");
    // What the program itself names when it is given a key that there is not.
    for dictionary in iscsid::config::dictionaries() {
        for key in dictionary.keys {
            assert!(page.contains(&format!("\n{} (", key.name)), "{:?} > {}", dictionary.path, key.name);
        }
    }
    let full = fs::read_to_string("tests/fixtures/version-1-full.plist").expect("the fixture is there");
    for key in full.split("<key>").skip(1).filter_map(|rest| rest.split("</key>").next()) {
        assert!(key.contains('.') || page.contains(&format!("\n{key} (")), "{key} of the fixture");
    }
}

#[test]
fn a_key_of_which_one_value_alone_has_an_effect_says_so_in_both_pages() {
    for (name, words) in [
        ("iscsid.plist", "Only 1 has an effect: this iscsid has one connection per session. Default: 1."),
        ("iscsid.plist", "Only Yes has an effect: this iscsid takes bursts in order only. Default: Yes."),
        ("iscsictl", "Connections of a session: 1 and nothing else, since this iscsid has one connection per session."),
    ] {
        let words_of_page = page(name).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words_of_page.contains(words), "{words}");
    }
}

#[test]
fn the_example_of_a_property_list_is_one_that_iscsid_takes() {
    let page = page("iscsid.plist");
    let example: String = page
        .lines()
        .skip_while(|line| !line.starts_with("<?xml"))
        .take_while(|line| !line.starts_with(".fi"))
        .map(|line| format!("{line}\n"))
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("iscsid.plist");
    fs::write(&file, example).expect("it is written");
    let store = iscsid::config::Store::open(&file).map_err(|failure| failure.to_string()).expect("iscsid reads it");
    assert!(store.config().targets.contains_key("iqn.2001-04.com.example:disk1"));
}

/// What a formatter makes of a page, a line for each paragraph.
fn set(name: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let written = iscsictl(&["man", &directory.path().display().to_string()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let mut mandoc = Command::new("mandoc");
    mandoc.args(["-T", "utf8", "-O", "width=200"]).arg(directory.path().join(name));
    let set = String::from_utf8(mandoc.output().expect("mandoc runs").stdout).expect("UTF-8");
    // Bold and underlined letters are struck twice.
    let mut plain = String::new();
    for c in set.chars() {
        match c {
            '\u{8}' => plain.truncate(plain.char_indices().next_back().map_or(0, |(at, _)| at)),
            c => plain.push(c),
        }
    }
    plain
}

/// The lines of a page below that heading, without empty ones.
fn section<'a>(page: &'a str, head: &str) -> Vec<&'a str> {
    let lines = page.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| line.is_empty() || line.starts_with(' ')).filter(|line| !line.is_empty()).collect()
}

// check: manual-layout
#[test]
fn exit_codes_and_files_stand_in_columns_and_nothing_is_in_backticks() {
    if !need(&["mandoc"]) {
        return;
    }
    let page = set("man8/iscsictl.8");
    let codes = section(&page, "EXIT STATUS");
    assert!(codes.len() >= 10, "{codes:?}");
    for code in &codes {
        let text = code.trim_start();
        assert_eq!(code.len() - text.len(), codes[0].len() - codes[0].trim_start().len(), "{codes:?}");
        let (number, words) = text.split_once(' ').expect("a code and what it says");
        assert!(number.parse::<u8>().is_ok() && !words.trim().is_empty(), "{code}");
    }
    let files = section(&page, "FILES").join("\n");
    assert!(files.contains("/tmp/iscsid-UID/control.sock") && files.contains("/run/iscsid/control.sock"), "{files}");
    for name in ["man8/iscsictl.8", "man8/iscsid.8", "man5/iscsid.plist.5"] {
        assert!(!set(name).contains('`'), "{name}");
    }
}

// check: manual-reproducible
#[test]
fn the_same_date_makes_the_same_pages() {
    let made = |epoch: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let mut man = Command::new(program::under_test());
        man.args(["ctl", "man"]).arg(directory.path()).env("SOURCE_DATE_EPOCH", epoch);
        assert!(man.status().expect("iscsid runs").success());
        fs::read_to_string(directory.path().join("man8/iscsid.8")).expect("a page")
    };
    assert!(made("86400").contains("1970-01-02") || made("86400").contains("1970\\-01\\-02"), "{}", made("86400"));
    assert_eq!(made("1780000000"), made("1780000000"));
}

#[test]
fn mandoc_has_nothing_to_say_about_the_pages() {
    if !need(&["mandoc"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let written = iscsictl(&["man", &directory.path().display().to_string()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    for file in ["man5/iscsid.plist.5", "man8/iscsid.8", "man8/iscsictl.8"] {
        let lint =
            Command::new("mandoc").args(["-T", "lint"]).arg(directory.path().join(file)).output().expect("mandoc");
        assert!(lint.status.success() && lint.stdout.is_empty(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
}

#[test]
fn shells_take_the_completions() {
    for (shell, check) in [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])] {
        let script = iscsictl(&["completions", shell]);
        assert!(script.status.success() && script.stdout.len() > 500, "{shell}");
        if !need(&[shell]) {
            continue;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("iscsictl");
        fs::write(&file, script.stdout).expect("it is written");
        let checked = Command::new(shell).args(check).arg(&file).output().expect(shell);
        assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// A directory with a script in the place of `iscsictl`, and what bash makes of a line with it.
fn completed_by_bash(answer: &str, line: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("iscsictl");
    fs::write(&program, format!("#!/bin/sh\nprintf '{answer}'\n")).expect("it is written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be run");
    fs::write(directory.path().join("completions"), iscsictl(&["completions", "bash"]).stdout).expect("it is written");
    let script = format!(
        "PATH={0}:$PATH; . {0}/completions; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDBREAKS=' :='; \
         _iscsictl; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        directory.path().display()
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

// check: completions-names
#[test]
fn bash_completes_a_name_although_it_breaks_words_at_colons() {
    if !need(&["bash"]) {
        return;
    }
    let two = "iqn.2026-11.org.example:disk1\\tnas\\niqn.2026-11.org.example:disk2\\n";
    assert_eq!(
        completed_by_bash(two, "iscsictl login iqn"),
        ["iqn.2026-11.org.example:disk1", "iqn.2026-11.org.example:disk2"]
    );
    assert_eq!(completed_by_bash(two, "iscsictl login iqn.2026-11.org.example:d"), ["disk1", "disk2"]);
}

#[test]
fn the_words_of_the_scripts_are_those_of_the_program() {
    let words = |words: &[&str]| String::from_utf8(iscsictl(&[&["complete"], words].concat()).stdout).expect("UTF-8");
    assert!(words(&["iscsictl", "--", "list", "lu"]).starts_with("luns\t"));
    assert!(words(&["iscsid", "--", "--brid"]).starts_with("--bridge\t"));
    assert!(words(&["iscsid", "--", "ctl", "logi"]).starts_with("login\t"));
}

#[test]
fn a_directory_that_cannot_be_written_is_said() {
    let refused = iscsictl(&["man", "/dev/null/pages"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write the manual pages to /dev/null/pages"));
    assert!(!Path::new("/dev/null/pages").exists());
}
