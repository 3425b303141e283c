//! The lines of the tables: of every engine the spread of a figure, and its
//! ratio to the base of the line.

use crate::cells::CELLS;
use crate::engines::{ENTRIES, Entry, Group, Role};
use crate::results::Saved;
use crate::stats::{self, Better, Spread, ratio};

/// What the disk group is compared with.
const DISK_BASE: &str = "fjall-optimistic";

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number a second, with k and M.
    PerSecond,
    /// Nanoseconds, shown in the unit that fits.
    Time,
    /// Bytes.
    Bytes,
    /// A factor.
    Times,
}

/// One figure of one workload.
#[derive(Clone, Debug)]
pub struct Line {
    /// The workload that it is from.
    pub workload: &'static str,
    /// Its name there.
    pub figure: &'static str,
    /// What it is called in tables.
    pub title: String,
    /// How it is written.
    pub unit: Unit,
}

impl Line {
    fn new(workload: &'static str, figure: &'static str, title: &str, unit: Unit) -> Self {
        Self { workload, figure, title: title.to_owned(), unit }
    }

    /// Which figures are the better ones.
    pub const fn better(&self) -> Better {
        match self.unit {
            Unit::PerSecond => Better::High,
            Unit::Time | Unit::Bytes | Unit::Times => Better::Low,
        }
    }
}

/// Operations a second.
pub fn throughput() -> Vec<Line> {
    let line = |workload, title: &str| Line::new(workload, "ops", title, Unit::PerSecond);
    let loads = [
        line("load-sequential", "load, ascending, records"),
        line("load-random", "load, random, records"),
    ];
    let cells = CELLS.iter().map(|cell| line(cell.id, cell.title));
    let held = line("held", "overwriting under a held snapshot, records");
    loads.into_iter().chain(cells).chain([held]).collect()
}

/// Latencies.
pub fn latency() -> Vec<Line> {
    let cells = CELLS.iter().filter(|cell| cell.has_latency).map(|cell| (cell.id, cell.title));
    let held = [("held", "get at the held snapshot")];
    let both = |(id, title)| {
        [("p50", "p50"), ("p99", "p99")]
            .map(|(figure, name)| Line::new(id, figure, &format!("{title}: {name}"), Unit::Time))
    };
    cells.chain(held).flat_map(both).collect()
}

/// What is shown as it is: space, opening, the cost of holding a snapshot.
pub fn absolute(group: Group) -> Vec<Line> {
    let mut lines = Vec::new();
    let moments = [
        ("loaded_", "loaded"),
        ("overwritten_", "after five overwrites"),
        ("collected_", "and collected"),
    ];
    for (figure, what) in [("heap", "heap"), ("rss", "resident memory"), ("disk", "disk")] {
        if figure == "disk" && group == Group::Mem {
            continue;
        }
        for (prefix, moment) in moments {
            let figure = match (prefix, figure) {
                ("loaded_", "heap") => "loaded_heap",
                ("loaded_", "rss") => "loaded_rss",
                ("loaded_", _) => "loaded_disk",
                ("overwritten_", "heap") => "overwritten_heap",
                ("overwritten_", "rss") => "overwritten_rss",
                ("overwritten_", _) => "overwritten_disk",
                (_, "heap") => "collected_heap",
                (_, "rss") => "collected_rss",
                (_, _) => "collected_disk",
            };
            let title = format!("{what}, bytes a record, {moment}");
            lines.push(Line::new("space", figure, &title, Unit::Bytes));
        }
    }
    if group == Group::Disk {
        lines.push(Line::new("open", "clean_open", "open after a clean close", Unit::Time));
        lines.push(Line::new("open", "killed_open", "open after a kill", Unit::Time));
    }
    lines.push(Line::new("held", "slowdown", "slowdown by holding a snapshot", Unit::Times));
    lines
}

