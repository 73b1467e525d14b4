use std::collections::BTreeSet;

use crate::machrun::Program;

const SAID: &str =
    "[(\"twice\", 14), (\"thrice\", 21), (\"twice\", 14), (\"thrice\", 21)]\n[4, 4, 4]\ntrue\n10\n3000\n";

#[test]
fn pointers_chained_through_the_pages_are_made_good() {
    let Some(program) = Program::named("fixups") else { return };
    assert_eq!(program.says(&[]), SAID);
}

#[test]
fn pointers_told_by_opcodes_are_made_good() {
    let Some(program) = Program::linked("fixups", "-by-opcodes", &["-no_fixup_chains"]) else { return };
    assert_eq!(program.says(&[]), SAID);
}

/// Else a pointer that was not rebased would go unnoticed.
#[test]
fn a_program_is_somewhere_else_each_time() {
    let Some(program) = Program::named("fixups") else { return };
    let places: BTreeSet<_> = (0..4).map(|_| program.says(&["place"])).collect();
    assert!(places.len() > 1, "{places:?}");
}
