use nix::sys::signal::Signal;

use crate::machrun::Program;

#[test]
fn there_is_no_service_of_an_extension_that_is_not_loaded() {
    let Some(program) = Program::named("services") else { return };
    assert_eq!(program.says(&[]), "0\n");
}

#[test]
fn who_releases_what_was_never_handed_out_is_stopped() {
    let Some(program) = Program::named("services") else { return };
    let ended = program.run(&["release"]);
    assert_eq!(ended.signal(), Some(Signal::SIGABRT), "{ended:?}");
    assert!(ended.stderr.contains("the name 0 stands for nothing"), "{ended:?}");
}
