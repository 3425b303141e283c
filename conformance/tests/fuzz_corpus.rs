//! The histories that fuzzing found worth keeping, on both backends.

mod lsm_place;

use std::path::Path;

use lsm_place::LsmPlace;
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

/// Plays every history of a target's corpus.
#[expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
fn replay<F: Factory>(target: &str, place: impl Fn() -> F) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(!files.is_empty(), "{target} has no corpus");
    for file in files {
        let data = std::fs::read(&file).unwrap();
        if let Err(e) = fuzzing::play_bytes(place(), &data) {
            panic!("{}:\n{}{e}", file.display(), fuzzing::story(&data));
        }
    }
}

#[test]
fn histories_of_the_fuzzer_agree_with_the_model_in_memory() {
    replay("operations_mem", || Memory);
    replay("operations_lsm", || Memory);
}

#[test]
fn histories_of_the_fuzzer_agree_with_the_model_on_disk() {
    replay("operations_lsm", LsmPlace::quick);
}

#[test]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn recorded_histories_of_the_fuzzer_read_the_same_once_written() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/history");
    for file in std::fs::read_dir(corpus).unwrap() {
        fuzzing::history(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
    }
}
