//! What the program may import on a Mac, and that the check of it refuses what it should.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::{need, skip};

const SDK: &str = "packaging/apple/sdk.py";

fn python(script: &Path, words: &[&str]) -> Output {
    let version = Command::new("packaging/apple/install-llvm").arg("version").output().expect("the version of LLVM");
    let suffix = format!("-{}", String::from_utf8_lossy(&version.stdout).trim());
    Command::new("python3").arg(script).args(words).env("LLVM_SUFFIX", suffix).output().expect("python3")
}

/// A program for a Mac that calls one function, and where it is.
struct Linked {
    directory: tempfile::TempDir,
}

impl Linked {
    fn calling(function: &str, options: &[&str]) -> Linked {
        let directory = tempfile::tempdir().expect("a directory");
        let linked = Linked { directory };
        let made = python(Path::new(SDK), &["make", &linked.path("sdk")]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let assembly = format!(".globl _main\n.p2align 2\n_main:\n  bl {function}\n  ret\n");
        fs::write(linked.path("main.s"), assembly).expect("written");
        let version = Command::new("packaging/apple/install-llvm").arg("version").output().expect("the version");
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let run = |tool: &str, words: &[&str]| {
            let out = Command::new(format!("{tool}-{version}")).args(words).output().expect(tool);
            assert!(out.status.success(), "{tool}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let (source, object) = (linked.path("main.s"), linked.path("main.o"));
        run("llvm-mc", &["-triple=arm64-apple-macos13.0", "-filetype=obj", "-o", &object, &source]);
        let (sdk, out) = (linked.path("sdk"), linked.path("main"));
        let mut words = vec!["-arch", "arm64", "-syslibroot", &sdk, "-lSystem", &object, "-o", &out];
        words.extend(options);
        run("ld64.lld", &words);
        linked
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// What the check says, by the lists that `change` was let loose on.
    fn checked(&self, change: impl FnOnce(&Path)) -> Result<String, String> {
        let lists = self.directory.path().join("lists");
        fs::create_dir_all(lists.join("symbols")).expect("a directory");
        fs::copy(SDK, lists.join("sdk.py")).expect("a copy");
        for list in fs::read_dir("packaging/apple/symbols").expect("the lists") {
            let list = list.expect("a list");
            fs::copy(list.path(), lists.join("symbols").join(list.file_name())).expect("a copy");
        }
        change(&lists.join("symbols"));
        let out = python(&lists.join("sdk.py"), &["check", &self.path("main")]);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        if out.status.success() { Ok(said) } else { Err(said) }
    }
}

const SIGNED_FOR_13: [&str; 5] = ["-platform_version", "macos", "13.0", "13.0", "-adhoc_codesign"];

fn tools() -> bool {
    let linker = Command::new("packaging/apple/install-llvm").arg("there").output();
    need(&["python3"])
        && (linker.is_ok_and(|out| out.status.success()) || skip("LLVM's linker for a Mac not installed"))
}

#[test]
fn a_program_that_keeps_to_the_lists_passes() {
    if !tools() {
        return;
    }
    let said = Linked::calling("_kqueue", &SIGNED_FOR_13).checked(|_| {}).expect("nothing is wrong");
    assert!(said.contains("macOS 13.0, signed, 2 symbols from 1 libraries"), "{said}");
}

#[test]
fn an_import_that_is_not_listed_is_refused() {
    if !tools() {
        return;
    }
    let linked = Linked::calling("_kqueue", &SIGNED_FOR_13);
    let refused = linked.checked(|lists| {
        let list = lists.join("libSystem.txt");
        let without = fs::read_to_string(&list).expect("the list").replace("_kqueue\n", "");
        fs::write(list, without).expect("written");
    });
    assert!(refused.expect_err("it is refused").contains("imports _kqueue from libSystem, which is not listed"));
}

#[test]
fn a_program_for_a_later_macos_or_without_a_signature_is_refused() {
    if !tools() {
        return;
    }
    let later = ["-platform_version", "macos", "14.0", "14.0", "-adhoc_codesign"];
    let refused = Linked::calling("_kqueue", &later).checked(|_| {}).expect_err("it is refused");
    assert!(refused.contains("is not built for macOS 13.0"), "{refused}");
    let unsigned = ["-platform_version", "macos", "13.0", "13.0", "-no_adhoc_codesign"];
    let refused = Linked::calling("_kqueue", &unsigned).checked(|_| {}).expect_err("it is refused");
    assert!(refused.contains("is not signed"), "{refused}");
}

#[test]
fn a_failed_link_says_which_list_a_symbol_belongs_to() {
    if !need(&["python3"]) {
        return;
    }
    let log = tempfile::NamedTempFile::new().expect("a file");
    let text = "ld64.lld: error: undefined symbol: _IORegisterForSystemPower2\n>>> referenced by main\n\
                ld64.lld: error: undefined symbol: _SCDynamicStoreFrob\nld64.lld: error: undefined symbol: _frob\n\
                ld64.lld: error: framework not found for -framework Metal\n";
    fs::write(log.path(), text).expect("written");
    let out = python(&PathBuf::from(SDK), &["explain", &log.path().display().to_string()]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    for part in [
        "symbols/IOKit.txt:\n  _IORegisterForSystemPower2",
        "symbols/SystemConfiguration.txt:\n  _SC",
        "symbols/libSystem.txt:\n  _frob",
        "packaging/apple/symbols/Metal.txt",
        "sdk.py verify SDK",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}
