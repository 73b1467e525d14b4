//! What hosted runners do: each step of a workflow is a word of a script of ours, which is tried here as far as Linux goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::mac::executable;
use crate::process::{need, need_root};

fn workflow(name: &str) -> String {
    fs::read_to_string(format!(".github/workflows/{name}.yml")).expect("a workflow")
}

/// What the lines `run:` of a workflow say.
fn runs(workflow: &str) -> Vec<&str> {
    workflow.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("run: ")).collect()
}

/// The words that the head of a script lists: a line each, two spaces in.
fn words(script: &str) -> Vec<String> {
    let text = fs::read_to_string(script).expect("a script");
    let listed = text.lines().filter_map(|line| line.strip_prefix("#   ")).filter(|line| !line.starts_with(' '));
    let first = listed.filter_map(|line| line.split_whitespace().next());
    first.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')).map(str::to_owned).collect()
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn the_jobs_on_linux_are_the_steps_of_the_script_and_no_others() {
    let script = fs::read_to_string(".ci/run").expect("the script");
    let lanes = script.split("builds=(").nth(1).and_then(|rest| rest.split("\nif ").next()).expect("the lanes");
    let steps: Vec<&str> =
        lanes.lines().filter_map(|line| line.trim().strip_prefix('\'')?.strip_suffix('\'')).collect();
    assert!(steps.len() > 10, "{steps:?}");
    let listed = Command::new(".ci/run").arg("--steps").output().expect("it runs");
    assert_eq!(serde_json::from_slice::<Vec<String>>(&listed.stdout).expect("a list"), steps);

    // The workflow has no list of its own.
    let ci = workflow("ci");
    assert_eq!(
        runs(&ci),
        [
            r#"echo "steps=$(.ci/run --steps)" >> "$GITHUB_OUTPUT""#,
            r#".ci/hosted "$STEP""#,
            r#"test "$RESULT" = success"#,
        ]
    );
    for line in [
        "steps: ${{ steps.list.outputs.steps }}",
        "step: ${{ fromJSON(needs.steps.outputs.steps) }}",
        "STEP: ${{ matrix.step }}",
    ] {
        assert!(ci.lines().any(|one| one.trim() == line), "{line}");
    }
}

#[test]
fn a_step_that_is_none_is_refused_before_anything_is_done() {
    let out = Command::new(".ci/run").args(["make demo", "make coffee"]).output().expect("it runs");
    assert_eq!(out.status.code(), Some(64));
    assert!(said(&out).contains("make coffee is no step"), "{}", said(&out));
}

#[test]
fn the_steps_on_a_mac_and_of_a_release_are_the_words_of_their_scripts() {
    let mac = words(".ci/mac");
    assert!(mac.contains(&"acceptance".to_owned()), "{mac:?}");
    let steps: Vec<String> = mac.iter().map(|word| format!(".ci/mac {word}")).collect();
    assert_eq!(runs(&workflow("macos")), steps);

    let release = workflow("release");
    let mut done: Vec<&str> =
        runs(&release).iter().filter_map(|run| run.strip_prefix(".ci/release ")?.strip_suffix(r#" "$TAG""#)).collect();
    let mut listed = words(".ci/release");
    done.sort_unstable();
    listed.sort_unstable();
    assert_eq!(done, listed);

    for script in [".ci/mac", ".ci/release"] {
        let out = Command::new("bash").args([script, "nonsense", "v0.1.0"]).output().expect("bash");
        assert_eq!(out.status.code(), Some(64), "{script}");
    }
}

#[test]
fn actions_are_pinned_jobs_end_and_may_do_little() {
    for entry in fs::read_dir(".github/workflows").expect("the workflows") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let (action, version) = line.split_once(" # v").unwrap_or_else(|| panic!("no version: {line}"));
            let commit = action.split_once('@').expect("a commit").1;
            assert!(commit.len() == 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit()), "{line}");
            assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{line}");
        }
        let count = |what: &str| text.matches(what).count();
        assert_eq!(count("\n    timeout-minutes:"), count("runs-on:"), "{path:?}");
        assert_eq!(count("\n    permissions:"), count("runs-on:"), "{path:?}");
        assert!(text.contains("\npermissions: {}\n") && text.contains("\nconcurrency:\n"), "{path:?}");
        assert_eq!(count("actions/checkout@"), count("persist-credentials: false"), "{path:?}");
    }
}

