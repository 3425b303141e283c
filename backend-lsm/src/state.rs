//! [`State`]: what is published, and how a key of it is read by way of the caches.

use std::sync::Arc;

use vellum_core::{Record, Result, Timestamp};

use crate::absent;
use crate::keyspaces::Keyspaces;
use crate::layout;
use crate::records::Found;

/// To go further back takes as long as to seek in `history`.
const LINKS_MAX: usize = 32;

/// What is published, or was: a native snapshot, and the timestamp that it was
/// taken at.
pub(crate) struct State {
    pub(crate) keyspaces: Arc<Keyspaces>,
    pub(crate) native: fjall::Snapshot,
    pub(crate) ts: Timestamp,
}

impl State {
    /// The record of `key` in `head`.
    pub(crate) fn head(&self, key: &[u8]) -> Result<Option<Record>> {
        if absent::is_likely() {
            return self.read_head(key);
        }
        match self.keyspaces.records.get(key, self.ts) {
            Found::Exact(record) => {
                absent::note(false);
                Ok(record)
            }
            Found::Unknown => self.read_head(key),
            // It was held open while others wrote.
            found @ Found::Newer { .. } => {
                absent::note(false);
                self.seen(&found, key, self.ts, || self.keyspaces.head_record(&self.native, key))
            }
        }
    }

    /// What `key` was at `at`, where it was written since: as it was seen before, or
    /// as `read` finds it.
    pub(crate) fn seen(
        &self,
        found: &Found,
        key: &[u8],
        at: Timestamp,
        read: impl FnOnce() -> Result<Option<Record>>,
    ) -> Result<Option<Record>> {
        // What was seen at a timestamp that is retained never changes, so there
        // is no order to keep between this cache and anything.
        let past = &self.keyspaces.past;
        let key_at = layout::touched_key(self.written(found, key, at), key);
        if let Found::Exact(record) = past.get(&key_at, Timestamp::MAX) {
            return Ok(record);
        }
        let record = read()?;
        past.fill(&key_at, record.as_ref(), Timestamp::MAX);
        Ok(record)
    }

    /// When `key` was written last up to `at`, if the caches know; else `at`, where
    /// it was the same.
    fn written(&self, found: &Found, key: &[u8], at: Timestamp) -> Timestamp {
        let Found::Newer { before: Some(mut ts), .. } = *found else { return at };
        for _ in 0..LINKS_MAX {
            if ts <= at {
                return ts;
            }
            let before = self.keyspaces.past.before(&layout::touched_key(ts, key));
            let Some(before) = before else { break };
            ts = before;
        }
        at
    }

    /// The record of `key` in `head`, read past the cache and into it.
    pub(crate) fn read_head(&self, key: &[u8]) -> Result<Option<Record>> {
        let Self { keyspaces, native, ts } = self;
        let record = keyspaces.head_record(native, key)?;
        absent::note(record.is_none());
        // fjall's filters tell of an absent key as quickly.
        if record.is_some() {
            keyspaces.records.fill(key, record.as_ref(), *ts);
        }
        Ok(record)
    }
}
