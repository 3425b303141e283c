//! The pictures of the report: throughput by threads, latencies, space, and
//! how far ahead of the best peer each workload is.

use crate::engines::{Entry, Group, Role};
use crate::results::{DEVICE, Saved};
use crate::stats::Spread;
use crate::svg::{Anchor, Axis, Font, GRID, INK, PALE, Svg};
use crate::table::{self, Filled, Line, Unit, digits, written};

const WIDTH: f64 = 960.0;
const EDGE: f64 = 20.0;
/// Width of the column of names.
const NAMES: f64 = 132.0;
const TITLE: Font = Font::new(16.0).bold(true);
const SUBTITLE: Font = Font::new(12.0).color(PALE);
const LABEL: Font = Font::new(12.0);
const SMALL: Font = Font::new(11.0).color(PALE);

/// All pictures of which there are figures, by file name without its ending.
pub fn all(saved: &Saved) -> Vec<(String, Svg)> {
    let mut pictures = Vec::new();
    for group in [Group::Mem, Group::Disk] {
        let drawn = [
            ("ahead", ahead(saved, group)),
            ("threads", threads(saved, group)),
            ("latency", latency(saved, group)),
            ("space", space(saved, group)),
        ];
        for (name, svg) in drawn {
            pictures.extend(svg.map(|svg| (format!("compare-{name}-{}", group.name()), svg)));
        }
    }
    pictures
}

const fn place(group: Group) -> &'static str {
    match group {
        Group::Mem => "in memory",
        Group::Disk => "on disk",
    }
}

