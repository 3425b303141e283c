//! One group of commits as one batch of fjall.
//!
//! # What stands where
//! For every key, with `head(k)` its record in `head` if there is one, and
//! `history(k)` its records in `history`:
//! 1. every record in `history(k)` is older than `head(k)`;
//! 2. if there is no `head(k)`, the newest in `history(k)` is a tombstone, or
//!    there is none;
//! 3. a record that a retained timestamp sees is in one of the two.
//!
//! A commit that preserves nothing writes to `head` alone, without reading:
//! superseded records just go. Only a delete must leave a tombstone in
//! `history` if something may stand there, or the second rule would break.
//!
//! A commit that preserves `p` moves each record that it supersedes, and that
//! `p` sees, into `history`, and notes the key as touched since `p`. A record
//! younger than `p` is not seen by anything retained, and its key was noted
//! when it was written. So a key pays once for each retained timestamp.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fjall::{Keyspace, OwnedWriteBatch, Slice};
use vellum_core::{Commit, Previous, Record, Result, Timestamp, Write};

use crate::layout::{self, GROUP, GroupRecord};
use crate::pack::Pack;
use crate::store::Open;

/// What the journal has of an item besides its key and value, in bytes.
const ITEM_BYTES: u64 = 21;

/// Room in a batch for so many items at least, which is more than 1 KiB. With glibc's
/// allocator an allocation of that size merges the small pieces that were freed since the
/// one before. Without it they are those of a whole memtable by the time something asks
/// for as much, and nobody commits for some 200 ms.
const ITEMS_MIN: usize = 16;

/// What these add to `head`.
fn head_bytes(commits: &[Commit]) -> usize {
    let writes = commits.iter().flat_map(|commit| &commit.writes);
    let len = |write: &Write| write.value.as_ref().map_or(0, |value| layout::TS_LEN + value.len());
    writes.map(|write| write.key.len() + len(write)).sum()
}

/// Collects the writes of a group.
pub(crate) struct Batch<'a> {
    open: &'a Open,
    batch: OwnedWriteBatch,
    /// What it takes in the journal, about.
    bytes: u64,
    /// What the commits of this group that were added so far wrote, where a
    /// later one may supersede it; `None` is a delete. Only kept if there are
    /// several commits.
    own: Option<HashMap<Bytes, Option<Record>>>,
    /// Keys and values for `head`.
    head: Pack,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(open: &'a Open, commits: &[Commit]) -> Self {
        let items = commits.iter().map(|commit| commit.writes.len() + commit.catalog.len());
        let own = commits.len() > 1 && commits.iter().any(|commit| commit.preserve.is_some());
        Self {
            open,
            batch: OwnedWriteBatch::with_capacity(
                open.keyspaces.db.clone(),
                (items.sum::<usize>() + 1).max(ITEMS_MIN),
            ),
            bytes: 0,
            own: own.then(HashMap::new),
            head: Pack::new(head_bytes(commits)),
        }
    }

    /// Adds a commit, newer than those before.
    pub(crate) fn add(&mut self, commit: &Commit) -> Result<()> {
        for write in &commit.writes {
            match commit.preserve {
                Some(preserve) => self.preserve(write, commit.ts, preserve)?,
                None => self.overwrite(write, commit.ts),
            }
            if let Some(own) = &mut self.own {
                let record =
                    write.value.as_ref().map(|v| Record { ts: commit.ts, value: v.clone() });
                own.insert(write.key.clone(), record);
            }
        }
        let keyspaces = &self.open.keyspaces;
        for entry in &commit.catalog {
            let key = layout::catalog_key(&entry.key);
            match &entry.value {
                Some(value) => self.insert(&keyspaces.meta, key, value.clone()),
                None => self.remove(&keyspaces.meta, key),
            }
        }
        if commit.logged {
            let writes = commit.writes.iter().map(|w| (&w.key[..], w.value.is_some()));
            let key = layout::encode_ts(commit.ts);
            self.insert(&keyspaces.log, key, layout::encode_log(writes));
        }
        Ok(())
    }

    /// Adds the group record: the batch is complete. Also says what it takes in the
    /// journal, in bytes, about.
    pub(crate) fn finish(mut self, record: &GroupRecord) -> (OwnedWriteBatch, u64) {
        self.insert(&self.open.keyspaces.meta, GROUP, record.encode());
        (self.batch, self.bytes)
    }

    fn insert(&mut self, keyspace: &Keyspace, key: impl Into<Slice>, value: impl Into<Slice>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += (key.len() + value.len()) as u64 + ITEM_BYTES;
        self.batch.insert(keyspace, key, value);
    }

    fn remove(&mut self, keyspace: &Keyspace, key: impl Into<Slice>) {
        let key = key.into();
        self.bytes += key.len() as u64 + ITEM_BYTES;
        self.batch.remove(keyspace, key);
    }

    /// Writes over whatever stands there.
    fn overwrite(&mut self, write: &Write, ts: Timestamp) {
        let is_delete = self.put_head(write, ts);
        if is_delete && self.open.has_history.load(Ordering::Relaxed) {
            self.put_history(&write.key, ts, None);
        }
    }

    /// Writes over what stands there, and keeps it if `preserve` sees it.
    fn preserve(&mut self, write: &Write, ts: Timestamp, preserve: Timestamp) -> Result<()> {
        let superseded = self.superseded(write)?;
        if superseded.is_none() && write.value.is_none() {
            return Ok(());
        }
        let is_delete = self.put_head(write, ts);
        let is_seen = superseded.as_ref().is_none_or(|record| record.ts <= preserve);
        if is_seen {
            let key = layout::touched_key(preserve, &write.key);
            self.insert(&self.open.keyspaces.touched, key, Bytes::new());
        }
        if let Some(record) = superseded {
            if is_seen {
                self.put_history(&write.key, record.ts, Some(&record.value));
            }
            if is_delete {
                self.put_history(&write.key, ts, None);
            }
        }
        Ok(())
    }

    /// Writes to `head`, and says whether that was a delete.
    fn put_head(&mut self, write: &Write, ts: Timestamp) -> bool {
        let head = &self.open.keyspaces.head;
        match &write.value {
            Some(value) => {
                // To cut a piece in two costs less than to cut off another.
                let mut record = self.head.add(&[&write.key, &layout::encode_ts(ts), value]);
                let key = record.split_to(write.key.len());
                self.insert(head, key, record);
            }
            None => {
                let key = self.head.add(&[&write.key]);
                self.remove(head, key);
            }
        }
        write.value.is_none()
    }

    fn put_history(&mut self, key: &[u8], ts: Timestamp, value: Option<&Bytes>) {
        self.open.has_history.store(true, Ordering::Relaxed);
        let value = value.map_or(Vec::new(), |value| layout::encode_record(ts, value));
        self.insert(&self.open.keyspaces.history, layout::history_key(key, ts), value);
    }

    /// The record that a write supersedes.
    fn superseded(&self, write: &Write) -> Result<Option<Record>> {
        if let Some(own) = self.own.as_ref().and_then(|own| own.get(&write.key)) {
            return Ok(own.clone());
        }
        match &write.previous {
            Previous::Absent => Ok(None),
            Previous::Record(record) => Ok(Some(record.clone())),
            Previous::Unknown => self.open.keyspaces.newest_record(&write.key),
        }
    }
}
