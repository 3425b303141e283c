//! Which worlds are explored, and in which of their orders.

use super::op::{Act, Drive, Key, Kind, Op, Script, Span, World};
use super::schedule::{advance, count, first, some};
use crate::random::{Rng, mix};

/// A part of what is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Section {
    /// Every unordered pair of transactions with two calls each from a core of
    /// eight, in every order, on two states to begin with: 286,720
    /// interleavings. Two equal scripts count once with their names exchanged;
    /// no other order is left out, since a wrong database may tell any two
    /// apart.
    Pairs,
    /// Pairs of longer scripts over everything a transaction can do, at every
    /// isolation, some of them discarded.
    Variants,
    /// Three transactions of one or two calls.
    Triples,
    /// Four transactions of one call.
    Quads,
    /// Transactions among saves, reverts, restores, deletes of versions,
    /// prunes, and readers of the past.
    Versions,
    /// Transactions under snapshot isolation alone, each world with a skew
    /// played again as serializable.
    Skews,
}

impl Section {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Pairs, Self::Variants, Self::Triples, Self::Quads, Self::Versions, Self::Skews];
}

/// What to explore: the same plan is the same interleavings everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The seed of everything that is picked at random.
    pub seed: u64,
    /// About how many interleavings to play.
    pub budget: u64,
    /// The one section to explore; `None` for all, of which [`Section::Pairs`]
    /// gets seven tenths, or as much as it has.
    pub only: Option<Section>,
}

impl Plan {
    /// All sections.
    #[must_use]
    pub const fn new(seed: u64, budget: u64) -> Self {
        Self { seed, budget, only: None }
    }

    /// This section alone.
    #[must_use]
    pub const fn only(mut self, section: Section) -> Self {
        self.only = Some(section);
        self
    }

    /// Calls `then` with each world and schedule, until it says false.
    pub(super) fn each(&self, mut then: impl FnMut(&World, &[u8]) -> bool) {
        let share = |section| match self.only {
            Some(only) if only == section => self.budget,
            Some(_) => 0,
            None if section == Section::Pairs => (self.budget / 10 * 7).min(pairs_universe()),
            None => {
                let left = self.budget - (self.budget / 10 * 7).min(pairs_universe());
                left / 5
            }
        };
        for (n, &section) in (0..).zip(Section::ALL) {
            let mut rng = Rng::new(mix(self.seed.wrapping_add(n << 32)));
            let go_on = match section {
                Section::Pairs => pairs(share(section), &mut rng, &mut then),
                _ => random(section, share(section), &mut rng, &mut then),
            };
            if !go_on {
                return;
            }
        }
    }
}

/// What the pairs are made of.
const CORE: [Op; 8] = [
    Op::Get(0),
    Op::Get(1),
    Op::Put(0),
    Op::Put(1),
    Op::Delete(0),
    Op::Range(Span::All, Drive::Forward),
    Op::Range(Span::UpToB, Drive::First),
    Op::Increment(0),
];

/// The states that pairs begin with.
const INITIAL: [u8; 2] = [0b011, 0b000];

fn pairs_universe() -> u64 {
    let scripts = u64::try_from(CORE.len() * CORE.len()).unwrap_or(0);
    let orders = count(&[4, 4]);
    2 * (scripts * (scripts - 1) / 2 * orders + scripts * orders / 2)
}

/// All pairs, with as many of their orders as the budget allows.
fn pairs(budget: u64, rng: &mut Rng, then: &mut impl FnMut(&World, &[u8]) -> bool) -> bool {
    let txn = |a, b| Script::Txn { kind: Kind::Serializable, ops: vec![a, b], commits: true };
    let scripts: Vec<_> = CORE.iter().flat_map(|a| CORE.iter().map(move |b| txn(*a, *b))).collect();
    let exhaustive = budget >= pairs_universe();
    if budget == 0 {
        return true;
    }
    // Where not all orders fit, every pair gets some before any gets more.
    let worlds = u64::try_from(scripts.len() * (scripts.len() + 1)).unwrap_or(1);
    let each = (budget / worlds).max(1);
    let skip = worlds.div_ceil(budget);
    let mut turn = rng.next_u64() % skip;
    for (i, a) in scripts.iter().enumerate() {
        for b in scripts.iter().skip(i) {
            for initial in INITIAL {
                turn += 1;
                if !exhaustive && !turn.is_multiple_of(skip) {
                    continue;
                }
                let world = World { scripts: vec![a.clone(), b.clone()], initial };
                let mut go_on = true;
                let mut visit = |schedule: &[u8]| {
                    go_on = then(&world, schedule);
                    go_on
                };
                if exhaustive {
                    let mut schedule = first(&[4, 4]);
                    // In lexicographic order, the first half begins with A.
                    while (a != b || schedule.first() == Some(&0))
                        && visit(&schedule)
                        && advance(&mut schedule)
                    {}
                } else {
                    some(&[4, 4], each, rng, visit);
                }
                if !go_on {
                    return false;
                }
            }
        }
    }
    true
}

