//! What fjall 3.1.13 loses, refuses or does not notice, and what becomes of it
//! here. Each test takes the files of a real database to the state that showed
//! the hole; its *control* opens the same state with fjall alone and prints what
//! that does. `docs/upstream/` has the reports.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "says what the control showed")]

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fjall::KeyspaceCreateOptions;
use place::control::{self, CHILD_DIR, control, raw, with};
use place::{commit, copy, ends, files, flipped, journal, read, used, zeroed};
use vellum_core::{Durability, ErrorKind, Store};
use vellum_lsm::Builder;

#[test]
fn fjall_alone() {
    control::be_fjall_alone();
}

/// What both make of a file with these bytes: ours, then fjall.
fn both(
    from: &Path,
    name: &Path,
    bytes: &[u8],
    len: usize,
) -> (Result<u64, ErrorKind>, Result<usize, String>) {
    let theirs = raw(&with(from, name, bytes));
    let ours = read(&with(from, name, bytes), len);
    if let Err(e) = &ours {
        assert!(!e.message().is_empty());
    }
    (ours.map_err(|e| e.kind()), theirs)
}

/// A closed database of so many commits in `dir`, and the name of its journal.
fn written(dir: &Path, commits: u64, len: usize) -> (PathBuf, PathBuf, Vec<u8>) {
    let path = dir.join("written");
    place::write(&path, commits, len).close().unwrap();
    let stripped = dir.join("stripped");
    copy(&path, &stripped);
    fs::remove_dir_all(path).unwrap();
    let name = journal(&stripped);
    let bytes = fs::read(&name).unwrap();
    (stripped.clone(), name.strip_prefix(&stripped).unwrap().to_owned(), bytes)
}

// --- (a) a crash in the first creation ------------------------------------------

#[test]
fn database_opens_whatever_step_of_its_creation_a_crash_cut_short() {
    let dir = place::scratch();
    let from = dir.path().join("whole");
    drop(place::write(&from, 0, 10));
    // In the order in which they were made. The last step names the marker, and
    // before it the horizon says that the creation goes on: two empty slots do.
    fs::remove_file(from.join("VELLUM")).unwrap();
    fs::write(from.join("horizon"), [0; 1024]).unwrap();
    let stripped = dir.path().join("stripped");
    copy(&from, &stripped);
    let mut steps = files(&from);
    steps.sort_by_key(|path| fs::metadata(path).unwrap().created().ok());
    let lock = from.join("vellum.lock");
    steps.retain(|path| *path != lock && !place::is_journal(path));
    steps.insert(1, journal(&from));
    let mut theirs = Vec::new();
    for done in 0..=steps.len() {
        for half in [None, Some(&b""[..]), Some(b"half")] {
            let state = dir.path().join("state");
            let make = || {
                let _ = fs::remove_dir_all(&state);
                fs::create_dir_all(&state).unwrap();
                fs::write(state.join("vellum.lock"), "").unwrap();
                for (n, step) in steps.iter().enumerate().take(done) {
                    let name = step.strip_prefix(&from).unwrap();
                    let to = state.join(name);
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    let bytes = fs::read(stripped.join(name)).unwrap();
                    let half = half.filter(|_| n + 1 == done);
                    fs::write(to, half.unwrap_or(&bytes)).unwrap();
                }
            };
            make();
            if state.join("fjall").exists() {
                // Nothing was written: it opens, or it does not.
                theirs.push(raw(&state).map(|_| 0));
            }
            make();
            let store = Builder::new(&state).worker_threads(1).open_store().unwrap();
            commit(&store, 1, 10, Durability::Sync).unwrap();
            store.close().unwrap();
            drop(store);
            assert_eq!(read(&state, 10).unwrap(), 1, "{done} steps");
        }
    }
    control("(a) a crash in the creation", theirs, 0);
}

// --- (b) a torn batch that kept its end -----------------------------------------

#[test]
fn torn_unacknowledged_batch_that_kept_its_end_leaves_the_acknowledged_prefix() {
    // Of how many bytes the values are, and how much the disk writes at once.
    for (len, page) in [(6_000, 512), (20_000, 4096)] {
        let dir = place::scratch();
        let path = dir.path().join("db");
        let store = place::write(&path, 3, len);
        let horizon = fs::read(path.join("horizon")).unwrap();
        let acknowledged = used(&fs::read(journal(&path)).unwrap());
        commit(&store, 4, len, Durability::Sync).unwrap();
        drop(store);
        let stripped = dir.path().join("stripped");
        copy(&path, &stripped);
        let path = stripped;
        fs::write(path.join("horizon"), horizon).unwrap();
        let name = journal(&path).strip_prefix(&path).unwrap().to_owned();
        let whole = fs::read(path.join(&name)).unwrap();
        let whole = &whole[..used(&whole)];
        let mut theirs = Vec::new();
        let pages = (acknowledged.next_multiple_of(page)..whole.len() - page).step_by(page);
        for at in pages {
            let torn = zeroed(whole, at, page);
            let (ours, fjall) = both(&path, &name, &torn, len);
            assert_eq!(ours, Ok(3), "{len}-byte values, page at {at} lost");
            theirs.push(fjall);
        }
        assert!(theirs.len() > 2, "the batch has interior pages");
        control("(b) a torn batch that kept its end", theirs, 3);
    }
}

