use std::process::Command;

use crate::machrun::{Program, ended};

/// What launchd does: it becomes the program, which has sockets then.
const LAUNCHD: &str = "export LISTEN_PID=$$; exec \"$@\" 3</dev/null 4</dev/null 5</dev/null";

fn activated(program: &Program, names: &[(&str, &str)], asked: &[&str]) -> String {
    let of = program.command(asked);
    let mut command = Command::new("sh");
    command.args(["-c", LAUNCHD, "sh"]).arg(of.get_program()).args(of.get_args());
    let ended = ended(command.envs(names.iter().copied()));
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout
}

#[test]
fn launchd_gives_the_sockets_of_a_name_once() {
    let Some(program) = Program::named("activated") else { return };
    let sockets = [("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "Control:Other:Control")];
    let (already, none) = ("error 37\n", "error 2\n");
    assert_eq!(
        activated(&program, &sockets, &["Control", "Other", "Third", "Control"]),
        format!("[3, 5]\n[4]\n{none}{already}")
    );
}

#[test]
fn a_program_that_launchd_did_not_start_is_told_so() {
    let Some(program) = Program::named("activated") else { return };
    assert_eq!(program.says(&["Control"]), "error 3\n");
}
