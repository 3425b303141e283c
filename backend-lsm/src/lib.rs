//! The log-structured backend of the Vellum key-value engine, on fjall.
//!
//! Current records stand in one keyspace, `head`, under their plain keys, so
//! that current reads and writes go at fjall's own speed; records that were
//! superseded while something could still see them stand in another, `history`.
//! Timestamps are Vellum's own. fjall's optimistic transactions are not used.
//!
//! - `directory`, `horizon`, `journal`, `manifest`, `table`: creating and recovering so that
//!   nothing that was acknowledged is lost, or it is noticed;
//! - `archive`, `reader`: the containers that those look into;
//! - `layout`, `keyspaces`: which bytes stand where;
//! - `store`, `group`: committing; `ahead`: quicker fsyncs;
//! - `snapshot`, `state`, `head`, `changes`: reading; `records`: the cache of records;
//!   `absent`: when to go past it;
//! - `prune`, `verify`: upkeep; `heat`: which keys are overwritten too often.
#![forbid(unsafe_code)]

mod absent;
mod ahead;
mod archive;
mod builder;
mod changes;
mod directory;
mod ends;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod head;
mod heat;
mod horizon;
mod journal;
mod keyspaces;
mod layout;
mod manifest;
mod memtables;
mod pack;
mod prune;
mod reader;
mod records;
mod snapshot;
mod state;
mod store;
mod table;
mod verify;

pub use builder::{Builder, open};
pub use directory::FORMAT_VERSION;
pub use snapshot::{LsmRange, LsmSnapshot};
pub use store::LsmStore;

/// A database on disk.
pub type LsmDatabase = vellum_core::Database<LsmStore>;
