//! The memory backend of the Vellum key-value engine.