#[test]
fn a_hosted_step_runs_in_a_copy_that_is_roots_and_gives_its_logs_and_its_verdict_back() {
    if !need_root() {
        return;
    }
    let tree = Tree::new();
    let step = "#!/bin/bash\nrm -rf target/ci && mkdir -p target/ci\necho \"$PWD $(stat -c %U:%n Cargo.toml) $*\" > target/ci/log\nexit 7\n";
    executable(&tree.path(".ci/run"), step);
    fs::create_dir_all(tree.path("target/ci")).expect("a directory");
    fs::write(tree.path("target/ci/of an earlier run"), "").expect("written");
    let given = Command::new("chown").args(["-R", "65534"]).arg(tree.directory.path()).status().expect("chown");
    assert!(given.success());
    let out = tree.run(".ci/hosted", &["make demo"]);
    assert_eq!(out.status.code(), Some(7), "{}", said(&out));
    let log = fs::read_to_string(tree.path("target/ci/log")).expect("the log");
    assert!(log.starts_with("/root/iscsid.") && log.ends_with(" root:Cargo.toml make demo\n"), "{log}");
    assert!(!tree.path("target/ci/of an earlier run").exists());
    assert!(!Path::new(log.split(' ').next().expect("where it ran")).exists(), "the copy is still there");
}

/// A tree with what the scripts need of ours, and stubs of what they start.
struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    fn new() -> Tree {
        let tree = Tree { directory: tempfile::tempdir().expect("a directory") };
        for directory in ["bin", ".ci", "target/release-files"] {
            fs::create_dir_all(tree.path(directory)).expect("a directory");
        }
        let copied = [
            "packaging/apple",
            "packaging/homebrew",
            ".ci/mac",
            ".ci/hosted",
            ".ci/release",
            "CHANGELOG.md",
            "Cargo.toml",
        ];
        let parents = Command::new("cp").arg("-R").arg("--parents").args(copied).arg(tree.directory.path()).status();
        assert!(parents.is_ok_and(|status| status.success()));
        tree.stub("sudo", "exec \"$@\"");
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn stub(&self, name: &str, does: &str) {
        let text = format!("#!/bin/bash\necho \"{name} $*\" >> \"$TREE/calls\"\n{does}\n");
        executable(&self.path("bin").join(name), &text);
    }

    fn run(&self, script: &str, words: &[&str]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a path"));
        let mut command = Command::new("bash");
        command.arg(self.path(script)).args(words).env("PATH", path).env("TREE", self.directory.path());
        for unset in ["GITHUB_ACTIONS", "SIGN_APPLICATION", "SIGN_INSTALLER", "NOTARY_KEY", "CERTIFICATES"] {
            command.env_remove(unset);
        }
        command.output().expect("bash")
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).expect("text");
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(self.path(file), text.replacen(from, to, 1)).expect("written");
    }
}

#[test]
fn the_lists_of_symbols_are_compared_with_the_sdk_that_xcrun_names() {
    if !need(&["python3"]) {
        return;
    }
    let tree = Tree::new();
    let sdk = tree.path("sdk");
    let made = Command::new("packaging/apple/sdk.py").arg("make").arg(&sdk).status().expect("python3");
    assert!(made.success());
    tree.stub("xcrun", &format!("echo {}", sdk.display()));
    let out = tree.run(".ci/mac", &["verify"]);
    assert!(out.status.success(), "{}", said(&out));
    assert!(
        fs::read_to_string(tree.path("target/reports/symbols.txt")).is_ok_and(|report| report.contains("libSystem: "))
    );

    tree.change("packaging/apple/symbols/IOKit.txt", "_IO", "_IONoSuchThing\n_IO");
    let out = tree.run(".ci/mac", &["verify"]);
    assert!(!out.status.success() && said(&out).contains("has no _IONoSuchThing"), "{}", said(&out));
}

