//! What must hold of the decoders here, whatever bytes they get: the bodies of
//! the fuzz targets in `fuzz/`, and of the test that replays their corpora.
//!
//! Each function panics where something does not hold.

pub use crate::database::fuzz_catalog as catalog;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    #[test]
    fn corpus_of_the_catalog_holds() {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/catalog");
        super::catalog(b"");
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|f| f.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            super::catalog(&std::fs::read(file).unwrap());
        }
    }
}
