//! Recorded histories, as files of lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(e) = vellum_conformance::fuzzing::history(data) {
        panic!("{e}");
    }
});
