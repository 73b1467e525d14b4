//! A panic of the core is a panic of the kernel, with a message: better than a session that goes on wrongly.

use core::ffi::c_char;
use core::panic::PanicInfo;

use crate::sentence::Sentence;

unsafe extern "C" {
    /// Stops the machine (debug.h).
    fn panic(format: *const c_char, ...) -> !;
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let sentence = Sentence::of(info);
    let bytes = sentence.bytes();
    // SAFETY: the format reads as many bytes as it is told, and those are there.
    unsafe { panic(c"iscsi: %.*s".as_ptr(), bytes.len() as i32, bytes.as_ptr()) }
}
