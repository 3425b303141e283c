//! How a database is opened.

use crate::{Durability, MAX_TXN_BYTES};

/// How a [`Database`](crate::Database) behaves. Backends add options of their
/// own beside these.
///
/// ```
/// use vellum_core::{Durability, History, Options};
/// let o = Options::new().durability(Durability::Buffered).history(History::Commits(10_000));
/// assert_eq!(o.history, History::Commits(10_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The durability of commits that do not ask for one. Default: `Sync`.
    pub durability: Durability,
    /// Which past timestamps stay readable, beyond saved versions. Default:
    /// none.
    pub history: History,
    /// Who removes dead records. Default: the engine.
    pub pruning: Pruning,
    /// The most bytes of keys and values that one transaction may write, and of bounds
    /// that it declares as written; at most [`MAX_TXN_BYTES`], which is the default.
    pub max_txn_bytes: usize,
}

/// Which past timestamps can be read by
/// [`read_as_of`](crate::Connection::read_as_of), and followed by
/// [`changes`](crate::Connection::changes), beyond the saved versions and the
/// head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum History {
    /// None. Superseded records go as soon as no version and no open
    /// transaction sees them.
    #[default]
    None,
    /// At least those of this many newest commits.
    Commits(u64),
    /// All of them, from the moment that history was first asked for.
    All,
}

/// Who removes dead records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pruning {
    /// A thread of the engine, when enough of them may have gathered.
    #[default]
    Automatic,
    /// Only [`prune`](crate::Connection::prune).
    Manual,
}

impl Options {
    /// The defaults: synced commits, no history, automatic pruning.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            durability: Durability::Sync,
            history: History::None,
            pruning: Pruning::Automatic,
            max_txn_bytes: MAX_TXN_BYTES,
        }
    }

    /// Sets the durability of commits that do not ask for one.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets which past timestamps stay readable.
    #[must_use]
    pub const fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Sets who removes dead records.
    #[must_use]
    pub const fn pruning(mut self, pruning: Pruning) -> Self {
        self.pruning = pruning;
        self
    }

    /// Sets the most bytes that one transaction may write; more than
    /// [`MAX_TXN_BYTES`] counts as that.
    #[must_use]
    pub const fn max_txn_bytes(mut self, bytes: usize) -> Self {
        self.max_txn_bytes = if bytes < MAX_TXN_BYTES { bytes } else { MAX_TXN_BYTES };
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_transaction_are_limited_by_the_lower_of_two() {
        let limit = |bytes| Options::new().max_txn_bytes(bytes).max_txn_bytes;
        assert_eq!([limit(0), limit(1000)], [0, 1000]);
        assert_eq!([limit(MAX_TXN_BYTES), limit(usize::MAX)], [MAX_TXN_BYTES; 2]);
    }
}
