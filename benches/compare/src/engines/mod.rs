//! The engines, one to a file, and the list of them.

#[cfg(feature = "canopydb")]
mod canopydb;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
mod rest;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod rwlock_btree;
#[cfg(test)]
mod script;
#[cfg(feature = "skipdb")]
mod skipdb;
#[cfg(feature = "sled")]
mod sled;
#[cfg(feature = "surrealkv")]
mod surrealkv;
#[cfg(feature = "surrealmx")]
mod surrealmx;
mod vellum;

use crate::Result;
use crate::engine::Engine;

/// Where an engine keeps its data: engines are compared within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// In memory alone.
    Mem,
    /// On disk.
    Disk,
}

impl Group {
    /// As it is written in options and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mem => "mem",
            Self::Disk => "disk",
        }
    }
}

/// What an engine is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ours.
    Own,
    /// It has transactions of several keys and snapshots.
    Peer,
    /// It lacks one of these: what can be had without.
    Floor,
}

/// An engine, as the lists and tables show it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in options, tables and results.
    pub name: &'static str,
    /// What it is compared with.
    pub group: Group,
    /// What it is to the comparison.
    pub role: Role,
    /// The crate and version that were measured.
    pub package: &'static str,
    /// What its write transactions isolate.
    pub isolation: &'static str,
    /// What an unsynced commit has done.
    pub buffered: &'static str,
    /// What differs from the others.
    pub note: &'static str,
    /// Whether its heap is that of Rust, whose bytes are counted.
    pub counts_heap: bool,
    /// Whether it keeps all data in memory, whatever it writes.
    pub in_memory: bool,
    /// Its colour in pictures.
    pub color: &'static str,
}

/// Something to be done with an engine of any type.
pub trait Visit {
    /// What it gives back.
    type Output;

    /// Does it.
    fn visit<E: Engine>(self) -> Self::Output;
}

