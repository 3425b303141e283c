//! A disk that is really full: a small filesystem in memory.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use vellum_core::{Connection, ConnectionExt, Durability, ErrorKind, Options, ReadTxn, WriteTxn};
use vellum_lsm::Builder;

/// A mounted filesystem of so many MiB, taken down again when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let arguments = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(at).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then_some(Self(at))
    }

    fn grow(&self, mib: u32) {
        let size = format!("remount,size={mib}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn full_disk_acknowledges_nothing_that_is_not_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(dir.path(), 24) else {
        eprintln!("SKIPPED: a filesystem can be mounted only by root");
        return;
    };
    for durability in [Durability::Sync, Durability::Buffered] {
        let path = dir.path().join(format!("{durability:?}"));
        let open = || Builder::new(&path).memtable_bytes(1 << 20);
        let options = Options::new().durability(durability);
        let db = open().options(options).open().unwrap();
        let mut acknowledged = 0u32;
        let value = vec![0xa5; 64 * 1024];
        let e = loop {
            let key = acknowledged.to_be_bytes();
            match db.transact(|txn| txn.put(&key, value.clone())) {
                Ok(()) => acknowledged += 1,
                Err(e) => break e,
            }
            assert!(acknowledged < 10_000, "the disk is never full");
        };
        assert!(e.kind() == ErrorKind::CommitUnknown || e.kind() == ErrorKind::Poisoned, "{e}");
        assert_eq!(db.begin_write().err().map(|e| e.kind()), Some(ErrorKind::Poisoned));
        assert_eq!(db.begin_read().unwrap().range(..).count(), acknowledged as usize);
        let _ = db.close();
        drop(db);
        disk.grow(256);
        let db = open().open().unwrap();
        let txn = db.begin_read().unwrap();
        let keys: Vec<_> = txn.range(..).map(|item| item.unwrap().0).collect();
        // The one that failed may be there: it was said to be unknown.
        let there = u32::try_from(keys.len()).unwrap();
        assert!(there == acknowledged || there == acknowledged + 1, "{there} of {acknowledged}");
        assert!((0u32..).zip(&keys).all(|(n, key)| key[..] == n.to_be_bytes()));
        drop(txn);
        db.verify().unwrap();
        db.close().unwrap();
        drop(db);
        std::fs::remove_dir_all(&path).unwrap();
        disk.grow(24);
    }
}

#[test]
fn full_disk_fails_a_flush_and_a_close_without_a_hang_or_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(dir.path(), 24) else {
        eprintln!("SKIPPED: a filesystem can be mounted only by root");
        return;
    };
    // The journal takes more than half, and the tables would take as much.
    let (records, value) = (14 * 16, vec![0xa5; 64 * 1024]);
    for closes_only in [false, true] {
        let path = dir.path().join(closes_only.to_string());
        let options = Options::new().durability(Durability::Buffered);
        let mut db = Builder::new(&path).options(options).open().unwrap();
        for i in 0..records {
            db.transact(|txn| txn.put(&u32::to_be_bytes(i), value.clone())).unwrap();
        }
        if !closes_only {
            assert!(db.store().flush().is_err());
        }
        // After the failed flush its fsync fails, too.
        assert!(db.close().is_err());
        disk.grow(128);
        // The one that failed to close is still held.
        let again = Builder::new(&path).open().unwrap();
        drop(std::mem::replace(&mut db, again));
        assert_eq!(db.begin_read().unwrap().range(..).count(), records as usize);
        db.close().unwrap();
        drop(db);
        std::fs::remove_dir_all(&path).unwrap();
        disk.grow(24);
    }
}
