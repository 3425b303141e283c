//! The ledger: a run of steps that a seed decides alone, so that whoever knows
//! the seed knows what the database holds after each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use vellum_core::Durability;

use crate::random::Rng;

/// Keys are few, so that they are overwritten and deleted.
const KEYS: u64 = 48;

/// The lengths of values, in bytes: empty, small, over a sector, over a page,
/// over several.
const LENGTHS: [u64; 6] = [0, 24, 300, 900, 5_000, 20_000];

/// A value by what it is made from, which is as good as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    seed: u64,
    len: u64,
}

impl Value {
    /// The bytes.
    pub(super) fn bytes(self) -> Vec<u8> {
        value_of(self.seed, self.len)
    }
}

/// Bytes from a seed: nothing in them repeats, so no compression makes them
/// small.
pub(super) fn value_of(seed: u64, len: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let words = (0..len.div_ceil(8)).flat_map(|_| rng.next_u64().to_le_bytes());
    let mut bytes: Vec<u8> = words.collect();
    bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    bytes
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One transaction: keys put, and deleted.
    Commit(Vec<(Vec<u8>, Option<Value>)>, Durability),
    Sync,
    Save,
    Delete(u64),
    Revert,
    RevertTo(u64),
    Restore(u64),
    Prune,
    Reopen,
}

impl Step {
    /// Whether everything up to here is durable once it is acknowledged.
    /// Closing syncs.
    pub(super) fn is_durable(&self) -> bool {
        !matches!(self, Self::Commit(_, Durability::Buffered) | Self::Prune)
    }
}

pub(super) type Contents = BTreeMap<Vec<u8>, Value>;

/// What the database holds after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) head: Arc<Contents>,
    /// Each with the step that saved it.
    pub(super) versions: BTreeMap<u64, (usize, Arc<Contents>)>,
}

/// The steps of a seed, and the worlds between them.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) steps: Vec<Step>,
    /// One more than steps: the first is empty.
    pub(super) worlds: Vec<World>,
}

impl Ledger {
    /// So many steps.
    pub(super) fn new(seed: u64, steps: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut ledger = Self { steps: Vec::new(), worlds: vec![World::default()] };
        let mut world = World::default();
        for n in 1..=steps {
            let step = choose(&mut rng, &world);
            world.take(&step, n);
            ledger.steps.push(step);
            ledger.worlds.push(world.clone());
        }
        ledger
    }
}

impl World {
    /// What step `n` makes of it.
    fn take(&mut self, step: &Step, n: usize) {
        let of = |saved: Option<&(usize, Arc<Contents>)>| {
            saved.map(|(_, contents)| contents.clone()).unwrap_or_default()
        };
        match step {
            Step::Commit(writes, _) => {
                let head = Arc::make_mut(&mut self.head);
                for (key, value) in writes {
                    match value {
                        Some(value) => drop(head.insert(key.clone(), *value)),
                        None => drop(head.remove(key)),
                    }
                }
            }
            Step::Save => {
                let number = self.versions.last_key_value().map_or(1, |(last, _)| last + 1);
                self.versions.insert(number, (n, self.head.clone()));
            }
            Step::Delete(number) => drop(self.versions.remove(number)),
            Step::Revert => {
                self.head = of(self.versions.last_key_value().map(|(_, saved)| saved));
            }
            Step::RevertTo(number) => {
                self.head = of(self.versions.get(number));
                self.versions.retain(|n, _| n <= number);
            }
            Step::Restore(number) => {
                self.head = of(self.versions.get(number));
            }
            Step::Sync | Step::Prune | Step::Reopen => {}
        }
    }
}

fn choose(rng: &mut Rng, world: &World) -> Step {
    let numbers: Vec<u64> = world.versions.keys().copied().collect();
    let some = numbers.get(rng.index(numbers.len())).copied();
    match (rng.below(100), some) {
        (0..8, _) => Step::Save,
        (8..11, Some(number)) => Step::Delete(number),
        (11..13, _) => Step::Revert,
        (13..15, Some(number)) => Step::RevertTo(number),
        (15..17, Some(number)) => Step::Restore(number),
        (17..19, _) => Step::Prune,
        (19..22, _) => Step::Sync,
        (22..24, _) => Step::Reopen,
        _ => {
            let durability = if rng.percent(60) { Durability::Sync } else { Durability::Buffered };
            let writes = (0..=rng.below(6)).map(|_| {
                let key = format!("key {:03}", rng.below(KEYS)).into_bytes();
                let len = rng.pick(&LENGTHS, 0);
                let value = Value { seed: rng.next_u64(), len };
                (key, (!rng.percent(20)).then_some(value))
            });
            // Each key once: the steps of a transaction have no order.
            Step::Commit(writes.collect::<BTreeMap<_, _>>().into_iter().collect(), durability)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_decided_by_its_seed_and_has_every_kind_of_step() {
        let ledger = Ledger::new(1, 400);
        assert_eq!(ledger.steps, Ledger::new(1, 400).steps);
        assert_ne!(ledger.steps, Ledger::new(2, 400).steps);
        let kinds: std::collections::HashSet<_> =
            ledger.steps.iter().map(std::mem::discriminant).collect();
        assert_eq!(kinds.len(), 9);
        assert_eq!(ledger.worlds.len(), 401);
    }

    #[test]
    fn values_are_as_long_as_they_say_and_differ_by_their_seed() {
        for len in LENGTHS {
            let of = |seed| Value { seed, len }.bytes();
            assert_eq!(u64::try_from(of(7).len()), Ok(len));
            assert_eq!(of(7), value_of(7, len));
            assert_eq!(of(7) == of(8), len == 0);
        }
    }
}
