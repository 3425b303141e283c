//! The memory backend of the Vellum key-value engine: all its guarantees but
//! durability.
//!
//! [`open`] gives a database; [`MemStore`] is the multi-version store under
//! it. Records live in leaves of neighbouring keys that a directory of immutable
//! arrays keeps in order; a read takes one short lock on one leaf, and none that a
//! commit holds for longer than it takes to install one record.
#![forbid(unsafe_code)]

mod chain;
mod directory;
mod history;
mod index;
mod keys;
mod leaf;
#[cfg(all(test, loom))]
mod models;
mod open;
mod pack;
mod queued;
mod snapshot;
mod store;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
mod verify;

pub use open::{MemDatabase, open};
pub use snapshot::{MemRange, MemSnapshot};
pub use store::MemStore;
