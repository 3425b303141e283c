//! Torn tails, killed processes, locks, and directories that are not ours.
//! `holes.rs` has what fjall does not close, `matrix.rs` damage at large.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a child process reports")]

mod place;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use place::control::CHILD_DIR;
use place::{copy, journal, used, zeroed};
use vellum_core::{Durability, Error, ErrorKind, Result, Store};
use vellum_lsm::{Builder, LsmStore};

/// Bytes of a value: several pages of the journal a group.
const VALUE_LEN: usize = 3000;

fn commit(store: &LsmStore, n: u64, durability: Durability) -> Result<()> {
    place::commit(store, n, VALUE_LEN, durability)
}

fn read(path: &Path) -> Result<u64> {
    place::read(path, VALUE_LEN)
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
    let (from, to) = (used(&acknowledged), used(&whole));
    assert!(to > from + 4096, "the last group fills more than a page");
    // A page in its middle never reached the disk, its end did.
    fs::write(journal(&path), zeroed(&whole, from + 100, 500)).unwrap();
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
        let store = Builder::new(dir.path().join("written")).open_store().unwrap();
        for n in 1..=3 {
            commit(&store, n, durability).unwrap();
        }
        drop(store);
        let path = dir.path().join("stripped");
        copy(&dir.path().join("written"), &path);
        let marker = fs::read(path.join("VELLUM")).unwrap();
        fs::remove_file(path.join("VELLUM")).unwrap();
        for create in [true, false] {
            let opened = Builder::new(&path).create_if_missing(create).open_store();
            let e = opened.err().unwrap();
            assert_eq!(e.kind(), ErrorKind::Corrupted, "{e}");
        }
        fs::write(path.join("VELLUM"), marker).unwrap();
        assert_eq!(read(&path).unwrap(), 3);
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
