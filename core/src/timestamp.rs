//! [`Timestamp`]: a place in the commit order.

use std::fmt;

/// A place in the commit order of one database.
///
/// Timestamps are logical: each commit gets the next one, and a snapshot at
/// timestamp `t` holds exactly the commits at or below `t`. They say nothing
/// about wall-clock time. [`Timestamp::ZERO`] is the empty database, before
/// any commit.
///
/// ```
/// use vellum_core::Timestamp;
/// assert!(Timestamp::ZERO < Timestamp::new(1));
/// assert_eq!(Timestamp::new(7).to_string(), "7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The state before the first commit.
    pub const ZERO: Self = Self(0);
    /// Above every commit that can ever be made.
    pub const MAX: Self = Self(u64::MAX);

    /// The timestamp with this number.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next timestamp; [`Timestamp::MAX`] is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The previous timestamp; [`Timestamp::ZERO`] is its own predecessor.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
