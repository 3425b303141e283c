//! Every order of small scripts is right on every backend, the same on all of
//! them, and broken backends are told from sound ones.
//!
//! Prints what was explored, and which broken backends are rejected how:
//! `cargo test -p vellum-conformance --test worlds -- --nocapture`
#![expect(clippy::print_stdout, reason = "the figures are what this test is for")]

mod lsm_place;
mod map_place;

use lsm_place::LsmPlace;
use map_place::MapPlace;
use vellum_conformance::faults::{Broken, Fault};
use vellum_conformance::worlds::{Counterexample, Explored, Plan, Section, explore};
use vellum_conformance::{Capabilities, Erased, Factory, OverStore};
use vellum_core::{Options, Result};
use vellum_mem::MemDatabase;

// As the author of a backend writes it.
vellum_conformance::worlds!(OverStore(MapPlace::default()), 3_000);

/// A database in memory.
struct Memory;

impl Factory for Memory {
    type Connection = MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

fn all_well<F: Factory>(name: &str, place: &F, plan: &Plan) -> Explored {
    let begun = std::time::Instant::now();
    match explore(place, plan, &mut |_, _| {}) {
        Ok(explored) => {
            println!("{name}, in {:.1} s: {explored}", begun.elapsed().as_secs_f64());
            explored
        }
        Err(counterexample) => panic_with(&counterexample),
    }
}

#[expect(clippy::panic, reason = "this is how a test fails")]
fn panic_with(counterexample: &Counterexample) -> ! {
    panic!("\n{counterexample}\n")
}

#[test]
fn every_pair_in_every_order_is_right() {
    let plan = Plan::new(1, 286_720).only(Section::Pairs);
    let explored = all_well("every pair", &Memory, &plan);
    assert_eq!((explored.interleavings, explored.worlds), (286_720, 4_160), "{explored}");
    assert_eq!(explored.skews, 0, "serializable shows none: {explored}");
    // The contract leaves no choice, so every backend has these.
    let of_calls = (explored.commits, explored.conflicts, explored.refused);
    assert_eq!((of_calls, explored.outcomes), ((291_462, 138_618, 0), 129_750), "{explored}");
}

#[test]
fn random_worlds_of_every_section_are_right() {
    for &section in Section::ALL {
        let plan = Plan::new(1, 10_000).only(section);
        let explored = all_well(&format!("{section:?}"), &Memory, &plan);
        let skews = section == Section::Skews;
        assert!(!skews || explored.skews > explored.reader_anomalies, "{explored}");
        assert!(!skews || explored.reader_anomalies > 0, "{explored}");
        assert_eq!(explored.skews_refused, explored.skews, "{explored}");
        assert_eq!(explored.refused > 0, section == Section::Versions, "{explored}");
    }
}

#[test]
fn interleavings_on_disk_are_right_and_the_same_as_in_memory() {
    let plan = Plan::new(2, 30_000);
    let disk = all_well("disk", &LsmPlace::quick(), &plan);
    let memory = all_well("memory", &Memory, &plan);
    assert!(disk.interleavings >= 25_000, "{disk}");
    assert_eq!(disk, memory);
}

#[test]
fn interleavings_through_the_erased_type_are_the_same() {
    let plan = Plan::new(3, 5_000);
    let (erased, plain) =
        (all_well("erased", &Erased(Memory), &plan), explore(&Memory, &plan, &mut |_, _| {}));
    assert_eq!(Some(erased), plain.ok());
}

/// What small worlds must reject: whatever is wrong with what a transaction
/// sees, observes and conflicts with, and with versions among transactions.
const FAULTS: &[Fault] = &[
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
    Fault::EmptyRangeUntracked,
    Fault::TailUntracked,
    Fault::ReverseUntracked,
    Fault::AbsentGetUntracked,
    Fault::OverObserves,
    Fault::UnadvancedRangeObserves,
    Fault::SnapshotReadsTracked,
    Fault::MarkReadIgnored,
    Fault::MarkWrittenIgnored,
    Fault::FalseConflict,
    Fault::OwnReadTracked,
    Fault::BlindWritesConflict,
    Fault::IgnoreSkipsReads,
    Fault::SnapshotValidatesReads,
    Fault::ReadOnlyConflicts,
    Fault::EmptyCommitTimestamp,
    Fault::DiscardApplies,
    Fault::DropApplies,
    Fault::FailedCommitApplies,
    Fault::ConflictSwallowed,
    Fault::ConflictNotRetryable,
    Fault::ConflictWithoutDetails,
    Fault::ConflictNamesAnother,
    Fault::ConflictNamesNeighbour,
    Fault::CommitTimestampRepeats,
    Fault::FirstPutWins,
    Fault::OwnWritesMissingInRanges,
    Fault::OwnWritesMissingInGets,
    Fault::OwnDeleteShown,
    Fault::AbsentDeleteUntracked,
    Fault::RangeEndIncluded,
    Fault::RangeStartExcluded,
    Fault::InvertedRangeYieldsAll,
    Fault::ReverseOrderWrong,
    Fault::ReverseSkipsLast,
    Fault::EndsRepeat,
    Fault::EndsGap,
    Fault::VersionReadsHead,
    Fault::VersionHidden,
    Fault::VersionMadeUp,
    Fault::VersionSetUnsorted,
    Fault::SaveAmongWriters,
    Fault::SaveAmongWritersRefused,
    Fault::SaveRefusalMisnamed,
    Fault::SaveWaitsForReaders,
    Fault::NumbersSkip,
    Fault::SaveChangesContents,
    Fault::DeleteHarmsNeighbour,
    Fault::DeleteIgnored,
    Fault::DeleteWaitsForWriters,
    Fault::RevertLeavesKey,
    Fault::RevertDropsVersion,
    Fault::RevertKeepsVersions,
    Fault::RevertToUnknown,
    Fault::RevertAmongWriters,
    Fault::RevertTimestampEarly,
    Fault::RestoreDropsVersions,
    Fault::RestoreTimestampEarly,
];

/// The first section that rejects it, and how.
fn rejected(fault: Fault) -> Option<(Section, Box<Counterexample>)> {
    let sections = [Section::Variants, Section::Versions, Section::Pairs, Section::Triples];
    sections.into_iter().find_map(|section| {
        let plan = Plan::new(1, 1_500).only(section);
        let outcome = explore(&Broken::new(Memory, fault), &plan, &mut |_, _| {});
        outcome.err().map(|found| (section, found))
    })
}

#[test]
fn broken_backends_are_told_by_a_counterexample() {
    let mut missed = Vec::new();
    println!("| broken | how | interleaving | what was wrong |\n|---|---|--:|---|");
    for &fault in FAULTS {
        let Some((section, found)) = rejected(fault) else {
            missed.push(fault);
            continue;
        };
        let (n, what) = (found.interleaving(), found.summary());
        println!("| {fault:?} | {} | {n} of {section:?} | {what} |", fault.what());
    }
    println!("{} broken backends, missed {missed:?}", FAULTS.len());
    assert!(missed.is_empty(), "no interleaving rejects {missed:?}");
}

#[test]
fn counterexamples_give_their_reasons() {
    let observed = "B committed since it began and wrote a, which it observed or writes (I1, I2)";
    for (fault, why) in [
        (Fault::DirtyRead, "the state it began on, and its own writes over it (T1, T2)"),
        (Fault::CommitTimestampRepeats, "timestamps grow strictly in commit order (T6)"),
        (Fault::RevertTimestampEarly, "timestamps grow strictly in commit order (T6)"),
        (Fault::MarkWrittenIgnored, "a timestamp: it wrote something, or declared it"),
        (Fault::EmptyCommitTimestamp, "a commit without a timestamp: it wrote nothing (T7)"),
        (Fault::LostUpdate, observed),
        (Fault::FalseConflict, "or writes was written by a commit since it began (I4)"),
        (Fault::ConflictWithoutDetails, "a conflict says which key, and who won (I8)"),
        (Fault::FirstPutWins, "the head is what the commits wrote, in their order"),
        (Fault::NumbersSkip, "no version is saved (V1)"),
        (Fault::VersionMadeUp, "there is no such version (V3)"),
        (Fault::VersionHidden, "no call here may fail like this"),
        (Fault::VersionReadsHead, "version 1 is the state at its save (V3)"),
        (Fault::DeleteIgnored, "these were saved and not deleted (V1, V5, V6)"),
        (Fault::SaveAmongWriters, "expected OpenTransactions: V1 to V6 say so"),
    ] {
        let summary = rejected(fault).map(|(_, found)| found.summary()).unwrap_or_default();
        assert!(summary.ends_with(why), "{fault:?}: {summary}");
    }
}

fn story(fault: Fault, section: Section) -> String {
    let plan = Plan::new(1, 4_000).only(section);
    let outcome = explore(&Broken::new(Memory, fault), &plan, &mut |_, _| {});
    outcome.err().map(|found| found.to_string()).unwrap_or_default()
}

#[test]
fn a_counterexample_is_short_and_can_be_read() {
    let skew = story(Fault::WriteSkew, Section::Variants);
    println!("{skew}");
    assert_eq!(skew, SKEW);
    assert_eq!(story(Fault::RevertLeavesKey, Section::Versions), REVERT);
    assert_eq!(story(Fault::ReverseOrderWrong, Section::Variants), REVERSE);
}

const SKEW: &str = r"An interleaving went wrong. It begins with nothing.

