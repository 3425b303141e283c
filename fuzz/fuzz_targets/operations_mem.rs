//! Histories on the backend in memory, against the model.
#![no_main]

use vellum_conformance::{Capabilities, Factory, fuzzing};
use vellum_core::{Options, Result};
use vellum_mem::MemDatabase;

struct Memory;

impl Factory for Memory {
    type Connection = MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(e) = fuzzing::play_bytes(Memory, data) {
        panic!("{}{e}", fuzzing::story(data));
    }
});
