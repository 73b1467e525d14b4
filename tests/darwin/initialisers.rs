use crate::machrun::{Program, ended};

/// In order, before main(), with the arguments, the environment, and what xnu tells.
fn run_before_main(program: &Program) {
    let ended = ended(program.command(&["word"]).env("NAMED", "yes"));
    let path = program.file.display();
    let told = format!("first 2 Some(\"word\")\ntrue executable_path={path}\nsecond after 1\nmain after 2\n");
    assert_eq!(ended.stdout, told, "{ended:?}");
}

#[test]
fn initialisers_listed_by_offset_run_in_order_before_main() {
    let Some(program) = Program::named("initialisers") else { return };
    run_before_main(&program);
}

#[test]
fn initialisers_listed_by_pointer_run_in_order_before_main() {
    let Some(program) = Program::linked("initialisers", "-by-pointer", &["-no_fixup_chains"]) else {
        return;
    };
    run_before_main(&program);
}
