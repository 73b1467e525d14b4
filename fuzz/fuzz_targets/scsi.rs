//! See [`iscsid_fuzz::scsi`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iscsid_fuzz::scsi::run(data));