/// Random worlds of one section.
fn random(
    section: Section,
    budget: u64,
    rng: &mut Rng,
    then: &mut impl FnMut(&World, &[u8]) -> bool,
) -> bool {
    let (mut done, mut go_on) = (0, true);
    while done < budget && go_on {
        let world = world(section, rng);
        let steps: Vec<_> = world.scripts.iter().map(Script::steps).collect();
        // Many worlds of few orders find more than the other way about, but a
        // large budget has all the orders of some.
        let wanted = (budget / 1024).clamp(12, 40_000).min(budget - done);
        some(&steps, wanted, rng, |schedule| {
            done += 1;
            go_on = then(&world, schedule);
            go_on
        });
    }
    go_on
}

fn world(section: Section, rng: &mut Rng) -> World {
    let scripts = match section {
        Section::Pairs | Section::Variants => {
            let ops = 2 + rng.index(2);
            (0..2).map(|_| any_txn(ops, rng)).collect()
        }
        Section::Triples => {
            let ops = 1 + rng.index(2);
            let serializable = rng.percent(60);
            (0..3).map(|_| if serializable { txn(ops, rng) } else { any_txn(ops, rng) }).collect()
        }
        Section::Quads => {
            let serializable = rng.percent(60);
            (0..4).map(|_| if serializable { txn(1, rng) } else { any_txn(1, rng) }).collect()
        }
        Section::Versions => {
            let mut scripts: Vec<_> = (0..2).map(|_| any_txn(1 + rng.index(2), rng)).collect();
            scripts.extend((0..2 + rng.index(2)).map(|_| Script::Act(act(rng))));
            if rng.percent(30) {
                let kind = Kind::ReaderAt(1 + rng.next_u64() % 2);
                let ops = vec![read(rng, 0), read(rng, 1)];
                scripts.push(Script::Txn { kind, ops, commits: true });
            }
            scripts
        }
        Section::Skews => {
            let mut scripts: Vec<_> = (0..2).map(|_| skewing(rng)).collect();
            if rng.percent(50) {
                let ops = vec![Op::Range(Span::All, Drive::Forward)];
                scripts.push(Script::Txn { kind: Kind::Reader, ops, commits: true });
            }
            scripts
        }
    };
    World { scripts, initial: u8::try_from(rng.index(8)).unwrap_or(0) }
}

/// A serializable transaction that commits.
fn txn(ops: usize, rng: &mut Rng) -> Script {
    of_kind(Kind::Serializable, ops, rng)
}

/// A transaction of any kind that mostly commits.
fn any_txn(ops: usize, rng: &mut Rng) -> Script {
    let kinds = [
        Kind::Serializable,
        Kind::Serializable,
        Kind::Serializable,
        Kind::Snapshot,
        Kind::Snapshot,
        Kind::Blind,
        Kind::Blind,
        Kind::Reader,
    ];
    let kind = rng.pick(&kinds, Kind::Serializable);
    match of_kind(kind, ops, rng) {
        Script::Txn { kind, ops, .. } => Script::Txn { kind, ops, commits: rng.percent(88) },
        act @ Script::Act(_) => act,
    }
}

fn of_kind(kind: Kind, ops: usize, rng: &mut Rng) -> Script {
    let about = key(rng, 0);
    let call = |_| if kind.writes() { op(rng, about) } else { read(rng, about) };
    let ops = (0..ops).map(call).collect();
    Script::Txn { kind, ops, commits: true }
}

