//! What steps showed, whether that was right, and how it reads.

use vellum_core::{Error, ErrorKind};

use super::op::{Cell, Drive, KEYS, Key, Span, place, show_cell, show_key};
use super::oracle::{Call, Items, items};
use crate::random::mix;

/// What a step showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It succeeded and showed nothing.
    Done,
    Value(Cell),
    Items(Items),
    /// With its timestamp, if it has one.
    Committed(Option<u64>),
    Saved(u64),
    Refused(ErrorKind),
    /// Nothing was called: its transaction never began.
    Skipped,
}

/// One step that was taken.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) who: usize,
    /// Which step of its script.
    pub(super) n: usize,
    pub(super) seen: Seen,
}

/// What was wrong: at which step, and what should have been.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) got: String,
    pub(super) want: String,
    pub(super) why: String,
}

impl Wrong {
    pub(super) fn new(
        got: impl Into<String>,
        want: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { got: got.into(), want: want.into(), why: why.into() }
    }

    pub(super) fn failed(e: &Error) -> Self {
        Self::new(e.to_string(), "success", "no call here may fail like this")
    }
}

impl From<Error> for Wrong {
    fn from(e: Error) -> Self {
        Self::failed(&e)
    }
}

/// What came of an interleaving that was right.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Right {
    pub(super) commits: u64,
    pub(super) conflicts: u64,
    /// Saves and reverts that were refused because a writer was open.
    pub(super) refused: u64,
    /// No serial order explains it; only worlds with snapshot isolation.
    pub(super) skew: bool,
    /// A serial order explains the writers, and none what a reader saw too.
    pub(super) reader_anomaly: bool,
    /// The same interleaving was refused as serializable.
    pub(super) refused_again: bool,
    /// Everything that was seen, timestamps aside.
    pub(super) digest: u64,
}

/// The digest of everything that was seen up to here.
pub(super) fn digest(before: u64, seen: &Seen) -> u64 {
    let n = match seen {
        Seen::Done => 1,
        Seen::Value(cell) => 2 | u64::from(*cell) << 8,
        Seen::Items(items) => items.iter().fold(3, |h, item| {
            let (key, cell) = item.unwrap_or((KEYS, 0));
            mix(h ^ (u64::from(key) << 16 | u64::from(cell)))
        }),
        Seen::Committed(ts) => 4 | u64::from(ts.is_some()) << 8,
        Seen::Saved(number) => 5 | number << 8,
        Seen::Refused(kind) => 6 | u64::from(*kind == ErrorKind::Conflict) << 8,
        Seen::Skipped => 7,
    };
    mix(before.wrapping_add(0x9e37_79b9) ^ n)
}

/// Whether a call on the connection showed what it must.
pub(super) fn right_call(want: Call, got: &Seen) -> bool {
    match (want, got) {
        (Call::Fine, Seen::Done) => true,
        (Call::Commits { changes }, Seen::Committed(ts)) => ts.is_some() == changes,
        (Call::Saves(number), Seen::Saved(got)) => number == *got,
        (Call::Shows(state), got) => *got == Seen::Items(items(&state, Span::All, Drive::Forward)),
        (Call::Refused { open, missing }, Seen::Refused(kind)) => {
            (open && *kind == ErrorKind::OpenTransactions)
                || (missing && *kind == ErrorKind::VersionNotFound)
        }
        _ => false,
    }
}

/// What a call must show, in words.
pub(super) fn show_call(call: Call) -> String {
    match call {
        Call::Fine => "success".to_owned(),
        Call::Commits { changes: true } => "a commit".to_owned(),
        Call::Commits { changes: false } => "a commit without a timestamp".to_owned(),
        Call::Saves(number) => format!("version {number}"),
        Call::Shows(state) => show(&Seen::Items(items(&state, Span::All, Drive::Forward))),
        Call::Refused { open: true, .. } => "OpenTransactions".to_owned(),
        Call::Refused { .. } => "VersionNotFound".to_owned(),
    }
}

/// The keys among these places.
pub(super) fn show_places(at: u8) -> String {
    let keys: String = (0..KEYS).filter(|k| at & place(*k) != 0).map(show_key).collect();
    if keys.is_empty() { "a range".to_owned() } else { keys }
}

