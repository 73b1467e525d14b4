//! Each scenario is a word of `programs/files.rs`, which checks what it is told and ends in a panic where a Mac
//! differs.

use crate::machrun;

fn holds(scenario: &str) {
    machrun::holds("files", scenario);
}

#[test]
fn var_tmp_and_etc_are_links_to_private_and_there_is_no_proc() {
    holds("system links");
}

#[test]
fn a_user_s_temporary_folder_has_a_long_name_through_a_link() {
    holds("temporary folder");
}

#[test]
fn a_folder_is_nothing_to_unlink_and_a_hard_link_follows_a_soft_one() {
    holds("names");
}

#[test]
fn a_new_file_is_neither_sticky_nor_another_user_s_program() {
    holds("modes");
}

#[test]
fn what_xnu_does_not_open_is_refused_with_its_numbers() {
    holds("opening");
}

#[test]
fn a_file_is_cut_only_once_its_lock_is_had() {
    holds("locks");
}

#[test]
fn a_lock_of_an_open_file_keeps_another_out_of_its_range() {
    holds("locks of an open file");
}

#[test]
fn what_has_no_name_is_not_synced() {
    holds("syncing");
}

#[test]
fn lists_and_lengths_that_linux_puts_up_with_are_refused() {
    holds("reading");
}

#[test]
fn an_open_file_tells_its_flags_as_darwin_has_them() {
    holds("flags");
}

#[test]
fn an_open_file_knows_its_path_as_long_as_it_has_one() {
    holds("paths");
}

#[test]
fn a_copy_is_a_clone_with_mode_and_times() {
    holds("copies");
}

#[test]
fn facts_and_entries_are_where_macos_lays_them_out() {
    holds("facts");
}
