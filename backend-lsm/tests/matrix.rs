//! Every kind of file of a real database, damaged in every way: what comes back
//! is right, or `Corrupted` with the place. Never wrong, never a panic, never a
//! hang, and never another error.
//!
//! ```text
//! cargo test -p vellum-lsm --test matrix -- --nocapture
//! VELLUM_MATRIX_SEED=7 VELLUM_MATRIX_STATES=20000 cargo test …
//! ```
//!
//! The first is the sample that runs with all tests; the second takes another
//! seed and so many states. A failure prints the state, which the seed gives
//! again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
#![expect(clippy::print_stdout, reason = "prints the matrix")]

mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use place::{Seeded, copy, ends, files, is_journal, journal, manifest};
use vellum_core::{
    At, Connection, ConnectionExt, ErrorKind, History, KeyRange, Options, Pruning, ReadTxn, Result,
    SaveOptions, Timestamp, VersionSet, WriteTxn,
};
use vellum_lsm::{Builder, LsmDatabase};

/// States in the sample that runs with all tests.
const STATES: usize = 420;

/// So small that every keyspace has tables.
const MEMTABLE: u64 = 1 << 11;

/// How long one state may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

// --- the database ---------------------------------------------------------------

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that can be read of a database.
#[derive(Debug, PartialEq)]
struct Contents {
    head: Map,
    /// By number: when it was saved, its message, what it holds.
    versions: BTreeMap<u64, (u64, Option<String>, Map)>,
    /// The keys that differ between each version and the next.
    diffs: Vec<Vec<Vec<u8>>>,
    /// When each commit was, and what it wrote.
    changes: Vec<(u64, usize)>,
}

fn open(path: &Path) -> Result<LsmDatabase> {
    let options = Options::new().history(History::All).pruning(Pruning::Manual);
    let builder = Builder::new(path).create_if_missing(false).memtable_bytes(MEMTABLE);
    builder.worker_threads(1).options(options).open()
}

