//! Manifests, and what tables say of themselves.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_lsm::fuzzing::tables(data));
