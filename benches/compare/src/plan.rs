//! What a run measures: the engines and workloads that were asked for, and how
//! much of each.

use std::time::Duration;

use crate::Result;
use crate::args::RunArgs;
use crate::cells::{CELLS, Cell};
use crate::engines::{ENTRIES, Entry, Group};

/// The workloads that need processes of their own, or take long.
pub const WORKLOADS: &[(&str, &str)] = &[
    ("load", "all records, in order and at random, 1,000 a transaction"),
    ("held", "a snapshot held while everything is overwritten"),
    ("space", "memory and disk per record, loaded and after five overwrites"),
    ("open", "opening after a clean close and after a kill"),
    ("versions", "saved versions: save, read at one, diff, revert, delete (Vellum alone)"),
];

/// The others: the cells, by name and title.
pub fn cells() -> impl Iterator<Item = (&'static str, &'static str)> {
    CELLS.iter().map(|cell| (cell.id, cell.title))
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The engines, in the order of the tables.
    pub engines: Vec<&'static Entry>,
    /// The cells, in their order.
    pub cells: Vec<&'static Cell>,
    workloads: Vec<String>,
    /// Records that are loaded.
    pub records: u64,
    /// How often a cell is measured.
    pub rounds: u64,
    /// How often what takes long is measured.
    pub long_rounds: u64,
    /// How long a cell is measured.
    pub time: Duration,
    /// Saved versions.
    pub versions: u64,
    /// How long a request may take.
    pub patience: Duration,
}

impl Plan {
    /// The plan that was asked for.
    ///
    /// # Errors
    /// If an engine or a workload is not known.
    pub fn new(args: &RunArgs) -> Result<Self> {
        let short = |quick, whole| if args.quick { quick } else { whole };
        let is_asked = |entry: &Entry| {
            let names = [entry.name, entry.group.name()];
            args.engines.is_empty() || args.engines.iter().any(|asked| names.contains(&&**asked))
        };
        let plan = Self {
            engines: ENTRIES.iter().filter(|entry| is_asked(entry)).collect(),
            cells: CELLS.iter().filter(|cell| matches(&args.workloads, cell.id)).collect(),
            workloads: args.workloads.clone(),
            records: args.records.unwrap_or(short(100_000, 1_000_000)),
            rounds: args.rounds,
            long_rounds: args.long_rounds.unwrap_or(short(1, 3)),
            time: Duration::from_millis(args.cell_ms.unwrap_or(short(40, 200))),
            versions: args.versions.unwrap_or(short(200, 1000)),
            patience: Duration::from_secs(args.patience),
        };
        for asked in &args.engines {
            let is_known = ENTRIES.iter().any(|e| [e.name, e.group.name()].contains(&&**asked));
            if !is_known {
                return Err(format!("no engine or group {asked}: see `list`").into());
            }
        }
        for asked in &args.workloads {
            let mut all = WORKLOADS.iter().copied().chain(cells());
            if !all.any(|(name, _)| name.starts_with(&**asked)) {
                return Err(format!("no workload {asked}: see `list`").into());
            }
        }
        Ok(plan)
    }

    /// Whether one of [`WORKLOADS`] is asked for.
    pub fn has(&self, workload: &str) -> bool {
        matches(&self.workloads, workload)
    }

    /// The engines of a workload: on disk alone for `open`, with versions alone
    /// for `versions`.
    pub fn engines_of(&self, workload: &str) -> Vec<&'static Entry> {
        let is_fit = |entry: &&&'static Entry| match workload {
            "open" => entry.group == Group::Disk,
            "versions" => entry.role == crate::engines::Role::Own,
            _ => true,
        };
        self.engines.iter().filter(is_fit).copied().collect()
    }

    /// The engines that do a cell: in memory nothing is synced.
    pub fn engines_of_cell(&self, cell: &Cell) -> Vec<usize> {
        let is_fit = |entry: &Entry| entry.group == Group::Disk || !cell.is_synced();
        let engines = self.engines.iter().enumerate();
        engines.filter(|(_, entry)| is_fit(entry)).map(|(i, _)| i).collect()
    }

    /// Records under saved versions.
    pub fn versioned_records(&self) -> u64 {
        self.records.min(100_000)
    }

    /// About how many milliseconds setting all records takes.
    pub const fn load_ms(&self) -> u64 {
        self.records / 250 + 50
    }

    /// About how many milliseconds a cell takes of one engine.
    pub fn cell_ms(&self) -> u64 {
        u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX).saturating_add(20)
    }

    /// About how many milliseconds all takes.
    pub fn total_ms(&self) -> u64 {
        let count = |engines: Vec<&Entry>| engines.len() as u64;
        let long = |workload| {
            let engines = if self.has(workload) { count(self.engines_of(workload)) } else { 0 };
            engines * self.load_ms()
        };
        let cells: u64 = self.cells.iter().map(|c| self.engines_of_cell(c).len() as u64).sum();
        let open = if self.needs_open_workers() { self.engines.len() as u64 } else { 0 };
        cells * self.rounds * self.cell_ms()
            + open * self.load_ms()
            + long("load") * 2 * self.long_rounds
            + long("held") * 3 * self.long_rounds
            + long("space") * 8
            + long("open") * (1 + 3 * self.long_rounds)
            + long("versions") * self.long_rounds
    }

    /// Whether any workload runs in the processes that stay open.
    pub fn needs_open_workers(&self) -> bool {
        self.has("held") || !self.cells.is_empty()
    }
}

fn matches(asked: &[String], name: &str) -> bool {
    asked.is_empty() || asked.iter().any(|asked| name.starts_with(&**asked))
}
