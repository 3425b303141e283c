//! Memtables: when they are written out, and letting go of them.
//!
//! **Writing out.** fjall would do both by itself, but has each write to a memtable
//! that is full send its workers a message, through a channel that holds a thousand.
//! Where they are busy it fills up; then a worker that takes one, and has to send
//! another, waits for room that only workers make. With all of them in there no memtable
//! is written out again, memory grows, and closing takes for ever: seen with one worker,
//! and with two on a busy machine ([report]). So fjall is given no limit, and here it is
//! who commits that has a full memtable written out.
//!
//! **Letting go.** When a memtable is in the tables, and no snapshot reads it any more,
//! lsm-tree drops it under the lock that every read and write of the keyspace takes: with
//! 64 MB of small records nobody gets on for a third of a second. So the memtable
//! that is written is held here too. What is held is let go of once nobody else has
//! it, on a thread that holds no lock, and that ends when nothing is left to wait for.
//!
//! [report]: ../../docs/upstream/workers-wait-for-themselves.md

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fjall::AbstractTree;
use vellum_core::Result;

use crate::keyspaces::Keyspaces;

/// Bytes of batches after which it is looked for full and new memtables, at most. One
/// that comes and goes in between is small.
const LOOK_AFTER: u64 = 1 << 20;

/// The part of a memtable that may be written between two looks.
const LOOK_PART: u64 = 16;

/// How often it is looked whether somebody else still has what is to go.
const WAITS: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// A memtable, whose type fjall does not show.
type Held = Arc<dyn Any + Send + Sync>;

/// The memtables that are written, one for each keyspace.
#[derive(Debug)]
pub(crate) struct Memtables {
    active: Vec<(u64, Held)>,
    /// Those before, until nobody else has them.
    retired: Arc<Mutex<Vec<Held>>>,
    /// From so many bytes on a memtable is written out.
    limit: u64,
    /// Bytes until the next look.
    until: u64,
    /// Of the largest memtable at the last look, in bytes.
    largest: u64,
}

impl Memtables {
    /// Those of a database, each of which is written out from `limit` bytes on.
    pub(crate) fn new(keyspaces: &Keyspaces, limit: u64) -> Self {
        let (active, largest) = active(keyspaces);
        Self { active, retired: Arc::default(), limit, until: 0, largest }
    }

    /// Notes that a batch of some `bytes` was written.
    pub(crate) fn note(&mut self, keyspaces: &Keyspaces, bytes: u64) {
        self.until = self.until.saturating_sub(bytes);
        if self.until == 0 {
            self.look(keyspaces);
        }
    }

    /// Whether one will be written out soon, as far as was looked.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.largest >= self.limit / 8 * 7
    }

    /// Has those that are full written out, and waits until fjall takes writes. It is for
    /// who commits, as it waits for the journal, and for tables where many memtables wait
    /// to be written out.
    pub(crate) fn write_out_full(&mut self, keyspaces: &Keyspaces) -> Result<()> {
        keyspaces.wait_for_room()?;
        if self.largest < self.limit {
            return Ok(());
        }
        for keyspace in keyspaces.all() {
            if keyspace.tree.active_memtable().size() >= self.limit {
                keyspaces.rotate(keyspace)?;
            }
        }
        if keyspaces.has_too_many_journals() {
            keyspaces.release_journals()?;
        }
        self.look(keyspaces);
        Ok(())
    }

    /// Goes on to the memtables that are written now.
    pub(crate) fn look(&mut self, keyspaces: &Keyspaces) {
        self.until = (self.limit / LOOK_PART).clamp(1, LOOK_AFTER);
        let (now, largest) = active(keyspaces);
        self.largest = largest;
        let before = std::mem::replace(&mut self.active, now);
        let pairs = before.into_iter().zip(&self.active);
        let old = pairs.filter(|((before, _), (now, _))| before != now).map(|((_, held), _)| held);
        retire(&self.retired, old.collect());
    }
}

/// Those that are written, in the order of the keyspaces, and the bytes of the largest.
fn active(keyspaces: &Keyspaces) -> (Vec<(u64, Held)>, u64) {
    let mut largest = 0;
    let all = keyspaces.all().into_iter().map(|keyspace| keyspace.tree.active_memtable());
    let seen = all.map(|memtable| {
        largest = largest.max(memtable.size());
        (memtable.id(), memtable as Held)
    });
    (seen.collect(), largest)
}

