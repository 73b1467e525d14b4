//! Sockets as xnu has them (bsd/kern/uipc_socket.c, uipc_syscalls.c and uipc_usrreq.c of xnu-10063.101.15), where that
//! is another way than Linux'. Errors are Darwin's numbers.

use nix::sys::signal::Signal;

use crate::machrun::{self, Program};

fn check(scenario: &str, told: &[&str]) {
    machrun::tells("sockets", scenario, told);
}

#[test]
fn an_accepted_socket_is_as_blocking_and_as_silent_as_its_listener() {
    check("inherited", &["0", "0x4 0", "0", "0x4 1"]);
}

#[test]
fn a_unix_socket_without_a_name_tells_sixteen_bytes_and_one_with_104_tells_them_all() {
    let unnamed = ["0", "16 16 1"];
    let (einval, enametoolong, eaddrnotavail) = ("error 22", "error 63", "error 49");
    // EADDRINUSE; ECONNREFUSED of a socket without a listener, ENOTSOCK of another file.
    let bound = ["true", "Some(Some(48))", "Some(Some(61))", "Some(Some(38))", einval, enametoolong];
    // An IPv4 address of the wrong length, then a connection to port 0.
    let ipv4 = [einval, eaddrnotavail, "0", "0", "16 16 2"];
    check("names", &[&unnamed[..], &bound, &ipv4].concat());
}

#[test]
fn options_are_told_as_they_were_set_and_refused_where_xnu_refuses_them() {
    let (enobufs, einval, enoprotoopt) = ("error 55", "error 22", "error 42");
    let buffers = ["0", "4194304", enobufs, einval, "4194304"];
    // One that there is none of, one that is only told, one that is too short; then an interface that is not there.
    let wrong = [enoprotoopt, enoprotoopt, einval, "error 6"];
    // TCP_NODELAY is told as TF_NODELAY.
    let tcp = ["0 4", "0", "30"];
    // What is no socket; and one whose peer has gone.
    let others = ["error 38", "0", einval];
    check("options", &[&["0", "4"][..], &buffers, &wrong, &tcp, &others].concat());
}

#[test]
fn the_peers_credentials_stay_and_its_process_goes_with_it() {
    let (eopnotsupp, enotconn) = ("error 102", "error 57");
    let there = ["0", "76 0 true true", "true", eopnotsupp];
    check("peers", &[&there[..], &[enotconn, "0", "true", enotconn, enotconn]].concat());
}

#[test]
fn descriptors_travel_in_one_header_and_kqueues_do_not() {
    let (einval, ebadf) = ("error 22", "error 9");
    let refused = [einval, einval, einval, ebadf];
    let both = ["1", "1", "20 0x0 20 0xffff 1", "through"];
    // There is room for one of two: MSG_CTRUNC.
    check("rights", &[&refused[..], &both, &["1", "1", "16 0x20 16"]].concat());
}

#[test]
fn a_socket_connects_once_and_shuts_down_what_it_has() {
    let (enotconn, eopnotsupp, eisconn, einval) = ("error 57", "error 102", "error 56", "error 22");
    // Reset before it was accepted: a socket, and no name.
    let accepted = "true 0 0";
    check("states", &[enotconn, eopnotsupp, enotconn, "0", eisconn, einval, einval, accepted]);
}

#[test]
fn a_unix_listener_without_room_refuses() {
    check("crowded", &["true 61"]);
}

#[test]
fn a_connection_that_finds_no_descriptor_is_dropped() {
    check("exhausted", &["Err(Some(24))", "Ok(0)", "Err(Some(35))", "Err(Some(35))"]);
}

#[test]
fn eight_kilobytes_lie_between_the_ends_of_a_unix_socket() {
    check("buffered", &["true Some(35)"]);
}

#[test]
fn poll_tells_the_end_as_pollhup_and_never_as_room() {
    check("polled", &["1 0x4", "0 0x0", "1 0x11", "1 0x10", "0 0x0", "1 0x20", "0 0x0"]);
}

#[test]
fn writing_to_nobody_kills_unless_the_socket_or_the_program_says_otherwise() {
    let Some(program) = Program::named("sockets") else { return };
    let killed = program.run(&["killed", "as usual"]);
    assert_eq!((killed.signal(), killed.stdout.as_str()), (Some(Signal::SIGPIPE), "0\n"), "{killed:?}");
    for how in ["ignored", "silent"] {
        assert_eq!(program.says(&["killed", how]), "0\nErr(Some(32))\n", "{how}");
    }
}

#[test]
fn hosts_are_found_and_what_is_not_is_told_in_darwins_words() {
    let unknown = "failed to lookup address information: nodename nor servname provided, or not known";
    check("hosts", &["127.0.0.1:80 [::1]:80", unknown]);
}

#[test]
fn the_loopback_is_lo0_with_a_link_and_a_mask_that_is_cut_off() {
    let Some(program) = Program::named("sockets") else { return };
    let told = program.says(&["interfaces"]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..3], ["0", "18 20 mask 0 flags 0x8049 data true", "type 0x18 name 3 address 0"], "{told}");
    // 255.0.0.0 is five bytes of a struct sockaddr_in. There is no interface of Linux' name: ENXIO.
    assert!(lines.contains(&"2 16 mask 5 flags 0x8049 data false"), "{told}");
    assert_eq!(lines[lines.len() - 2..], ["true 0", "6"], "{told}");
}
