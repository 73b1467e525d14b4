//! Each scenario is a word of `programs/limits.rs`.

use iscsid::testing::cannot;

use crate::machrun::{self, is_arm64};

fn holds(scenario: &str) {
    machrun::holds("limits", scenario);
}

#[test]
fn a_process_begins_with_256_descriptors_whatever_linux_gives() {
    holds("at first");
}

#[test]
fn the_limit_of_descriptors_is_raised_and_what_is_said_beyond_is_kept() {
    holds("raised");
}

#[test]
fn a_limit_that_was_set_is_the_child_s_as_well() {
    if is_arm64() {
        cannot("what qemu-user's program starts is for this machine's kernel, which knows no arm64");
        return;
    }
    holds("handed down");
}
