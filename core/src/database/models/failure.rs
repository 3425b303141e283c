//! Groups that fail, poisoning, closing.

use loom::thread;

use super::{Db, Shared, has_record, model, open, open_over, put, put_with};
use crate::*;

/// What became of commits that put these keys, side by side with `meanwhile`. Only
/// where none is fsynced does a leader go on for others.
fn commits_beside(
    db: &Db,
    durability: Durability,
    keys: &'static [&'static [u8]],
    meanwhile: impl FnOnce(&Db),
) -> Vec<(&'static [u8], Result<Timestamp>)> {
    let threads: Vec<_> = keys
        .iter()
        .map(|&key| {
            let db = db.clone();
            let options = TxnOptions::new().durability(durability);
            thread::spawn(move || (key, put_with(&db, &options, key, b"x")))
        })
        .collect();
    meanwhile(db);
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Who was told that its commit stands sees it; of who was told that it was
/// refused, there is no trace.
fn outcomes_are_true(db: &Db, outcomes: &[(&[u8], Result<Timestamp>)]) {
    let head = db.begin_read().unwrap();
    for (key, outcome) in outcomes {
        let visible = head.get(key).unwrap().is_some();
        match outcome {
            Ok(_) => assert!(visible, "a commit was acknowledged and is not there"),
            Err(e) if e.kind() == ErrorKind::CommitUnknown => {
                assert!(!visible, "a group that failed is visible");
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Poisoned);
                assert!(!has_record(db, key), "a commit was refused and applied");
            }
        }
    }
}

fn failed_group() {
    let db = open_over(Shared { fails_apply: Some(1), ..Shared::default() });
    let outcomes = commits_beside(&db, Durability::Sync, &[b"a", b"b"], |_| ());
    outcomes_are_true(&db, &outcomes);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_err()));
    assert_eq!(put(&db, b"c", b"x").map_err(|e| e.kind()), Err(ErrorKind::Poisoned));
    db.close().unwrap();
}

model!(
    failed_group_gives_up_its_place, 3, failed_group,
    "everybody in or behind a group that fails is told so, and nobody waits for ever",
    broken: "a leader that fails wakes nobody"
);

fn failed_group_of_others() {
    let db = open_over(Shared { fails_apply: Some(2), ..Shared::default() });
    let outcomes = commits_beside(&db, Durability::Buffered, &[b"a", b"b"], |_| ());
    outcomes_are_true(&db, &outcomes);
}

model!(
    leader_of_a_failed_group_keeps_its_own_commit, 3, failed_group_of_others,
    "a leader whose own group was applied is told so, though one that it led after failed",
    broken: "a leader is told of the failure of a group that it led for others"
);

fn poisoned_beside(durability: Durability) {
    let db = open_over(Shared { fails_sync: true, ..Shared::default() });
    let outcomes = commits_beside(&db, durability, &[b"a", b"b"], |db| {
        assert_eq!(db.sync().map_err(|e| e.kind()), Err(ErrorKind::CommitUnknown));
    });
    outcomes_are_true(&db, &outcomes);
    assert_eq!(put(&db, b"c", b"x").map_err(|e| e.kind()), Err(ErrorKind::Poisoned));
}

fn poisoned_beside_synced() {
    poisoned_beside(Durability::Sync);
}

model!(
    commit_beside_a_failed_fsync_is_told_the_truth, 3, poisoned_beside_synced,
    "what was acknowledged beside a failing fsync is there, and what was refused is not",
    broken: "a committer is told of the poisoning while its commit is being applied",
        "a leader that gathers does not ask whether it was refused meanwhile"
);

fn poisoned_beside_buffered() {
    poisoned_beside(Durability::Buffered);
}

model!(
    commit_behind_others_beside_a_failed_fsync_is_told_the_truth, 3, poisoned_beside_buffered,
    "the same, where a leader goes on for those behind it",
    broken: "commits that wait when the engine is poisoned are applied all the same",
        "a committer is told of the poisoning while its commit is being applied"
);

fn failed_group_of_the_poisoned() {
    let db = open_over(Shared { fails_sync: true, fails_apply: Some(2), ..Shared::default() });
    let outcomes = commits_beside(&db, Durability::Buffered, &[b"a", b"b"], |db| {
        let _ = db.sync();
    });
    outcomes_are_true(&db, &outcomes);
    let tried = db.store().0.groups() == 2;
    let unknown =
        |(_, o): &(_, Result<_>)| o.as_ref().is_err_and(|e| e.kind() == ErrorKind::CommitUnknown);
    assert!(!tried || outcomes.iter().any(unknown), "a group failed and was called refused");
}

model!(
    group_that_fails_after_the_poison_is_unknown, 3, failed_group_of_the_poisoned,
    "who was in a group that failed is told that its outcome is unknown, poisoned or not",
    broken: "a group that fails once the engine is poisoned was simply refused"
);

fn closing() {
    let db = open();
    let outcomes = commits_beside(&db, Durability::Sync, &[b"a", b"b"], |db| {
        db.close().unwrap();
    });
    for (key, outcome) in outcomes {
        let kind = outcome.as_ref().err().map(Error::kind);
        assert!(kind.is_none_or(|kind| kind == ErrorKind::Closed));
        assert_eq!(has_record(&db, key), outcome.is_ok(), "a commit was refused and applied");
    }
}

model!(
    commit_beside_close_is_done_or_refused, 2, closing,
    "a commit beside close is done or refused, and no store is used after it was closed",
    broken: "closing does not wait for the leader"
);
