use std::fs;
use std::time::{Duration, Instant};

use iscsid::testing::skip;

use crate::mac::Mac;
use crate::machrun::Program;

const WRITE_PERMISSION: &str = "-61\n";
const AUTH_FAILED: &str = "-25293\n";
const DUPLICATE_ITEM: &str = "-25299\n";
const ITEM_NOT_FOUND: &str = "-25300\n";
const INTERACTION_NOT_ALLOWED: &str = "-25308\n";

/// Only root may write the System keychain.
fn program() -> Option<Program> {
    if !nix::unistd::geteuid().is_root() && !skip("needs root") {
        return None;
    }
    Program::named("keychain")
}

#[test]
fn a_password_is_found_by_the_next_process_until_it_is_removed() {
    let Some(program) = program() else { return };
    let mac = Mac::new();
    let says = |words: &[&str]| mac.says(&program, words);
    assert_eq!(says(&["get", "a"]), ITEM_NOT_FOUND);
    assert_eq!(says(&["add", "a", "a secret"]), "0\n");
    assert_eq!(says(&["get", "a"]), "a secret\n0\n");
    assert_eq!(says(&["add", "a", "another"]), DUPLICATE_ITEM);
    assert_eq!(says(&["change", "a", "another"]), "0\n");
    assert_eq!(says(&["get", "a"]), "another\n0\n");
    assert_eq!(says(&["get", "b"]), ITEM_NOT_FOUND);
    assert_eq!(says(&["remove", "a"]), "0\n");
    assert_eq!(says(&["get", "a"]), ITEM_NOT_FOUND);
}

/// A signature without a certificate is a digest of the program: each build is somebody else.
#[test]
fn a_program_that_was_signed_again_sees_the_item_and_is_refused_the_password() {
    let Some(program) = program() else { return };
    let mac = Mac::new();
    assert_eq!(mac.says(&program, &["add", "a", "a secret"]), "0\n");
    let directory = tempfile::tempdir().expect("a directory");
    let again = Program { loader: program.loader.clone(), file: directory.path().join("keychain") };
    fs::copy(&program.file, &again.file).expect("a copy");
    assert_eq!(mac.says(&again, &["get", "a"]), "a secret\n0\n", "the same program, elsewhere");
    crate::signature::sign_again(&again.file);
    assert_eq!(mac.says(&again, &["get", "a"]), INTERACTION_NOT_ALLOWED);
    assert_eq!(mac.says(&again, &["see", "a"]), "0\n");
    assert_eq!(mac.says(&again, &["add", "a", "its own"]), DUPLICATE_ITEM);
    assert_eq!(mac.says(&program, &["get", "a"]), "a secret\n0\n", "nothing has happened to it");
}

/// With a certificate, it is the team's: what one of its programs has stored, the next one is given.
#[test]
fn a_team_s_programs_are_one_to_the_keychain() {
    const REQUIREMENT_FAILED: &str = "-67050\n";
    let Some(program) = program() else { return };
    let mac = Mac::new();
    let directory = tempfile::tempdir().expect("a directory");
    let [signed, again] =
        ["signed", "again"].map(|name| Program { loader: program.loader.clone(), file: directory.path().join(name) });
    fs::copy(&program.file, &signed.file).expect("a copy");
    crate::signature::sign_by_a_team(&signed.file);
    fs::copy(&signed.file, &again.file).expect("a copy");
    crate::signature::sign_again(&again.file);
    assert_eq!(mac.says(&program, &["signed"]), REQUIREMENT_FAILED);
    assert_eq!(mac.says(&signed, &["signed"]), "0\n");
    assert_eq!(mac.says(&signed, &["add", "a", "a secret"]), "0\n");
    assert_eq!(mac.says(&again, &["get", "a"]), "a secret\n0\n");
    assert_eq!(mac.says(&program, &["get", "a"]), INTERACTION_NOT_ALLOWED);
}

#[test]
fn one_file_with_the_loader_is_the_same_program_to_the_keychain() {
    let Some(program) = program() else { return };
    let mac = Mac::new();
    assert_eq!(mac.says(&program, &["add", "a", "a secret"]), "0\n");
    let directory = tempfile::tempdir().expect("a directory");
    let packed = directory.path().join("keychain");
    program.packed(&packed);
    let mut command = crate::machrun::emulated(packed.as_os_str());
    command.env("DARWIN_MACHINE", mac.path()).args(["get", "a"]);
    let ended = crate::machrun::ended(&command);
    assert_eq!(ended.stdout, "a secret\n0\n", "{ended:?}");
}

#[test]
fn a_keychain_says_why_it_refuses() {
    let Some(program) = program() else { return };
    let mac = Mac::new();
    assert_eq!(mac.says(&program, &["add", "a", "a secret"]), "0\n");
    let modes = [
        ("locked", INTERACTION_NOT_ALLOWED, INTERACTION_NOT_ALLOWED),
        ("refuses", AUTH_FAILED, AUTH_FAILED),
        ("read-only", "a secret\n0\n", WRITE_PERMISSION),
        ("works", "a secret\n0\n", "0\n"),
    ];
    for (mode, get, add) in modes {
        mac.set(&program, &["keychain", mode]);
        assert_eq!(mac.says(&program, &["get", "a"]), get, "{mode}");
        assert_eq!(mac.says(&program, &["add", "b", "b"]), add, "{mode}");
    }
    assert_eq!(mac.told(&program, &["keychain", "sings"]).status.code(), Some(64));
}

/// A session with a screen, as after `sudo` in Terminal: the program waits for a person, unless it has said that it
/// will not.
#[test]
fn where_there_is_a_screen_another_program_s_wish_waits_for_a_person() {
    let Some(program) = program() else { return };
    let mac = Mac::new();
    assert_eq!(mac.says(&program, &["add", "a", "a secret"]), "0\n");
    let directory = tempfile::tempdir().expect("a directory");
    let again = Program { loader: program.loader.clone(), file: directory.path().join("keychain") };
    fs::copy(&program.file, &again.file).expect("a copy");
    crate::signature::sign_again(&again.file);
    for (answer, said) in [("works", &["a secret", "0"][..]), ("refuses", &[AUTH_FAILED.trim_end()])] {
        mac.set(&program, &["keychain", "asks"]);
        assert_eq!(mac.says(&program, &["get", "a"]), "a secret\n0\n", "it is its own");
        assert_eq!(mac.says(&again, &["quietly", "get", "a"]), INTERACTION_NOT_ALLOWED);
        let asked = mac.log().matches("keychain asks").count();
        let mut talk = mac.start(&again, &["get", "a"]);
        let limit = Instant::now() + Duration::from_secs(30);
        while mac.log().matches("keychain asks").count() == asked {
            assert!(Instant::now() < limit, "nobody is asked: {}", mac.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        mac.set(&program, &["keychain", answer]);
        talk.expect(said);
        talk.end();
    }
}
