use nix::sys::signal::Signal;

use crate::machrun::Program;

#[test]
fn a_program_s_exit_status_is_the_loader_s() {
    let Some(program) = Program::named("ends") else { return };
    let ended = program.run(&["exit"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(73), "at the end\n"), "{ended:?}");
}

#[test]
fn a_main_that_returns_ends_the_program_with_what_was_to_be_done_at_its_end() {
    let Some(program) = Program::named("ends") else { return };
    assert_eq!(program.says(&["return"]), "at the end\n");
}

/// Darwin's numbers are others than Linux': 30 is SIGUSR1 there and SIGPWR here.
#[test]
fn a_signal_that_ends_a_program_ends_the_loader() {
    let Some(program) = Program::named("ends") else { return };
    let ends =
        [("abort", Signal::SIGABRT), ("user", Signal::SIGUSR1), ("bus", Signal::SIGBUS), ("null", Signal::SIGSEGV)];
    for (word, signal) in ends {
        let ended = program.run(&[word]);
        assert_eq!(ended.signal(), Some(signal), "{word}: {ended:?}");
    }
}
