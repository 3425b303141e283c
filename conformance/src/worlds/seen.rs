//! What steps showed, whether that was right, and how it reads.

use vellum_core::{Error, ErrorKind};

use super::op::{Cell, Drive, KEYS, Key, Span, place, show_cell, show_key};
use super::oracle::{Call, Items, items};

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