/// Ours before the others, floors last: what is drawn later lies above.
fn drawing_order(engines: &[&'static Entry]) -> Vec<&'static Entry> {
    let mut order = engines.to_vec();
    order.sort_by_key(|entry| match entry.role {
        Role::Floor => 0,
        Role::Peer => 1,
        Role::Own => 2,
    });
    order
}

fn is_own(entry: &Entry) -> bool {
    entry.role == Role::Own
}

fn name_font(entry: &Entry) -> Font {
    match entry.role {
        Role::Own => LABEL.bold(true).color(entry.color),
        Role::Peer => LABEL,
        Role::Floor => LABEL.color(PALE),
    }
}

/// Throughput by threads: a panel a workload.
fn threads(saved: &Saved, group: Group) -> Option<Svg> {
    let panels: &[(&str, &str, &[u32])] = match group {
        Group::Mem => &[
            ("rmw-uniform", "read-modify-write, uniform", &[1, 2, 4, 8]),
            ("rmw-zipf", "read-modify-write, zipfian", &[1, 2, 4, 8]),
        ],
        Group::Disk => &[
            ("rmw-uniform", "read-modify-write, uniform", &[1, 2, 4, 8]),
            ("rmw-zipf", "read-modify-write, zipfian", &[1, 2, 4, 8]),
            ("put4-sync", "4 puts with an fsync", &[1, 8, 32]),
        ],
    };
    let engines = table::engines(saved, group);
    let (top, height) = (74.0, 320.0);
    let mut svg = Svg::new(WIDTH, top + height + 56.0);
    let title = format!("Transactions a second by threads, {}", place(group));
    svg.text((EDGE, 30.0), &title, TITLE, Anchor::Start);
    let median = |workload: &str, engine: &str| {
        let rounds = saved.rounds(workload, engine, "ops");
        Some(Spread::of(rounds.into_iter().map(|(_, x)| x))?.median)
    };
    let legend = WIDTH - EDGE - NAMES;
    let width = (legend - EDGE) / panels.len() as f64;
    let mut is_empty = true;
    for (i, (prefix, title, counts)) in panels.iter().enumerate() {
        let left = EDGE + width * i as f64 + 44.0;
        let right = EDGE + width * (i + 1) as f64 - 18.0;
        let figures = |entry: &Entry| -> Vec<Option<f64>> {
            counts.iter().map(|n| median(&format!("{prefix}-{n}"), entry.name)).collect()
        };
        let all = engines.iter().flat_map(|entry| figures(entry)).flatten();
        let Some(axis) = Axis::over(all, top + height, top) else { continue };
        is_empty = false;
        svg.text((left, top - 14.0), title, LABEL.bold(true), Anchor::Start);
        for mark in axis.marks() {
            let y = axis.at(mark);
            svg.line((left, y), (right, y), GRID, 1.0);
            svg.text((left - 6.0, y + 4.0), &rounded(mark), SMALL, Anchor::End);
        }
        let x = |at: usize| {
            left + 10.0 + (right - left - 20.0) * at as f64 / (counts.len() - 1).max(1) as f64
        };
        for (at, count) in counts.iter().enumerate() {
            let y = top + height + 18.0;
            svg.text((x(at), y), &count.to_string(), SMALL, Anchor::Middle);
        }
        let y = top + height + 36.0;
        svg.text(((left + right) / 2.0, y), "threads", SMALL, Anchor::Middle);
        for entry in drawing_order(&engines) {
            let figures = figures(entry).into_iter().enumerate();
            let points: Vec<(f64, f64)> =
                figures.filter_map(|(at, figure)| Some((x(at), axis.at(figure?)))).collect();
            let line = if is_own(entry) { 3.2 } else { 1.6 };
            svg.path(&points, entry.color, line, entry.role == Role::Floor);
            let radius = if is_own(entry) { 4.4 } else { 2.8 };
            points.iter().for_each(|point| svg.dot(*point, radius, entry.color, false));
        }
    }
    for (i, entry) in engines.iter().enumerate() {
        let y = top + 6.0 + 21.0 * i as f64;
        let line = if is_own(entry) { 3.2 } else { 1.6 };
        let ends = [(legend + 4.0, y), (legend + 26.0, y)];
        svg.path(&ends, entry.color, line, entry.role == Role::Floor);
        svg.dot((legend + 15.0, y), if is_own(entry) { 4.4 } else { 2.8 }, entry.color, false);
        svg.text((legend + 33.0, y + 4.0), entry.name, name_font(entry), Anchor::Start);
    }
    (!is_empty).then_some(svg)
}

/// A mark of an axis, without digits that say nothing.
fn rounded(mark: f64) -> String {
    let (figure, unit) = match mark {
        1e6.. => (mark / 1e6, "M"),
        1e3.. => (mark / 1e3, "k"),
        _ => (mark, ""),
    };
    format!("{figure}{unit}")
}

/// A mark of an axis of nanoseconds.
fn rounded_time(mark: f64) -> String {
    match mark {
        1e9.. => format!("{} s", mark / 1e9),
        1e6.. => format!("{} ms", mark / 1e6),
        1e3.. => format!("{} µs", mark / 1e3),
        _ => format!("{mark} ns"),
    }
}

/// A panel of [`spans`].
struct Panel {
    title: String,
    /// From which figure to which, for each engine: solid, and hollow.
    spans: Vec<(&'static Entry, Vec<f64>)>,
    /// A figure that all are to be seen beside, and its name.
    beside: Option<(f64, String)>,
}

/// One row an engine, one panel a workload, a line from figure to figure.
fn spans(
    (title, subtitle): (&str, &str),
    engines: &[&'static Entry],
    panels: &[Panel],
    mark: fn(f64) -> String,
    unit: Unit,
) -> Option<Svg> {
    if panels.is_empty() {
        return None;
    }
    let (top, row) = (96.0, 24.0);
    let bottom = top + row * engines.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 44.0);
    svg.text((EDGE, 30.0), title, TITLE, Anchor::Start);
    svg.text((EDGE, 50.0), subtitle, SUBTITLE, Anchor::Start);
    let y = |entry: &Entry| {
        let at = engines.iter().position(|other| other.name == entry.name).unwrap_or(0);
        top + row * (at as f64 + 0.5)
    };
    for entry in engines.iter().filter(|entry| is_own(entry)) {
        let y = y(entry);
        let corners = ((EDGE - 8.0, y - row / 2.0), (WIDTH - EDGE + 8.0, y + row / 2.0));
        svg.bar(corners.0, corners.1, entry.color, 0.07);
    }
    for entry in engines {
        let at = (EDGE, y(entry) + 4.0);
        svg.text(at, entry.name, name_font(entry), Anchor::Start);
    }
    let width = (WIDTH - 2.0 * EDGE - NAMES) / panels.len() as f64;
    for (i, panel) in panels.iter().enumerate() {
        let left = EDGE + NAMES + width * i as f64 + 10.0;
        let right = EDGE + NAMES + width * (i + 1) as f64 - 44.0;
        let all = panel.spans.iter().flat_map(|(_, figures)| figures.iter().copied());
        let all = all.chain(panel.beside.iter().map(|(figure, _)| *figure));
        let Some(axis) = Axis::over(all, left, right) else { continue };
        svg.text((left, top - 12.0), &panel.title, LABEL.bold(true), Anchor::Start);
        for figure in axis.marks() {
            let x = axis.at(figure);
            svg.line((x, top), (x, bottom), GRID, 1.0);
            svg.text((x, bottom + 18.0), &mark(figure), SMALL, Anchor::Middle);
        }
        if let Some((figure, name)) = &panel.beside {
            let x = axis.at(*figure);
            svg.path(&[(x, top - 4.0), (x, bottom)], INK, 1.0, true);
            svg.text((x, bottom + 34.0), name, SMALL.color(INK), Anchor::Middle);
        }
        for (entry, figures) in &panel.spans {
            let y = y(entry);
            let thick = if is_own(entry) { 4.0 } else { 2.4 };
            if let (Some(first), Some(last)) = (figures.first(), figures.last()) {
                let ends = ((axis.at(*first), y), (axis.at(*last), y));
                svg.line(ends.0, ends.1, entry.color, thick);
                svg.dot(ends.1, 4.6, entry.color, true);
                svg.dot(ends.0, 4.6, entry.color, false);
                let rightmost = figures.iter().fold(0.0, |most: f64, x| most.max(axis.at(*x)));
                let text = written(*last, unit);
                svg.text((rightmost + 9.0, y + 4.0), &text, SMALL, Anchor::Start);
            }
        }
    }
    Some(svg)
}

/// A panel of two figures of every engine.
fn panel(
    saved: &Saved,
    group: Group,
    title: &str,
    workload: &'static str,
    ends: [&'static str; 2],
) -> Option<Panel> {
    let filled = ends.map(|figure| {
        let line = Line { workload, figure, title: String::new(), unit: Unit::Time };
        table::fill(saved, line, group)
    });
    let [Some(from), Some(to)] = filled else { return None };
    let spans = from.values.iter().filter_map(|value| {
        let first = value.figure?.median;
        let last = to.value(value.entry.name).and_then(|value| value.figure);
        Some((value.entry, vec![first, last.map_or(first, |last| last.median)]))
    });
    Some(Panel { title: title.to_owned(), spans: spans.collect(), beside: None })
}

/// Latencies: p50 and p99.
fn latency(saved: &Saved, group: Group) -> Option<Svg> {
    let cells: &[(&str, &'static str)] = match group {
        Group::Mem => &[
            ("get, fresh transaction", "get-1"),
            ("read-modify-write, 4 threads", "rmw-uniform-4"),
            ("the same, zipfian", "rmw-zipf-4"),
        ],
        Group::Disk => &[
            ("get, fresh transaction", "get-1"),
            ("read-modify-write, 4 threads", "rmw-uniform-4"),
            ("4 puts with fsync, 8 threads", "put4-sync-8"),
        ],
    };
    let panels = cells.iter().filter_map(|(title, id)| {
        let mut panel = panel(saved, group, title, id, ["p50", "p99"])?;
        let device = saved.rounds(id, DEVICE, "p50").into_iter().map(|(_, x)| x);
        panel.beside = Spread::of(device).map(|p50| (p50.median, "one fsync".to_owned()));
        Some(panel)
    });
    let title = format!("Latency, {}", place(group));
    let subtitle = "From the median (solid) to the 99th percentile (hollow, with its figure); \
                    further left is better";
    let engines = table::engines(saved, group);
    let panels: Vec<_> = panels.collect();
    spans((&title, subtitle), &engines, &panels, rounded_time, Unit::Time)
}

/// Bytes a record.
fn space(saved: &Saved, group: Group) -> Option<Svg> {
    let mem = ("memory", ["loaded_heap", "overwritten_heap"]);
    let kinds: &[(&str, [&'static str; 2])] = match group {
        Group::Mem => &[mem],
        Group::Disk => &[
            ("disk", ["loaded_disk", "overwritten_disk"]),
            ("memory", ["loaded_rss", "overwritten_rss"]),
        ],
    };
    let panels = kinds.iter().filter_map(|(title, ends)| {
        let mut panel = panel(saved, group, title, "space", *ends)?;
        panel.spans.retain(|(_, figures)| figures.iter().all(|figure| *figure > 0.0));
        panel.beside = Some((116.0, "116 bytes of data".to_owned()));
        Some(panel)
    });
    let title = format!("Bytes a record, {}", place(group));
    let subtitle = "From loaded (solid) to overwritten five times (hollow, with its figure); \
                    further left is better";
    let engines = table::engines(saved, group);
    let panels: Vec<_> = panels.collect();
    spans((&title, subtitle), &engines, &panels, rounded, Unit::Bytes)
}

/// How many times as fast as the best peer ours is, workload by workload.
fn ahead(saved: &Saved, group: Group) -> Option<Svg> {
    let lines = table::fill_all(saved, table::throughput(), group);
    let own = table::engines(saved, group).into_iter().find(|entry| is_own(entry))?;
    let ratio = |filled: &Filled| filled.value(own.name)?.to_best;
    let lines: Vec<_> = lines.iter().filter_map(|f| Some((f, ratio(f)?))).collect();
    let (top, row) = (80.0, 19.0);
    let bottom = top + row * lines.len() as f64;
    let (left, right) = (EDGE + 300.0, WIDTH - EDGE - 190.0);
    let all = lines.iter().flat_map(|(_, ratio)| [ratio.min, ratio.max]).chain([0.5, 2.0]);
    let axis = Axis::over(all, left, right).filter(|_| !lines.is_empty())?;
    let mut svg = Svg::new(WIDTH, bottom + 44.0);
    let title = format!("{} beside the best peer of each workload, {}", own.name, place(group));
    svg.text((EDGE, 30.0), &title, TITLE, Anchor::Start);
    let subtitle =
        "How many times as fast: median of the rounds, and from the least to the greatest";
    svg.text((EDGE, 50.0), subtitle, SUBTITLE, Anchor::Start);
    for mark in axis.marks() {
        let x = axis.at(mark);
        svg.line((x, top - 4.0), (x, bottom), GRID, 1.0);
        svg.text((x, bottom + 18.0), &format!("{mark}×"), SMALL, Anchor::Middle);
    }
    let even = axis.at(1.0);
    for (i, (filled, ratio)) in lines.iter().enumerate() {
        let y = top + row * (i as f64 + 0.5);
        let is_ahead = ratio.median >= 1.0;
        let color = if is_ahead { own.color } else { PALE };
        svg.text((left - 12.0, y + 4.0), &filled.line.title, LABEL, Anchor::End);
        svg.bar((even, y - 5.5), (axis.at(ratio.median), y + 5.5), color, 0.85);
        svg.line((axis.at(ratio.min), y), (axis.at(ratio.max), y), INK, 1.0);
        let best = filled.best.map_or("", |best| best.name);
        let text = format!("{}×", digits(ratio.median));
        let font = LABEL.bold(is_ahead);
        svg.text((right + 56.0, y + 4.0), &text, font, Anchor::End);
        svg.text((right + 66.0, y + 4.0), best, SMALL, Anchor::Start);
    }
    svg.line((even, top - 6.0), (even, bottom), INK, 1.4);
    svg.text((right + 66.0, top - 10.0), "best peer", SMALL.color(INK), Anchor::Start);
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::CELLS;
    use crate::engines::ENTRIES;
    use crate::results::Row;
    use crate::svg::tests::check_is_well_formed;

    /// A run in which every engine has every figure, some of them odd.
    pub(crate) fn made_up() -> Saved {
        let mut rows = Vec::new();
        for (e, entry) in ENTRIES.iter().enumerate() {
            let mut row = |workload: &str, figure: &str, value: f64| {
                for round in 0..3 {
                    rows.push(Row {
                        workload: workload.to_owned(),
                        engine: entry.name.to_owned(),
                        round,
                        figure: figure.to_owned(),
                        value: value * (1.0 + round as f64 / 10.0),
                        why: String::new(),
                    });
                }
            };
            for (c, cell) in CELLS.iter().enumerate() {
                row(cell.id, "ops", 1000.0 * (1 + c * e) as f64);
                row(cell.id, "p50", 700.0 * (1 + e) as f64);
                row(cell.id, "p99", 90_000.0 / (1 + e) as f64);
            }
            for figure in ["loaded_heap", "overwritten_heap", "loaded_disk", "overwritten_disk"] {
                row("space", figure, 150.0 * e as f64);
            }
        }
        Saved { about: Vec::new(), rows }
    }

    #[test]
    fn pictures_of_a_whole_run_are_well_formed() {
        let pictures = all(&made_up());
        assert!(pictures.len() >= 6, "without peers, nobody is ahead of them: {}", pictures.len());
        for (name, svg) in pictures {
            let text = svg.to_string();
            check_is_well_formed(&text);
            assert!(text.contains("vellum-"), "{name}");
        }
    }

    #[test]
    fn pictures_of_nothing_are_none() {
        assert!(all(&Saved::default()).is_empty());
    }
}
