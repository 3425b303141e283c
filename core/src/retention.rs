//! [`Retention`]: which timestamps must stay readable, and the one rule of
//! which records are dead.

use crate::Timestamp;

/// The timestamps that must stay readable: R = pins ∪ open snapshots ∪
/// [horizon, ∞).
///
/// The rule is by intervals (as in HANA and Steam): a record at `ts` whose
/// successor is at `ts'` shows at the timestamps of [`ts`, `ts'`), so it is
/// dead iff none of them is in R. A rule by the minimum of R alone, which most
/// engines use, would keep everything above one old pin.
///
/// An older retention is always a safe one: what is retained later is either
/// in it already or at or above its horizon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pins: Vec<Timestamp>,
    snapshots: Vec<Timestamp>,
    points: Vec<Timestamp>,
    horizon: Timestamp,
}

impl Retention {
    /// Retains these pins, these open snapshots, and every timestamp at or
    /// above the horizon. In any order; repeats are fine.
    #[must_use]
    pub fn new(
        mut pins: Vec<Timestamp>,
        mut snapshots: Vec<Timestamp>,
        horizon: Timestamp,
    ) -> Self {
        for points in [&mut pins, &mut snapshots] {
            points.sort_unstable();
            points.dedup();
        }
        let mut points = [&pins[..], &snapshots[..]].concat();
        points.sort_unstable();
        points.dedup();
        Self { pins, snapshots, points, horizon }
    }

    /// Retains everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            pins: Vec::new(),
            snapshots: Vec::new(),
            points: Vec::new(),
            horizon: Timestamp::ZERO,
        }
    }

    /// The timestamps of saved versions, ascending.
    #[must_use]
    pub fn pins(&self) -> &[Timestamp] {
        &self.pins
    }

    /// The timestamps of open snapshots, ascending.
    #[must_use]
    pub fn snapshots(&self) -> &[Timestamp] {
        &self.snapshots
    }

    /// Every timestamp at or above this one is retained.
    #[must_use]
    pub const fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// The lowest retained timestamp.
    #[must_use]
    pub fn oldest(&self) -> Timestamp {
        self.points.first().map_or(self.horizon, |&p| p.min(self.horizon))
    }

    /// Whether a record at `ts` that was superseded at `successor` shows at no
    /// retained timestamp. `None`: it was not superseded, so it is alive.
    #[must_use]
    pub fn is_dead(&self, ts: Timestamp, successor: Option<Timestamp>) -> bool {
        is_dead(&self.points, self.horizon, ts, successor)
    }

    /// The same rule for a store whose open snapshots keep for themselves what
    /// they see: only pins and the horizon count.
    #[must_use]
    pub fn is_dead_to_pins(&self, ts: Timestamp, successor: Option<Timestamp>) -> bool {
        is_dead(&self.pins, self.horizon, ts, successor)
    }

    /// The highest pin at or below `ts`, if there is one.
    #[must_use]
    pub fn newest_pin_at(&self, ts: Timestamp) -> Option<Timestamp> {
        let above = self.pins.partition_point(|&p| p <= ts);
        self.pins.get(above.checked_sub(1)?).copied()
    }
}

fn is_dead(
    points: &[Timestamp],
    horizon: Timestamp,
    ts: Timestamp,
    successor: Option<Timestamp>,
) -> bool {
    let Some(successor) = successor else { return false };
    if successor > horizon {
        return false;
    }
    let first = points.partition_point(|&p| p < ts);
    points.get(first).is_none_or(|&p| p >= successor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(n: u64) -> Timestamp {
        Timestamp::new(n)
    }

    #[test]
    fn record_is_dead_iff_no_retained_timestamp_lies_in_its_interval() {
        // Against the definition, over every small R.
        for bits in (0u32..256).step_by(if cfg!(miri) { 37 } else { 1 }) {
            for horizon in (0..9).step_by(if cfg!(miri) { 4 } else { 1 }) {
                let points: Vec<_> = (0..8).filter(|i| bits >> i & 1 == 1).map(ts).collect();
                let keep = Retention::new(points.clone(), vec![], ts(horizon));
                for from in 0..8 {
                    assert!(!keep.is_dead(ts(from), None));
                    for to in from + 1..10 {
                        let retained = (from..to).any(|t| t >= horizon || points.contains(&ts(t)));
                        assert_eq!(keep.is_dead(ts(from), Some(ts(to))), !retained);
                    }
                }
            }
        }
    }

    #[test]
    fn open_snapshots_do_not_count_for_stores_that_keep_them_themselves() {
        let keep = Retention::new(vec![ts(3)], vec![ts(5)], ts(9));
        assert!(!keep.is_dead(ts(4), Some(ts(6))));
        assert!(keep.is_dead_to_pins(ts(4), Some(ts(6))));
        assert!(!keep.is_dead_to_pins(ts(2), Some(ts(4))));
    }

    #[test]
    fn newest_pin_is_the_highest_at_or_below() {
        let keep = Retention::new(vec![ts(7), ts(3)], vec![], ts(9));
        assert_eq!(keep.newest_pin_at(ts(2)), None);
        assert_eq!(keep.newest_pin_at(ts(3)), Some(ts(3)));
        assert_eq!(keep.newest_pin_at(ts(8)), Some(ts(7)));
        assert_eq!(keep.oldest(), ts(3));
    }
}
