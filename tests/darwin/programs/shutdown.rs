//! Prints kern.willshutdown, as often as a line says "ask".

use std::ffi::{c_char, c_int, c_void};
use std::io::{BufRead, Write};

unsafe extern "C" {
    fn sysctlbyname(
        name: *const c_char,
        old: *mut c_void,
        length: *mut usize,
        new: *const c_void,
        new_length: usize,
    ) -> c_int;
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        assert_eq!(line.expect("a line"), "ask");
        let (mut begun, mut length) = (-1_i32, size_of::<i32>());
        let at = (&raw mut begun).cast();
        assert_eq!(unsafe { sysctlbyname(c"kern.willshutdown".as_ptr(), at, &mut length, std::ptr::null(), 0) }, 0);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{begun}").and_then(|()| out.flush()).expect("somebody listens");
    }
}
