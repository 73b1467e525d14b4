//! The formula, as far as it can be tried without Homebrew: its syntax, its steps, and its own test.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::need;
use crate::program;

const FORMULA: &str = "packaging/homebrew/iscsid.rb";

fn evaluated() -> Option<Value> {
    if !need(&["ruby"]) {
        return None;
    }
    let syntax = Command::new("ruby").args(["-wc", FORMULA]).output().expect("ruby");
    assert!(syntax.status.success() && syntax.stderr.is_empty(), "{}", String::from_utf8_lossy(&syntax.stderr));
    let bin = tempfile::tempdir().expect("a directory");
    for name in ["iscsid", "iscsictl"] {
        symlink(program::under_test(), bin.path().join(name)).expect("a link");
    }
    let mut ruby = Command::new("ruby");
    ruby.args(["tests/packaging/formula.rb", FORMULA]).arg(bin.path()).env("TESTPATH", bin.path());
    let out = ruby.output().expect("ruby");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(serde_json::from_slice(&out.stdout).expect("JSON"))
}

#[test]
fn the_formula_builds_from_source_and_installs_everything_a_package_has() {
    let Some(formula) = evaluated() else { return };
    assert_eq!(
        formula["install"],
        json!([
            ["system", "cargo", "install", "--locked", "--root=PREFIX", "--path=."],
            ["symlink", "PREFIX/bin", "iscsid", "iscsictl"],
            ["completions", "PREFIX/bin/iscsictl", "completions"],
            ["system", "PREFIX/bin/iscsictl", "man", "PREFIX/build/man"],
            ["install", "PREFIX/man5", "PREFIX/build/man/man5/iscsid.plist.5"],
            ["install", "PREFIX/man8", "PREFIX/build/man/man8/iscsid.8", "PREFIX/build/man/man8/iscsictl.8"],
            ["install", "PREFIX/share/iscsid", "packaging/newsyslog/org.iscsid.iscsid.conf"],
        ])
    );
    for page in iscsid::cli::manual::pages() {
        let file = format!("man{}/{}.{}", page.section, page.name, page.section);
        assert!(formula["install"].to_string().contains(&file), "{file} is installed");
    }
    assert_eq!(formula["depends_on"], json!([{ "rust": "build" }, { "macos": "ventura" }]));
    assert_eq!(formula["license"], json!({ "any_of": ["MIT", "Apache-2.0"] }));
    assert!(formula["url"].as_str().is_some_and(|url| url.contains(concat!("/v", env!("CARGO_PKG_VERSION"), ".tar"))));
}

#[test]
fn the_service_runs_as_root_is_kept_alive_and_has_a_log() {
    let Some(formula) = evaluated() else { return };
    assert_eq!(
        formula["service"],
        json!({
            "run": ["PREFIX/opt/bin/iscsid"],
            "keep_alive": [true],
            "require_root": [true],
            "stop_timeout": [60],
            "throttle_interval": [5],
            "process_type": ["interactive"],
            "sockets": [["NFS", format!("tcp://{}", crate::launchd::HELD)]],
            "log_path": ["/Library/Logs/iscsid.log"],
            "error_log_path": ["/Library/Logs/iscsid.log"],
        })
    );
    let caveats = formula["caveats"].as_str().expect("a text");
    // What `sudo brew services` gives to root, Homebrew cannot take away.
    assert!(caveats.contains("sudo chown -R") && caveats.contains("\"PREFIX/Cellar/iscsid\""), "{caveats}");
    assert!(caveats.contains("/Library/Application Support/iscsid"), "{caveats}");
    // Homebrew may not write to /etc: who wants the log put aside copies the rule, which is for this very file.
    assert!(caveats.contains("sudo cp PREFIX/opt/share/iscsid/org.iscsid.iscsid.conf /etc/newsyslog.d/"), "{caveats}");
    let rule = std::fs::read_to_string("packaging/newsyslog/org.iscsid.iscsid.conf").expect("the rule");
    assert!(rule.lines().any(|line| line.starts_with("/Library/Logs/iscsid.log ")), "{rule}");
}

#[test]
fn the_formulas_own_test_passes_with_what_was_built_here() {
    let Some(formula) = evaluated() else { return };
    let matched = json!([env!("CARGO_PKG_VERSION"), "ok: the whole way works", "iscsid is not running"]);
    assert_eq!(formula["test"], matched);
}

#[test]
fn the_readme_installs_it_from_a_tap_which_is_all_that_homebrew_takes() {
    let readme = std::fs::read_to_string("README.md").expect("text");
    let typed: Vec<&str> = readme.lines().filter(|line| line.starts_with("brew ")).collect();
    assert!(typed.iter().any(|line| line.starts_with("brew tap-new ")), "{typed:?}");
    assert!(readme.contains(&format!("cp {FORMULA} ")), "the formula goes into the tap");
    let installs: Vec<_> = typed.iter().filter(|line| line.starts_with("brew install")).collect();
    assert!(!installs.is_empty());
    for line in installs {
        // user/tap/formula, and no path to a file.
        let name = line.split_whitespace().last().expect("a name");
        assert!(name.split('/').count() == 3 && !name.contains('.'), "{line}");
    }
}