/// Under snapshot isolation: it reads one thing and writes another.
fn skewing(rng: &mut Rng) -> Script {
    let about = key(rng, 0);
    let write =
        if rng.percent(75) { Op::Put(key(rng, about)) } else { Op::Delete(key(rng, about)) };
    let mut ops = vec![read(rng, about), write];
    if rng.percent(25) {
        ops.push(op(rng, about));
    }
    Script::Txn { kind: Kind::Snapshot, ops, commits: true }
}

/// Mostly the key that the script is about, so that its calls meet.
fn key(rng: &mut Rng, about: Key) -> Key {
    if rng.percent(40) { about } else { rng.pick(&[0, 0, 1, 1, 2], 0) }
}

fn span(rng: &mut Rng) -> Span {
    rng.pick(&Span::ALL, Span::All)
}

fn read(rng: &mut Rng, about: Key) -> Op {
    match rng.percent(50) {
        true => Op::Get(key(rng, about)),
        false => Op::Range(span(rng), rng.pick(&Drive::ALL, Drive::Forward)),
    }
}

fn op(rng: &mut Rng, about: Key) -> Op {
    match rng.index(20) {
        0..=5 => read(rng, about),
        6 => Op::View(key(rng, about)),
        7..=11 => Op::Put(key(rng, about)),
        12..=14 => Op::Delete(key(rng, about)),
        15..=17 => Op::Increment(key(rng, about)),
        18 => Op::MarkRead(span(rng)),
        _ => Op::MarkWritten(span(rng)),
    }
}

fn act(rng: &mut Rng) -> Act {
    let version = 1 + rng.next_u64() % 2;
    match rng.index(12) {
        0..=2 => Act::Save,
        3 => Act::SaveAmongWriters,
        4 => Act::DeleteVersion(version),
        5 | 6 => Act::Revert,
        7 => Act::RevertTo(version),
        8 => Act::Restore(version),
        9 => Act::Prune,
        _ => Act::ReadAt(version),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_full_budget_has_every_pair_in_every_order() {
        assert_eq!(pairs_universe(), 286_720);
        let (mut n, mut seen) = (0, HashSet::new());
        Plan::new(1, pairs_universe()).only(Section::Pairs).each(|world, schedule| {
            n += 1;
            seen.insert((world.clone(), schedule.to_vec()))
        });
        assert_eq!((n, u64::try_from(seen.len())), (286_720, Ok(286_720)));
    }

    #[test]
    fn the_same_plan_is_the_same_interleavings() {
        let all = |seed| {
            let mut all = Vec::new();
            Plan::new(seed, 2_000).each(|world, schedule| {
                all.push((world.clone(), schedule.to_vec()));
                true
            });
            all
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }

    #[test]
    fn about_the_budget_is_played() {
        for budget in [500, 10_000, 50_000] {
            let mut n = 0u64;
            Plan::new(3, budget).each(|_, _| {
                n += 1;
                true
            });
            assert!(n * 10 > budget * 7 && n < budget * 2, "{n} of {budget}");
        }
    }

    /// A seed in a report must find the same interleaving later: whoever changes what is
    /// planned writes the new numbers here.
    #[test]
    fn a_seed_plans_the_same_interleavings_in_every_release() {
        let digests = Section::ALL.iter().map(|&section| {
            let mut digest = 0;
            Plan::new(1, 3_000).only(section).each(|world, schedule| {
                for byte in format!("{world:?} {schedule:?}").bytes() {
                    digest = mix(digest ^ u64::from(byte));
                }
                true
            });
            format!("{section:?} {digest:016x}")
        });
        let want = [
            "Pairs 4302babf013b349a",
            "Variants 3992c6be2c5ade60",
            "Triples b4ee9146112a666b",
            "Quads bee19e27932a7c55",
            "Versions aa48628cf6043f55",
            "Skews c1df43ea05ec874a",
        ];
        assert_eq!(digests.collect::<Vec<_>>(), want);
    }

    #[test]
    fn exploring_stops_when_told_and_plays_no_other_section() {
        for &section in Section::ALL {
            let mut n = 0;
            Plan::new(1, 100).only(section).each(|_, _| {
                n += 1;
                n < 7
            });
            assert_eq!(n, 7, "{section:?}");
        }
        let mut all = 0;
        Plan::new(1, 500).each(|_, _| {
            all += 1;
            all < 7
        });
        assert_eq!(all, 7);
    }
}
