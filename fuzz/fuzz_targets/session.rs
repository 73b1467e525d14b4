//! See [`iscsid_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::session::run(data));
