//! `activated NAME…`: asks launchd for each, and prints the error's number or the sockets.

use std::ffi::{CString, c_char, c_int};
use std::ptr::null_mut;

unsafe extern "C" {
    fn launch_activate_socket(name: *const c_char, sockets: *mut *mut c_int, count: *mut usize) -> c_int;
    fn free(at: *mut c_int);
}

fn main() {
    for name in std::env::args().skip(1) {
        let name = CString::new(name).expect("a name");
        let (mut sockets, mut count) = (null_mut(), 0);
        let error = unsafe { launch_activate_socket(name.as_ptr(), &mut sockets, &mut count) };
        if error != 0 {
            println!("error {error}");
            continue;
        }
        let numbers = unsafe { std::slice::from_raw_parts(sockets, count) }.to_vec();
        unsafe { free(sockets) };
        println!("{numbers:?}");
    }
}
