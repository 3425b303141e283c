//! The alphabet: what the scripts of a small world are made of, and how it
//! reads on paper.

use std::fmt;
use std::ops::Bound;

/// How many keys a world has: `a`, `b` and `c`.
pub(super) const KEYS: u8 = 3;

/// A key, by its place in the alphabet.
pub(super) type Key = u8;

/// What a key holds; 0 is nothing. Every put writes another value, so a read
/// names its writer.
pub(super) type Cell = u16;

/// A value that no script wrote.
pub(super) const FOREIGN: Cell = Cell::MAX;

const START: Cell = 0xe000;

/// The value that a key begins with.
pub(super) fn start(key: Key) -> Cell {
    START | Cell::from(key + 1)
}

/// The value of a put: who and which step.
pub(super) fn put_value(by: usize, step: usize) -> Cell {
    let (by, step) = (u8::try_from(by).unwrap_or(u8::MAX), u8::try_from(step).unwrap_or(u8::MAX));
    (Cell::from(by + 1) << 8) | (Cell::from(step + 1) << 4)
}

/// The value that an increment makes of what it read: who, which step, and a
/// count that depends on what was read.
pub(super) fn incremented(by: usize, step: usize, read: Cell) -> Cell {
    put_value(by, step) | ((read & 0xf) + 1) & 0xf
}

/// A value as the story tells it.
pub(super) fn show_cell(cell: Cell) -> String {
    match cell {
        0 => "none".to_owned(),
        FOREIGN => "a value that nobody wrote".to_owned(),
        c if c & 0xf000 == START => "start".to_owned(),
        c => {
            let count = if c & 0xf > 0 { format!("+{}", c & 0xf) } else { String::new() };
            format!("{}{}{count}", letter(usize::from(c >> 8) - 1), (c >> 4) & 0xf)
        }
    }
}

/// The name of a script.
pub(super) fn letter(script: usize) -> char {
    char::from(b'A' + u8::try_from(script).unwrap_or(25).min(25))
}

/// The name of a key.
pub(super) fn show_key(key: Key) -> char {
    if key < KEYS { char::from(b'a' + key) } else { '?' }
}

/// A set of places: bit `2k + 1` is key `k`, the even bits are the gaps below,
/// between and above the keys. Two ranges overlap exactly if they share one.
pub(super) type Places = u8;

/// The place of a key.
pub(super) fn place(key: Key) -> Places {
    1 << (2 * key + 1)
}

/// A range, by its bounds. All lie within the world's own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Span {
    /// Everything of this world.
    All,
    /// Everything, without an end.
    Open,
    /// `..b`
    BelowB,
    /// `..=b`
    UpToB,
    /// `b..`
    FromB,
    /// After `a`.
    AfterA,
    /// `b..=b`
    OnlyB,
    /// Between `a` and `b`, without them.
    Between,
    /// `c..a`, which is empty.
    Inverted,
}

impl Span {
    pub(super) const ALL: [Self; 9] = [
        Self::All,
        Self::Open,
        Self::BelowB,
        Self::UpToB,
        Self::FromB,
        Self::AfterA,
        Self::OnlyB,
        Self::Between,
        Self::Inverted,
    ];

    /// The places within.
    pub(super) const fn places(self) -> Places {
        match self {
            Self::All | Self::Open => 0b111_1111,
            Self::BelowB => 0b000_0111,
            Self::UpToB => 0b000_1111,
            Self::FromB => 0b111_1000,
            Self::AfterA => 0b111_1100,
            Self::OnlyB => 0b000_1000,
            Self::Between => 0b000_0100,
            Self::Inverted => 0,
        }
    }

    /// The bounds, where the world's keys begin with `base` and everything of
    /// it is below `end`.
    pub(super) fn bounds(self, base: u32) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let low = || Bound::Included(base.to_be_bytes().to_vec());
        let high = || Bound::Excluded(base.saturating_add(1).to_be_bytes().to_vec());
        let key = |k: Key| key_bytes(base, k).to_vec();
        match self {
            Self::All => (low(), high()),
            Self::Open => (low(), Bound::Unbounded),
            Self::BelowB => (low(), Bound::Excluded(key(1))),
            Self::UpToB => (low(), Bound::Included(key(1))),
            Self::FromB => (Bound::Included(key(1)), high()),
            Self::AfterA => (Bound::Excluded(key(0)), high()),
            Self::OnlyB => (Bound::Included(key(1)), Bound::Included(key(1))),
            Self::Between => (Bound::Excluded(key(0)), Bound::Excluded(key(1))),
            Self::Inverted => (Bound::Included(key(2)), Bound::Excluded(key(0))),
        }
    }
}

/// The bytes of a key of the world whose keys begin with `base`.
pub(super) fn key_bytes(base: u32, key: Key) -> [u8; 5] {
    let [p, q, r, s] = base.to_be_bytes();
    [p, q, r, s, b'a' + key]
}

