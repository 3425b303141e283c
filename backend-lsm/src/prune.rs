//! Removing what nothing retained can see.
//!
//! Open snapshots keep for themselves what they see (fjall's own do), so only
//! pins and the horizon count. Which records are dead depends on records that
//! never change again, so a prune needs no lock against commits: what they add
//! meanwhile is newer than anything it looks at. `has_history` is the one thing
//! that both sides decide on, and is only ever set by commits.

use bytes::Bytes;
use fjall::{Guard, OwnedWriteBatch, Readable, Snapshot};
use vellum_core::{PruneReport, Result, Retention, Timestamp};

use crate::error::{corrupted, engine};
use crate::keyspaces::Keyspaces;
use crate::layout;
use crate::snapshot::decode_past;
use crate::store::Open;

/// Removals in one batch: commits go ahead between two.
const CHUNK: usize = 1024;

/// From this many removals on, compaction is asked for at once.
#[cfg(not(test))]
const COMPACT_MIN: u64 = 1 << 16;
/// Few, so that a test gets there.
#[cfg(test)]
const COMPACT_MIN: u64 = 1 << 12;

pub(crate) fn prune(open: &Open, keep: &Retention) -> Result<PruneReport> {
    let keyspaces = &*open.keyspaces;
    let native = keyspaces.db.snapshot();
    let mut sweep = Sweep::new(open);
    if open.has_history.load(std::sync::atomic::Ordering::Relaxed) {
        sweep.history(&native, keep)?;
    }
    sweep.touched(&native, keep)?;
    sweep.log(&native, keep.horizon())?;
    let report = sweep.finish()?;
    drop(native);
    open.refresh();
    keyspaces.cool_head()?;
    if report.records_removed > 0 {
        open.note_empty_history()?;
    }
    if report.records_removed >= COMPACT_MIN {
        for keyspace in [&keyspaces.history, &keyspaces.touched, &keyspaces.log] {
            keyspaces.write_out(keyspace)?;
            keyspace.major_compact().map_err(engine("compacting after a prune"))?;
        }
        open.release_journals()?;
    }
    Ok(report)
}

/// A record in `history`, without its value: a key may have very many.
struct Old {
    ts: Timestamp,
    /// `None` is a tombstone.
    value_len: Option<usize>,
}

/// Removes in batches.
struct Sweep<'a> {
    open: &'a Open,
    keyspaces: &'a Keyspaces,
    batch: OwnedWriteBatch,
    records: u64,
    bytes: u64,
}

impl<'a> Sweep<'a> {
    fn new(open: &'a Open) -> Self {
        let keyspaces = &*open.keyspaces;
        Self { open, keyspaces, batch: new_batch(keyspaces), records: 0, bytes: 0 }
    }

    /// Every key's records in `history`, newest first.
    fn history(&mut self, native: &Snapshot, keep: &Retention) -> Result<()> {
        let mut chain: Vec<Old> = Vec::new();
        let mut of = Bytes::new();
        for guard in native.iter(&self.keyspaces.history) {
            let (key, past) = decode_past(guard)?;
            if key != of {
                self.chain(native, keep, &of, &chain)?;
                chain.clear();
                of = key;
            }
            chain.push(Old { ts: past.ts, value_len: past.value.map(|value| value.len()) });
        }
        self.chain(native, keep, &of, &chain)
    }

    fn chain(
        &mut self,
        native: &Snapshot,
        keep: &Retention,
        key: &Bytes,
        chain: &[Old],
    ) -> Result<()> {
        if chain.is_empty() {
            return Ok(());
        }
        let head = self.keyspaces.head_record(native, key)?.map(|record| record.ts);
        let successors = std::iter::once(head).chain(chain.iter().map(|past| Some(past.ts)));
        let is_dead =
            |(past, successor): (&Old, Option<Timestamp>)| keep.is_dead_to_pins(past.ts, successor);
        let mut dead: Vec<bool> = chain.iter().zip(successors).map(is_dead).collect();
        // A tombstone with nothing below it shows what would show without it.
        for (past, dead) in chain.iter().zip(&mut dead).rev() {
            if !*dead && past.value_len.is_some() {
                break;
            }
            *dead = true;
        }
        // The oldest first: a batch may end anywhere, and a tombstone that went
        // before what it hides would show it.
        for (past, _) in chain.iter().zip(dead).rev().filter(|(_, dead)| *dead) {
            self.records += 1;
            self.bytes += (key.len() + past.value_len.unwrap_or(0)) as u64;
            let history = &self.keyspaces.history;
            self.batch.remove(history, layout::history_key(key, past.ts));
            self.commit_if_full()?;
        }
        Ok(())
    }

