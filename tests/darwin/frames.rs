use iscsid::testing::cannot;

use crate::machrun::{Program, is_arm64};

/// What `keeps` of the program gives where nothing is lost.
fn kept() -> String {
    let mut kept = [1, 3, 5, 7, 11, 13].map(|factor| 77_u64 * factor);
    let (mut real, mut other) = (77.0, 38.5);
    for turn in 0..3 {
        let [a, b, c, d, e, f] = kept;
        kept = [b + 1, c ^ turn, d + e, e.rotate_left(5), f ^ a, a + 1];
        (real, other) = (other + 1.0, real * 2.0);
    }
    let whole = kept.into_iter().fold(0, |sum, one| sum * 31 % 1_000_003 + one % 1_000_003);
    format!("{:?}\n", (whole, real - other))
}

#[test]
fn a_frame_gives_back_what_it_saved() {
    let Some(program) = Program::named("frames") else { return };
    assert_eq!(program.says(&["frame"]), kept());
}

#[test]
fn a_function_without_a_frame_gives_back_what_it_saved() {
    let Some(program) = Program::named("frames") else { return };
    if is_arm64() {
        cannot("functions of arm64 are not made that way");
        return;
    }
    assert_eq!(program.says(&["frameless"]), kept());
}

#[test]
fn a_stack_whose_size_is_in_the_code_only_is_unwound() {
    let Some(program) = Program::named("frames") else { return };
    if is_arm64() {
        cannot("functions of arm64 are not made that way");
        return;
    }
    assert_eq!(program.says(&["large"]), kept());
}

#[test]
fn a_function_s_personality_is_asked_with_what_goes_with_the_function() {
    let Some(program) = Program::named("frames") else { return };
    let asked = ["searched", "unwound"].map(|how| format!("{how} past \"what goes with it\"\n")).concat();
    assert_eq!(program.says(&["personality"]), asked.repeat(3) + &kept());
}
