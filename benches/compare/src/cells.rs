//! The list of workloads that all engines do by turns, in their processes that
//! stay open: reads first, then what changes the data.

/// What one does who lost a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loser {
    /// Yields, and tries again until it commits.
    Yields,
    /// Tries again at once, until it commits or the time is over: engines that
    /// collapse under that must not hold up the run.
    Persists,
}

/// What the transactions of a cell do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One get, in a transaction of its own.
    Get,
    /// Gets in one transaction for the whole cell.
    GetLong,
    /// One get of an absent key, in a transaction of its own.
    GetAbsent,
    /// A scan of 100 records from a random key, in a transaction of its own.
    Scan { is_reverse: bool },
    /// A scan of everything; a unit is a record.
    ScanAll,
    /// Adds one to the counter of a key.
    Rmw { is_zipfian: bool, loser: Loser },
    /// Four puts of random keys.
    Put4 { is_synced: bool },
    /// A workload of YCSB, each operation a transaction.
    Ycsb(Ycsb),
}

/// The core workloads of YCSB (Cooper et al. 2010).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ycsb {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads.
    C,
    /// 95 % reads of what was inserted last, 5 % inserts.
    D,
    /// 95 % scans of 1 to 100 records, 5 % inserts.
    E,
    /// Half reads, half read-modify-writes.
    F,
}

/// A workload with so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Its name in options and results.
    pub id: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// What is done.
    pub work: Work,
    /// By how many threads.
    pub threads: usize,
    /// Whether single operations are timed, too.
    pub has_latency: bool,
}

const fn cell(id: &'static str, title: &'static str, work: Work, threads: usize) -> Cell {
    Cell { id, title, work, threads, has_latency: false }
}

const fn timed(id: &'static str, title: &'static str, work: Work, threads: usize) -> Cell {
    Cell { id, title, work, threads, has_latency: true }
}

const UNIFORM: Work = Work::Rmw { is_zipfian: false, loser: Loser::Yields };
const ZIPFIAN: Work = Work::Rmw { is_zipfian: true, loser: Loser::Yields };
const NO_YIELD: Work = Work::Rmw { is_zipfian: true, loser: Loser::Persists };
const PUT4: Work = Work::Put4 { is_synced: false };
const SYNCED: Work = Work::Put4 { is_synced: true };

/// All of them, in the order in which they are run.
pub const CELLS: &[Cell] = &[
    timed("get-1", "get, fresh transaction", Work::Get, 1),
    cell("get-2", "get, fresh transaction, 2 threads", Work::Get, 2),
    cell("get-long", "get, one long transaction", Work::GetLong, 1),
    cell("get-absent", "get of absent keys", Work::GetAbsent, 1),
    cell("scan-100", "scan 100", Work::Scan { is_reverse: false }, 1),
    cell("scan-100-reverse", "scan 100 in reverse", Work::Scan { is_reverse: true }, 1),
    cell("scan-all", "full scan, records", Work::ScanAll, 1),
    cell("rmw-uniform-1", "read-modify-write, uniform, 1 thread", UNIFORM, 1),
    cell("rmw-uniform-2", "read-modify-write, uniform, 2 threads", UNIFORM, 2),
    timed("rmw-uniform-4", "read-modify-write, uniform, 4 threads", UNIFORM, 4),
    cell("rmw-uniform-8", "read-modify-write, uniform, 8 threads", UNIFORM, 8),
    cell("rmw-zipf-1", "read-modify-write, zipfian, 1 thread", ZIPFIAN, 1),
    cell("rmw-zipf-2", "read-modify-write, zipfian, 2 threads", ZIPFIAN, 2),
    timed("rmw-zipf-4", "read-modify-write, zipfian, 4 threads", ZIPFIAN, 4),
    cell("rmw-zipf-8", "read-modify-write, zipfian, 8 threads", ZIPFIAN, 8),
    cell("rmw-no-yield-4", "read-modify-write, zipfian, 4 threads, no yield", NO_YIELD, 4),
    cell("rmw-no-yield-8", "read-modify-write, zipfian, 8 threads, no yield", NO_YIELD, 8),
    cell("ycsb-c-1", "YCSB C, 1 thread", Work::Ycsb(Ycsb::C), 1),
    cell("ycsb-c-4", "YCSB C, 4 threads", Work::Ycsb(Ycsb::C), 4),
    cell("ycsb-f-1", "YCSB F, 1 thread", Work::Ycsb(Ycsb::F), 1),
    cell("ycsb-f-4", "YCSB F, 4 threads", Work::Ycsb(Ycsb::F), 4),
    cell("ycsb-b-1", "YCSB B, 1 thread", Work::Ycsb(Ycsb::B), 1),
    cell("ycsb-b-4", "YCSB B, 4 threads", Work::Ycsb(Ycsb::B), 4),
    cell("ycsb-a-1", "YCSB A, 1 thread", Work::Ycsb(Ycsb::A), 1),
    cell("ycsb-a-4", "YCSB A, 4 threads", Work::Ycsb(Ycsb::A), 4),
    cell("put4-1", "4 puts, 1 thread", PUT4, 1),
    cell("put4-4", "4 puts, 4 threads", PUT4, 4),
    timed("put4-sync-1", "4 puts, fsync, 1 thread", SYNCED, 1),
    timed("put4-sync-8", "4 puts, fsync, 8 threads", SYNCED, 8),
    timed("put4-sync-32", "4 puts, fsync, 32 threads", SYNCED, 32),
    cell("ycsb-d-1", "YCSB D, 1 thread", Work::Ycsb(Ycsb::D), 1),
    cell("ycsb-d-4", "YCSB D, 4 threads", Work::Ycsb(Ycsb::D), 4),
    cell("ycsb-e-1", "YCSB E, 1 thread", Work::Ycsb(Ycsb::E), 1),
    cell("ycsb-e-4", "YCSB E, 4 threads", Work::Ycsb(Ycsb::E), 4),
];

/// The cell of this name.
pub fn cell_of(id: &str) -> Option<&'static Cell> {
    CELLS.iter().find(|cell| cell.id == id)
}

impl Cell {
    /// Whether its commits are flushed to the device.
    pub const fn is_synced(&self) -> bool {
        matches!(self.work, Work::Put4 { is_synced: true })
    }

    /// Whether it only adds to counters, so that their sum tells whether an
    /// update was lost.
    pub const fn adds_up(&self) -> bool {
        matches!(self.work, Work::Rmw { .. })
    }

    /// Whether it changes the data otherwise.
    pub const fn overwrites(&self) -> bool {
        matches!(
            self.work,
            Work::Put4 { .. } | Work::Ycsb(Ycsb::A | Ycsb::B | Ycsb::D | Ycsb::E | Ycsb::F)
        )
    }
}
