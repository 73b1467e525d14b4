//! Each scenario is a word of `programs/processes.rs`.

use iscsid::testing::cannot;

use crate::machrun::{self, is_arm64};

fn holds(scenario: &str) {
    machrun::holds("processes", scenario);
}

#[test]
fn how_a_child_ended_is_told_in_darwin_s_numbers() {
    holds("status");
}

#[test]
fn a_child_begins_where_and_with_what_it_is_told() {
    holds("surroundings");
}

#[test]
fn a_child_made_for_macos_runs_under_the_loader_too() {
    if is_arm64() {
        cannot("what qemu-user's program starts is for this machine's kernel, which knows no arm64");
        return;
    }
    holds("itself");
}

#[test]
fn what_has_no_program_s_form_is_the_shell_s() {
    if is_arm64() {
        cannot("what qemu-user's program starts is for this machine's kernel, which knows no arm64");
        return;
    }
    holds("scripts");
}

#[test]
fn what_cannot_be_started_says_why() {
    if is_arm64() {
        cannot("what qemu-user's program starts is for this machine's kernel, which knows no arm64");
        return;
    }
    holds("errors");
}

#[test]
fn a_child_has_the_descriptors_that_it_is_given_and_no_others() {
    holds("descriptors");
}

#[test]
fn what_no_action_made_is_closed_where_that_is_asked_for() {
    holds("descriptors closed by default");
}

#[test]
fn a_child_that_stops_goes_on_and_ends_is_waited_for_at_each_step() {
    holds("waiting");
}

#[test]
fn a_process_is_in_sixteen_groups_at_most() {
    holds("belonging");
}
