//! Looks for a service that is not there; with an argument, releases what was found.

use std::ffi::{c_char, c_void};

#[link(name = "IOKit", kind = "framework")]
unsafe extern "C" {
    fn IOServiceMatching(class: *const c_char) -> *const c_void;
    fn IOServiceGetMatchingService(port: u32, matching: *const c_void) -> u32;
    fn IOObjectRelease(object: u32) -> i32;
}

fn main() {
    let found = unsafe { IOServiceGetMatchingService(0, IOServiceMatching(c"IscsiHBA".as_ptr())) };
    println!("{found}");
    if std::env::args().nth(1).is_some() {
        unsafe { IOObjectRelease(found) };
    }
}
