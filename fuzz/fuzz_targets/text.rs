//! See [`iscsid_fuzz::text`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::text::run(data));
