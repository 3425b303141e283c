//! Random histories and the model bite by themselves: without any other case they
//! reject whatever breaks the calls that they make.
//!
//! Other cases cover for them elsewhere, so a model that had gone blind would not
//! be missed there.
//!
//! Prints how many it rejects:
//! `cargo test -p vellum-conformance --test model -- --nocapture`
#![expect(clippy::print_stdout, reason = "the figure is what this test is for")]

mod map_place;

use map_place::MapPlace;
use vellum_conformance::faults::{Broken, Fault};
use vellum_conformance::{Effort, Outcome, OverStore, cases, run};

type Place = Broken<OverStore<MapPlace>>;

/// What random histories do not call, or not in a way that would show it: the named
/// cases do.
const BEYOND: &[Fault] = &[
    Fault::EmptyRangeUntracked,
    Fault::OverObserves,
    Fault::OwnReadTracked,
    Fault::AloneIgnored,
    Fault::ConflictWithoutDetails,
    Fault::ConflictNamesAnother,
    Fault::ConflictNamesNeighbour,
    Fault::UnknownAsSuccess,
    Fault::UnknownAsConflict,
    Fault::PoisonForgotten,
    Fault::SyncErrorSwallowed,
    Fault::RewrittenKeyTwice,
    Fault::LongValueTruncated,
    Fault::ResumesAfterError,
    Fault::EndsSilently,
    Fault::MetadataLimitUnchecked,
    Fault::VersionSetLive,
    Fault::MetadataLost,
    Fault::MetadataCut,
    Fault::DeletePartial,
    Fault::ChangesIncomplete,
    Fault::AsOfAboveHead,
    Fault::WatcherNeverWoken,
    Fault::WatcherNarrow,
    Fault::PruneDoesNothing,
    Fault::VerifyFails,
    Fault::StatsLeak,
    Fault::CloseIgnored,
    Fault::CloseOnce,
    Fault::TornAfterReopen,
    Fault::UncommittedAfterReopen,
    Fault::MetadataLostAfterReopen,
    Fault::OpensTwice,
    Fault::UnknownLosesOld,
    Fault::HistoryShort,
    Fault::LimitNamedAlone,
    Fault::StatsNoBytes,
    Fault::StatsNoCommits,
    Fault::ClosedMisnamed,
];

/// Whether a case of the model rejects it.
fn is_rejected(fault: Fault) -> bool {
    let place = || Broken::new(OverStore(MapPlace::default()), fault);
    let all = cases::<Place>();
    let mut model = all.iter().filter(|case| case.module == "model");
    model.any(|case| matches!(run(case, place(), Effort::small()), Outcome::Failed(_)))
}

#[test]
fn random_histories_alone_reject_what_breaks_the_calls_that_they_make() {
    let within: Vec<_> = Fault::ALL.iter().filter(|fault| !BEYOND.contains(fault)).collect();
    let missed: Vec<_> = within.iter().filter(|fault| !is_rejected(***fault)).collect();
    println!("{} broken backends, missed {missed:?}", within.len());
    assert!(missed.is_empty(), "the model agrees with {missed:?}");
}
