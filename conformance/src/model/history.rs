//! Random histories: what can be done, and how likely.

use std::ops::Bound;

use proptest::prelude::*;

use super::Key;

/// A range by the numbers of its keys, and how it is driven.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) bounds: (Bound<u8>, Bound<u8>),
    /// Each step from the back, or from the front.
    pub(crate) steps: Vec<bool>,
    /// Whether to go on to the end after these steps.
    pub(crate) exhausts: bool,
}

/// How a write transaction is begun.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flavour {
    Serializable,
    Snapshot,
    Blind,
}

/// One step of a history. Numbers name keys, slots of open transactions, and
/// states of the past; what they name is worked out while it is played.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Begin(u8, Flavour),
    Get(u8, u8),
    Range(u8, Span),
    View(u8, u8),
    Put(u8, u8, u8),
    Delete(u8, u8),
    MarkRead(u8, Span),
    MarkWritten(u8, Span),
    Commit(u8),
    Discard(u8),
    /// Another transaction puts a key, or deletes it, and commits at once.
    Rival(u8, Option<u8>),
    Reader(u8),
    Read(u8, Span),
    ReadKey(u8, u8),
    Save(u8, bool),
    DeleteVersion(u8),
    ReadAt(u8, Span),
    Revert,
    RevertTo(u8),
    Restore(u8, Span),
    Diff(u8, u8, Span),
    AsOf(u8),
    Changes(u8, u8),
    Prune,
    Reopen,
}

/// The key of this number. The last two are none: they are out of the limits.
pub(crate) fn key(n: u8) -> Key {
    match n {
        0 => b"a".to_vec(),
        1 => b"a\0".to_vec(),
        2 => b"ab".to_vec(),
        3 => b"b".to_vec(),
        4 => b"b\xff".to_vec(),
        5 => b"c".to_vec(),
        6 => b"\0".to_vec(),
        7 => b"\xff".to_vec(),
        8 => b"\xff\xff\xff".to_vec(),
        9 => vec![b'k'; vellum_core::MAX_KEY_LEN],
        10 => Vec::new(),
        _ => vec![b'k'; vellum_core::MAX_KEY_LEN + 1],
    }
}

fn any_key() -> impl Strategy<Value = u8> {
    prop_oneof![20 => 0u8..6, 6 => 6u8..10, 1 => 10u8..12]
}

fn bound() -> impl Strategy<Value = Bound<u8>> {
    prop_oneof![
        2 => Just(Bound::Unbounded),
        3 => (0u8..11).prop_map(Bound::Included),
        3 => (0u8..11).prop_map(Bound::Excluded),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    let steps = prop::collection::vec(any::<bool>(), 0..4);
    ((bound(), bound()), steps, any::<bool>()).prop_map(|(bounds, steps, exhausts)| Span {
        bounds,
        steps,
        exhausts,
    })
}

/// Histories of some dozens of steps.
pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let slot = || 0u8..3;
    let flavour = prop_oneof![
        6 => Just(Flavour::Serializable),
        1 => Just(Flavour::Snapshot),
        1 => Just(Flavour::Blind),
    ];
    let transactions = prop_oneof![
        6 => (slot(), flavour).prop_map(|(s, f)| Op::Begin(s, f)),
        6 => (slot(), any_key()).prop_map(|(s, k)| Op::Get(s, k)),
        6 => (slot(), span()).prop_map(|(s, r)| Op::Range(s, r)),
        1 => (slot(), any_key()).prop_map(|(s, k)| Op::View(s, k)),
        10 => (slot(), any_key(), any::<u8>()).prop_map(|(s, k, v)| Op::Put(s, k, v)),
        4 => (slot(), any_key()).prop_map(|(s, k)| Op::Delete(s, k)),
        1 => (slot(), span()).prop_map(|(s, r)| Op::MarkRead(s, r)),
        1 => (slot(), span()).prop_map(|(s, r)| Op::MarkWritten(s, r)),
        9 => slot().prop_map(Op::Commit),
        1 => slot().prop_map(Op::Discard),
        8 => (0u8..10, prop::option::weighted(0.7, any::<u8>())).prop_map(|(k, v)| Op::Rival(k, v)),
        1 => slot().prop_map(Op::Reader),
        2 => (slot(), any_key()).prop_map(|(s, k)| Op::ReadKey(s, k)),
        2 => (slot(), span()).prop_map(|(s, r)| Op::Read(s, r)),
    ];
    let past = || any::<u8>();
    let versions = prop_oneof![
        4 => (0u8..4, any::<bool>()).prop_map(|(n, open)| Op::Save(n, open)),
        2 => past().prop_map(Op::DeleteVersion),
        2 => (past(), span()).prop_map(|(v, r)| Op::ReadAt(v, r)),
        1 => Just(Op::Revert),
        1 => past().prop_map(Op::RevertTo),
        1 => (past(), span()).prop_map(|(v, r)| Op::Restore(v, r)),
        2 => (past(), past(), span()).prop_map(|(a, b, r)| Op::Diff(a, b, r)),
        1 => past().prop_map(Op::AsOf),
        1 => (past(), past()).prop_map(|(a, b)| Op::Changes(a, b)),
        2 => Just(Op::Prune),
        1 => Just(Op::Reopen),
    ];
    prop::collection::vec(prop_oneof![4 => transactions, 1 => versions], 1..80)
}