/// How far, and from which end, a range is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Drive {
    Forward,
    Reverse,
    First,
    Last,
    /// The first and the last.
    Ends,
    /// From both ends in turn, until they meet.
    Meet,
    /// Made and dropped.
    Untouched,
}

impl Drive {
    pub(super) const ALL: [Self; 7] = [
        Self::Forward,
        Self::Reverse,
        Self::First,
        Self::Last,
        Self::Ends,
        Self::Meet,
        Self::Untouched,
    ];

    /// Whether pull `n` is from the back; `None` if there is none.
    pub(super) const fn pull(self, n: usize) -> Option<bool> {
        match (self, n) {
            (Self::Forward, _) | (Self::First | Self::Ends, 0) => Some(false),
            (Self::Reverse, _) | (Self::Last, 0) | (Self::Ends, 1) => Some(true),
            (Self::Meet, n) => Some(n % 2 == 1),
            _ => None,
        }
    }
}

/// One call within a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Get(Key),
    /// A get through `snapshot_reads`.
    View(Key),
    Put(Key),
    Delete(Key),
    /// A get and a put of what it makes of it.
    Increment(Key),
    Range(Span, Drive),
    MarkRead(Span),
    MarkWritten(Span),
}

impl Op {
    /// Whether a read transaction can do it.
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Get(_) | Self::Range(..))
    }
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Serializable,
    Snapshot,
    /// Serializable, and write conflicts are ignored.
    Blind,
    /// A read transaction.
    Reader,
    /// A read transaction at a version.
    ReaderAt(u64),
}

impl Kind {
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Serializable | Self::Snapshot | Self::Blind)
    }
}

/// A call on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Save,
    /// With the option to save while writers are open.
    SaveAmongWriters,
    DeleteVersion(u64),
    Revert,
    RevertTo(u64),
    Restore(u64),
    Prune,
    /// Reads all of a version.
    ReadAt(u64),
}

/// What one actor does, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Script {
    /// Begins, does this, and commits or discards.
    Txn { kind: Kind, ops: Vec<Op>, commits: bool },
    /// One call.
    Act(Act),
}

impl Script {
    /// How many steps it takes.
    pub(super) fn steps(&self) -> usize {
        match self {
            Self::Txn { ops, .. } => ops.len() + 2,
            Self::Act(_) => 1,
        }
    }

    /// Step `n` in words.
    pub(super) fn show(&self, n: usize) -> String {
        match self {
            Self::Act(act) => act.to_string(),
            Self::Txn { kind, .. } if n == 0 => match kind {
                Kind::ReaderAt(v) => format!("read_at {v}"),
                kind => format!("begin {kind:?}").to_lowercase(),
            },
            Self::Txn { ops, commits, .. } => match ops.get(n - 1) {
                Some(op) => op.to_string(),
                None if *commits => "commit".to_owned(),
                None => "discard".to_owned(),
            },
        }
    }
}

/// Scripts over a state to begin with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) scripts: Vec<Script>,
    /// Bit `k`: key `k` has a value in the beginning.
    pub(super) initial: u8,
}

