//! Writers in several threads, for processes that are killed.
//!
//! Each thread counts its own transactions, and all of them count together:
//! after any crash each thread stands at one of its steps, between what it was
//! told and what it tried, and the common count is the sum. A transaction that
//! is torn, lost below one that is there, or applied twice breaks the sum.

use std::collections::BTreeMap;
use std::path::Path;

use vellum_core::{
    Connection, ConnectionExt, Durability, KeyRange, ReadTxn, Result, Retry, SaveOptions,
    TxnOptions, VersionSet, WriteTxn,
};

use super::Subject;
use super::child::{Out, options};
use super::ledger::value_of;
use crate::random::Rng;

/// How many threads write.
pub(super) const THREADS: usize = 3;
/// Keys of one thread besides its count.
const SLOTS: u64 = 24;
/// How many versions are kept.
const VERSIONS: usize = 8;

fn count_key(thread: usize) -> Vec<u8> {
    format!("t{thread}/count").into_bytes()
}

fn slot_key(thread: usize, n: u64) -> Vec<u8> {
    format!("t{thread}/slot {:03}", n % SLOTS).into_bytes()
}

/// What transaction `n` of a thread puts beside its count.
fn slot_value(thread: usize, n: u64) -> Vec<u8> {
    let len = [40, 700, 3_000, 9_000].into_iter().cycle().nth((n % 7) as usize).unwrap_or(0);
    value_of(n.wrapping_mul(31).wrapping_add(thread as u64), len)
}

fn number(value: Option<bytes::Bytes>) -> u64 {
    let text = value.map(|v| String::from_utf8_lossy(&v).into_owned());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Writes until the process dies. Each line: `try THREAD N`, `ack THREAD N TS`.
pub(super) fn run<S: Subject>(subject: &S, dir: &Path, seed: u64, out: &Out) -> Result<()> {
    let db = subject.open(dir, &options())?;
    out.say("open");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let db = db.clone();
            scope.spawn(move || {
                if let Err(e) = write(&db, thread, seed, out) {
                    out.say(&format!("err {thread} {:?} {e}", e.kind()));
                }
            });
        }
        if let Err(e) = save(&db, seed) {
            out.say(&format!("err saving {:?} {e}", e.kind()));
        }
    });
    Ok(())
}

fn write<C: Connection>(db: &C, thread: usize, seed: u64, out: &Out) -> Result<()> {
    let mut rng = Rng::new(seed ^ ((thread as u64) << 32));
    let begun = number(db.begin_read()?.get(&count_key(thread))?);
    for n in begun + 1.. {
        out.say(&format!("try {thread} {n}"));
        let sync = rng.percent(70);
        let durability = if sync { Durability::Sync } else { Durability::Buffered };
        let options = TxnOptions::new().durability(durability);
        let retry = Retry::default().attempts(u32::MAX);
        db.transact_with(&options, &retry, |txn| -> Result<()> {
            let all = number(txn.get(b"all")?) + 1;
            txn.put(b"all", all.to_string())?;
            txn.put(&count_key(thread), n.to_string())?;
            if n > SLOTS / 2 {
                txn.delete(&slot_key(thread, n - SLOTS / 2))?;
            }
            txn.put(&slot_key(thread, n), slot_value(thread, n))
        })?;
        out.say(&format!("ack {thread} {n}"));
    }
    Ok(())
}

/// Saves versions, deletes old ones and prunes, beside the writers.
fn save<C: Connection>(db: &C, seed: u64) -> Result<()> {
    let mut rng = Rng::new(seed);
    loop {
        std::thread::sleep(std::time::Duration::from_millis(rng.below(20)));
        db.save_version_with(SaveOptions::new().with_open_writers())?;
        let set = db.versions()?;
        if set.len() > VERSIONS
            && let Some(first) = set.first()
        {
            db.delete_version(first.version)?;
        }
        if rng.percent(20) {
            db.prune()?;
        }
    }
}

/// How far each thread was: what it was told, and what it tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) begun: u64,
    pub(super) acked: u64,
    pub(super) tried: u64,
}

impl Reach {
    /// Of a thread that begins after this many.
    pub(super) fn at(count: u64) -> Self {
        Self { begun: count, acked: count, tried: count }
    }
}

/// Opens what is left and holds it against how far the threads were; how far
/// each of them is.
///
/// # Errors
/// What is wrong.
pub(super) fn judge<S: Subject>(
    subject: &S,
    dir: &Path,
    reach: &[Reach; THREADS],
) -> Result<[u64; THREADS], String> {
    let failed = |what: &'static str| move |e: vellum_core::Error| format!("{what} failed: {e}");
    let db = subject.open(dir, &options()).map_err(failed("opening"))?;
    let read = |txn: C<S>| -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let items = txn.range(KeyRange::all());
        items.map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    };
    let head = read(db.begin_read().map_err(failed("begin"))?).map_err(failed("reading"))?;
    let counts = consistent(&head).map_err(|e| format!("the head: {e}"))?;
    for (thread, (count, reach)) in counts.iter().zip(reach).enumerate() {
        if *count < reach.acked || *count > reach.tried.max(reach.acked) {
            return Err(format!(
                "thread {thread} is at {count}; it was told {}, and tried {}",
                reach.acked, reach.tried
            ));
        }
    }
    for version in db.versions().map_err(failed("versions"))?.iter() {
        let number = version.version;
        let then = read(db.read_at(number).map_err(failed("read_at"))?);
        consistent(&then.map_err(failed("reading"))?)
            .map_err(|e| format!("version {number}: {e}"))?;
    }
    db.verify().map_err(failed("verify"))?;
    db.close().map_err(failed("closing"))?;
    Ok(counts)
}

