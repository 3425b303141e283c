//! Orders of steps.

use crate::random::Rng;

/// Which script takes each step.
pub(super) type Schedule = Vec<u8>;

/// The first schedule in lexicographic order of scripts with these many steps.
pub(super) fn first(steps: &[usize]) -> Schedule {
    let each = steps.iter().zip(0u8..).flat_map(|(n, script)| std::iter::repeat_n(script, *n));
    each.collect()
}

/// Makes it the next one; false after the last. (Narayana's algorithm for the
/// next permutation of a multiset.)
pub(super) fn advance(schedule: &mut [u8]) -> bool {
    let ascends = |w: &[u8]| matches!(w, [a, b] if a < b);
    let Some(i) = schedule.windows(2).rposition(ascends) else { return false };
    let Some(pivot) = schedule.get(i).copied() else { return false };
    if let Some(j) = schedule.iter().rposition(|s| *s > pivot) {
        schedule.swap(i, j);
    }
    if let Some(tail) = schedule.get_mut(i + 1..) {
        tail.reverse();
    }
    true
}

/// How many there are: (Σn)! / Πn!.
pub(super) fn count(steps: &[usize]) -> u64 {
    let (mut total, mut count) = (0u64, 1u64);
    for &n in steps {
        for k in 1..=u64::try_from(n).unwrap_or(0) {
            total += 1;
            count = count.saturating_mul(total) / k;
        }
    }
    count
}

/// `wanted` of them: every one in order if that is all, otherwise random ones.
pub(super) fn some(
    steps: &[usize],
    wanted: u64,
    rng: &mut Rng,
    mut then: impl FnMut(&[u8]) -> bool,
) {
    let mut schedule = first(steps);
    if wanted >= count(steps) {
        while then(&schedule) && advance(&mut schedule) {}
        return;
    }
    for _ in 0..wanted {
        rng.shuffle(&mut schedule);
        if !then(&schedule) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn schedules_are_enumerated_once_each() {
        for (steps, want) in
            [(&[4, 4][..], 70), (&[5, 5], 252), (&[3, 3, 3], 1_680), (&[4, 4, 4], 34_650)]
        {
            assert_eq!(count(steps), want);
            let (mut seen, mut schedule) = (BTreeSet::new(), first(steps));
            loop {
                assert!(seen.insert(schedule.clone()), "{schedule:?} comes twice");
                if !advance(&mut schedule) {
                    break;
                }
            }
            assert_eq!(u64::try_from(seen.len()), Ok(want));
        }
        assert_eq!(count(&[3, 3, 3, 3]), 369_600);
    }

    #[test]
    fn random_schedules_have_the_right_steps() {
        some(&[3, 1, 4], 20, &mut Rng::new(1), |schedule| {
            let steps = |who: u8| schedule.iter().filter(|s| **s == who).count();
            assert_eq!([steps(0), steps(1), steps(2)], [3, 1, 4]);
            true
        });
    }
}
