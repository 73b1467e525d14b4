//! See [`iscsid_fuzz::login`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::login::run(data));
