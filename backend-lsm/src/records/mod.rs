//! A cache of records for point reads, exact under snapshots.
//!
//! fjall's own cache holds blocks: a hit still probes filters, searches an
//! index and a block, and pays for its iterators. This one holds records by key,
//! and deletes; of other absent keys, fjall's filters tell as quickly
//! (a thread that meets many looks there alone, see `absent`). It is filled
//! by reads and commits, kept up to date by commits, and read by every snapshot,
//! those of write transactions and of saved versions among them.
//!
//! # Why it is exact
//! An *entry* of key `k` says: `k` is `r` (a record, or absent) from the
//! timestamp `since` on. For a record, `since` is the record's own timestamp;
//! for an absence, the timestamp of the snapshot that found it, or of the
//! delete. The claim has no end: it lasts until a commit that writes `k` takes
//! it back. *Published* is what snapshots may see: the newest timestamp that
//! [`Store::publish`](vellum_core::Store::publish) was given.
//!
//! Invariant: if the cache holds an entry of `k`, then for every published `t`
//! with `since ≤ t`, the state of `k` at `t` is `r`.
//!
//! - A **lookup** at `at` uses an entry only if `since ≤ at`. A snapshot's
//!   timestamp is published, so the invariant answers.
//! - A **commit** at `c` stamps the stripe that `k` falls into with `c`, and
//!   replaces the entry of `k` by its own, with `since = c`; where there is none,
//!   it may add its own or not. It does so after the group was applied and *before
//!   it is published*. Until then no published `t` is at or above `c`, so that the
//!   old entry, if it is still there, and the new one both keep the invariant.
//! - A **fill** comes from a native snapshot taken at `n` that found `r`. It is
//!   let in only if the stamp of the stripe is at most `n`. Then no commit above
//!   `n` has written `k` and stamped already; one that has yet to stamp is not
//!   published, and will replace what was filled. So from `n` on `k` is `r` at
//!   every published timestamp; and from the record's own timestamp up to `n`
//!   it is, because `r` was the newest at `n`.
//!
//! Stamp, entry and lookup of a key are under one lock, that of its shard, so
//! each of the three is one step, and the order of the steps is all there is to
//! look at: the test `every_order_of_steps_shows_what_the_store_holds` goes
//! through all of them, and fails if the stamp or the order of committing and
//! publishing is left out. Keys that share a stripe only keep each other's fills
//! out. Eviction removes entries, never stamps, and an absent entry claims
//! nothing.
//!
//! A group that fails is not published, and nothing after it is; the engine
//! refuses further commits. What the cache holds stays true of what snapshots
//! may see.
//!
//! # The past
//! A commit that replaces an entry of a record notes in its own which commit wrote
//! that (*before*). Commits replace entries in their order, and no fill gets in
//! that misses one, so nothing wrote the key in between, and that stays so: what
//! the key was at any timestamp from `before` up to `since` is what it was at
//! `before`. Of a delete nothing is noted, as an absence may have been found later
//! than it began.
//!
//! So a second cache holds what keys were at timestamps of the past, under both
//! together. A snapshot goes from the entry of the key back to the write that it
//! sees, as far as the links go, and looks there: however many versions see one
//! record, it is there once, and a commit that moves a record into `history` puts
//! it there. Where no link leads, it looks at its own timestamp. A snapshot of the head
//! that is held open while others write goes the same way.
//!
//! # Shape
//! `Shard` is a ring of bytes in which entries stand one after the other, and an
//! index from hash to place. What is oldest goes first, unless it was read since
//! it came in: then it goes round again. Until the ring is full, all that is read
//! or written is let in; then a key is at the second miss, so that reads without a
//! pattern do not pay for copies that nobody reads. A hit copies the value out:
//! nothing that a caller keeps holds on to the cache, and a hit costs no reference
//! count on a line that others share.

#![expect(clippy::cast_possible_truncation, reason = "parts of a hash are cut off")]

mod index;
mod shard;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use vellum_core::{Record, Timestamp};

use shard::Shard;

/// Bytes of a shard from which on there are several.
const SHARD_MIN: usize = 1 << 18;

/// More shards than threads that would wait for one.
const SHARDS_MAX: usize = 256;

/// What the cache knows of a key at a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This is what it is there.
    Exact(Option<Record>),
    /// It was written last after that timestamp.
    Newer {
        /// At or before this one; since then it is as it is now.
        since: Timestamp,
        /// By the commit before that at this one, where that is known: in between
        /// nothing wrote it.
        before: Option<Timestamp>,
    },
    /// Nothing.
    Unknown,
}

/// The cache. See the module.
pub(crate) struct Records {
    /// A power of two of them; none, if there is no cache.
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl Records {
    /// A cache that takes about so many bytes at most; 0 is no cache.
    pub(crate) fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let count = match bytes {
            0 => 0,
            _ => 1 << (bytes / SHARD_MIN).clamp(1, SHARDS_MAX).ilog2(),
        };
        let hasher = RandomState::default();
        let shard = |_| Mutex::new(Shard::new(bytes / count, hasher.clone()));
        Self { shards: (0..count).map(shard).collect(), hasher }
    }

    /// The shard of a key, and the key's hash.
    fn shard(&self, key: &[u8]) -> Option<(MutexGuard<'_, Shard>, u64)> {
        if self.shards.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        // The low bits are the shard's own business.
        let at = (hash >> 48) as usize & (self.shards.len() - 1);
        let shard = self.shards.get(at)?;
        Some((shard.lock().unwrap_or_else(PoisonError::into_inner), hash))
    }

    /// What is known of `key` at a published timestamp.
    pub(crate) fn get(&self, key: &[u8], at: Timestamp) -> Found {
        match self.shard(key) {
            Some((mut shard, hash)) => shard.get(hash, key, at),
            None => Found::Unknown,
        }
    }

    /// Lets in what a native snapshot taken at `at` found.
    pub(crate) fn fill(&self, key: &[u8], found: Option<&Record>, at: Timestamp) {
        if let Some((mut shard, hash)) = self.shard(key) {
            let since = found.map_or(at, |record| record.ts);
            shard.fill(hash, key, found.map(|record| &record.value), since, at);
        }
    }

    /// Takes note of a write, after it was applied and before it is published.
    pub(crate) fn write(&self, key: &[u8], value: Option<&Bytes>, ts: Timestamp) {
        if let Some((mut shard, hash)) = self.shard(key) {
            shard.write(hash, key, value, ts);
        }
    }

    /// The record of `key` as it is now, if it is known, and what wrote the one
    /// before it. For who is about to commit.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<(Record, Option<Timestamp>)> {
        let (mut shard, hash) = self.shard(key)?;
        match shard.get(hash, key, Timestamp::MAX) {
            Found::Exact(Some(record)) => Some((record, shard.before(hash, key))),
            _ => None,
        }
    }

    /// What wrote the record before the one that is known of `key`.
    pub(crate) fn before(&self, key: &[u8]) -> Option<Timestamp> {
        let (shard, hash) = self.shard(key)?;
        shard.before(hash, key)
    }

    /// Lets in a record that will not change any more, if there is room.
    pub(crate) fn keep(&self, key: &[u8], record: &Record, before: Option<Timestamp>) {
        if let Some((mut shard, hash)) = self.shard(key) {
            shard.keep(hash, key, record, before);
        }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        let lock = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).bytes() as u64
        };
        self.shards.iter().map(lock).sum()
    }
}