type C<S> = <<S as Subject>::Connection as Connection>::Read;

/// Whether every key is what the counts say, and nothing else is there.
fn consistent(found: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<[u64; THREADS], String> {
    let read = |key: &[u8]| number(found.get(key).map(|v| bytes::Bytes::copy_from_slice(v)));
    let counts: [u64; THREADS] = std::array::from_fn(|thread| read(&count_key(thread)));
    let all = read(b"all");
    if all != counts.iter().sum::<u64>() {
        return Err(format!("the threads are at {counts:?}, and together at {all}"));
    }
    let mut want = BTreeMap::new();
    if all > 0 {
        want.insert(b"all".to_vec(), all.to_string().into_bytes());
    }
    for (thread, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        want.insert(count_key(thread), count.to_string().into_bytes());
        for n in (count + 1).saturating_sub(SLOTS / 2).max(1)..=count {
            want.insert(slot_key(thread, n), slot_value(thread, n));
        }
    }
    if *found == want {
        return Ok(counts);
    }
    let differs = want.keys().chain(found.keys()).find(|key| want.get(*key) != found.get(*key));
    let differs = differs.map(|key| String::from_utf8_lossy(key).into_owned());
    Err(format!("the threads are at {counts:?}, and {differs:?} is not what that makes of it"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use vellum_core::{Options, WriteTxnExt};
    use vellum_mem::MemDatabase;

    use super::*;

    type State = BTreeMap<Vec<u8>, Vec<u8>>;

    /// What so many transactions of each thread leave, step by step.
    fn left_by(counts: [u64; THREADS]) -> State {
        let mut state = State::new();
        for (thread, count) in counts.into_iter().enumerate() {
            for n in 1..=count {
                if n > SLOTS / 2 {
                    state.remove(&slot_key(thread, n - SLOTS / 2));
                }
                state.insert(slot_key(thread, n), slot_value(thread, n));
                state.insert(count_key(thread), n.to_string().into_bytes());
            }
        }
        let all: u64 = counts.iter().sum();
        if all > 0 {
            state.insert(b"all".to_vec(), all.to_string().into_bytes());
        }
        state
    }

    #[test]
    fn only_what_whole_transactions_leave_is_consistent() {
        for counts in [[0; THREADS], [1, 0, 2], [0, 12, 13], [24, 25, 60]] {
            let state = left_by(counts);
            assert_eq!(consistent(&state), Ok(counts));
            for key in state.keys() {
                let mut spoilt = state.clone();
                let value = spoilt.remove(key).unwrap();
                assert!(consistent(&spoilt).is_err(), "without {key:?}");
                spoilt.insert(key.clone(), [&value[..], b"0"].concat());
                assert!(consistent(&spoilt).is_err(), "with another {key:?}");
            }
            let mut more = state.clone();
            more.insert(b"more".to_vec(), Vec::new());
            let wrong = consistent(&more).unwrap_err();
            assert!(wrong.ends_with("\"more\") is not what that makes of it"), "{wrong}");
        }
        let mut apart = left_by([1, 2, 3]);
        apart.insert(b"all".to_vec(), b"5".to_vec());
        let wrong = consistent(&apart).unwrap_err();
        assert_eq!(wrong, "the threads are at [1, 2, 3], and together at 5");
    }

    /// A database that is open already.
    struct Held(MemDatabase);

    impl Subject for Held {
        type Connection = MemDatabase;

        fn open(&self, _dir: &Path, _options: &Options) -> Result<MemDatabase> {
            Ok(self.0.clone())
        }
    }

    fn put(db: &MemDatabase, state: &State) {
        db.transact(|txn| {
            txn.delete_range(KeyRange::all())?;
            state.iter().try_for_each(|(key, value)| txn.put(key, value.clone()))
        })
        .unwrap();
    }

    #[test]
    fn threads_are_between_what_they_were_told_and_what_they_tried() {
        let judged = |reach: [(u64, u64); THREADS]| {
            let db = vellum_mem::open(Options::new()).unwrap();
            put(&db, &left_by([3, 0, 5]));
            let reach = reach.map(|(acked, tried)| Reach { begun: 0, acked, tried });
            judge(&Held(db), Path::new(""), &reach)
        };
        for fine in [[(3, 3), (0, 0), (5, 5)], [(2, 3), (0, 1), (4, 6)], [(3, 0), (0, 0), (5, 0)]] {
            assert_eq!(judged(fine), Ok([3, 0, 5]));
        }
        let wrong = judged([(4, 4), (0, 0), (5, 5)]).unwrap_err();
        assert_eq!(wrong, "thread 0 is at 3; it was told 4, and tried 4");
        let wrong = judged([(3, 3), (0, 0), (4, 4)]).unwrap_err();
        assert_eq!(wrong, "thread 2 is at 5; it was told 4, and tried 4");
    }

    #[test]
    fn versions_are_consistent_too() {
        let db = vellum_mem::open(Options::new()).unwrap();
        let mut torn = left_by([1, 1, 1]);
        torn.remove(&count_key(1));
        put(&db, &torn);
        db.save_version().unwrap();
        put(&db, &left_by([2, 2, 2]));
        let wrong = judge(&Held(db), Path::new(""), &[Reach::at(2); THREADS]).unwrap_err();
        assert!(wrong.starts_with("version 1: the threads are at [1, 0, 1]"), "{wrong}");
    }
}