/// Saved versions.
pub fn versions() -> Vec<Line> {
    [
        ("get_now", "get, current"),
        ("get_at_1", "get at a version, with 1 saved"),
        ("get_at_many", "get at a version, with all saved"),
        ("save", "save a version"),
        ("diff", "diff of 100 keys"),
        ("revert", "revert of 100 keys"),
        ("delete", "delete a version"),
    ]
    .map(|(figure, title)| Line::new("versions", figure, title, Unit::Time))
    .into()
}

/// What one engine has in a line.
#[derive(Clone, Debug)]
pub struct Value {
    /// The engine.
    pub entry: &'static Entry,
    /// The figure.
    pub figure: Option<Spread>,
    /// Its ratio to the base.
    pub ratio: Option<Spread>,
    /// Its ratio to the best peer.
    pub to_best: Option<Spread>,
    /// The share of attempts that lost.
    pub lost: f64,
    /// Why there is no figure, or why it does not count.
    pub why: Option<String>,
}

/// A line with its values.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The line.
    pub line: Line,
    /// What the ratios are to.
    pub base: Option<&'static Entry>,
    /// The peer with the best figure.
    pub best: Option<&'static Entry>,
    /// Of every engine of the group that was run.
    pub values: Vec<Value>,
}

impl Filled {
    /// What an engine has.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.entry.name == name)
    }

    /// The ratio of an engine to the best of those peers that are in Rust and
    /// keep their data on disk, by their medians; none, if there are none.
    pub fn to_best_alike(&self, name: &str) -> Option<f64> {
        let is_alike = |entry: &Entry| {
            entry.role == Role::Peer
                && entry.group == Group::Disk
                && entry.counts_heap
                && !entry.in_memory
        };
        let median = |value: &Value| Some(value.ratio.as_ref()?.median);
        let alike = self.values.iter().filter(|value| is_alike(value.entry));
        let best = alike.filter_map(median).max_by(f64::total_cmp)?;
        Some(median(self.value(name)?)? / best)
    }
}

/// The engines of a group that were run.
pub fn engines(saved: &Saved, group: Group) -> Vec<&'static Entry> {
    let is_run = |entry: &&Entry| saved.rows.iter().any(|row| row.engine == entry.name);
    ENTRIES.iter().filter(|entry| entry.group == group).filter(is_run).collect()
}

/// Fills a line; nothing, if no engine has a figure in it.
pub fn fill(saved: &Saved, line: Line, group: Group) -> Option<Filled> {
    let engines = engines(saved, group);
    // A wrong answer takes away what was measured before it.
    let is_wrong = |why: Option<&str>| why.is_some_and(|why| why.starts_with("WRONG"));
    let rounds = |entry: &Entry| {
        let is_unseen = line.figure.ends_with("heap") && !entry.counts_heap;
        if is_unseen || is_wrong(saved.why(line.workload, entry.name)) {
            return Vec::new();
        }
        saved.rounds(line.workload, entry.name, line.figure)
    };
    let best_of = |role: Role| {
        let of_role: Vec<_> = engines.iter().copied().filter(|entry| entry.role == role).collect();
        let rounds: Vec<_> = of_role.iter().map(|entry| rounds(entry)).collect();
        let rounds: Vec<_> = rounds.iter().map(|rounds| &**rounds).collect();
        of_role.get(stats::best(&rounds, line.better())?).copied()
    };
    let best = best_of(Role::Peer);
    let named = engines.iter().copied().find(|entry| entry.name == DISK_BASE);
    let named = named.filter(|entry| !rounds(entry).is_empty());
    let rest = [Role::Floor, Role::Own].into_iter().find_map(best_of);
    let base = named.or(best).or(rest);
    let base_rounds = base.map(rounds).unwrap_or_default();
    let best_rounds = best.map(rounds).unwrap_or_default();
    let values: Vec<Value> = engines
        .iter()
        .map(|entry| {
            let mine = rounds(entry);
            let lost = saved.rounds(line.workload, entry.name, "lost");
            Value {
                entry,
                figure: Spread::of(mine.iter().map(|(_, x)| *x)),
                ratio: ratio(&mine, &base_rounds, line.better()),
                to_best: ratio(&mine, &best_rounds, line.better()),
                lost: Spread::of(lost.into_iter().map(|(_, x)| x)).map_or(0.0, |lost| lost.median),
                why: saved.why(line.workload, entry.name).map(str::to_owned),
            }
        })
        .collect();
    let has_figures = values.iter().any(|value| value.figure.is_some());
    has_figures.then_some(Filled { line, base, best, values })
}

