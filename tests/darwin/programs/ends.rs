//! How a program ends.

use std::ffi::c_int;

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
}

extern "C" fn at_the_end() {
    println!("at the end");
}

/// signal.h of macOS.
const DARWIN_SIGUSR1: c_int = 30;
const DARWIN_SIGBUS: c_int = 10;
const SIG_DFL: usize = 0;

fn main() {
    // SAFETY: functions of C, called as it says.
    unsafe {
        match std::env::args().nth(1).as_deref() {
            Some("exit") => {
                atexit(at_the_end);
                std::process::exit(73)
            }
            Some("return") => drop(atexit(at_the_end)),
            Some("abort") => std::process::abort(),
            Some("user") => drop(raise(DARWIN_SIGUSR1)),
            Some("bus") => {
                signal(DARWIN_SIGBUS, SIG_DFL);
                raise(DARWIN_SIGBUS);
            }
            Some("null") => println!("{}", std::ptr::read_volatile(std::hint::black_box(8 as *const u8))),
            other => panic!("{other:?}"),
        }
    }
}
