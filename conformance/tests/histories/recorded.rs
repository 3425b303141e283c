//! What the recorder writes down, and what a workload does: word for word.

use vellum_conformance::history::{History, Kind, Recorded, Recorder, Workload, check, run};
use vellum_conformance::{Capabilities, Effort, Factory, Outcome, cases, run as run_case};
use vellum_core::{
    Connection, ConnectionExt, Isolation, KeyRange, Options, Pruning, ReadTxn, Result, SaveOptions,
    TxnOptions, WriteConflicts, WriteTxn,
};
use vellum_mem::MemDatabase;

fn memory() -> MemDatabase {
    let kept = Options::new().pruning(Pruning::Manual).history(vellum_core::History::All);
    vellum_mem::open(kept).unwrap()
}

fn text(history: &History) -> String {
    let mut text = Vec::new();
    history.write_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Every kind of call once, also those that fail, by two sessions in one thread.
fn every_call() -> Result<History> {
    let db = memory();
    for (key, value) in [("a", "0"), ("c", "0"), ("d", "0")] {
        db.transact(|txn| txn.put(key.as_bytes(), value))?;
    }
    db.save_version()?;
    let recorder = Recorder::new(db)?;
    let one = recorder.session();
    let two = one.clone();

    let mut writer = one.begin_write()?;
    writer.get(b"a")?;
    writer.get(b"missing")?;
    writer.put(b"b\xff", "1")?;
    writer.delete(b"a")?;
    writer.range("a".."z").next();
    writer.range(..).rev().for_each(drop);
    let mut ends = writer.range("b"..);
    assert!(ends.next().is_some() && ends.next_back().is_some() && ends.next().is_some());
    drop(ends);
    writer.snapshot_reads().get(b"c")?;
    writer.snapshot_reads().range("d"..).for_each(drop);
    writer.mark_read("x".."y")?;
    let overlapping = two.begin_read()?;
    writer.commit()?;
    overlapping.get(b"a")?;
    drop(overlapping);

    let snapshot = TxnOptions::new().isolation(Isolation::Snapshot);
    let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let (mut loser, mut winner) = (one.begin_write_with(&snapshot)?, two.begin_write_with(&blind)?);
    loser.put(b"c", "lost")?;
    winner.put(b"c", "won")?;
    assert!(one.save_version().is_err() && one.revert().is_err(), "writers are open");
    one.save_version_with(SaveOptions::new().with_open_writers())?;
    winner.commit()?;
    assert!(loser.commit().is_err());
    one.begin_write()?.commit()?;
    one.begin_write()?.discard();
    drop(one.begin_write()?);

    let saved = two.save_version()?;
    let first = one.read_at(1.into())?;
    first.get(b"a")?;
    drop(first);
    let then = one.begin_read()?.read_ts();
    one.read_as_of(then)?.get(b"c")?;
    assert!(one.read_at(9.into()).is_err());
    one.restore(1.into(), KeyRange::from("a".."c"))?;
    one.restore(1.into(), KeyRange::from("c"..))?;
    assert!(one.restore(9.into(), KeyRange::all()).is_err());
    one.revert()?;
    two.delete_versions(&[saved])?;
    assert!(two.delete_versions(&[saved]).is_err());
    one.revert_to(1.into())?;
    Ok(recorder.history())
}

#[test]
fn what_was_done_is_recorded_word_for_word() {
    let history = every_call().unwrap();
    let written = text(&history);
    assert_eq!(written, EVERY_CALL, "{written}");
    assert_eq!(History::read_from(written.as_bytes()).unwrap(), history);
    let verified = check(&history).unwrap();
    assert_eq!(verified.transactions, 10);
}

const EVERY_CALL: &str = include_str!("every_call.jsonl");

/// A place whose connections are recorded.
struct Place;

impl Factory for Place {
    type Connection = Recorded<MemDatabase>;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<Recorded<MemDatabase>> {
        Ok(Recorder::new(vellum_mem::open(*options)?)?.session())
    }

    fn destroy(&self) {}
}

#[test]
fn a_recorded_connection_keeps_the_contract() {
    let mut passed = 0;
    for case in cases::<Place>().iter().filter(|case| !case.is_heavy()) {
        match run_case(case, Place, Effort::from_env()) {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(_) => {}
            Outcome::Failed(failure) => panic!("{}: {failure}", case.name),
        }
    }
    assert!(passed > 180, "{passed}");
}

/// A hash of what one thread does: a seed that is kept must do the same later. Whoever
/// changes what a workload does writes the new numbers here.
#[test]
fn a_seed_of_one_thread_does_the_same_in_every_release() {
    let w = Workload::new().threads(1).transactions(1_500);
    let hashes = [
        w,
        w.seed(2).keys(8).skew(60).readers(40),
        w.seed(3).versions(300).keys(12),
        w.seed(4).ranges(60).deletes(25).blind(30).discards(20).ops(12),
        w.seed(5).snapshot(100),
        w.seed(6).kind(Kind::ListAppend).keys(6),
        w.seed(7).kind(Kind::ListAppend).keys(12).versions(200),
        w.seed(8).of_one_level(false).keys(3),
    ]
    .map(|workload| {
        let history = run(&memory(), &workload).unwrap();
        check(&history).unwrap();
        // The initial state has no version; nor is anything left out.
        assert_eq!(history.states.len(), 1);
        let hash = text(&history).bytes().fold(0u64, |hash, byte| {
            (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        format!("{hash:016x}")
    });
    let want = [
        "f132c0e04342df55",
        "38da6588048423bd",
        "3b5ad38dc03cdab8",
        "8683441335662e35",
        "2f9bca5cfe55dac9",
        "eec5a51d84978fad",
        "73eed784ee5df38a",
        "ff281f038ca0b754",
    ];
    assert_eq!(hashes, want);
}

#[test]
fn threads_share_the_transactions_and_tell_how_far_they_are() {
    let told = std::sync::Mutex::new(Vec::new());
    let workload = Workload::new().threads(3).transactions(1_001).versions(0).readers(0);
    let history = vellum_conformance::history::run_with_progress(&memory(), &workload, |done| {
        told.lock().unwrap().push(done);
    })
    .unwrap();
    // Each thread has a session, and one more reads everything in the end.
    let of = |session: u32| history.txns.iter().filter(|t| t.session == session).count();
    assert_eq!([of(0), of(1), of(2), of(3)], [334, 334, 333, 1]);
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    assert_eq!(told, (1..=10).map(|n| n * 100).collect::<Vec<u64>>());
}
