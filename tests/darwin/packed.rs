use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use iscsid::testing::cannot;

use crate::machrun::{Program, emulated, ended, is_arm64};

/// Packed as iscsid is, with the symlink that it has.
fn packed() -> Option<(tempfile::TempDir, Program)> {
    let program = Program::named("packed")?;
    let directory = tempfile::tempdir().expect("a directory");
    program.packed(&directory.path().join("daemon"));
    symlink("daemon", directory.path().join("ctl")).expect("a link");
    Some((directory, program))
}

fn said(path: &Path, words: &[&str]) -> String {
    let ended = ended(emulated(path.as_os_str()).args(words));
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout
}

#[test]
fn a_packed_program_runs_under_its_name_and_under_that_of_a_link() {
    let Some((directory, _program)) = packed() else { return };
    for name in ["daemon", "ctl"] {
        let path = directory.path().join(name);
        let shown = path.display();
        assert_eq!(said(&path, &["--pack", "x"]), format!("[{shown:?}, \"--pack\", \"x\"] {shown}\n"));
    }
}

#[test]
fn a_packed_program_has_the_first_word_that_it_was_started_with() {
    let Some((directory, _program)) = packed() else { return };
    if is_arm64() {
        cannot("qemu-user is what is started, and gives the path as the first word");
        return;
    }
    let path = directory.path().join("ctl");
    let ended = Command::new(&path).arg0("another").output().expect("a program");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), format!("[\"another\"] {}\n", path.display()));
}

#[test]
fn a_packed_program_starts_itself_again_by_the_path_it_knows() {
    let Some((directory, _program)) = packed() else { return };
    if is_arm64() {
        cannot("what qemu-user's program starts is for this machine's kernel, which knows no arm64");
        return;
    }
    let path = directory.path().join("ctl");
    let ended = ended(emulated(path.as_os_str()).arg("again"));
    let shown = path.display();
    assert_eq!(ended.stdout, format!("[{shown:?}, \"again\"] {shown}\n[{shown:?}, \"child\"] {shown}\n"), "{ended:?}");
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
}

#[test]
fn a_program_is_packed_over_one_that_runs() {
    let Some((directory, program)) = packed() else { return };
    let path = directory.path().join("daemon");
    for _ in 0..2 {
        program.packed(&path);
        assert_eq!(said(&path, &[]), format!("[{path:?}] {}\n", path.display()));
    }
    // By a packed one as well as by the loader alone.
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_unpacked_program_is_its_own_first_word() {
    let Some(program) = Program::named("packed") else { return };
    let shown = program.file.display();
    assert_eq!(program.says(&["--check"]), format!("[\"{shown}\", \"--check\"] {shown}\n"));
}
