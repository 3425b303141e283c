//! Drives a range of the database beside the model's.

use std::collections::VecDeque;
use std::ops::Bound;

use vellum_core::ReadTxn;

use super::{Key, Map, Part, Span, key};
use crate::CaseResult;
use crate::check::{same, text};

pub(super) fn bounds(span: &Span) -> (Bound<Key>, Bound<Key>) {
    let bound = |b: Bound<u8>| b.map(key);
    (bound(span.bounds.0), bound(span.bounds.1))
}

/// Long keys would drown everything else.
pub(super) fn short(key: &[u8]) -> String {
    text(key.get(..8).unwrap_or(key))
}

pub(super) fn whole(txn: &impl ReadTxn, want: &Map, what: &str) -> CaseResult {
    let span =
        Span { bounds: (Bound::Unbounded, Bound::Unbounded), steps: Vec::new(), exhausts: true };
    drive(txn, want, &span, what).map(drop)
}

/// Drives a range as the span says and compares each step. Gives what was
/// observed.
pub(super) fn drive(
    txn: &impl ReadTxn,
    state: &Map,
    span: &Span,
    what: &str,
) -> CaseResult<Vec<Part>> {
    let bounds = bounds(span);
    let part = Part::of(&bounds);
    let mut want: VecDeque<_> = state.iter().filter(|(k, _)| part.holds(k)).collect();
    let mut range = txn.range(bounds);
    let (mut front, mut back, mut all) = (None, None, false);
    let rest = std::iter::repeat_n(span.steps.len() % 2 == 1, want.len() + 2);
    let rest = rest.filter(|_| span.exhausts);
    for from_back in span.steps.iter().copied().chain(rest) {
        let got = if from_back { range.next_back() } else { range.next() }.transpose()?;
        let got = got.map(|(k, v)| (short(&k), k, text(&v)));
        let want = if from_back { want.pop_back() } else { want.pop_front() };
        let end = if from_back { "back" } else { "front" };
        let shown = got.as_ref().map(|(k, _, v)| (k.clone(), v.clone()));
        let wanted = want.map(|(k, v)| (short(k), text(v)));
        same(format!("{what}, from the {end}"), shown, wanted)?;
        match want {
            None => all = true,
            Some((k, _)) if from_back => back = Some(k.clone()),
            Some((k, _)) => front = Some(k.clone()),
        }
    }
    Ok(match all {
        true => vec![part],
        false => {
            front.map(|k| part.up_to(&k)).into_iter().chain(back.map(|k| part.from(&k))).collect()
        }
    })
}
