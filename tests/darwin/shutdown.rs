use crate::mac::Mac;
use crate::machrun::Program;

#[test]
fn a_program_sees_that_the_machine_s_end_has_begun() {
    let Some(program) = Program::named("shutdown") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &[]);
    assert_eq!(talk.ask("ask"), "0");
    mac.set(&program, &["shutdown-begun"]);
    assert_eq!(talk.ask("ask"), "1");
    talk.end();
}