    /// Labels that no pin asks for any more: their keys move to the pin below,
    /// or go if there is none.
    fn touched(&mut self, native: &Snapshot, keep: &Retention) -> Result<()> {
        let touched = &self.keyspaces.touched;
        for guard in native.range(touched, ..layout::encode_ts(keep.horizon())) {
            let bytes = read_key(guard, "touched")?;
            let (label, key) = layout::decode_touched(&bytes)
                .ok_or_else(|| corrupted(format!("key \"{}\" in touched", bytes.escape_ascii())))?;
            let pin = keep.newest_pin_at(label);
            if pin == Some(label) {
                continue;
            }
            if let Some(pin) = pin {
                self.batch.insert(touched, layout::touched_key(pin, &key), Bytes::new());
            }
            self.batch.remove(touched, bytes);
            self.commit_if_full()?;
        }
        Ok(())
    }

    fn log(&mut self, native: &Snapshot, horizon: Timestamp) -> Result<()> {
        let log = &self.keyspaces.log;
        for guard in native.range(log, ..=layout::encode_ts(horizon)) {
            let key = read_key(guard, "log")?;
            self.batch.remove(log, key);
            self.commit_if_full()?;
        }
        Ok(())
    }

    fn commit_if_full(&mut self) -> Result<()> {
        if self.batch.len() < CHUNK {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.batch, new_batch(self.keyspaces));
        self.open.remove(full)
    }

    fn finish(self) -> Result<PruneReport> {
        self.open.remove(self.batch)?;
        Ok(PruneReport::new(self.records, self.bytes))
    }
}

fn new_batch(keyspaces: &Keyspaces) -> OwnedWriteBatch {
    OwnedWriteBatch::with_capacity(keyspaces.db.clone(), CHUNK + 1)
}

fn read_key(guard: Guard, keyspace: &str) -> Result<Bytes> {
    guard.key().map(Bytes::from).map_err(engine(format!("reading {keyspace}")))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use fjall::AbstractTree;
    use vellum_core::{Connection, ConnectionExt, Durability, Options, Pruning, WriteTxn};

    use super::*;
    use crate::error::io;

    /// Found by reading: all that `history` had is merged away, and with it the number that
    /// fjall compares with those of its journals.
    #[test]
    fn journals_go_after_a_prune_that_leaves_nothing_of_the_past() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().pruning(Pruning::Manual).durability(Durability::Buffered);
        let builder = crate::Builder::new(dir.path().join("db")).options(options);
        let db = builder.memtable_bytes(8 << 20).open()?;
        let keyspaces = db.store().keyspaces()?;
        let keys = || (0..=COMPACT_MIN).map(u64::to_be_bytes);
        let write = || -> Result<()> {
            // Each journal has some of every keyspace.
            keys().try_for_each(|key| db.transact(|txn| txn.put(&key, vec![7; 1 << 14])))
        };
        let settle = |most: usize| -> Result<bool> {
            for _ in 0..200 {
                if keyspaces.db.journal_count() <= most {
                    return Ok(true);
                }
                thread::sleep(Duration::from_millis(20));
            }
            Ok(false)
        };
        write()?;
        db.save_version()?;
        write()?;
        db.delete_version(1)?;
        db.prune()?;
        assert!(keyspaces.history.tree.table_count() <= 1, "it was compacted");
        // `meta` is seldom full, and held nothing back but for that.
        db.store().flush()?;
        assert!(settle(1)?, "{} journals are left", keyspaces.db.journal_count());
        db.verify().map(drop)
    }

    #[test]
    fn prune_writes_to_no_journal_beside_who_holds_it() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().pruning(Pruning::Manual);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        db.transact(|txn| txn.put(b"key", "before"))?;
        db.save_version()?;
        db.transact(|txn| txn.put(b"key", "after"))?;
        db.delete_version(1)?;
        let keyspaces = db.store().keyspaces()?;
        let written = || keyspaces.db.seqno();
        let report = thread::scope(|scope| {
            let (mut prune, mut growth) = (None, 0);
            db.store().hold_journals(|| {
                let before = written();
                prune = Some(scope.spawn(|| db.prune()));
                thread::sleep(Duration::from_millis(100));
                growth = written() - before;
            })?;
            assert_eq!(growth, 0, "batches");
            prune.and_then(|prune| prune.join().ok()).transpose()
        })?;
        let report = report.unwrap_or_default();
        assert!(report.records_removed > 0, "{report:?}");
        Ok(())
    }
}
