//! Damage at rest, killed processes, and directories that are not ours.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
#![expect(clippy::print_stdout, reason = "says what failed; a child process reports")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use vellum_core::{
    Commit, Durability, Error, ErrorKind, Group, KeyRange, Previous, Result, Retention, Snapshot,
    Store, Timestamp, Write,
};
use vellum_lsm::{Builder, LsmStore};

/// Bytes of a value: several pages of the journal a group.
const VALUE_LEN: usize = 3000;

/// The directory that a child process is to work in.
const CHILD_DIR: &str = "VELLUM_TEST_CHILD_DIR";

fn commit(store: &LsmStore, n: u64, durability: Durability) -> Result<()> {
    let write = |key: String| Write {
        key: key.into(),
        value: Some(vec![n as u8; VALUE_LEN].into()),
        previous: Previous::Unknown,
    };
    let commit = Commit {
        ts: Timestamp::new(n),
        writes: vec![write(format!("key {n:04}")), write("same".into())],
        catalog: vec![],
        preserve: (n > 1).then(|| Timestamp::new(n - 1)),
        logged: false,
    };
    let retention = Retention::everything();
    store.apply(Group { commits: vec![commit], durability, retention: &retention })?;
    store.publish(Timestamp::new(n));
    Ok(())
}

/// Reads everything, which must be what the first commits wrote; how many.
fn read(path: &Path) -> Result<u64> {
    let store = Builder::new(path).create_if_missing(false).open_store()?;
    store.verify()?;
    let head = store.snapshot()?;
    let last = store.recover()?.last_ts.get();
    let mut expected = (1..=last).map(|n| (format!("key {n:04}"), n)).collect::<Vec<_>>();
    expected.push(("same".into(), last));
    for (item, (key, n)) in head.range(&KeyRange::all()).zip(&expected) {
        let (found, record) = item?;
        assert_eq!((&found[..], record.ts.get()), (key.as_bytes(), *n));
        assert_eq!(record.value, Bytes::from(vec![*n as u8; VALUE_LEN]));
    }
    assert_eq!(head.range(&KeyRange::all()).count(), expected.len());
    for n in 1..=last {
        let then = store.snapshot_at(Timestamp::new(n))?.get(b"same")?;
        assert_eq!(then.map(|record| record.ts.get()), Some(n));
    }
    Ok(last)
}

/// Copies a database, without the zeros that journals are allocated ahead with.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            let mut bytes = fs::read(&from).unwrap();
            if is_journal(&from) {
                bytes.truncate(bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1));
            }
            fs::write(to, bytes).unwrap();
        }
    }
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

fn journal(dir: &Path) -> PathBuf {
    files(dir).into_iter().rfind(|path| is_journal(path)).unwrap()
}

/// A database of this many groups.
fn write(dir: &Path, groups: u64, memtable_bytes: u64, durability: Durability) -> PathBuf {
    let path = dir.join("written");
    let store = Builder::new(&path).memtable_bytes(memtable_bytes).open_store().unwrap();
    for n in 1..=groups {
        commit(&store, n, durability).unwrap();
    }
    drop(store);
    let stripped = dir.join("stripped");
    copy(&path, &stripped);
    stripped
}

/// Damages a copy, and reads it: everything is there, or the damage is named.
fn check(dir: &Path, from: &Path, groups: u64, what: &str, damage: impl FnOnce(&Path)) {
    let path = dir.join("damaged");
    copy(from, &path);
    damage(&path);
    println!("{what}");
    match read(&path) {
        Ok(last) => assert_eq!(last, groups, "{what}: quietly rolled back"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupted, "{what}: {e}"),
    }
    fs::remove_dir_all(path).unwrap();
}

fn damage_everywhere(groups: u64, memtable_bytes: u64, places: usize) {
    let dir = tempfile::tempdir().unwrap();
    let from = write(dir.path(), groups, memtable_bytes, Durability::Sync);
    assert_eq!(read(&from).unwrap(), groups);
    for file in files(&from) {
        let name = file.strip_prefix(&from).unwrap().to_owned();
        let len = fs::metadata(&file).unwrap().len() as usize;
        for place in 0..places.min(len) {
            let at = place * len / places.min(len);
            let what = |how| format!("{} {how} at {at} of {len}", name.display());
            let edit = |how: fn(&mut Vec<u8>, usize)| {
                let name = name.clone();
                move |path: &Path| {
                    let mut bytes = fs::read(path.join(&name)).unwrap();
                    how(&mut bytes, at);
                    fs::write(path.join(name), bytes).unwrap();
                }
            };
            let flip = edit(|bytes, at| bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 0x10));
            check(dir.path(), &from, groups, &what("flipped"), flip);
            let zero = edit(|bytes, at| bytes.iter_mut().skip(at).take(512).for_each(|b| *b = 0));
            check(dir.path(), &from, groups, &what("zeroed"), zero);
            check(dir.path(), &from, groups, &what("cut"), edit(|bytes, at| bytes.truncate(at)));
        }
        if name.ends_with("VELLUM") {
            continue;
        }
        let remove = |path: &Path| fs::remove_file(path.join(&name)).unwrap();
        check(dir.path(), &from, groups, &format!("{} removed", name.display()), remove);
    }
}

#[test]
fn damage_to_a_journal_is_named_or_harmless() {
    damage_everywhere(12, 1 << 26, 8);
}

#[test]
fn damage_to_tables_is_named_or_harmless() {
    damage_everywhere(60, 1 << 14, 3);
}