/// Found by reading: a worker seals the journal all the same when it is long enough, and
/// the torn batch is in one that is not the last.
#[test]
fn torn_batch_is_cut_off_where_an_empty_journal_follows() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 5, 700);
    let bytes = &bytes[..used(&bytes)];
    let torn = [bytes, &bytes[..ends(bytes)[0] / 2]].concat();
    let next = |state: &Path, bytes: &[u8]| {
        let number: u64 = name.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        fs::write(state.join(&name).with_file_name(format!("{}.jnl", number + 1)), bytes).unwrap();
    };
    for blank in [0, 1 << 16] {
        let state = with(&path, &name, &torn);
        next(&state, &vec![0; blank]);
        assert_eq!(read(&state, 700).map_err(|e| e.to_string()), Ok(5), "{blank} zeros");
    }
    // What was durable is still missed, and one that something follows was fsynced.
    let state = with(&path, &name, &bytes[..bytes.len() - 1]);
    next(&state, &[]);
    assert_eq!(read(&state, 700).map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
    let state = with(&path, &name, &torn);
    next(&state, &[1]);
    assert_eq!(read(&state, 700).map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
}

#[test]
fn commit_whose_fsync_failed_is_there_as_a_whole_after_reopening() {
    let dir = place::scratch();
    let path = dir.path().join("db");
    let store = place::write(&path, 3, 100);
    let horizon = fs::read(path.join("horizon")).unwrap();
    commit(&store, 4, 100, Durability::Sync).unwrap();
    drop(store);
    // Written, not acknowledged: its outcome was reported as unknown.
    fs::write(path.join("horizon"), &horizon).unwrap();
    assert_eq!(read(&path, 100).unwrap(), 4);
    assert_ne!(fs::read(path.join("horizon")).unwrap(), horizon, "it is durable from here on");
}

// --- (c) a bad sector, a flipped bit, a lost batch in the middle ----------------

#[test]
fn zeroed_sector_in_the_middle_of_a_journal_is_named() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 12, 700);
    let mut theirs = Vec::new();
    for at in (0..bytes.len()).step_by(512) {
        let (ours, fjall) = both(&path, &name, &zeroed(&bytes, at, 512), 700);
        assert_eq!(ours, Err(ErrorKind::Corrupted), "sector at {at}");
        theirs.push(fjall);
    }
    control("(c) a zeroed sector", theirs, 12);
}

#[test]
fn every_flipped_bit_in_the_middle_of_a_journal_is_named() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 9, 20);
    let ends = ends(&bytes);
    let middle = ends[ends.len() / 2 - 1]..ends[ends.len() / 2];
    let mut theirs = Vec::new();
    let state = with(&path, &name, &bytes);
    for bit in middle.start * 8..middle.end * 8 {
        // What is refused is not changed, so one copy does for all.
        fs::write(state.join(&name), flipped(&bytes, bit)).unwrap();
        let ours = read(&state, 20).map_err(|e| e.kind());
        assert_eq!(ours, Err(ErrorKind::Corrupted), "bit {} of byte {}", bit % 8, bit / 8);
    }
    for bit in (middle.start * 8..middle.end * 8).step_by(67) {
        theirs.push(raw(&with(&path, &name, &flipped(&bytes, bit))));
    }
    control("(c) a flipped bit", theirs, 9);
    fs::write(state.join(&name), &bytes).unwrap();
    assert_eq!(read(&state, 20).unwrap(), 9);
}

#[test]
fn flipped_bit_in_the_number_of_the_first_or_the_last_batch_is_named_or_harmless() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 9, 20);
    let ends = ends(&bytes);
    for begin in [0, ends[ends.len() - 2]] {
        // The number is outside fjall's checksum: 8 bytes after a tag and a count.
        for bit in 0..64 {
            let damaged = flipped(&bytes, (begin + 5) * 8 + bit);
            match read(&with(&path, &name, &damaged), 20) {
                Ok(found) => assert!(found == 9 && bit <= 32, "bit {bit} at {begin}"),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupted, "{e}"),
            }
        }
    }
}

#[test]
fn lost_write_that_leaves_a_gap_between_batches_is_named() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 9, 300);
    let ends = ends(&bytes);
    let mut theirs = Vec::new();
    for lost in ends.windows(2).rev().take(8) {
        let gap = [&bytes[..lost[0]], &bytes[lost[1]..]].concat();
        let (ours, fjall) = both(&path, &name, &gap, 300);
        assert_eq!(ours, Err(ErrorKind::Corrupted), "batch at {} lost", lost[0]);
        theirs.push(fjall);
    }
    control("a write that the disk never did", theirs, 9);
}