#[test]
fn homebrew_gets_the_formula_with_this_tree_as_its_head() {
    let tree = Tree::new();
    tree.stub("git", "");
    tree.stub(
        "brew",
        "case $1 in --repository | --prefix | --cellar) mkdir -p \"$TREE/brew/Formula\" \"$TREE/brew/iscsid\"; echo \"$TREE/brew\" ;; esac",
    );
    let out = tree.run(".ci/mac", &["brew"]);
    assert!(out.status.success(), "{}", said(&out));
    let formula = fs::read_to_string(tree.path("brew/Formula/iscsid.rb")).expect("the formula");
    let head = format!("  head \"file://{}\", using: :git, branch: \"from-tree\"\n", canonical(tree.directory.path()));
    assert!(formula.contains(&head), "{formula}");
    let calls = tree.calls();
    for call in
        ["git branch --force from-tree HEAD", "brew install --HEAD", "brew test --HEAD", "brew uninstall iscsid"]
    {
        assert!(calls.contains(call), "{call}: {calls}");
    }
}

fn canonical(path: &Path) -> String {
    path.canonicalize().expect("a path").display().to_string()
}

#[test]
fn a_release_has_one_version_everywhere() {
    let tree = Tree::new();
    let version = env!("CARGO_PKG_VERSION");
    for (tag, code) in [("v9.9.9", 65), ("0.1.0", 64), ("v1.0", 64), ("v0.1.0; rm -rf /", 64)] {
        let out = tree.run(".ci/release", &["check", tag]);
        assert_eq!(out.status.code(), Some(code), "{tag}: {}", said(&out));
    }
    let tag = format!("v{version}");
    tree.change("CHANGELOG.md", "## Unreleased", &format!("## {version}, today"));
    let out = tree.run(".ci/release", &["check", &tag]);
    assert!(out.status.success(), "{}", said(&out));
    tree.change("packaging/homebrew/iscsid.rb", &format!("/refs/tags/v{version}.tar.gz"), "/refs/tags/v0.0.9.tar.gz");
    let out = tree.run(".ci/release", &["check", &tag]);
    assert!(said(&out).contains("has the archive of another tag"), "{}", said(&out));
}

#[test]
fn what_a_release_cannot_sign_it_says_loudly_and_the_rest_is_done() {
    let tree = Tree::new();
    for step in ["import-certificates", "notarise"] {
        let out = tree.run(".ci/release", &[step, "v0.1.0"]);
        assert!(out.status.success() && said(&out).contains("!!!! NOT DONE"), "{step}: {}", said(&out));
    }
    assert_eq!(tree.calls(), "");
}

#[test]
fn the_formula_of_a_release_has_the_sum_of_its_archive_and_all_files_are_in_the_list() {
    if !need(&["sha256sum"]) {
        return;
    }
    let tree = Tree::new();
    tree.stub("curl", "while [ \"$1\" != --output ]; do shift; done\nprintf archive > \"$2\"");
    tree.stub("shasum", "shift 2\nexec sha256sum \"$@\"");
    tree.stub("gh", "");
    tree.change("CHANGELOG.md", "## Unreleased", "## 0.1.0\nWhat is new\n\n## Older");
    fs::write(tree.path("target/release-files/iscsid-0.1.0-Installer.pkg"), "package").expect("written");
    for step in ["formula", "checksums", "draft"] {
        let out = tree.run(".ci/release", &[step, "v0.1.0"]);
        assert!(out.status.success(), "{step}: {}", said(&out));
    }
    // SHA-256 of "archive".
    let sum = "0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3";
    let formula = fs::read_to_string(tree.path("target/release-files/iscsid.rb")).expect("the formula");
    assert!(
        formula.contains("refs/tags/v0.1.0.tar.gz\"") && formula.contains(&format!("sha256 \"{sum}\"")),
        "{formula}"
    );
    let sums = fs::read_to_string(tree.path("target/release-files/SHA256SUMS")).expect("the list");
    assert!(sums.contains("  iscsid.rb\n") && sums.contains("  iscsid-0.1.0-Installer.pkg\n"), "{sums}");
    assert!(!sums.contains("SHA256SUMS"), "{sums}");
    let calls = tree.calls();
    assert!(calls.contains("gh release create v0.1.0 --draft --verify-tag") && calls.contains("SHA256SUMS"), "{calls}");
    assert_eq!(fs::read_to_string(tree.path("target/notes.md")).expect("the notes"), "What is new\n\n");
}
