//! Records, log entries and group records.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_lsm::fuzzing::records(data));