      | A: serializable           | B: serializable    |
      | ------------------------- | ------------------ |
    1 |                           | begin serializable |
    2 | begin serializable        |                    |
    3 | range .. → end            |                    |
    4 |                           | put b              |
    5 |                           | commit → at 1      |
    6 | delete a                  |                    |
    7 | commit → a commit at 2  ✗ |                    |

  A commit:
    got      a commit at 2
    expected a conflict
    because  B committed since it began and wrote b, which it observed or writes (I1, I2)

  A value is named after who put it: B2 is the second call of B.
  Seed 1, interleaving 26 of the plan; it goes wrong alone in an empty database.";

const REVERT: &str = r"An interleaving went wrong. It begins with nothing, saved as version 1.

      | A: serializable    | B: one call   |
      | ------------------ | ------------- |
    1 | begin serializable |               |
    2 | put b              |               |
    3 | commit → at 2      |               |
    4 |                    | revert → at 4 |

  in the end:
    got      b=A1 end
    expected end
    because  the head is what the commits wrote, in their order

  A value is named after who put it: B2 is the second call of B.
  Seed 1, interleaving 49 of the plan; it goes wrong alone in an empty database.";

const REVERSE: &str = r"An interleaving went wrong. It begins with a = start, b = start.

      | A: serializable         |
      | ----------------------- |
    1 | begin serializable      |
    2 | last of .. → a=start  ✗ |

  A last of ..:
    got      a=start
    expected b=start
    because  the transaction reads the state it began on, and its own writes over it (T1, T2)

  A value is named after who put it: B2 is the second call of B.
  Seed 1, interleaving 37 of the plan; it goes wrong alone in an empty database.";
