//! What fjall 3.1.13 does not notice in its tables and their manifests, and what
//! becomes of it here. As `holes.rs`, which has the journals and directories.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "says what the control showed")]

mod place;

use std::fs;
use std::path::{Path, PathBuf};

use place::control::{self, control, raw, with};
use place::{commit, copy, files, flipped, manifest, read};
use vellum_core::{Durability, ErrorKind, Store};
use vellum_lsm::Builder;

#[test]
fn fjall_alone() {
    control::be_fjall_alone();
}

/// A database whose records stand in tables, closed.
fn in_tables(dir: &Path) -> PathBuf {
    let path = dir.join("tables");
    let builder = Builder::new(&path).memtable_bytes(1 << 13).worker_threads(1);
    let store = builder.open_store().unwrap();
    for n in 1..=60 {
        commit(&store, n, 300, Durability::Sync).unwrap();
    }
    let has_tables = |number| !files(&keyspace(&path, number).join("tables")).is_empty();
    for _ in 0..3000 {
        if has_tables(2) && has_tables(3) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    store.close().unwrap();
    drop(store);
    let stripped = dir.join("stripped");
    copy(&path, &stripped);
    stripped
}

/// A keyspace's directory: 1 is `meta`, 2 `head`, 3 `history`.
fn keyspace(path: &Path, number: u64) -> PathBuf {
    path.join(format!("fjall/keyspaces/{number}"))
}

#[test]
fn flipped_bit_in_a_manifest_is_named() {
    let dir = place::scratch();
    let path = in_tables(dir.path());
    let name = manifest(&keyspace(&path, 3)).strip_prefix(&path).unwrap().to_owned();
    let bytes = fs::read(path.join(&name)).unwrap();
    let mut theirs = Vec::new();
    let state = with(&path, &name, &bytes);
    for bit in (0..bytes.len() * 8).step_by(13) {
        fs::write(state.join(&name), flipped(&bytes, bit)).unwrap();
        let ours = read(&state, 300).map_err(|e| e.kind());
        assert_eq!(ours, Err(ErrorKind::Corrupted), "bit {bit}");
    }
    for bit in (0..bytes.len() * 8).step_by(bytes.len() * 8 / 40) {
        // What stands in `history` is not counted: open or not is what shows.
        theirs.push(raw(&with(&path, &name, &flipped(&bytes, bit))));
    }
    let count = |is: fn(&&Result<usize, String>) -> bool| theirs.iter().filter(is).count();
    println!(
        "control, a manifest: of {} states fjall alone opens {} and aborts in {}",
        theirs.len(),
        count(|outcome| outcome.is_ok()),
        count(|outcome| outcome.as_ref().is_err_and(|e| e.contains("signal"))),
    );
    fs::write(state.join(&name), bytes).unwrap();
    assert_eq!(read(&state, 300).unwrap(), 60);
}

#[test]
fn keyspace_whose_directory_vanished_is_named() {
    let dir = place::scratch();
    let path = in_tables(dir.path());
    let mut theirs = Vec::new();
    for number in 0..=5 {
        let remove = || {
            let state = path.with_extension("state");
            let _ = fs::remove_dir_all(&state);
            copy(&path, &state);
            fs::remove_dir_all(keyspace(&state, number)).unwrap();
            state
        };
        theirs.push(raw(&remove()));
        let ours = read(&remove(), 300).map_err(|e| e.kind());
        assert_eq!(ours, Err(ErrorKind::Corrupted), "keyspace {number}");
    }
    control("a directory of a keyspace that vanished", theirs, 60);
}

#[test]
fn stranger_among_the_keyspaces_or_the_tables_is_named() {
    let dir = place::scratch();
    let path = in_tables(dir.path());
    let state = path.with_extension("state");
    for stranger in ["lost+found", "2/tables/strange"] {
        let put = || {
            let _ = fs::remove_dir_all(&state);
            copy(&path, &state);
            fs::create_dir_all(state.join("fjall/keyspaces").join(stranger)).unwrap();
        };
        put();
        println!("control, a directory {stranger}: fjall alone: {:?}", raw(&state));
        put();
        assert_eq!(read(&state, 300).map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
    }
}

#[test]
fn table_of_another_keyspace_under_the_same_name_is_named() {
    let dir = place::scratch();
    let path = in_tables(dir.path());
    let tables = |number| files(&keyspace(&path, number).join("tables"));
    let mut pairs = 0;
    for head in tables(2) {
        let other = keyspace(&path, 3).join("tables").join(head.file_name().unwrap());
        if !other.exists() {
            continue;
        }
        pairs += 1;
        let state = path.with_extension("state");
        let swap = || {
            let _ = fs::remove_dir_all(&state);
            copy(&path, &state);
            let at =
                |path: &Path| state.join(path.strip_prefix(dir.path().join("stripped")).unwrap());
            fs::copy(&head, at(&other)).unwrap();
            fs::copy(&other, at(&head)).unwrap();
        };
        swap();
        println!("control, swapped tables: fjall alone finds {:?} of 60", raw(&state));
        swap();
        let opened = Builder::new(&state).worker_threads(1).open_store();
        assert_eq!(opened.err().map(|e| e.kind()), Some(ErrorKind::Corrupted), "at open");
        assert_eq!(read(&state, 300).map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
    }
    println!("{pairs} pairs of tables have the same number");
}

#[test]
fn table_that_claims_four_billion_sections_is_named_and_takes_no_memory() {
    let dir = place::scratch();
    let path = in_tables(dir.path());
    let table = files(&keyspace(&path, 2).join("tables")).pop().unwrap();
    let bytes = fs::read(&table).unwrap();
    let contents = bytes.windows(4).rposition(|bytes| bytes == b"TOC!").unwrap();
    let damaged = flipped(&bytes, (contents + 7) * 8 + 7);
    let state = with(&path, table.strip_prefix(&path).unwrap(), &damaged);
    println!("control, a table of contents: fjall alone: {:?}", raw(&state));
    let state = with(&path, table.strip_prefix(&path).unwrap(), &damaged);
    assert_eq!(read(&state, 300).map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
}

#[test]
fn table_that_looks_like_the_right_one_and_is_another_is_found_by_verify() {
    let dirs = [place::scratch(), place::scratch()];
    let [path, other] = [in_tables(dirs[0].path()), in_tables(dirs[1].path())];
    // Even one of the same records: it was made at another time.
    let tables = files(&keyspace(&path, 2).join("tables")).into_iter();
    let mut name = tables.map(|table| table.strip_prefix(&path).unwrap().to_owned());
    let name = name.rfind(|name| other.join(name).exists()).unwrap();
    fs::copy(other.join(&name), path.join(&name)).unwrap();
    let store = Builder::new(&path).worker_threads(1).open_store();
    let verified = store.and_then(|store| store.verify());
    assert_eq!(verified.map_err(|e| e.kind()), Err(ErrorKind::Corrupted));
}
