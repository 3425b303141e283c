//! Histories out of the bytes of a fuzzer, played against the model.
//!
//! Every byte string is a history: each operation takes a byte for its kind and
//! as many as it needs for the rest, and what is missing at the end is zero. So a
//! small change of the bytes is a small change of the history.

use std::ops::Bound;

use crate::history::History;
use crate::model::{Flavour, Mode, Op, Span, play};
use crate::{CaseResult, Ctx, Effort, Factory};

/// More operations than this are cut off: a history is to be read by people.
const OPS_MAX: usize = 120;

/// Plays the history in these bytes from an empty place, and compares every step
/// with the model. The first byte says whether history is kept.
///
/// # Errors
/// The first step that the model does not agree with, with the history up to it.
pub fn play_bytes<F: Factory>(factory: F, data: &[u8]) -> CaseResult {
    let Some((mode, data)) = data.split_first() else { return Ok(()) };
    let ops = decode(data);
    let reopens = factory.capabilities().lacks(crate::Need::Durable).is_none();
    let mode = Mode { history: mode % 2 == 1, reopens };
    play(&Ctx { factory, effort: Effort::small() }, mode, &ops)
}

/// The history in these bytes, a step a line.
#[must_use]
pub fn story(data: &[u8]) -> String {
    let ops = decode(data.get(1..).unwrap_or_default());
    let steps = (1..).zip(&ops).map(|(n, op)| format!("{n:>3}. {op:?}\n"));
    steps.collect()
}

/// Takes bytes for the lines of a recorded history, after the first: they are
/// read or refused, and what is read is written as something that reads the same.
///
/// # Errors
/// What was read reads differently once it was written.
pub fn history(data: &[u8]) -> CaseResult {
    let io = |e: std::io::Error| crate::Failure::new(e.to_string());
    let mut text = Vec::new();
    History::default().write_to(&mut text).map_err(io)?;
    text.extend(data);
    let Ok(history) = History::read_from(&text[..]) else { return Ok(()) };
    let mut again = Vec::new();
    history.write_to(&mut again).map_err(io)?;
    let again = History::read_from(&again[..]).map_err(io)?;
    crate::check::holds(again == history, "a history reads the same once it was written")
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn slot(&mut self) -> u8 {
        self.byte() % 3
    }

    /// The last two are out of the limits, and rarer.
    fn key(&mut self) -> u8 {
        match self.byte() {
            n @ 250.. => 10 + n % 2,
            n => n % 10,
        }
    }

    fn bound(&mut self) -> Bound<u8> {
        let n = self.byte();
        match n % 3 {
            0 => Bound::Unbounded,
            1 => Bound::Included(n / 3 % 11),
            _ => Bound::Excluded(n / 3 % 11),
        }
    }

    fn span(&mut self) -> Span {
        let bounds = (self.bound(), self.bound());
        let how = self.byte();
        let steps = (0..how % 4).map(|step| how >> (4 + step) & 1 == 1).collect();
        Span { bounds, steps, exhausts: how & 4 == 4 }
    }

    fn op(&mut self) -> Op {
        match self.byte() % 32 {
            0..=2 => Op::Begin(
                self.slot(),
                match self.byte() % 8 {
                    0 => Flavour::Snapshot,
                    1 => Flavour::Blind,
                    _ => Flavour::Serializable,
                },
            ),
            3 | 4 => Op::Get(self.slot(), self.key()),
            5 | 6 => Op::Range(self.slot(), self.span()),
            7 => Op::View(self.slot(), self.key()),
            8..=10 => Op::Put(self.slot(), self.key(), self.byte()),
            11 => Op::Delete(self.slot(), self.key()),
            12 => Op::MarkRead(self.slot(), self.span()),
            13 => Op::MarkWritten(self.slot(), self.span()),
            14 | 15 => Op::Commit(self.slot()),
            16 => Op::Discard(self.slot()),
            17 | 18 => {
                let value = self.byte();
                Op::Rival(self.byte() % 10, (!value.is_multiple_of(4)).then_some(value))
            }
            19 => Op::Reader(self.slot()),
            20 => Op::Read(self.slot(), self.span()),
            21 => Op::ReadKey(self.slot(), self.key()),
            22 => Op::Save(self.byte() % 4, self.byte() % 2 == 1),
            23 => Op::DeleteVersion(self.byte()),
            24 => Op::ReadAt(self.byte(), self.span()),
            25 => Op::Revert,
            26 => Op::RevertTo(self.byte()),
            27 => Op::Restore(self.byte(), self.span()),
            28 => Op::Diff(self.byte(), self.byte(), self.span()),
            29 => match self.byte() % 2 {
                0 => Op::AsOf(self.byte()),
                _ => Op::Changes(self.byte(), self.byte()),
            },
            30 => Op::Prune,
            _ => Op::Reopen,
        }
    }
}

fn decode(data: &[u8]) -> Vec<Op> {
    let mut input = Input(data);
    let mut ops = Vec::new();
    while !input.0.is_empty() && ops.len() < OPS_MAX {
        ops.push(input.op());
    }
    ops
}
