//! Keys of the keyspaces: decoding, encoding, order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_lsm::fuzzing::keys(data));
