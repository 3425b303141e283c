//! The catalog: saved versions, and since when history is kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_core::fuzzing::catalog(data));
