//! The marker and the horizon.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_lsm::fuzzing::small_files(data));
