//! Threads and locks as libpthread-519 has them, semaphores as libdispatch has. Errors are Darwin's numbers.

use nix::sys::signal::Signal;

use crate::machrun::{self, Program, is_arm64};

fn check(scenario: &str, told: &[&str]) {
    machrun::tells("threads", scenario, told);
}

#[test]
fn a_lock_is_made_by_its_static_initialiser_and_is_none_when_it_is_destroyed() {
    // EBUSY 16 of a lock that is held, EINVAL 22 of one that is none; 'MUTX' is the signature.
    let plain = ["0 16", "0x4d555458", "16 0", "0 22"];
    // EDEADLK 11 and EPERM 1 of one that checks.
    let checked = ["0 11", "0 1"];
    let recursive = ["22 22", "0 22", "0 0", "0 0"];
    let shared = ["0 0", "0 0", "0 0x52574c4b", "0 0", "22"];
    check("locks", &[&plain[..], &checked, &recursive, &shared].concat());
}

#[test]
fn a_condition_is_waited_for_and_not_after_its_time() {
    check("conditions", &["60", "0x434f4e44", "60", "22", "0", "0", "0 22"]);
}

#[test]
fn a_thread_has_the_stack_it_asks_for_and_512_kilobytes_else() {
    // 4096 bytes are too few, and a page of 16384, which they are rounded up to, is enough; 65537 are no pages.
    let small = if is_arm64() { "0 22" } else { "22 22" };
    check("stacks", &["22", "0", small, "0", "true", "true", "0 22"]);
}

#[test]
fn a_threads_name_has_63_bytes() {
    check("names", &["0", "-1", "63", "0 true"]);
}

#[test]
fn keys_begin_at_256_and_end() {
    check("keys", &["0 true", "0 22", "0", "destroyed 7", "0 22", "true 35"]);
}

#[test]
fn a_semaphore_that_is_let_go_of_in_use_ends_the_program() {
    let Some(program) = Program::named("threads") else { return };
    let ended = program.run(&["semaphores"]);
    assert_eq!(ended.stdout, "true true\ntrue\n0\ntrue true\n");
    assert!(ended.stderr.contains("Semaphore object deallocated while in use"), "{ended:?}");
    assert_eq!(ended.signal(), Some(Signal::SIGABRT), "{ended:?}");
}
