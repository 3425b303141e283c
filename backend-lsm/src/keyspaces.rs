//! The fjall database and its keyspaces.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fjall::config::FilterPolicy;
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable,
};
use vellum_core::{Record, Result, Timestamp};

use crate::error::{corrupted, engine};
use crate::heat::Heat;
use crate::layout::{self, GROUP, GroupRecord, Named};
use crate::records::Records;
use crate::table;

/// So many memtables of a keyspace wait to be written out at most. Where four do, fjall
/// has everybody who writes sleep, a tenth of a second at a time, and for ever if tables
/// cannot be written.
pub(crate) const SEALED_MAX: usize = 3;

/// So many runs of tables that were not merged yet a keyspace has when another memtable is
/// to be written out, at most. Where there are 30, fjall has everybody who writes wait as
/// for memtables; those that are sealed already come on top.
const RUNS_MAX: usize = 24;

/// From so many bytes on fjall goes on in another journal.
const JOURNAL_BYTES: u64 = 64_000_000;

/// The open database. Snapshots hold it, so it is closed when the store and
/// the last snapshot are gone.
pub(crate) struct Keyspaces {
    pub(crate) db: Database,
    /// The group record and the catalog.
    pub(crate) meta: Keyspace,
    /// Each key's newest record, if that is a value.
    pub(crate) head: Keyspace,
    /// Superseded records and tombstones that something retained may see.
    pub(crate) history: Keyspace,
    /// The keys that were written since each retained timestamp.
    pub(crate) touched: Keyspace,
    /// The keys of each commit, while history is kept.
    pub(crate) log: Keyspace,
    /// What is known of keys of `head` without asking it.
    pub(crate) records: Records,
    /// What was found in `history`, by key and timestamp.
    pub(crate) past: Records,
    /// What was overwritten in the memtable of `head`.
    pub(crate) heat: Heat,
    /// Held by who seals a memtable, so that what was counted before still holds.
    sealing: Mutex<()>,
    /// More journals than this are too many.
    journals_max: usize,
}

/// What the caller may tune.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    /// Of blocks and records together.
    pub(crate) cache_bytes: u64,
    /// The part of it for records; a half, if nothing is said.
    pub(crate) record_cache_bytes: Option<u64>,
    pub(crate) memtable_bytes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) worker_threads: usize,
}

impl Tuning {
    pub(crate) fn record_cache_bytes(&self) -> u64 {
        self.record_cache_bytes.unwrap_or(self.cache_bytes / 2).min(self.cache_bytes)
    }

    pub(crate) fn block_cache_bytes(&self) -> u64 {
        self.cache_bytes - self.record_cache_bytes()
    }
}

impl Keyspaces {
    /// Creates the keyspaces of a new database, `meta` first.
    pub(crate) fn create(db: Database, tuning: &Tuning) -> Result<Self> {
        Self::each(db, tuning, |_, _| Ok(()))
    }

    /// Opens the keyspaces of an existing database, all of which must be there.
    pub(crate) fn open(db: Database, tuning: &Tuning) -> Result<Self> {
        Self::each(db, tuning, |db, name| match db.keyspace_exists(name) {
            true => Ok(()),
            false => Err(corrupted(format!("keyspace {name} is missing"))),
        })
    }