/// Has a thread let go of these.
fn retire(retired: &Arc<Mutex<Vec<Held>>>, old: Vec<Held>) {
    if old.is_empty() {
        return;
    }
    let mut waiting = retired.lock().unwrap_or_else(PoisonError::into_inner);
    let is_running = !waiting.is_empty();
    waiting.extend(old);
    if !is_running {
        let queue = retired.clone();
        let thread = thread::Builder::new().name("vellum-memtables".into());
        if thread.spawn(move || let_go(&queue)).is_err() {
            // They are left to fjall.
            waiting.clear();
        }
    }
}

/// Lets go of what nobody else has, until nothing is left.
fn let_go(retired: &Mutex<Vec<Held>>) {
    let [mut wait, longest] = WAITS;
    loop {
        thread::sleep(wait);
        let mut waiting = retired.lock().unwrap_or_else(PoisonError::into_inner);
        let free: Vec<Held> = waiting.extract_if(.., |held| Arc::strong_count(held) == 1).collect();
        // Under the lock, so that who adds the next starts another thread.
        let is_done = waiting.is_empty();
        drop(waiting);
        // A reader may take its time.
        wait = if free.is_empty() { (wait * 2).min(longest) } else { WAITS[0] };
        drop(free);
        if is_done {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    use fjall::Keyspace;
    use vellum_core::{
        Connection, ConnectionExt, Durability, ErrorKind, Options, Pruning, WriteTxn,
    };

    use super::*;
    use crate::error::{error, io};
    use crate::keyspaces::SEALED_MAX;

    /// Says on which thread it goes.
    struct Probe(Sender<Option<String>>);

    impl Drop for Probe {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn what_is_retired_goes_on_a_thread_of_its_own_once_nobody_else_has_it() {
        let (sender, gone) = channel();
        let queue = Arc::default();
        // One after the other, and several at once: a thread ends, another begins.
        for count in [1, 3, 1] {
            let held: Vec<Held> =
                (0..count).map(|_| Arc::new(Probe(sender.clone())) as Held).collect();
            retire(&queue, held.clone());
            thread::sleep(WAITS[0] * 4);
            assert!(gone.try_recv().is_err(), "somebody still has it");
            drop(held);
            for _ in 0..count {
                assert_eq!(gone.recv().ok().flatten().as_deref(), Some("vellum-memtables"));
            }
        }
    }

    /// A database without fsyncs, in a directory that goes with the first.
    fn opened() -> Result<(tempfile::TempDir, crate::LsmDatabase)> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        Ok((dir, db))
    }

    /// Long for a machine that is busy, short for ever.
    const PATIENCE: Duration = Duration::from_secs(120);

    /// How long a worker is held up at least, where that holds commits up.
    const HELD: Duration = Duration::from_millis(400);

    // Found while looking for waits of a load on disk, with one worker.
    #[test]
    fn worker_that_was_held_up_while_many_committed_writes_memtables_out_again() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let builder = crate::Builder::new(dir.path().join("db")).options(options);
        let db = Arc::new(builder.memtable_bytes(1 << 16).worker_threads(1).open()?);
        let keyspaces = db.store().keyspaces()?;
        let commits = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let writers = (0..4_u32).map(|writer| {
            let (db, commits, is_over) = (db.clone(), commits.clone(), is_over.clone());
            let write = move || -> Result<()> {
                while !is_over.load(Relaxed) {
                    db.transact(|txn| txn.put(&writer.to_be_bytes(), vec![7; 100]))?;
                    commits.fetch_add(1, Relaxed);
                }
                Ok(())
            };
            thread::spawn(write)
        });
        let writers: Vec<_> = writers.collect();
        let mut most = 0;
        for round in 0..8 {
            let held = keyspaces.head.tree.get_flush_lock();
            let (begun, before) = (Instant::now(), commits.load(Relaxed));
            // More than fjall's channel holds; or until the commits are held up, and longer.
            let mut sealed = 0;
            while commits.load(Relaxed) < before + 1500
                && (sealed < SEALED_MAX || begun.elapsed() < HELD)
            {
                thread::sleep(WAITS[0]);
                let of = |keyspace: &Keyspace| keyspace.tree.sealed_memtable_count();
                sealed = keyspaces.all().map(of).into_iter().max().unwrap_or(0);
                assert!(sealed <= SEALED_MAX, "{sealed} wait, and fjall would have all sleep");
                most = most.max(sealed);
            }
            drop(held);
            let tables = keyspaces.head.tree.next_table_id();
            let begun = Instant::now();
            while keyspaces.head.tree.next_table_id() == tables {
                assert!(begun.elapsed() < PATIENCE, "round {round}: no table is written any more");
                thread::sleep(WAITS[0]);
            }
        }
        assert_eq!(most, SEALED_MAX, "commits were not held up");
        is_over.store(true, Relaxed);
        for writer in writers {
            writer.join().map_err(|_| error(ErrorKind::Poisoned, "a writer panicked"))??;
        }
        db.close()
    }

    /// Found by reading: fjall waits after the batch was written, and for ever if tables
    /// cannot be.
    #[test]
    fn commit_waits_before_it_writes_where_fjall_would_wait_after() -> Result<()> {
        let (_dir, db) = opened()?;
        let keyspaces = db.store().keyspaces()?;
        let put = |n: usize| db.transact(|txn| txn.put(&n.to_be_bytes(), "x"));
        let held = keyspaces.head.tree.get_flush_lock();
        // As after a crash, where each journal gives one.
        for n in 0..=SEALED_MAX {
            put(n)?;
            keyspaces.head.rotate_memtable().map_err(crate::error::engine("sealing"))?;
        }
        let before = keyspaces.db.seqno();
        let mut after = before;
        thread::scope(|scope| {
            let commit = scope.spawn(|| put(99));
            thread::sleep(HELD);
            after = keyspaces.db.seqno();
            drop(held);
            commit.join().map_err(|_| error(ErrorKind::Poisoned, "it panicked"))?
        })?;
        assert_eq!(after, before, "it was written");
        db.close()
    }

    #[test]
    fn memtables_stay_within_the_limit_of_this_opening_whoever_fills_them() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered).pruning(Pruning::Manual);
        let open = |limit| {
            let builder = crate::Builder::new(dir.path().join("db")).options(options);
            builder.memtable_bytes(limit).open()
        };
        let write = |db: &crate::LsmDatabase, len: usize| {
            db.transact(|txn| {
                (0..300_u32).try_for_each(|i| txn.put(&i.to_be_bytes(), vec![7; len]))
            })
        };
        // The limit of a database is not that with which it was created.
        open(64 << 20)?.close()?;
        let limit = 1 << 15;
        let db = open(limit)?;
        let sizes = || -> Result<Vec<u64>> {
            let keyspaces = db.store().keyspaces()?;
            Ok(keyspaces.all().map(|keyspace| keyspace.tree.active_memtable().size()).to_vec())
        };
        let tables = || -> Result<usize> {
            let keyspaces = db.store().keyspaces()?;
            Ok(keyspaces.all().map(|keyspace| keyspace.tree.table_count()).into_iter().sum())
        };
        // The next commit, however small, finds what is full.
        let check = |what: &str| -> Result<usize> {
            let before = sizes()?;
            db.transact(|txn| txn.put(b"key", "little"))?;
            let after = sizes()?;
            assert!(after.iter().all(|size| *size < limit), "{what}: {before:?}, {after:?}");
            Ok(before.into_iter().filter(|size| *size >= limit).count())
        };
        let (mut full, mut full_by_prune, mut versions) = (0, 0, Vec::new());
        for round in 1..=20 {
            write(&db, 100)?;
            full += check("a commit")?;
            versions.push(db.save_version()?);
            if round % 5 == 0 {
                versions.drain(..).try_for_each(|version| db.delete_version(version.get()))?;
                check("a version")?;
                db.prune()?;
                full_by_prune += check("a prune")?;
            }
        }
        assert!(
            full >= 20 && full_by_prune > 0 && tables()? > 0,
            "{full}, {full_by_prune} were full"
        );
        db.verify()?;
        Ok(())
    }

    #[test]
    fn memtables_that_were_written_out_are_let_go_of() -> Result<()> {
        let (_dir, db) = opened()?;
        let keyspaces = db.store().keyspaces()?;
        let head = || keyspaces.head.tree.active_memtable();
        let write = |from: u32| {
            db.transact(|txn| {
                (0..3000_u32).try_for_each(|i| txn.put(&(from + i).to_be_bytes(), vec![7; 1000]))
            })
        };
        write(0)?;
        let old = Arc::downgrade(&head());
        // fjall lets go of it with the next table, and this with the next look.
        for key in [b"a", b"b"] {
            db.store().flush()?;
            db.transact(|txn| txn.put(key, "little"))?;
        }
        db.store().flush()?;
        while old.strong_count() > 1 {
            thread::sleep(WAITS[0]);
        }
        assert_eq!(old.strong_count(), 1, "it is held here");
        write(3000)?;
        while old.strong_count() > 0 {
            thread::sleep(WAITS[0]);
        }
        Ok(())
    }
}