fn map(txn: &impl ReadTxn) -> Result<Map> {
    txn.range(..).map(|item| item.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect()
}

/// Opens a database and reads all of it. What damages parts of a file is met by
/// reading. A whole file in the place of another is met by `verify` alone, where
/// it looks like one that belongs there.
fn read(path: &Path, verifies: bool) -> Result<Contents> {
    let db = open(path)?;
    if verifies {
        db.verify()?;
    }
    let txn = db.begin_read()?;
    let head = map(&txn)?;
    for (key, value) in &head {
        // By the way of Bloom filters.
        assert_eq!(txn.get(key)?.as_deref(), Some(&value[..]));
    }
    let set = db.versions()?;
    let mut versions = BTreeMap::new();
    for v in set.iter() {
        let contents = map(&db.read_at(v.version)?)?;
        versions.insert(v.version.get(), (v.commit_ts.get(), v.metadata.message, contents));
    }
    let numbers: Vec<_> = set.iter().map(|v| v.version).collect();
    let keys = |diff: vellum_core::Diff| diff.map(|entry| Ok(entry?.key.to_vec())).collect();
    let diffs = numbers
        .windows(2)
        .map(|pair| keys(db.diff(At::Version(pair[0]), At::Version(pair[1]), KeyRange::all())?));
    let diffs = diffs.collect::<Result<_>>()?;
    let changes = db.changes(Timestamp::new(0), txn.read_ts())?;
    let changes = changes.map(|commit| commit.map(|c| (c.commit_ts.get(), c.writes.len())));
    let changes = changes.collect::<Result<_>>()?;
    drop(txn);
    db.close()?;
    Ok(Contents { head, versions, diffs, changes })
}

/// Commits number `from` to `to`: puts, overwrites, deletes, a version at times.
fn work(db: &LsmDatabase, from: u64, to: u64) {
    for n in from..to {
        let mut random = Seeded(n);
        db.transact(|txn| {
            for _ in 0..4 {
                let key = format!("key {:03}", random.below(160));
                match random.below(5) {
                    0 => txn.delete(key.as_bytes())?,
                    _ => txn.put(key.as_bytes(), random.bytes(20 + n as usize % 90))?,
                }
            }
            Ok(())
        })
        .unwrap();
        if n % 25 == 0 {
            let mut options = SaveOptions::new();
            options.metadata = options.metadata.message(format!("after {n}"));
            db.save_version_with(options).unwrap();
        }
    }
}

/// A database to damage, and what it was some time before.
struct Subject {
    path: PathBuf,
    older: PathBuf,
    contents: Contents,
}

/// Writes one with tables on several levels in every keyspace, and journals of
/// which one is sealed.
fn subject(dir: &Path) -> Subject {
    let path = dir.join("written");
    let options = Options::new().history(History::All).pruning(Pruning::Manual);
    let builder = Builder::new(&path).memtable_bytes(MEMTABLE).worker_threads(1);
    let db = builder.options(options).open().unwrap();
    work(&db, 1, 150);
    wait_for_tables(&path);
    db.close().unwrap();
    drop(db);
    let [older, stripped] = ["older", "subject"].map(|name| dir.join(name));
    copy(&path, &older);
    let db = open(&path).unwrap();
    work(&db, 150, 300);
    db.prune().unwrap();
    work(&db, 300, 306);
    let contents = {
        db.close().unwrap();
        drop(db);
        copy(&path, &stripped);
        read(&path, true).unwrap()
    };
    seal(&stripped, &older);
    Subject { path: stripped, older, contents }
}

fn wait_for_tables(path: &Path) {
    let tables = |number| path.join(format!("fjall/keyspaces/{number}/tables"));
    for _ in 0..3000 {
        if (2..=5).all(|number| !files(&tables(number)).is_empty()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no tables are written");
}

/// Splits the journal in two at a batch, as a rotation does: the first is sealed,
/// the second is written to. The older database gets the beginnings of both.
fn seal(path: &Path, older: &Path) {
    let name = journal(path);
    let bytes = fs::read(&name).unwrap();
    let ends = ends(&bytes);
    let [early, middle, late] = [4, 2, 1].map(|part| ends[ends.len() - 1 - ends.len() / 2 / part]);
    let (middle, late) = (middle.max(early), late.max(middle).max(early));
    assert!(early <= middle && middle < bytes.len());
    let next = Path::new("fjall/1.jnl");
    for old in files(older).iter().filter(|path| is_journal(path)) {
        fs::remove_file(old).unwrap();
    }
    let sealed = name.strip_prefix(path).unwrap();
    fs::write(path.join(next), &bytes[middle..]).unwrap();
    fs::write(path.join(sealed), &bytes[..middle]).unwrap();
    fs::write(older.join(next), &bytes[middle..late.max(middle)]).unwrap();
    fs::write(older.join(sealed), &bytes[..ends[0]]).unwrap();
}

// --- files and damages ----------------------------------------------------------

/// What kind of file this is.
fn kind(root: &Path, name: &Path) -> String {
    let file = name.file_name().unwrap().to_string_lossy().into_owned();
    let keyspace = name.strip_prefix("fjall/keyspaces").ok();
    let keyspace = keyspace.and_then(|rest| rest.iter().next()).map(|n| n.to_string_lossy());
    let keyspace = keyspace.map(|number| match &*number {
        "0" => "names",
        "1" => "meta",
        "2" => "head",
        "3" => "history",
        "4" => "touched",
        _ => "log",
    });
    match keyspace {
        Some(of) if name.parent().is_some_and(|p| p.ends_with("tables")) => format!("table {of}"),
        Some(_) if file == "current" => "current".to_owned(),
        Some(_) if manifest(root.join(name).parent().unwrap()).ends_with(&file) => {
            "manifest".to_owned()
        }
        Some(_) => "old manifest".to_owned(),
        None if is_journal(name) && root.join(name) == journal(root) => "active journal".to_owned(),
        None if is_journal(name) => "sealed journal".to_owned(),
        None => name.display().to_string(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    FlippedBit,
    ZeroedSector,
    GarbageSector,
    Truncated,
    Removed,
    OlderCopy,
    Swapped,
    AppendedGarbage,
}

const DAMAGES: [Damage; 8] = [
    Damage::FlippedBit,
    Damage::ZeroedSector,
    Damage::GarbageSector,
    Damage::Truncated,
    Damage::Removed,
    Damage::OlderCopy,
    Damage::Swapped,
    Damage::AppendedGarbage,
];

const SECTOR: usize = 512;

/// Damages `name` in the copy at `path`; what was done, or nothing if that
/// changes nothing.
fn damage(
    subject: &Subject,
    path: &Path,
    name: &Path,
    how: Damage,
    random: &mut Seeded,
) -> Option<String> {
    let file = path.join(name);
    let bytes = fs::read(&file).unwrap();
    let sector = random.below(bytes.len().div_ceil(SECTOR)) * SECTOR;
    let (mut damaged, mut what) = (bytes.clone(), String::new());
    match how {
        Damage::FlippedBit => {
            let bit = random.below(bytes.len() * 8);
            *damaged.get_mut(bit / 8)? ^= 1 << (bit % 8);
            what = format!("bit {} of byte {} of {}", bit % 8, bit / 8, bytes.len());
        }
        Damage::ZeroedSector => {
            damaged.iter_mut().skip(sector).take(SECTOR).for_each(|b| *b = 0);
            what = format!("sector at {sector} of {}", bytes.len());
        }
        Damage::GarbageSector => {
            damaged.iter_mut().skip(sector).take(SECTOR).for_each(|b| *b = random.next() as u8);
            what = format!("sector at {sector} of {}", bytes.len());
        }
        Damage::Truncated => {
            damaged.truncate(random.below(bytes.len()));
            what = format!("to {} of {}", damaged.len(), bytes.len());
        }
        Damage::Removed => {
            fs::remove_file(file).unwrap();
            return Some(what);
        }
        Damage::OlderCopy => {
            // Of a table, which never changes: an older one from its directory.
            let older = subject.older.join(name);
            let is_other = |bytes: &Vec<u8>| *bytes != damaged;
            let others = || files(older.parent()?).into_iter().find_map(|f| fs::read(f).ok());
            damaged = fs::read(&older).ok().filter(is_other).or_else(others)?;
        }
        Damage::Swapped => {
            // With another of its kind: any journal, any table, any manifest.
            let family = |name: &Path| kind(path, name).split(' ').next_back().map(str::to_owned);
            let of = |name: &Path| match family(name)?.as_str() {
                "journal" => Some("journal"),
                "current" => Some("current"),
                "manifest" => Some("manifest"),
                _ if name.parent()?.ends_with("tables") => Some("table"),
                _ => None,
            };
            let mine = of(name)?;
            let names = files(path).into_iter();
            let names = names.filter_map(|f| f.strip_prefix(path).ok().map(Path::to_owned));
            let others: Vec<_> = names.filter(|o| o != name && of(o) == Some(mine)).collect();
            let other = others.get(random.below(others.len()))?;
            damaged = fs::read(path.join(other)).unwrap();
            fs::write(path.join(other), &bytes).unwrap();
            what = format!("with {}", other.display());
        }
        Damage::AppendedGarbage => {
            let len = 1 + random.below(700);
            damaged.extend(random.bytes(len));
            what = format!("{len} bytes");
        }
    }
    fs::write(file, &damaged).unwrap();
    (damaged != bytes).then_some(what)
}

// --- the matrix -----------------------------------------------------------------

/// What became of the states of one cell.
#[derive(Clone, Copy, Default)]
struct Cell {
    right: usize,
    named: usize,
}

/// Reads a damaged database in a thread of its own, with patience.
fn judge(path: &Path, verifies: bool, state: &str) -> std::result::Result<Contents, String> {
    let (send, outcome) = mpsc::channel();
    let path = path.to_owned();
    let reader = std::thread::spawn(move || {
        let _ = send.send(read(&path, verifies));
    });
    match outcome.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{state}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{state}: panics"),
        Ok(read) => {
            reader.join().unwrap();
            read.map_err(|e| {
                assert_eq!(e.kind(), ErrorKind::Corrupted, "{state}: {e}");
                assert!(!e.message().is_empty(), "{state}: no place");
                e.message().to_owned()
            })
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usual)
}

#[test]
fn damage_to_any_file_is_named_or_harmless() {
    let seed = setting("VELLUM_MATRIX_SEED", 1);
    let states = setting("VELLUM_MATRIX_STATES", STATES as u64) as usize;
    let dir = place::scratch();
    let subject = subject(dir.path());
    let path = dir.path().join("state");
    copy(&subject.path, &path);
    assert_eq!(read(&path, true).unwrap(), subject.contents, "undamaged");
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files(&subject.path) {
        let name = file.strip_prefix(&subject.path).unwrap().to_owned();
        kinds.entry(kind(&subject.path, &name)).or_default().push(name);
    }
    let mut matrix: BTreeMap<(&str, Damage), Cell> = BTreeMap::new();
    let cells: Vec<_> =
        kinds.iter().flat_map(|(kind, names)| DAMAGES.map(|how| (kind, names, how))).collect();
    println!("seed {seed}, {states} states over {} cells", cells.len());
    for n in 0..states {
        let mut random = Seeded(seed.wrapping_mul(1 << 32) + n as u64);
        let (kind, names, how) = cells[n % cells.len()];
        let name = &names[random.below(names.len())];
        let _ = fs::remove_dir_all(&path);
        copy(&subject.path, &path);
        let Some(what) = damage(&subject, &path, name, how, &mut random) else { continue };
        let state = format!("seed {seed}, state {n}: {} {how:?} {what}", name.display());
        let cell = matrix.entry((kind, how)).or_default();
        let is_whole_file = matches!(how, Damage::OlderCopy | Damage::Swapped);
        let verifies = is_whole_file || n / cells.len() % 2 == 0;
        match judge(&path, verifies, &state) {
            Ok(contents) => {
                assert!(contents == subject.contents, "{state}: quietly wrong");
                cell.right += 1;
            }
            Err(_) => cell.named += 1,
        }
    }
    print(&matrix);
}

/// `right/named` for each kind of file and each damage.
fn print(matrix: &BTreeMap<(&str, Damage), Cell>) {
    let short = |how: &Damage| format!("{how:?}").chars().take(9).collect::<String>();
    let heads: Vec<_> = DAMAGES.iter().map(|how| format!("{:>10}", short(how))).collect();
    println!("right/named         {}", heads.concat());
    let mut kinds: Vec<_> = matrix.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    for kind in kinds {
        let cell = |how: &Damage| matrix.get(&(kind, *how)).copied().unwrap_or_default();
        let cells = DAMAGES.iter().map(|how| {
            let Cell { right, named } = cell(how);
            format!("{:>10}", format!("{right}/{named}"))
        });
        println!("{kind:20}{}", cells.collect::<String>());
    }
    let all = |count: fn(&Cell) -> usize| matrix.values().map(count).sum::<usize>();
    println!("{} right, {} named as corrupted", all(|c| c.right), all(|c| c.named));
}
