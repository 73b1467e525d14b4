//! See [`iscsid_fuzz::plist`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::plist::run(data));
