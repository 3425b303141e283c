//! The conformance suite that every backend of the Vellum key-value engine passes.
