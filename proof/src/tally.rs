//! What was done, counted.

use std::collections::BTreeMap;
use std::fmt;

use crate::figures::count;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// One count.
    pub(crate) fn of(name: &'static str, n: u64) -> Self {
        Self(BTreeMap::from([(name, n)]))
    }

    /// And another.
    pub(crate) fn and(mut self, name: &'static str, n: u64) -> Self {
        *self.0.entry(name).or_default() += n;
        self
    }

    /// Adds every count of another tally.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, n) in &other.0 {
            *self.0.entry(name).or_default() += n;
        }
    }

    /// Each name and its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, n)| (*name, *n))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing yet");
        }
        for (i, (name, n)) in self.iter().enumerate() {
            write!(f, "{}{} {name}", if i > 0 { ", " } else { "" }, count(n))?;
        }
        Ok(())
    }
}
