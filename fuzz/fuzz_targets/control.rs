//! See [`iscsid_fuzz::control`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::control::run(data));
