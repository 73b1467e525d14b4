use nix::sys::signal::Signal;

use crate::machrun::{Program, ended};

#[test]
fn a_missing_function_aborts_when_it_is_called_with_its_name_and_its_caller_s() {
    let Some(program) = Program::named("imports") else { return };
    assert_eq!(program.says(&[]), "None\n");
    let ended = program.run(&["missing"]);
    assert_eq!(ended.signal(), Some(Signal::SIGABRT), "{ended:?}");
    let told = "machrun: _no_machine_has_this is called and not there, by _calls_what_is_missing";
    assert_eq!(ended.stderr.lines().next(), Some(told), "{ended:?}");
}

#[test]
fn a_weak_import_that_is_missing_is_null() {
    let Some(program) = Program::named("imports") else { return };
    assert_eq!(program.says(&["weak"]), "true false\n");
}

/// What others may define as well, such as an inline function of C++, is looked up like an import.
#[test]
fn a_weak_definition_that_nobody_else_has_is_the_program_s_own() {
    for (how, words) in [("", &[][..]), ("-by-opcodes", &["-no_fixup_chains"][..])] {
        let Some(program) = Program::linked("imports", how, words) else { return };
        assert_eq!(program.says(&["coalesced"]), "42 42\n", "{how}");
    }
}

/// Without it what is "imported and never called" could not be told.
#[test]
fn the_imports_are_told_with_how_often_each_was_called() {
    let Some(program) = Program::named("imports") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let list = directory.path().join("imports");
    for _ in 0..2 {
        ended(program.command(&["weak"]).env("DARWIN_IMPORTS", &list));
    }
    let list = std::fs::read_to_string(list).expect("the list");
    let told = |line: &str| list.lines().filter(|&other| other == line).count();
    // Appended to: a line for each of the two.
    assert_eq!((told("missing _no_machine_has_this"), told("absent _nor_this")), (2, 2), "{list}");
    assert_eq!(told("0 _getpid"), 2, "{list}");
    let writes = list.lines().filter_map(|line| line.strip_suffix(" _write")?.parse().ok()).collect::<Vec<u32>>();
    assert!(writes.len() == 2 && writes.iter().all(|&times| times > 0), "{list}");
}