/// What a step showed, as the story tells it.
pub(super) fn show(seen: &Seen) -> String {
    match seen {
        Seen::Done => "ok".to_owned(),
        Seen::Value(cell) => show_cell(*cell),
        Seen::Items(items) => {
            let item = |item: &Option<(Key, Cell)>| match item {
                Some((key, cell)) => format!("{}={}", show_key(*key), show_cell(*cell)),
                None => "end".to_owned(),
            };
            items.iter().map(item).collect::<Vec<_>>().join(" ")
        }
        Seen::Committed(Some(ts)) => format!("at {ts}"),
        Seen::Committed(None) => "ok".to_owned(),
        Seen::Saved(number) => format!("version {number}"),
        Seen::Refused(kind) => format!("{kind:?}"),
        Seen::Skipped => "not begun".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::oracle::State;
    use super::*;

    fn state(cells: &[(Key, Cell)]) -> State {
        let mut state = State::default();
        cells.iter().for_each(|(key, cell)| state.set(*key, *cell));
        state
    }

    /// One of everything that can be seen, with those that are much alike.
    fn everything() -> Vec<Seen> {
        let refused = [ErrorKind::Conflict, ErrorKind::OpenTransactions].map(Seen::Refused);
        let items = [
            vec![],
            vec![None],
            vec![Some((0, 0x110)), None],
            vec![Some((1, 0x110)), None],
            vec![Some((0, 0x120)), None],
            vec![Some((0, 0x110)), Some((1, 0x120)), None],
            vec![Some((1, 0x120)), Some((0, 0x110)), None],
        ];
        let mut all = vec![Seen::Done, Seen::Skipped];
        all.extend([0, 0x110, 0x120, 0x210, 0x111].map(Seen::Value));
        all.extend(items.map(Seen::Items));
        all.extend([None, Some(1)].map(Seen::Committed));
        all.extend([1, 2, 300].map(Seen::Saved));
        all.extend(refused);
        all
    }

    #[test]
    fn digests_tell_what_was_seen_and_in_which_order() {
        let all = everything();
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| digest(digest(0, a), b)));
        assert_eq!(pairs.collect::<HashSet<_>>().len(), all.len() * all.len());
        // Timestamps are no part of an outcome.
        assert_eq!(digest(0, &Seen::Committed(Some(1))), digest(0, &Seen::Committed(Some(2))));
    }

    #[test]
    fn calls_are_right_with_what_they_must_show_and_nothing_else() {
        let saved = state(&[(0, 0x110)]);
        let shows = Seen::Items(vec![Some((0, 0x110)), None]);
        let (open, missing) =
            (Seen::Refused(ErrorKind::OpenTransactions), Seen::Refused(ErrorKind::VersionNotFound));
        let refused = |open, missing| Call::Refused { open, missing };
        let (stamped, unstamped) = (Seen::Committed(Some(1)), Seen::Committed(None));
        let rights: [(Call, Vec<&Seen>); 8] = [
            (Call::Fine, vec![&Seen::Done]),
            (Call::Commits { changes: true }, vec![&stamped]),
            (Call::Commits { changes: false }, vec![&unstamped]),
            (Call::Saves(300), vec![&Seen::Saved(300)]),
            (Call::Shows(saved), vec![&shows]),
            (refused(true, false), vec![&open]),
            (refused(false, true), vec![&missing]),
            (refused(true, true), vec![&open, &missing]),
        ];
        let mut all = everything();
        all.push(missing.clone());
        for (want, right) in rights {
            for got in &all {
                let is_right = right.contains(&got);
                assert_eq!(right_call(want, got), is_right, "{want:?} and {got:?}");
            }
        }
    }

    #[test]
    fn what_was_seen_and_wanted_has_words() {
        let shown: Vec<_> = everything().iter().map(show).collect();
        assert_eq!(
            shown,
            [
                "ok",
                "not begun",
                "none",
                "A1",
                "A2",
                "B1",
                "A1+1",
                "",
                "end",
                "a=A1 end",
                "b=A1 end",
                "a=A2 end",
                "a=A1 b=A2 end",
                "b=A2 a=A1 end",
                "ok",
                "at 1",
                "version 1",
                "version 2",
                "version 300",
                "Conflict",
                "OpenTransactions",
            ]
        );
        let refused = |open, missing| Call::Refused { open, missing };
        let wanted = [
            (Call::Fine, "success"),
            (Call::Commits { changes: true }, "a commit"),
            (Call::Commits { changes: false }, "a commit without a timestamp"),
            (Call::Saves(3), "version 3"),
            (Call::Shows(state(&[(1, 0xe002)])), "b=start end"),
            (refused(true, true), "OpenTransactions"),
            (refused(false, true), "VersionNotFound"),
        ];
        for (call, words) in wanted {
            assert_eq!(show_call(call), words);
        }
        let places = [0, place(0), place(1) | place(2), 0b111_1111].map(show_places);
        assert_eq!(places, ["a range", "a", "bc", "abc"]);
        assert_eq!(show_places(!(place(0) | place(1) | place(2))), "a range");
    }
}