#[test]
fn flipped_bit_in_a_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let from = write(dir.path(), 60, 1 << 14, Durability::Sync);
    let manifests = files(&from.join("fjall/keyspaces/3"));
    let is_manifest =
        |p: &&PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('v'));
    let manifest = manifests.iter().rfind(is_manifest).unwrap();
    let bytes = fs::read(manifest).unwrap();
    for at in (0..bytes.len()).step_by(16) {
        let mut damaged = bytes.clone();
        damaged.iter_mut().skip(at).take(1).for_each(|b| *b ^= 0x10);
        fs::write(manifest, damaged).unwrap();
        let found = read(&from).map_err(|e| e.kind());
        assert_eq!(found, Err(ErrorKind::Corrupted), "byte {at}");
    }
    fs::write(manifest, bytes).unwrap();
    assert_eq!(read(&from).unwrap(), 60);
}

#[test]
fn torn_tail_that_nobody_was_told_is_durable_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Builder::new(&path).open_store().unwrap();
    for n in 1..=5 {
        commit(&store, n, Durability::Sync).unwrap();
    }
    let horizon = fs::read(path.join("horizon")).unwrap();
    let acknowledged = fs::read(journal(&path)).unwrap();
    commit(&store, 6, Durability::Sync).unwrap();
    let whole = fs::read(journal(&path)).unwrap();
    drop(store);
    fs::write(path.join("horizon"), horizon).unwrap();
    let used = |bytes: &[u8]| bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    let (from, to) = (used(&acknowledged), used(&whole));
    assert!(to > from + 4096, "the last group fills more than a page");
    // A page in its middle never reached the disk, its end did.
    let torn = whole.iter().enumerate().map(|(at, b)| {
        let is_lost = (from + 100..from + 600).contains(&at);
        if is_lost { 0 } else { *b }
    });
    let name = journal(&path);
    fs::write(&name, torn.collect::<Vec<u8>>()).unwrap();
    assert_eq!(read(&path).unwrap(), 5);
    let store = Builder::new(&path).open_store().unwrap();
    commit(&store, 6, Durability::Sync).unwrap();
    drop(store);
    assert_eq!(read(&path).unwrap(), 6, "the number is given again");
}

#[test]
fn directory_named_fjall_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("fjall/precious");
    fs::create_dir_all(&theirs).unwrap();
    let e = Builder::new(dir.path()).open_store().err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Corrupted);
    assert!(e.message().contains("not a Vellum database"), "{e}");
    assert!(theirs.exists());
}

#[test]
fn database_that_lost_its_marker_is_not_taken_for_an_unfinished_one() {
    for durability in [Durability::Sync, Durability::Buffered] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), 3, 1 << 26, durability);
        let marker = fs::read(path.join("VELLUM")).unwrap();
        fs::remove_file(path.join("VELLUM")).unwrap();
        let e = Builder::new(&path).open_store().err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Corrupted, "{e}");
        fs::write(path.join("VELLUM"), marker).unwrap();
        assert_eq!(read(&path).unwrap(), 3);
    }
}

#[test]
fn creation_that_a_crash_cut_short_is_started_over() {
    let dir = tempfile::tempdir().unwrap();
    let from = write(dir.path(), 0, 1 << 26, Durability::Sync);
    // Whatever a crash left of it, the marker was not there, and the horizon
    // did not say that the database is complete.
    fs::remove_file(from.join("horizon")).unwrap();
    for kept in (0..files(&from).len()).step_by(5) {
        let path = dir.path().join(format!("half {kept}"));
        copy(&from, &path);
        fs::remove_file(path.join("VELLUM")).unwrap();
        for file in files(&path).iter().filter(|file| !file.ends_with("vellum.lock")).skip(kept) {
            fs::write(file, b"half").unwrap();
        }
        let store = Builder::new(&path).open_store().unwrap();
        commit(&store, 1, Durability::Sync).unwrap();
        store.close().unwrap();
        drop(store);
        assert_eq!(read(&path).unwrap(), 1);
    }
}

/// Runs one test of this binary in a process of its own.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD_DIR, dir);
    command
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

#[test]
fn database_that_is_open_elsewhere_is_locked() {
    let locked = |e: Option<Error>| e.map(|e| e.kind()) == Some(ErrorKind::Locked);
    if let Some(dir) = child_dir() {
        assert!(locked(Builder::new(dir).open_store().err()));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Builder::new(dir.path()).open_store().unwrap();
    assert!(locked(Builder::new(dir.path()).open_store().err()), "in this process");
    let test = "database_that_is_open_elsewhere_is_locked";
    assert!(child(test, dir.path()).stdout(Stdio::null()).status().unwrap().success());
    store.close().unwrap();
    assert!(Builder::new(dir.path()).open_store().is_ok(), "closing lets go of it");
}

#[test]
fn killed_writer_loses_nothing_that_it_acknowledged() {
    let test = "killed_writer_loses_nothing_that_it_acknowledged";
    if let Some(dir) = child_dir() {
        let store = Builder::new(dir).memtable_bytes(1 << 16).open_store().unwrap();
        let from = store.recover().unwrap().last_ts.get() + 1;
        for n in from.. {
            let durability = if n % 3 == 0 { Durability::Sync } else { Durability::Buffered };
            commit(&store, n, durability).unwrap();
            println!("acknowledged {n}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    for round in 1..=4 {
        let mut child = child(test, &path).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|l| l.ok());
        let numbers = |line: String| line.split_once("acknowledged ")?.1.parse::<u64>().ok();
        let mut acknowledged = lines.filter_map(numbers);
        let mut last = acknowledged.nth(30 * round);
        child.kill().unwrap();
        last = acknowledged.last().or(last);
        child.wait().unwrap();
        let last = last.unwrap_or_else(|| panic!("the writer ended by itself"));
        let found = read(&path).unwrap();
        assert!(found >= last && found <= last + 1, "{last} acknowledged, {found} found");
    }
}
