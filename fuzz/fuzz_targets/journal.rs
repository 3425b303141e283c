//! fjall's journals, as they are read before fjall opens them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_lsm::fuzzing::journal(data));
