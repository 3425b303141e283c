//! Concurrent runs of every backend are recorded and checked, and runs of
//! broken backends are rejected.
//!
//! ```text
//! cargo test -p vellum-conformance --test histories_recorded -- --nocapture
//! ```
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are the point")]

mod lsm_place;

use lsm_place::LsmPlace;
use vellum_conformance::faults::{Broken, Fault};
use vellum_conformance::history::{Class, History, Kind, Verified, Workload, check, run};
use vellum_conformance::{Capabilities, Factory};
use vellum_core::{Connection, Durability, Options, Result};
use vellum_mem::MemDatabase;

struct MemPlace;

impl Factory for MemPlace {
    type Connection = MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

/// The workloads, of which each backend runs a number of transactions.
fn workloads(transactions: u64) -> Vec<(&'static str, Workload)> {
    let w = Workload::new().transactions(transactions);
    vec![
        ("registers", w.seed(1)),
        ("registers, hot", w.seed(2).keys(8).threads(8).skew(60)),
        ("registers, many versions", w.seed(3).versions(150).keys(40)),
        ("registers, ranges", w.seed(4).ranges(60).deletes(25).keys(32)),
        ("registers, snapshot isolation", w.seed(5).snapshot(100).keys(16)),
        ("lists", w.seed(6).kind(Kind::ListAppend).keys(24)),
        ("lists, saved", w.seed(7).kind(Kind::ListAppend).keys(12).threads(6).versions(40)),
    ]
}

/// Runs and checks them, and writes a rejected history to a file.
fn all<P, C: Connection>(
    backend: &str,
    transactions: u64,
    open: impl Fn() -> Result<(P, C)>,
) -> Verified {
    let mut total = Verified::default();
    for (name, workload) in workloads(transactions) {
        let (_place, db) = open().unwrap();
        let history = run(&db, &workload).unwrap();
        let verified = check(&history).unwrap_or_else(|anomaly| {
            let path = std::env::temp_dir().join(format!("vellum-{backend}-{name}.jsonl"));
            history.write_to(std::fs::File::create(&path).unwrap()).unwrap();
            panic!("{backend}, {name} ({workload:?}), kept in {}:\n{anomaly}", path.display())
        });
        println!("{backend}, {name}: {verified}");
        db.close().unwrap();
        total.add(&verified);
    }
    println!("{backend}: {total}");
    total
}

#[test]
fn histories_of_the_memory_backend_are_serializable() {
    let total = all("mem", 8_000, || Ok(((), vellum_mem::open(Options::new())?)));
    assert!(total.transactions >= 50_000);
    assert!(total.committed * 4 > total.transactions, "most were refused: {total}");
}

#[test]
fn histories_of_the_lsm_backend_are_serializable() {
    let buffered = Options::new().durability(Durability::Buffered);
    let total = all("lsm", 1_500, || {
        let place = LsmPlace::quick();
        let db = place.open(&buffered)?;
        Ok((place, db))
    });
    assert!(total.transactions >= 10_000);
    let place = LsmPlace::quick();
    let db = place.open(&Options::new()).unwrap();
    let synced = Workload::new().seed(8).transactions(400);
    let verified = check(&run(&db, &synced).unwrap()).unwrap();
    println!("lsm, synced: {verified}");
    db.close().unwrap();
}

/// What breaks isolation, or what a history shows in other ways. Which class is
/// found depends on the shape that the threads happen to give it, so that only
/// the rejection is asserted.
const REJECTED: &[Fault] = &[
    Fault::DirtyRead,
    Fault::WriterDirtyRead,
    Fault::WriterReadsLatest,
    Fault::WriterRangesReadLatest,
    Fault::ReadsLatest,
    Fault::RangeReadsLatest,
    Fault::StaleRead,
    Fault::LostUpdate,
    Fault::WriteSkew,
    Fault::WriteWriteMissed,
    Fault::RangeUntracked,
    Fault::PhantomLetThrough,
    Fault::ReverseUntracked,
    Fault::AbsentGetUntracked,
    Fault::TailUntracked,
    Fault::DiscardApplies,
    Fault::FailedCommitApplies,
    Fault::ConflictSwallowed,
    Fault::CommitTimestampRepeats,
    Fault::FirstPutWins,
    Fault::OwnWritesMissingInRanges,
    Fault::OwnWritesMissingInGets,
    Fault::OwnDeleteShown,
    Fault::RewrittenKeyTwice,
    Fault::RangeEndIncluded,
    Fault::RangeStartExcluded,
    Fault::ReverseOrderWrong,
    Fault::ReverseSkipsLast,
    Fault::EndsRepeat,
    Fault::EndsGap,
    Fault::InvertedRangeYieldsAll,
    Fault::VersionReadsHead,
    Fault::AsOfReadsHead,
    Fault::SaveAmongWriters,
    Fault::RevertLeavesKey,
    Fault::RevertAmongWriters,
    Fault::RestoreIgnoresRange,
];

/// The first history of a broken backend that is rejected.
fn rejected(fault: Fault) -> Option<(Class, String, History)> {
    let skewed = Workload::new().transactions(1_500).keys(12).threads(4);
    for seed in 0..60 {
        let workload = match seed % 5 {
            0 => skewed.seed(seed),
            1 => skewed.seed(seed).ranges(50).deletes(30).keys(16),
            2 => skewed.seed(seed).versions(200).deletes(30),
            3 => skewed.seed(seed).ranges(40).deletes(35).ops(3).keys(5).threads(8),
            _ => skewed.seed(seed).ops(3).keys(6).threads(8),
        };
        let db = Broken::new(MemPlace, fault).open(&Options::new()).unwrap();
        let history = run(&db, &workload).unwrap();
        if let Err(anomaly) = check(&history) {
            return Some((anomaly.class(), anomaly.to_string(), history));
        }
    }
    None
}

#[test]
fn histories_of_broken_backends_are_rejected() {
    let mut missed = Vec::new();
    for &fault in REJECTED {
        match rejected(fault) {
            Some((class, story, _)) => {
                println!("{fault:?}: {class}");
                if std::env::var_os("VELLUM_STORIES").is_some() {
                    println!("{story}\n");
                }
                assert_ne!(class, Class::Undecided);
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "accepted: {missed:?}");
}