    fn each(
        db: Database,
        tuning: &Tuning,
        check: impl Fn(&Database, &str) -> Result<()>,
    ) -> Result<Self> {
        let open = |(name, _): Named| {
            check(&db, name)?;
            let options = || options(name);
            db.keyspace(name, options).map_err(engine(format!("opening keyspace {name}")))
        };
        let [meta, head, history, touched, log] = layout::KEYSPACES.map(open);
        let head = head?;
        let opened = Self {
            meta: meta?,
            heat: Heat::new(head.tree.active_memtable().id()),
            head,
            history: history?,
            touched: touched?,
            log: log?,
            records: Records::new(tuning.record_cache_bytes() / 4 * 3),
            past: Records::new(tuning.record_cache_bytes() / 4),
            sealing: Mutex::new(()),
            journals_max: usize::try_from(tuning.journal_bytes / JOURNAL_BYTES)
                .map_or(usize::MAX, |journals| journals.saturating_add(2)),
            db,
        };
        for (id, keyspace) in (opened.meta.id()..).zip(opened.all()) {
            if keyspace.id() != id {
                return Err(corrupted(format!("keyspace {} has another number", keyspace.name())));
            }
        }
        Ok(opened)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn all(&self) -> [&Keyspace; 5] {
        [&self.meta, &self.head, &self.history, &self.touched, &self.log]
    }

    /// Compares every table with the checksum of its file.
    pub(crate) fn verify_tables(&self) -> Result<()> {
        for keyspace in self.all() {
            // While the version is held, compaction removes none of its files.
            let version = keyspace.tree.current_version();
            for table in version.iter_tables() {
                if table::checksum(&table.path)? != table.checksum().into_u128() {
                    let name = keyspace.name();
                    return Err(corrupted(format!("table {} of keyspace {name}", table.id())));
                }
            }
        }
        Ok(())
    }

    /// The record of `key` in `head`, seen by `reader`.
    pub(crate) fn head_record(
        &self,
        reader: &fjall::Snapshot,
        key: &[u8],
    ) -> Result<Option<Record>> {
        let value = reader.get(&self.head, key).map_err(engine("reading a key of head"))?;
        decode(key, value)
    }

    /// The record of `key` in `head` as it is now: for the one who writes.
    pub(crate) fn newest_record(&self, key: &[u8]) -> Result<Option<Record>> {
        let value = self.head.get(key).map_err(engine("reading a key of head"))?;
        decode(key, value)
    }

    /// Has the memtable of `head` written out if ranges suffer from what was
    /// overwritten in it. It is for who commits, as it waits for the journal.
    pub(crate) fn cool_head(&self) -> Result<()> {
        if !self.heat.is_hot() {
            return Ok(());
        }
        let tree = &self.head.tree;
        let mut waiting = tree.sealed_memtable_count();
        // Behind others it would wait.
        if waiting == 0 && self.heat.is_due() {
            self.head.rotate_memtable().map_err(engine("rotating the memtable of head"))?;
            waiting = tree.sealed_memtable_count();
        }
        self.heat.see_memtables(tree.active_memtable().id(), waiting);
        Ok(())
    }

    /// Writes all memtables out, and waits for it.
    pub(crate) fn flush(&self) -> Result<()> {
        self.all().into_iter().try_for_each(|keyspace| self.write_out(keyspace))
    }

    /// Writes the memtable of a keyspace out, and waits for it.
    pub(crate) fn write_out(&self, keyspace: &Keyspace) -> Result<()> {
        self.rotate(keyspace)?;
        self.wait_while_sealed(keyspace, 1)
    }

    /// Has the memtable of a keyspace written out, once fewer than [`SEALED_MAX`] wait
    /// for that.
    pub(crate) fn rotate(&self, keyspace: &Keyspace) -> Result<()> {
        let _sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait_while_sealed(keyspace, SEALED_MAX)?;
        self.wait_while(|| keyspace.tree.l0_run_count() > RUNS_MAX)?;
        keyspace.rotate_memtable().map_err(engine("rotating a memtable"))?;
        Ok(())
    }

    /// Waits while fjall would have who writes wait, as it may do for ever: for memtables
    /// that it found in the journals, or sealed by itself.
    pub(crate) fn wait_for_room(&self) -> Result<()> {
        self.all().into_iter().try_for_each(|ks| self.wait_while_sealed(ks, SEALED_MAX + 1))
    }

    fn wait_while_sealed(&self, keyspace: &Keyspace, count: usize) -> Result<()> {
        self.wait_while(|| keyspace.tree.sealed_memtable_count() >= count)
    }

    /// Waits for what fjall's workers do. Unlike fjall, which would wait for ever, it
    /// fails if the tables cannot be written.
    fn wait_while(&self, is_busy: impl Fn() -> bool) -> Result<()> {
        while is_busy() {
            // It fails once fjall has given up.
            self.db.persist(PersistMode::Buffer).map_err(engine("writing tables"))?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether there are journals that should be gone.
    pub(crate) fn has_too_many_journals(&self) -> bool {
        self.db.journal_count() > self.journals_max
    }

    /// Lets go of journals that fjall would keep for good. It removes one once the tables
    /// of each keyspace have a number as high as the last in there; but where that was a
    /// removal, it may be merged away, with all that was below it. So something is
    /// removed that never was there, and that is written out ([report]). It is for who
    /// commits.
    ///
    /// [report]: ../../docs/upstream/journals-kept.md
    pub(crate) fn release_journals(&self) -> Result<()> {
        let Self { history, touched, log, .. } = self;
        let (key, never) = (&[0], Timestamp::ZERO);
        let mut batch = OwnedWriteBatch::with_capacity(self.db.clone(), 3);
        batch.remove(history, layout::history_key(key, never));
        batch.remove(touched, layout::touched_key(never, key));
        batch.remove(log, &layout::encode_ts(never)[..]);
        let batch = batch.durability(Some(PersistMode::Buffer));
        batch.commit().map_err(engine("letting go of journals"))?;
        [history, touched, log].into_iter().try_for_each(|keyspace| self.rotate(keyspace))
    }

    /// The newest group; the zeroth in a new database.
    pub(crate) fn group(&self) -> Result<GroupRecord> {
        match self.meta.get(GROUP).map_err(engine("reading the group record"))? {
            None => Ok(GroupRecord::default()),
            Some(bytes) => {
                GroupRecord::decode(&bytes).ok_or_else(|| corrupted("the group record in meta"))
            }
        }
    }

    /// Makes everything that was written survive power loss.
    pub(crate) fn persist(&self) -> std::result::Result<(), fjall::Error> {
        self.db.persist(PersistMode::SyncAll)
    }
}

fn decode(key: &[u8], value: Option<fjall::UserValue>) -> Result<Option<Record>> {
    let Some(value) = value else { return Ok(None) };
    match layout::decode_record(Bytes::from(value)) {
        Some(record) => Ok(Some(record)),
        None => Err(corrupted(format!("the record of key \"{}\" in head", key.escape_ascii()))),
    }
}

fn options(name: &str) -> KeyspaceCreateOptions {
    // `Memtables` says when; and fjall would note down this limit for good.
    let options = KeyspaceCreateOptions::default().max_memtable_size(u64::MAX);
    match name {
        // Points are read here alone.
        "head" | "meta" => options,
        _ => options.filter_policy(FilterPolicy::disabled()),
    }
}

#[cfg(test)]
mod tests {
    use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, WriteTxn};

    use super::*;
    use crate::error::io;

    #[test]
    fn caches_of_records_fill_to_what_they_were_given() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let given = 1 << 20;
        let options = Options::new().durability(Durability::Buffered);
        let builder = crate::Builder::new(dir.path().join("db")).options(options);
        let db = builder.cache_bytes(2 * given).record_cache_bytes(given).open()?;
        let keys = || (0..20_000_u32).map(u32::to_be_bytes);
        let write = || db.transact(|txn| keys().try_for_each(|key| txn.put(&key, vec![7; 100])));
        write()?;
        db.save_version()?;
        write()?;
        let old = db.read_at(vellum_core::Version::new(1))?;
        keys().try_for_each(|key| old.get(&key).map(drop))?;
        let keyspaces = db.store().keyspaces()?;
        // Three quarters for the head, a quarter for what was overwritten.
        for (held, part) in [(&keyspaces.records, given / 4 * 3), (&keyspaces.past, given / 4)] {
            let bytes = held.bytes();
            assert!((part / 2..=part).contains(&bytes), "{bytes} of {part} bytes");
        }
        Ok(())
    }
}
