use crate::mac::Mac;
use crate::machrun::Program;

const PATTERN: &str = "State:/Network/Interface/.*/(Link|IPv4|IPv6)";

#[test]
fn the_keys_of_a_pattern_are_told_when_they_change_and_no_others() {
    let Some(program) = Program::named("network") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &[PATTERN]);
    talk.expect(&["ready"]);
    mac.tell(&program, &["network", "State:/Network/Interface/en0/IPv4", "State:/Network/Global/IPv4"], "told of 1");
    talk.expect(&["State:/Network/Interface/en0/IPv4"]);
    // A pattern is for the whole key.
    let others =
        mac.told(&program, &["network", "State:/Network/Interface/en0/IPv4/more", "State:/Network/Global/IPv4"]);
    assert_eq!(others.status.code(), Some(1), "{others:?}");
    mac.tell(&program, &["interface", "en1", "gone"], "told of 1");
    talk.expect(&["State:/Network/Interface/en1/Link"]);
    // The program ends by itself, maybe before it answers, and with its store goes the context.
    mac.told(&program, &["interface", "last0", "back"]);
    talk.expect(&["State:/Network/Interface/last0/Link", "released", "ended"]);
    talk.end();
}

#[test]
fn a_pattern_that_is_no_regular_expression_is_refused() {
    let Some(program) = Program::named("network") else { return };
    assert_eq!(Mac::new().says(&program, &["("]), "refused\n");
}