/// The list, and from it both the entries and the way from a name to a type.
macro_rules! engines {
    ($($(#[$meta:meta])* $name:literal: $type:ty, $group:ident, $role:ident {
        package: $package:literal, isolation: $isolation:literal,
        buffered: $buffered:literal, note: $note:literal, color: $color:literal,
        $(heap: $heap:literal,)? $(in_memory: $in_memory:literal,)?
    })*) => {
        /// All engines that are compiled in, in the order of the tables.
        pub const ENTRIES: &[Entry] = &[$($(#[$meta])* Entry {
            name: $name,
            group: Group::$group,
            role: Role::$role,
            package: $package,
            isolation: $isolation,
            buffered: $buffered,
            note: $note,
            color: $color,
            counts_heap: true $(&& $heap)?,
            in_memory: false $(|| $in_memory)?,
        }),*];

        /// Does `visit` with the engine of this name.
        ///
        /// # Errors
        /// If none of this name is compiled in.
        pub fn dispatch<V: Visit>(name: &str, visit: V) -> Result<V::Output> {
            match name {
                $($(#[$meta])* $name => Ok(visit.visit::<$type>()),)*
                _ => Err(format!("no engine {name} is compiled in").into()),
            }
        }
    };
}

engines! {
    "vellum-mem": vellum::Vellum<vellum::Mem, true>, Mem, Own {
        package: "vellum", isolation: "serializable", buffered: "-",
        note: "", color: "#d6336c",
    }
    "vellum-mem-si": vellum::Vellum<vellum::Mem, false>, Mem, Own {
        package: "vellum", isolation: "snapshot", buffered: "-",
        note: "", color: "#f783ac",
    }
    #[cfg(feature = "surrealmx")]
    "surrealmx": surrealmx::Surrealmx<false>, Mem, Peer {
        package: "surrealmx 1.1.0", isolation: "serializable", buffered: "-",
        note: "", color: "#1971c2",
    }
    #[cfg(feature = "surrealkv")]
    "surrealkv-mem": surrealkv::Surrealkv<false>, Mem, Peer {
        package: "surrealkv 1.2.0", isolation: "snapshot", buffered: "-",
        note: "an LSM tree over files in memory; commits are futures", color: "#2f9e44",
    }
    #[cfg(feature = "redb")]
    "redb-mem": redb::Redb<false>, Mem, Peer {
        package: "redb 4.5.0", isolation: "one writer", buffered: "-",
        note: "the file in memory", color: "#f08c00",
    }
    #[cfg(feature = "skipdb")]
    "skipdb": skipdb::Skipdb, Mem, Peer {
        package: "skipdb 0.2.1", isolation: "serializable", buffered: "-",
        note: "old versions go only when `compact` is called", color: "#15aabf",
    }
    "rwlock-btree": rwlock_btree::RwLockBTree, Mem, Floor {
        package: "std", isolation: "one lock", buffered: "-",
        note: "no snapshots: a reader stops every writer", color: "#868e96",
    }
    "vellum-lsm": vellum::Vellum<vellum::Lsm, true>, Disk, Own {
        package: "vellum", isolation: "serializable", buffered: "in the OS",
        note: "over fjall", color: "#d6336c",
    }
    "vellum-lsm-si": vellum::Vellum<vellum::Lsm, false>, Disk, Own {
        package: "vellum", isolation: "snapshot", buffered: "in the OS",
        note: "over fjall", color: "#f783ac",
    }
    #[cfg(feature = "fjall")]
    "fjall-optimistic": fjall::FjallOptimistic, Disk, Peer {
        package: "fjall 3.1.13", isolation: "serializable", buffered: "in the OS",
        note: "the base of the ratios", color: "#343a40",
    }
    #[cfg(feature = "fjall")]
    "fjall-raw": fjall::FjallRaw, Disk, Floor {
        package: "fjall 3.1.13", isolation: "none", buffered: "in the OS",
        note: "batches without transactions", color: "#868e96",
    }
    #[cfg(feature = "rocksdb")]
    "rocksdb-optimistic": rocksdb::Rocksdb, Disk, Peer {
        package: "rocksdb 0.25.0", isolation: "of keys read for update", buffered: "in the OS",
        note: "in C++: its heap is not counted, its resident memory is", color: "#4263eb",
        heap: false,
    }
    #[cfg(feature = "surrealkv")]
    "surrealkv": surrealkv::Surrealkv<true>, Disk, Peer {
        package: "surrealkv 1.2.0", isolation: "snapshot", buffered: "in the OS",
        note: "commits are futures", color: "#2f9e44",
    }
    #[cfg(feature = "surrealmx")]
    "surrealmx-aol": surrealmx::Surrealmx<true>, Disk, Peer {
        package: "surrealmx 1.1.0", isolation: "serializable", buffered: "in the OS",
        note: "all data in memory, and a log; synced by fsync", color: "#1971c2",
        in_memory: true,
    }
    #[cfg(feature = "canopydb")]
    "canopydb": canopydb::Canopydb<false>, Disk, Peer {
        package: "canopydb 0.2.5", isolation: "one writer", buffered: "in the OS",
        note: "", color: "#5f3dc4",
    }
    #[cfg(feature = "canopydb")]
    "canopydb-occ": canopydb::Canopydb<true>, Disk, Peer {
        package: "canopydb 0.2.5", isolation: "snapshot", buffered: "in the OS",
        note: "conflicts by page", color: "#b197fc",
    }
    #[cfg(feature = "lmdb")]
    "lmdb": lmdb::Lmdb, Disk, Peer {
        package: "heed 0.23.1", isolation: "one writer",
        buffered: "in the OS; a crash of it may damage the file",
        note: "a memory map instead of a cache; in C: its heap is not counted", color: "#0c8599",
        heap: false,
    }
    #[cfg(feature = "redb")]
    "redb": redb::Redb<true>, Disk, Peer {
        package: "redb 4.5.0", isolation: "one writer",
        buffered: "weaker: lost with the process",
        note: "", color: "#f08c00",
    }
    #[cfg(feature = "sled")]
    "sled": sled::Sled, Disk, Floor {
        package: "sled 1.0.0-alpha.124", isolation: "one key (compare and swap)",
        buffered: "weaker: up to 200 ms lost with the process",
        note: "no snapshots; zstd at its cheapest level", color: "#a0703c",
    }
}
