//! kevent, as bsd/kern/kern_event.c and the filters of sockets and pipes have it (xnu-10063.101.15). An event is
//! `ident filter flags fflags data`, the ident of a descriptor as 0.

use crate::machrun::{self, Program, is_arm64};

/// What the program tells of one scenario.
fn check(scenario: &str, told: &[&str]) {
    machrun::tells("queues", scenario, told);
}

#[test]
fn an_edge_is_told_once_with_the_bytes_that_are_there_and_again_when_it_is_added_again() {
    let end = "0 -1 0x8021 0x0 8";
    check("edges", &["nothing", "0 -1 0x21 0x0 5", "nothing", "0 -1 0x21 0x0 8", "0 -1 0x21 0x0 8", end, "nothing"]);
}

#[test]
fn without_ev_clear_it_is_told_as_long_as_it_is_so() {
    check("levels", &["0 -1 0x1 0x0 5", "0 -1 0x1 0x0 5", "nothing"]);
}

#[test]
fn note_lowat_waits_for_so_many_bytes() {
    check("low-water", &["nothing", "0 -1 0x21 0x0 4"]);
}

#[test]
fn ev_oneshot_goes_when_it_is_told_and_ev_dispatch_waits_to_be_enabled() {
    let told = "0 -1 0x81 0x0 1";
    check("once", &["0 -1 0x11 0x0 1", "nothing", told, "nothing", told, "nothing"]);
}

#[test]
fn a_change_that_fails_is_told_as_an_event_where_there_is_room_and_as_the_error_where_there_is_none() {
    check("receipts", &["0x4041 0", "0x4042 2", "Err(2)", "Err(9)", "Err(22)", "Err(22)"]);
}

#[test]
fn a_users_event_keeps_its_flags_by_and_or_and_copy() {
    let changed = "3 -10 0x21 0x3c 7";
    check("user", &["nothing", "3 -10 0x21 0xf 7", "nothing", changed, changed, "3 -10 0x11 0x1000000 7", "Err(2)"]);
}

#[test]
fn a_users_event_wakes_who_waits_in_another_thread() {
    check("woken", &["3 -10 0x21 0x0 0", "0"]);
}

#[test]
fn a_timer_counts_what_nobody_fetched_and_a_time_that_is_past_comes_at_once() {
    let refused = ["Err(22)", "Err(34)"];
    let past = ["Ok(())", "1 -7 0x31 0x0 1", "nothing"];
    let negative = ["Ok(())", "2 -7 0x21 0x0 1"];
    let again = ["Ok(())", "1 0x21 true", "1", "Err(22)"];
    let once = ["Ok(())", "4 -7 0x31 0x0 1", "Err(2)"];
    check("timers", &[&refused[..], &past, &negative, &again, &once].concat());
}

#[test]
fn a_closed_descriptor_leaves_the_queue_even_if_its_file_stays_open() {
    check("closed", &["nothing", "0 -1 0x1 0x0 5"]);
}

#[test]
fn a_child_has_no_queue() {
    check("child", &["0x300"]);
}

#[test]
fn a_reset_is_the_end_of_both_sides_with_its_error_which_the_reader_gets_and_the_writer_does_not() {
    let (epipe, econnreset, einval) = ("Err(Some(32))", "Err(Some(54))", "Err(Some(22))");
    check("reset", &["-2 0x8021 0x36", "-1 0x8021 0x36", epipe, econnreset, "Ok(0)", einval]);
}

#[test]
fn a_unix_socket_whose_peer_left_something_unread_is_at_its_end_and_no_more() {
    check("unread", &["0 -1 0x8021 0x0 0", "Ok(None)", "Ok(0)", "Ok(0)"]);
}

#[test]
fn a_refused_connection_is_told_as_the_end_with_its_error_and_that_socket_connects_no_more() {
    let Some(program) = Program::named("queues") else { return };
    let told = program.says(&["refused"]);
    let lines: Vec<_> = told.lines().collect();
    let [before, connecting, event, error, again] = lines[..] else { panic!("{told}") };
    assert_eq!((before, connecting), ("nothing", "-1 Some(36)"));
    assert!(event.starts_with("0 -2 0x8021 0x3d "), "{event}");
    assert_eq!((error, again), ("0 61 4", "-1 Some(22)"));
}

#[test]
fn a_pipe_tells_its_end_with_the_bytes_that_are_left() {
    let Some(program) = Program::named("queues") else { return };
    let told = program.says(&["pipes"]);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("0 -2 0x11 0x0 "), "{told}");
    assert_eq!(lines[1..], ["0 -1 0x21 0x0 5", "0 -1 0x8021 0x0 5", "0 -2 0x8021 0x0 0"]);
}

#[test]
fn a_listener_tells_how_many_wait() {
    // qemu-user does not pass TCP_INFO on.
    let waiting = if is_arm64() { "0 -1 0x21 0x0 1" } else { "0 -1 0x21 0x0 3" };
    check("listening", &["nothing", waiting, "nothing"]);
}
