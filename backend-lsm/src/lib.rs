//! The log-structured backend of the Vellum key-value engine, on fjall.
