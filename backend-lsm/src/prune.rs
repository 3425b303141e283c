//! Removing what nothing retained can see.
//!
//! Open snapshots keep for themselves what they see (fjall's own do), so only
//! pins and the horizon count. Which records are dead depends on records that
//! never change again, so a prune needs no lock against commits: what they add
//! meanwhile is newer than anything it looks at. `has_history` is the one thing
//! that both sides decide on, and is only ever set by commits.

use bytes::Bytes;
use fjall::{Guard, OwnedWriteBatch, PersistMode, Readable, Snapshot};
use vellum_core::{PruneReport, Result, Retention, Timestamp};

use crate::error::{corrupted, engine};
use crate::keyspaces::Keyspaces;
use crate::layout;
use crate::snapshot::decode_past;
use crate::store::Open;

/// Removals in one batch: commits go ahead between two.
const CHUNK: usize = 1024;

/// From this many removals on, compaction is asked for at once.
const COMPACT_MIN: u64 = 1 << 16;

pub(crate) fn prune(open: &Open, keep: &Retention) -> Result<PruneReport> {
    let keyspaces = &*open.keyspaces;
    let native = keyspaces.db.snapshot();
    let mut sweep = Sweep::new(keyspaces);
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
    keyspaces: &'a Keyspaces,
    batch: OwnedWriteBatch,
    records: u64,
    bytes: u64,
}

impl<'a> Sweep<'a> {
    fn new(keyspaces: &'a Keyspaces) -> Self {
        Self { keyspaces, batch: new_batch(keyspaces), records: 0, bytes: 0 }
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
        full.commit().map_err(engine("pruning"))
    }

    fn finish(self) -> Result<PruneReport> {
        self.batch.commit().map_err(engine("pruning"))?;
        Ok(PruneReport::new(self.records, self.bytes))
    }
}

/// A prune that is lost is done again: it need not survive power loss.
fn new_batch(keyspaces: &Keyspaces) -> OwnedWriteBatch {
    let batch = OwnedWriteBatch::with_capacity(keyspaces.db.clone(), CHUNK + 1);
    batch.durability(Some(PersistMode::Buffer))
}

fn read_key(guard: Guard, keyspace: &str) -> Result<Bytes> {
    guard.key().map(Bytes::from).map_err(engine(format!("reading {keyspace}")))
}
