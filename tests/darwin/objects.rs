use nix::sys::signal::Signal;

use crate::machrun::{Program, ended};

#[test]
fn strings_numbers_and_collections_give_back_what_went_in() {
    let Some(program) = Program::named("objects") else { return };
    assert_eq!(program.says(&[]), "balanced\n");
}

#[test]
fn who_releases_an_object_too_often_is_stopped() {
    let Some(program) = Program::named("objects") else { return };
    let ended = program.run(&["released twice"]);
    assert_eq!(ended.signal(), Some(Signal::SIGABRT), "{ended:?}");
    assert!(ended.stderr.contains("CFRelease of an object that is gone"), "{ended:?}");
}

#[test]
fn what_a_program_still_holds_at_its_end_is_listed_with_its_count() {
    let Some(program) = Program::named("objects") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    for (word, left) in [("held", "2 CFString still there\n"), ("balanced", "")] {
        let list = directory.path().join(word);
        let ended = ended(program.command(&[word]).env("DARWIN_OBJECTS", &list));
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(std::fs::read_to_string(&list).expect("the list"), left);
    }
}
