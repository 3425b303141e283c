//! Work on the journal ahead of the fsync that would else do it.
//!
//! **Zeros.** fjall gives a new journal its length at once, and no room on the disk. So
//! a group that is fsynced has the file system find room for it, and write down where,
//! before the fsync returns: with more than a page in a group, that takes about as long
//! again as the data. Where zeros were written before, the room is there (surrealkv
//! and Scylla write zeros ahead of their logs too). A journal that was there before the
//! database was opened has no room to its end, as fjall appends to it; the next one has.
//!
//! **Writing back.** Before it goes on to another journal, and before it writes a
//! memtable out, fjall fsyncs the journal, and nobody commits meanwhile. What was
//! committed without an fsync is tens of megabytes by then. So the system is asked to
//! begin with it every few. What is left of the fsync waits for the file system to
//! write down where it all is, and for what others write: some 70 ms for a memtable of
//! 64 MiB. So before a memtable is full a thread fsyncs the journal beside the commits.
//! Nobody relies on that fsync, and should it fail fjall's own tells, as the system
//! reports an error of a file once for everybody who has it open.
//!
//! **The content of a journal never changes here**: what is written is what was read,
//! within the length of the file, and nobody else writes to a journal meanwhile. So
//! nothing that reads it, now or after a crash, can see a difference, and it does not
//! matter if fjall has gone on to the next one or removed this one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use crate::journal;

/// Bytes that go into a journal before there are zeros: a small database takes no
/// more of the disk than it needs.
const SMALL: u64 = 16 << 10;

/// Bytes of zeros at a time. The fsync after that writes them too.
const STEP: u64 = 512 << 10;

/// Bytes of commits without an fsync, after which they are written back.
const WRITE_BACK: u64 = 2 << 20;

/// Fewer bytes without an fsync do not pay for one beside the commits.
const SYNC_MIN: u64 = 4 << 20;

/// How far the journal is ahead, as far as can be told by what was written.
#[derive(Debug)]
pub(crate) struct Ahead {
    dir: PathBuf,
    /// Bytes until zeros are to be written again.
    room: u64,
    /// Bytes since the last fsync, or since they were written back.
    dirty: u64,
    /// Bytes since the last fsync, one beside the commits among them.
    unsynced: u64,
    /// Does such an fsync.
    syncing: Option<JoinHandle<()>>,
}

impl Ahead {
    /// For the journals of the fjall database in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, room: SMALL, dirty: 0, unsynced: 0, syncing: None }
    }

    /// Before a group that is fsynced: writes zeros if there are few left. It is for who
    /// keeps all others from writing to a journal.
    pub(crate) fn make_room(&mut self) {
        if self.room == 0 {
            self.room = STEP;
            open(&self.dir, |file| match journal::end_of_data(file)? {
                Some(end) => rewrite(file, end, STEP),
                None => Ok(()),
            });
        }
    }

    /// After a batch of about so many bytes, fsynced or not.
    pub(crate) fn note(&mut self, bytes: u64, is_synced: bool) {
        self.room = self.room.saturating_sub(bytes);
        if is_synced {
            (self.dirty, self.unsynced) = (0, 0);
            return;
        }
        self.dirty = self.dirty.saturating_add(bytes);
        self.unsynced = self.unsynced.saturating_add(bytes);
        if self.dirty >= WRITE_BACK {
            self.dirty = 0;
            open(&self.dir, write_back);
        }
    }

    /// Fsyncs the journal on a thread, if much was written without.
    pub(crate) fn sync_beside(&mut self) {
        let is_busy = self.syncing.as_ref().is_some_and(|thread| !thread.is_finished());
        if self.unsynced < SYNC_MIN || is_busy {
            return;
        }
        self.unsynced = 0;
        let dir = self.dir.clone();
        let thread = thread::Builder::new().name("vellum-journal".into());
        // Where there is none to be had, fjall has more to do.
        self.syncing = thread.spawn(move || open(&dir, File::sync_data)).ok();
    }
}

#[cfg(test)]
impl Ahead {
    pub(crate) fn was_synced_beside(&self) -> bool {
        self.syncing.is_some()
    }
}

/// Does something to the journal that is written. Where that fails the journal is as it
/// would be without it, and what is wrong will be told where it matters.
fn open(dir: &Path, act: impl FnOnce(&File) -> io::Result<()>) {
    if let Ok(Some(path)) = journal::newest(dir) {
        let file = File::options().read(true).write(true).open(path);
        let _ = file.and_then(|file| act(&file));
    }
}

/// Writes what stands there, `len` bytes from `start` on or up to the end of the file.
fn rewrite(file: &File, start: u64, len: u64) -> io::Result<()> {
    let len = file.metadata()?.len().saturating_sub(start).min(len);
    let mut there = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut there, start)?;
    file.write_all_at(&there, start)
}