impl World {
    /// Whether versions are saved, read or reverted to. The beginning is
    /// version 1 then.
    pub(super) fn has_versions(&self) -> bool {
        self.scripts.iter().any(|script| match script {
            Script::Act(_) => true,
            Script::Txn { kind, .. } => matches!(kind, Kind::ReaderAt(_)),
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "..",
            Self::Open => "prefix..",
            Self::BelowB => "..b",
            Self::UpToB => "..=b",
            Self::FromB => "b..",
            Self::AfterA => "after a",
            Self::OnlyB => "b..=b",
            Self::Between => "between a and b",
            Self::Inverted => "c..a",
        })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(k) => write!(f, "get {}", show_key(*k)),
            Self::View(k) => write!(f, "view {}", show_key(*k)),
            Self::Put(k) => write!(f, "put {}", show_key(*k)),
            Self::Delete(k) => write!(f, "delete {}", show_key(*k)),
            Self::Increment(k) => write!(f, "increment {}", show_key(*k)),
            Self::Range(span, drive) => match drive {
                Drive::Forward => write!(f, "range {span}"),
                Drive::Reverse => write!(f, "range {span} reverse"),
                Drive::First => write!(f, "first of {span}"),
                Drive::Last => write!(f, "last of {span}"),
                Drive::Ends => write!(f, "both ends of {span}"),
                Drive::Meet => write!(f, "range {span} from both ends"),
                Drive::Untouched => write!(f, "range {span} untouched"),
            },
            Self::MarkRead(span) => write!(f, "mark_read {span}"),
            Self::MarkWritten(span) => write!(f, "mark_written {span}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save => f.write_str("save"),
            Self::SaveAmongWriters => f.write_str("save among writers"),
            Self::DeleteVersion(v) => write!(f, "delete version {v}"),
            Self::Revert => f.write_str("revert"),
            Self::RevertTo(v) => write!(f, "revert_to {v}"),
            Self::Restore(v) => write!(f, "restore {v}"),
            Self::Prune => f.write_str("prune"),
            Self::ReadAt(v) => write!(f, "all of version {v}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use super::*;

    /// The oracle judges by places what the engine does by bounds.
    #[test]
    fn places_and_bounds_of_every_span_agree() {
        let base = 7u32;
        let within = |span: Span, point: &[u8]| {
            let point = point.to_vec();
            span.bounds(base).contains(&point)
        };
        for span in Span::ALL {
            for key in 0..KEYS {
                let there = span.places() & place(key) != 0;
                let bytes = key_bytes(base, key);
                assert_eq!(within(span, &bytes), there, "{span} and {}", show_key(key));
                // Right above a key begins the gap above it, as far as the next one.
                let gap = span.places() & (place(key) << 1) != 0;
                let above = [&bytes[..], b"x"].concat();
                assert_eq!(within(span, &above), gap, "{span} and above {}", show_key(key));
            }
            let below = base.to_be_bytes();
            assert_eq!(within(span, &below), span.places() & 1 != 0, "{span} and below a");
            let others = [(base - 1).to_be_bytes(), (base + 1).to_be_bytes()];
            let [before, after] = others.map(|other| within(span, &other));
            assert_eq!((before, after), (false, span == Span::Open), "{span} and other worlds");
        }
    }

    #[test]
    fn ranges_are_pulled_as_they_are_called() {
        let pulls = |drive: Drive| (0..4).map(|n| drive.pull(n)).collect::<Vec<_>>();
        let (front, back) = (Some(false), Some(true));
        for (drive, want) in Drive::ALL.into_iter().zip([
            [front, front, front, front],
            [back, back, back, back],
            [front, None, None, None],
            [back, None, None, None],
            [front, back, None, None],
            [front, back, front, back],
            [None, None, None, None],
        ]) {
            assert_eq!(pulls(drive), want, "{drive:?}");
        }
    }

    /// A value says who wrote it, in which step, and of what.
    #[test]
    fn no_two_writes_have_one_value() {
        let mut values: Vec<_> = (0..KEYS).map(start).chain([0, FOREIGN]).collect();
        for (by, step) in (0..4).flat_map(|by| (0..6).map(move |step| (by, step))) {
            let read = [put_value(3, 2), start(0), start(1)];
            values.push(put_value(by, step));
            values.extend(read.map(|read| incremented(by, step, read)));
        }
        let all = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), all);
        let shown = ["none", "start", "A1", "C5+3", "a value that nobody wrote"];
        let of = [0, start(2), put_value(0, 0), incremented(2, 4, start(1)), FOREIGN];
        assert_eq!(of.map(show_cell), shown);
    }

    #[test]
    fn scripts_read_as_they_are_written() {
        let script = |kind, ops: &[Op], commits| Script::Txn { kind, ops: ops.to_vec(), commits };
        let shown = |script: Script| {
            (0..script.steps()).map(|n| script.show(n)).collect::<Vec<_>>().join("; ")
        };
        let keys = [Op::Get(0), Op::View(1), Op::Put(2), Op::Delete(0), Op::Increment(1)];
        let all = script(Kind::Blind, &keys, true);
        assert_eq!(shown(all), "begin blind; get a; view b; put c; delete a; increment b; commit");
        let marks = [Op::MarkRead(Span::Open), Op::MarkWritten(Span::Inverted)];
        let marks = script(Kind::Snapshot, &marks, false);
        assert_eq!(shown(marks), "begin snapshot; mark_read prefix..; mark_written c..a; discard");
        let ranges: Vec<_> =
            Span::ALL.into_iter().zip(Drive::ALL).map(|(span, d)| Op::Range(span, d)).collect();
        assert_eq!(
            shown(script(Kind::ReaderAt(2), &ranges, true)),
            "read_at 2; range ..; range prefix.. reverse; first of ..b; last of ..=b; \
             both ends of b..; range after a from both ends; range b..=b untouched; commit"
        );
        let acts = [
            Act::Save,
            Act::SaveAmongWriters,
            Act::DeleteVersion(1),
            Act::Revert,
            Act::RevertTo(2),
            Act::Restore(3),
            Act::Prune,
            Act::ReadAt(4),
        ];
        assert_eq!(
            acts.map(|act| shown(Script::Act(act))).join("; "),
            "save; save among writers; delete version 1; revert; revert_to 2; restore 3; \
             prune; all of version 4"
        );
        assert_eq!([show_key(0), show_key(KEYS), letter(0), letter(3)], ['a', '?', 'A', 'D']);
    }
}