/// Fills lines, without those that are empty.
pub fn fill_all(saved: &Saved, lines: Vec<Line>, group: Group) -> Vec<Filled> {
    lines.into_iter().filter_map(|line| fill(saved, line, group)).collect()
}

/// A figure in its unit.
pub fn written(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => short(figure),
        Unit::Bytes if figure.abs() >= 10_000.0 => short(figure),
        Unit::Bytes => format!("{figure:.0}"),
        Unit::Times => digits(figure),
        Unit::Time if figure >= 1e9 => format!("{} s", digits(figure / 1e9)),
        Unit::Time if figure >= 1e6 => format!("{} ms", digits(figure / 1e6)),
        Unit::Time if figure >= 1e3 => format!("{} µs", digits(figure / 1e3)),
        Unit::Time => format!("{figure:.0} ns"),
    }
}

fn short(figure: f64) -> String {
    match figure.abs() {
        1e6.. => format!("{}M", digits(figure / 1e6)),
        1e3.. => format!("{}k", digits(figure / 1e3)),
        _ => digits(figure),
    }
}

/// Three digits, or two of what is small.
pub fn digits(figure: f64) -> String {
    match figure.abs() {
        99.95.. => format!("{figure:.0}"),
        9.995.. => format!("{figure:.1}"),
        0.0..0.0995 => format!("{figure:.3}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::results::{NONE, Row};

    fn row(engine: &str, round: u64, figure: &str, value: f64) -> Row {
        let (workload, engine) = ("get-1".to_owned(), engine.to_owned());
        Row { workload, engine, round, figure: figure.to_owned(), value, why: String::new() }
    }

    fn get(saved: &Saved) -> Filled {
        fill(saved, Line::new("get-1", "ops", "get", Unit::PerSecond), Group::Mem).unwrap()
    }

    #[test]
    fn line_is_of_ratios_by_round_to_its_base() {
        let mut saved = Saved::default();
        for (round, machine) in [(0, 1.0), (1, 2.0), (2, 0.5)] {
            saved.rows.push(row("vellum-mem", round, "ops", 300.0 * machine));
            saved.rows.push(row("rwlock-btree", round, "ops", 600.0 * machine));
        }
        let filled = get(&saved);
        // Without peers, the floor is the base.
        assert_eq!(filled.base.unwrap().name, "rwlock-btree");
        let ratio = filled.value("vellum-mem").unwrap().ratio.unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.5, 0.5));
    }

    #[test]
    fn line_shows_nothing_of_an_engine_that_was_wrong_once() {
        let mut saved = Saved::default();
        saved.rows.push(row("vellum-mem", 0, "ops", 300.0));
        saved.rows.push(row("rwlock-btree", 0, "ops", 600.0));
        let wrong = Row { why: "WRONG ANSWER: 7".into(), ..row("rwlock-btree", 1, NONE, 0.0) };
        saved.rows.push(wrong);
        let filled = get(&saved);
        assert_eq!(filled.value("rwlock-btree").unwrap().figure, None);
        assert_eq!(filled.base.unwrap().name, "vellum-mem");
    }

    #[test]
    fn figures_are_written_in_three_digits() {
        assert_eq!(written(1_234_567.0, Unit::PerSecond), "1.23M");
        assert_eq!(written(45_678.0, Unit::PerSecond), "45.7k");
        assert_eq!(written(131_036.0, Unit::Time), "131 µs");
        assert_eq!(written(640.0, Unit::Time), "640 ns");
        assert_eq!(written(2.4e6, Unit::Time), "2.40 ms");
        assert_eq!(written(274.4, Unit::Bytes), "274");
        assert_eq!(written(1.517, Unit::Times), "1.52");
    }
}