#[test]
fn first_sealed_journal_that_vanished_is_named() {
    let dir = place::scratch();
    let (path, name, bytes) = written(dir.path(), 9, 300);
    let ends = ends(&bytes);
    let middle = ends[ends.len() / 2];
    // As after a rotation: the first half is sealed, the second is written to.
    let next = path.join("fjall/1.jnl");
    let seal = |path: &Path| {
        fs::write(path.join("fjall/1.jnl"), &bytes[middle..]).unwrap();
        fs::write(path.join(&name), &bytes[..middle]).unwrap();
    };
    seal(&path);
    let state = with(&path, &name, &bytes[..middle]);
    assert_eq!(read(&state, 300).unwrap(), 9, "the two halves are a database");
    assert!(next.exists());
    // What fjall removes while the database is open must not be missed.
    let noted = |path: &Path| fs::read(path.join("horizon")).unwrap()[1024..] != [0; 1024];
    assert!(noted(&path), "closed");
    let store = Builder::new(&state).worker_threads(1).open_store().unwrap();
    assert!(!noted(&state), "open");
    store.close().unwrap();
    drop(store);
    assert!(noted(&state), "closed again");
    fs::remove_file(path.join(&name)).unwrap();
    let state = path.with_extension("state");
    let again = |was_closed: bool| {
        let _ = fs::remove_dir_all(&state);
        copy(&path, &state);
        if !was_closed {
            // As after the death of the process: nobody noted the journals.
            let horizon = fs::read(path.join("horizon")).unwrap();
            fs::write(state.join("horizon"), zeroed(&horizon, 1024, 1024)).unwrap();
        }
    };
    for (was_closed, says) in [(true, "0.jnl is missing"), (false, "is the first")] {
        again(was_closed);
        for _ in 0..2 {
            let e = read(&state, 300).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Corrupted, "{e}");
            assert!(e.message().contains(says), "{e}");
        }
    }
    control("a sealed journal that vanished", vec![raw(&state)], 9);
}

// --- (d) directories ------------------------------------------------------------

/// Runs one test of this binary under strace: every directory that it makes, and
/// what it syncs, up to the line that begins with `acknowledged`.
fn traced(test: &str, dir: &Path) -> Vec<String> {
    let log = dir.join("strace");
    let calls = "trace=mkdir,mkdirat,fsync,write";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-e", calls, "-o"]).arg(&log);
    strace.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let status = strace.env(CHILD_DIR, dir).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let log = fs::read_to_string(log).unwrap();
    log.lines().take_while(|line| !line.contains("acknowledged")).map(str::to_owned).collect()
}

/// The directories under `dir` that were made, and whose names were not synced
/// after that: their parents were not.
fn unsynced(trace: &[String], dir: &Path) -> Vec<String> {
    let mut names: Vec<PathBuf> = Vec::new();
    for line in trace {
        let made = line.contains("mkdir").then(|| line.split('"').nth(1)).flatten();
        if let Some(made) = made.filter(|_| line.ends_with("= 0")) {
            names.push(PathBuf::from(made));
        }
        if line.contains("fsync(") {
            let synced = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            let synced = synced.map(|(path, _)| PathBuf::from(path));
            names.retain(|name| name.parent().map(Path::to_owned) != synced);
        }
    }
    let inside = names.iter().filter_map(|name| name.strip_prefix(dir).ok());
    inside.map(|name| name.display().to_string()).collect()
}

#[test]
fn every_directory_is_synced_into_its_parent_before_the_first_acknowledgement() {
    const TEST: &str = "every_directory_is_synced_into_its_parent_before_the_first_acknowledgement";
    if let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) {
        if dir.ends_with("raw") {
            let db = fjall::Database::builder(dir.join("db")).open().unwrap();
            let head = db.keyspace("head", KeyspaceCreateOptions::default).unwrap();
            head.insert("key", "value").unwrap();
            db.persist(fjall::PersistMode::SyncAll).unwrap();
        } else {
            let store = Builder::new(dir.join("db")).open_store().unwrap();
            commit(&store, 1, 10, Durability::Sync).unwrap();
        }
        println!("acknowledged");
        return;
    }
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED {TEST}: there is no strace");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["ours", "raw"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let ours = dir.path().join("ours");
    let trace = traced(TEST, &ours);
    assert!(trace.iter().any(|line| line.contains("mkdir")), "{trace:?}");
    assert_eq!(unsynced(&trace, &ours), Vec::<String>::new());
    let raw = dir.path().join("raw");
    let names = unsynced(&traced(TEST, &raw), &raw);
    println!("control, (d) directories that fjall alone leaves unsynced: {names:?}");
}
