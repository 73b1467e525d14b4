//! Each scenario is a word of `programs/memory.rs`.

use crate::machrun;

fn holds(scenario: &str) {
    machrun::holds("memory", scenario);
}

#[test]
fn a_mapping_begins_and_ends_with_a_mac_s_page() {
    holds("pages");
}

#[test]
fn what_xnu_does_not_map_write_or_lock_is_refused() {
    holds("refusals");
}

#[test]
fn pages_that_are_not_needed_keep_what_is_in_them() {
    holds("kept");
}

#[test]
fn a_file_is_mapped_from_where_a_page_begins() {
    holds("files");
}

#[test]
fn random_bytes_come_256_at_a_time_from_getentropy() {
    holds("random");
}
