//! Signals as bsd/kern/kern_sig.c and bsd/sys/signal.h have them (xnu-10063.101.15).

use nix::sys::signal::Signal;

use crate::machrun::{self, Program};

fn check(scenario: &str, told: &[&str]) {
    machrun::tells("signals", scenario, told);
}

#[test]
fn a_handler_is_told_darwins_numbers_and_what_linux_has_not_is_there_as_well() {
    // SIGKILL cannot even be asked about; flags that there are none of are dropped.
    let asked = ["-1 22", "-1 22", "0 0", "0", "true 0x40000000 0x40"];
    let told = ["0", "30 0x10001 true"];
    let (sigemt, siginfo) = (["0 0", "7"], ["0 0", "29"]);
    check("handlers", &[&asked[..], &told, &sigemt, &siginfo, &["0 0", "-1 22"]].concat());
}

#[test]
fn the_end_of_a_child_is_told_with_its_status_or_darwins_number_of_the_signal() {
    check("children", &["20 1 7", "20 2 10", "20 2 30"]);
}

#[test]
fn a_set_has_32_bits_and_a_number_that_is_none_has_no_bit() {
    check("masks", &["0 0 0x20000000", "1 0", "0 0x0", "-1 22", "22", "0 30", "30", "0xffffffff"]);
}

#[test]
fn a_stack_for_handlers_has_8_kilobytes_at_least() {
    check("stacks", &["-1 12", "-1 22", "0", "0", "true 131072 0", "0", "0", "4"]);
}

#[test]
fn a_fault_is_told_with_its_address() {
    check("faults", &["11 0x10"]);
}

#[test]
fn a_signal_that_ends_a_program_is_told_as_that() {
    let Some(program) = Program::named("signals") else { return };
    assert_eq!(program.run(&["abort"]).signal(), Some(Signal::SIGABRT));
}
