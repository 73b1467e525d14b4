//! What the documents and manual pages give people to type can be pasted into the shell that they have: zsh on a Mac, whose
//! interactive shell takes no comments, and looks for files where a word has `?`, `*` or `[`.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::process::need;

/// Lines of a shell, and where they are.
type Snippet = (String, String);

fn documents() -> Vec<String> {
    let docs = fs::read_dir("docs").expect("docs").map(|entry| entry.expect("a file").path().display().to_string());
    let mut all: Vec<String> = docs.filter(|path| path.ends_with(".md")).collect();
    all.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned));
    all
}

/// Words that a line to type begins with.
const COMMANDS: [&str; 12] = [
    "sudo",
    "iscsictl",
    "iscsid",
    "make",
    "cargo",
    "brew",
    "mount",
    "umount",
    "nbdinfo",
    ".ci/run",
    "tests/",
    "packaging/",
];

fn is_typed(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    });
    words.next().is_some_and(|first| {
        COMMANDS.iter().any(|command| first == *command || (command.ends_with('/') && first.starts_with(command)))
    })
}

/// The blocks of a shell, and what else is indented and looks like a command.
fn snippets() -> Vec<Snippet> {
    let mut found = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("text");
        let mut fence: Option<(&str, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{document}:{}", number + 1);
            match (&mut fence, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => fence = Some((language, String::new())),
                (Some((language, block)), Some(_)) => {
                    assert!(!language.is_empty(), "{place}: the block says no language");
                    if *language == "sh" {
                        found.push((place, std::mem::take(block)));
                    }
                    fence = None;
                }
                (Some((_, block)), None) => block.extend([line, "\n"]),
                (None, None) if line.starts_with("    ") && is_typed(line) => {
                    found.push((place, line.trim().to_owned() + "\n"))
                }
                (None, None) => {}
            }
        }
        assert!(fence.is_none(), "{document}: a block has no end");
    }
    for page in iscsid::cli::manual::pages() {
        let text = page.text.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\&", "");
        let mut inside = false;
        for line in text.lines() {
            match line {
                ".nf" | ".EX" => inside = true,
                ".fi" | ".EE" => inside = false,
                _ if inside && is_typed(line) => found.push((page.name.to_owned(), line.to_owned() + "\n")),
                _ => {}
            }
        }
    }
    found
}

/// Its characters that no quotes protect.
fn bare(line: &str) -> String {
    let (mut quote, mut bare) = (None, String::new());
    for letter in line.chars() {
        match quote {
            Some(open) if open == letter => quote = None,
            Some(_) => {}
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            None => bare.push(letter),
        }
    }
    bare
}

// check: text-pasted
#[test]
fn what_documents_give_to_type_can_be_pasted_into_an_interactive_zsh() {
    let snippets = snippets();
    assert!(snippets.len() > 15, "{snippets:?}");
    for (place, text) in &snippets {
        for line in text.lines() {
            let bare = bare(line);
            assert!(!bare.split_whitespace().any(|word| word.starts_with('#')), "{place}: a comment: {line}");
            assert!(!bare.trim_start().contains("  "), "{place}: what it is stands in the line: {line}");
            for letter in ['?', '*', '[', '!', '<', '>', '…'] {
                assert!(!bare.contains(letter), "{place}: {letter} without quotes: {line}");
            }
        }
    }
    if !need(&["zsh"]) {
        return;
    }
    for (place, text) in snippets {
        let mut zsh = Command::new("zsh")
            .args(["-f", "-n", "-s"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("zsh");
        zsh.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
        let out = zsh.wait_with_output().expect("it ends");
        assert!(out.status.success(), "{place}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn what_cannot_be_pasted_is_found() {
    assert_eq!(bare("a 'b # c' \"d ?\" # e"), "a   # e");
    assert!(is_typed("FAULTS=1 make soak") && is_typed("tests/scripts/fuzz") && !is_typed("your NAS ◄── iSCSI"));
}
