//! What is to be done while a database is recorded.

/// A seeded workload. The seed decides what each thread does, in which order;
/// how the threads meet is the machine's affair, so that two runs of one seed
/// give different histories of the same kind.
///
/// ```
/// use vellum_conformance::history::{Kind, Workload};
/// let w = Workload::new().seed(7).threads(8).transactions(10_000).kind(Kind::ListAppend);
/// assert_eq!(w.threads, 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// The seed of every choice.
    pub seed: u64,
    /// How many threads run transactions.
    pub threads: u32,
    /// How many transactions they begin, in all.
    pub transactions: u64,
    /// What they do.
    pub kind: Kind,
    /// How many keys they do it to. Fewer keys, more conflicts.
    pub keys: u64,
    /// How many operations, in percent, go to the first tenth of the keys.
    pub skew: u64,
    /// The most operations of one transaction.
    pub ops: u64,
    /// How many operations, in percent, are ranges.
    pub ranges: u64,
    /// How many operations, in percent, are deletes; registers only.
    pub deletes: u64,
    /// How many write transactions, in percent, run under snapshot isolation.
    pub snapshot: u64,
    /// How many write transactions, in percent, only write, and do not detect
    /// write conflicts; registers only.
    pub blind: u64,
    /// How many write transactions, in percent, are discarded.
    pub discards: u64,
    /// How many steps, in percent, are readers of the head; a part of them
    /// stays open over many later transactions of their thread.
    pub readers: u64,
    /// How many steps, in thousandths, save, revert, restore or delete
    /// versions, or read one. A history of lists has no reverts and restores,
    /// which would take appends back.
    pub versions: u64,
}

/// What a [`Workload`] writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Values that are written once and never again, whole, over what stood
    /// there.
    #[default]
    Registers,
    /// Lists of numbers, which transactions read and append to: what a read
    /// saw tells the whole order of the appends before it, without any
    /// timestamp (Kingsbury and Alvaro, "Elle", VLDB 2020).
    ListAppend,
}

impl Workload {
    /// 4 threads, 10,000 transactions of up to 6 operations on 64 registers,
    /// with a bit of everything, seed 1.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seed: 1,
            threads: 4,
            transactions: 10_000,
            kind: Kind::Registers,
            keys: 64,
            skew: 30,
            ops: 6,
            ranges: 15,
            deletes: 10,
            snapshot: 15,
            blind: 5,
            discards: 5,
            readers: 15,
            versions: 20,
        }
    }

    /// Serializable transactions alone, or those under snapshot isolation
    /// alone, without versions: what checkers without timestamps can judge.
    #[must_use]
    pub const fn of_one_level(mut self, snapshot: bool) -> Self {
        self.snapshot = if snapshot { 100 } else { 0 };
        self.blind = 0;
        self.versions = 0;
        self
    }

    /// Sets the seed.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of threads; at least one runs.
    #[must_use]
    pub const fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the number of transactions.
    #[must_use]
    pub const fn transactions(mut self, transactions: u64) -> Self {
        self.transactions = transactions;
        self
    }

    /// Sets what is written.
    #[must_use]
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the number of keys; at least one is used.
    #[must_use]
    pub const fn keys(mut self, keys: u64) -> Self {
        self.keys = keys;
        self
    }

    /// Sets how much goes to the first tenth of the keys.
    #[must_use]
    pub const fn skew(mut self, percent: u64) -> Self {
        self.skew = percent;
        self
    }

    /// Sets the most operations of one transaction.
    #[must_use]
    pub const fn ops(mut self, ops: u64) -> Self {
        self.ops = ops;
        self
    }

    /// Sets how many operations are ranges.
    #[must_use]
    pub const fn ranges(mut self, percent: u64) -> Self {
        self.ranges = percent;
        self
    }

    /// Sets how many operations are deletes.
    #[must_use]
    pub const fn deletes(mut self, percent: u64) -> Self {
        self.deletes = percent;
        self
    }

    /// Sets how many write transactions run under snapshot isolation.
    #[must_use]
    pub const fn snapshot(mut self, percent: u64) -> Self {
        self.snapshot = percent;
        self
    }

    /// Sets how many write transactions only write.
    #[must_use]
    pub const fn blind(mut self, percent: u64) -> Self {
        self.blind = percent;
        self
    }

    /// Sets how many write transactions are discarded.
    #[must_use]
    pub const fn discards(mut self, percent: u64) -> Self {
        self.discards = percent;
        self
    }

    /// Sets how many steps are readers of the head.
    #[must_use]
    pub const fn readers(mut self, percent: u64) -> Self {
        self.readers = percent;
        self
    }

    /// Sets how many steps have to do with versions.
    #[must_use]
    pub const fn versions(mut self, per_mille: u64) -> Self {
        self.versions = per_mille;
        self
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self::new()
    }
}