/// Asks for what was written to go to the disk, and does not wait.
fn write_back(file: &File) -> io::Result<()> {
    // "Not needed" begins to write what is dirty, and lets go of what is not: nobody
    // reads a journal before the next open.
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use fjall::AbstractTree;
    use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, Result, WriteTxn};

    use super::*;
    use crate::error::io;

    /// What stands in the journals, and how much of the disk they take.
    fn journals(database: &Path) -> Result<(Vec<u8>, u64)> {
        let (mut bytes, mut room) = (Vec::new(), 0);
        for entry in fs::read_dir(database.join("fjall")).map_err(io("listing"))? {
            let path = entry.map_err(io("listing"))?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                bytes.extend(fs::read(&path).map_err(io("reading"))?);
                room += fs::metadata(&path).map_err(io("looking"))?.blocks() * 512;
            }
        }
        Ok((bytes, room))
    }

    #[test]
    fn what_is_written_ahead_is_what_stood_there() -> Result<()> {
        let file = tempfile::tempfile().map_err(io("creating"))?;
        let mut expected = vec![7; 10_000];
        file.write_all_at(&expected, 0).map_err(io("writing"))?;
        expected.resize(100_000, 0);
        file.set_len(100_000).map_err(io("allocating"))?;
        // Inside of the data, at its last byte, after it, and beyond the end.
        for start in [0, 9_999, 10_000, 50_000, 99_999, 100_000, 200_000] {
            rewrite(&file, start, 60_000).map_err(io("rewriting"))?;
            let mut found = vec![1; 200_000];
            let len = file.read_at(&mut found, 0).map_err(io("reading"))?;
            found.truncate(len);
            assert!(found == expected, "from {start}");
        }
        Ok(())
    }

    #[test]
    fn journal_is_fsynced_beside_commits_once_for_much_that_was_not() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        fs::write(dir.path().join("0.jnl"), "data").map_err(io("writing"))?;
        let mut ahead = Ahead::new(dir.path().to_owned());
        let mut syncs = |bytes, is_synced| {
            ahead.note(bytes, is_synced);
            ahead.sync_beside();
            ahead.syncing.take().map(JoinHandle::join).is_some()
        };
        assert!(!syncs(SYNC_MIN - 1, false), "little");
        assert!(syncs(1, false), "much");
        assert!(!syncs(SYNC_MIN - 1, false), "little since");
        assert!(!syncs(SYNC_MIN, true), "all by the commit");
        assert!(syncs(SYNC_MIN, false), "much again");
        Ok(())
    }

    #[test]
    fn journal_is_fsynced_beside_commits_shortly_before_a_memtable_is_full() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let limit = 4 * SYNC_MIN;
        let options = Options::new().durability(Durability::Buffered);
        let builder = crate::Builder::new(dir.path().join("db")).options(options);
        let db = builder.memtable_bytes(limit).open()?;
        let keyspaces = db.store().keyspaces()?;
        let mut written = 0;
        while !db.store().was_synced_beside()? && written < limit {
            db.transact(|txn| txn.put(&written.to_be_bytes(), vec![7; 50_000]))?;
            written = keyspaces.head.tree.active_memtable().size();
        }
        assert!((limit / 2..limit).contains(&written), "{written} of {limit} bytes");
        db.close()
    }

    #[test]
    fn synced_commits_find_room_and_the_journal_reads_as_before() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let mut contents = Vec::new();
        for (name, durability) in [("b", Durability::Buffered), ("s", Durability::Sync)] {
            let path = dir.path().join(name);
            let db =
                crate::Builder::new(&path).options(Options::new().durability(durability)).open()?;
            for i in 0..300_u32 {
                db.transact(|txn| txn.put(&i.to_be_bytes(), vec![7; 300]))?;
                if i == 10 {
                    let (_, room) = journals(&path)?;
                    assert!(room < SMALL, "{name}: {room} bytes for a small database");
                }
            }
            let (bytes, room) = journals(&path)?;
            assert_eq!(room >= STEP, durability == Durability::Sync, "{name}: {room} bytes");
            contents.push(bytes.len());
            db.close()?;
            drop(db);
            let db = crate::open(&path)?;
            assert_eq!(db.begin_read()?.range(..).count(), 300);
        }
        contents.dedup();
        assert_eq!(contents.len(), 1, "lengths of a journal: {contents:?}");
        Ok(())
    }

    #[test]
    fn journal_that_is_appended_to_is_left_alone() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let path = dir.path().join("db");
        for opening in 0..3_u32 {
            let db = crate::open(&path)?;
            for i in 0..300_u32 {
                let key = [opening, i].map(u32::to_be_bytes).concat();
                db.transact(|txn| txn.put(&key, vec![7; 300]))?;
            }
            if opening > 0 {
                let (bytes, room) = journals(&path)?;
                assert!(
                    bytes.last() != Some(&0),
                    "a journal that ends in zeros is not appended to"
                );
                assert!(room < STEP, "{room} bytes");
            }
            db.close()?;
        }
        assert_eq!(crate::open(&path)?.begin_read()?.range(..).count(), 900);
        Ok(())
    }
}
