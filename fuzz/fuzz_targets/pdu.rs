//! See [`iscsid_fuzz::pdu`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::pdu::run(data));
