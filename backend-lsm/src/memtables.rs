//! Letting go of memtables beside fjall.
//!
//! When a memtable is in the tables, and no snapshot reads it any more, lsm-tree
//! drops it under the lock that every read and write of the keyspace takes: with
//! 64 MB of small records nobody gets on for a third of a second. So the memtable
//! that is written is held here too. What is held is let go of once nobody else has
//! it, on a thread that holds no lock, and that ends when nothing is left to wait for.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fjall::AbstractTree;

use crate::keyspaces::Keyspaces;

/// Bytes of batches after which it is looked for new memtables. One that comes and
/// goes in between is small.
const LOOK_AFTER: u64 = 1 << 20;

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
    /// Bytes until the next look.
    until: u64,
}

impl Memtables {
    pub(crate) fn new(keyspaces: &Keyspaces) -> Self {
        Self { active: active(keyspaces), retired: Arc::default(), until: LOOK_AFTER }
    }

    /// Notes that a batch of some `bytes` was written.
    pub(crate) fn note(&mut self, keyspaces: &Keyspaces, bytes: u64) {
        self.until = self.until.saturating_sub(bytes);
        if self.until == 0 {
            self.until = LOOK_AFTER;
            self.look(keyspaces);
        }
    }

    /// Goes on to the memtables that are written now.
    fn look(&mut self, keyspaces: &Keyspaces) {
        let before = std::mem::replace(&mut self.active, active(keyspaces));
        let pairs = before.into_iter().zip(&self.active);
        let old = pairs.filter(|((before, _), (now, _))| before != now).map(|((_, held), _)| held);
        retire(&self.retired, old.collect());
    }
}

/// In the order of the keyspaces.
fn active(keyspaces: &Keyspaces) -> Vec<(u64, Held)> {
    let all = keyspaces.all().into_iter().map(|keyspace| keyspace.tree.active_memtable());
    all.map(|memtable| (memtable.id(), memtable as Held)).collect()
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
    use std::sync::mpsc::{Sender, channel};

    use vellum_core::{ConnectionExt, Durability, Options, Result, WriteTxn};

    use super::*;
    use crate::error::io;

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

    #[test]
    fn memtables_that_were_written_out_are_let_go_of() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
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
