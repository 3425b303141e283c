//! The two answers of a check: [`Verified`] and [`Anomaly`].

use std::fmt;

/// What kind of anomaly was found.
///
/// The classes of cycles are Adya's ("Weak Consistency: A Generalized Theory
/// and Optimistic Implementations for Distributed Transactions", MIT 1999),
/// where ww is "overwrote what the other wrote", wr "read what the other
/// wrote" and rw "read what the other then overwrote".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// A cycle of ww alone.
    G0,
    /// A read of what an aborted transaction wrote.
    G1a,
    /// A read of what a transaction wrote and then wrote over.
    G1b,
    /// A cycle of ww and wr.
    G1c,
    /// Two transactions read one state of a key, and both wrote the key.
    LostUpdate,
    /// A cycle with exactly one rw.
    GSingle,
    /// A cycle with several rw, all of them of keys that were read one by one.
    G2Item,
    /// A cycle with several rw, one of them of a range.
    G2,
    /// A cycle with ww, wr, rw and the order of real time: each part would do,
    /// if clocks did not count.
    RealTime,
    /// A transaction did not read its own write.
    Internal,
    /// A read of a value that nobody wrote.
    Garbage,
    /// A range that is out of order, repeats itself or leaves its bounds.
    BrokenRange,
    /// A read of an older state than that of its snapshot, or of the point of
    /// its commit.
    StaleRead,
    /// A read of a newer state than that of its snapshot.
    FutureRead,
    /// A commit that should have been a conflict: another transaction wrote
    /// the same key meanwhile.
    MissedConflict,
    /// Timestamps that are not unique, or not in the order of real time.
    Timestamps,
    /// The set of saved versions is not what was made of it.
    Versions,
    /// Two reads of one list that no order of its appends explains.
    IncompatibleOrder,
    /// No order of the transactions explains what they read; found by trying
    /// all of them.
    NoOrder,
    /// The check gave up: too many outcomes are unknown, or too many orders
    /// possible. Says nothing about the history.
    Undecided,
}

impl Class {
    /// Its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::G0 => "G0 (write cycle)",
            Self::G1a => "G1a (aborted read)",
            Self::G1b => "G1b (intermediate read)",
            Self::G1c => "G1c (circular information flow)",
            Self::LostUpdate => "lost update",
            Self::GSingle => "G-single (read skew)",
            Self::G2Item => "G2-item (write skew)",
            Self::G2 => "G2 (anti-dependency cycle through a range)",
            Self::RealTime => "strict serializability violated (cycle with real time)",
            Self::Internal => "own write not seen",
            Self::Garbage => "value that nobody wrote",
            Self::BrokenRange => "broken range",
            Self::StaleRead => "stale read",
            Self::FutureRead => "read from the future",
            Self::MissedConflict => "missed write conflict",
            Self::Timestamps => "timestamps out of order",
            Self::Versions => "saved versions wrong",
            Self::IncompatibleOrder => "incompatible orders of one list",
            Self::NoOrder => "no order explains the reads",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a history is not what was promised: a class, and a story of a few lines
/// that names who did what and why that cannot be.
#[derive(Clone, Debug)]
pub struct Anomaly {
    pub(super) class: Class,
    pub(super) txns: Vec<usize>,
    pub(super) story: String,
}

impl Anomaly {
    pub(super) fn new(class: Class, txns: Vec<usize>, story: impl Into<String>) -> Box<Self> {
        Box::new(Self { class, txns, story: story.into() })
    }

    /// What kind it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The transactions that have a part in it, as indices into
    /// [`History::txns`](super::History::txns).
    #[must_use]
    pub fn transactions(&self) -> &[usize] {
        &self.txns
    }

    /// The story, without the class.
    #[must_use]
    pub fn story(&self) -> &str {
        &self.story
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.class, self.story)
    }
}

impl std::error::Error for Anomaly {}

/// What a check looked at and found well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Transactions, of every outcome.
    pub transactions: u64,
    /// Those that committed with a timestamp, or are known by their effect to
    /// have done so.
    pub committed: u64,
    /// Those that lost or were discarded: their reads were checked too.
    pub aborted: u64,
    /// Operations of all transactions.
    pub operations: u64,
    /// Point reads and items of ranges that were compared with the state at
    /// their timestamp.
    pub reads: u64,
    /// Ranges that were compared, as far as they were consumed.
    pub ranges: u64,
    /// Dependencies (ww, wr, rw) that the compared reads and writes stand for.
    pub edges: u64,
    /// Reads of saved versions and past timestamps among the transactions.
    pub past: u64,
    /// Saves, reverts, restores and deletes of versions.
    pub events: u64,
    /// Transactions that read a past timestamp which lies before the recording
    /// and of which nothing is known: not checked.
    pub unchecked: u64,
}

impl Verified {
    /// Adds another check's figures to these.
    pub fn add(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.operations += other.operations;
        self.reads += other.reads;
        self.ranges += other.ranges;
        self.edges += other.edges;
        self.past += other.past;
        self.events += other.events;
        self.unchecked += other.unchecked;
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transactions ({} committed, {} aborted, {} in the past), {} operations, {} reads, \
             {} ranges, {} dependencies, {} changes of versions",
            self.transactions,
            self.committed,
            self.aborted,
            self.past,
            self.operations,
            self.reads,
            self.ranges,
            self.edges,
            self.events
        )?;
        match self.unchecked {
            0 => Ok(()),
            n => write!(f, ", {n} not checked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_two_checks_are_added_one_by_one() {
        let figures = |first: u64| Verified {
            transactions: first,
            committed: first + 1,
            aborted: first + 2,
            operations: first + 3,
            reads: first + 4,
            ranges: first + 5,
            edges: first + 6,
            past: first + 7,
            events: first + 8,
            unchecked: first + 9,
        };
        let mut sum = Verified::default();
        sum.add(&figures(10));
        assert_eq!(sum, figures(10));
        sum.add(&figures(10));
        assert_eq!((sum.transactions, sum.committed, sum.aborted), (20, 22, 24));
        assert_eq!((sum.operations, sum.reads, sum.ranges), (26, 28, 30));
        assert_eq!((sum.edges, sum.past, sum.events, sum.unchecked), (32, 34, 36, 38));
    }

    #[test]
    fn classes_are_told_by_their_names() {
        let anomaly = Anomaly::new(Class::G2Item, vec![], "a story");
        assert_eq!(anomaly.to_string(), "G2-item (write skew)\na story");
        assert_ne!(Class::G0.name(), Class::G1a.name());
    }
}
