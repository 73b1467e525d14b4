use crate::machrun::Program;

#[test]
fn each_thread_finds_its_variables_as_they_were_compiled() {
    let Some(program) = Program::named("variables") else { return };
    assert_eq!(program.says(&["values"]), "true\n(1, false, true, 8)\n");
}

#[test]
fn no_two_threads_share_a_variable() {
    let Some(program) = Program::named("variables") else { return };
    assert_eq!(program.says(&["apart"]), "16\n");
}

#[test]
fn a_first_look_at_a_variable_keeps_every_register() {
    let Some(program) = Program::named("variables") else { return };
    let whole = 0x1234_5678_9abc_def0_u64 ^ 2 ^ 4 ^ 8;
    assert_eq!(program.says(&["registers"]), format!("4 {whole:#x}\n"));
}

#[test]
fn variables_are_dropped_with_their_thread_the_last_first_and_main_s_at_the_end() {
    let Some(program) = Program::named("variables") else { return };
    let drops = "dropped the second as number 0\ndropped the first as number 1\n";
    assert_eq!(program.says(&["dropped"]), format!("{drops}the thread is gone\n{drops}"));
}
