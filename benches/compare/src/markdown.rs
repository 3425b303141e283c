//! The tables of the report, in Markdown.

use std::fmt::Write as _;

use crate::engines::{Entry, Group, Role};
use crate::results::{DEVICE, Saved};
use crate::stats::{Better, Spread};
use crate::table::{Filled, Unit, Value, digits, engines, written};

/// Share of attempts that lost from which it is shown.
const LOST_SHOWN: f64 = 0.01;

/// A table of ratios: the base of each line as it is, and how many times as
/// good each engine is.
pub fn ratios(saved: &Saved, lines: &[Filled], group: Group) -> String {
    let engines = engines(saved, group);
    let has_one_base = lines.iter().all(|filled| {
        filled.base.map(|base| base.name) == lines.first().and_then(|f| Some(f.base?.name))
    });
    let mut text = String::from("| |");
    match lines.first().and_then(|filled| filled.base).filter(|_| has_one_base) {
        Some(base) => _ = write!(text, " {} | best peer |", base.name),
        None => text.push_str(" base: the best peer |"),
    }
    let shown = |entry: &&&Entry| {
        !has_one_base || lines.first().and_then(|f| f.base).is_none_or(|b| b.name != entry.name)
    };
    let columns: Vec<_> = engines.iter().filter(shown).copied().collect();
    columns.iter().for_each(|entry| _ = write!(text, " {} |", heading(entry)));
    text.push_str("\n|---|---|");
    text.push_str(if has_one_base { "---|" } else { "" });
    columns.iter().for_each(|_| text.push_str("---:|"));
    text.push('\n');
    for filled in lines {
        let base = filled.base.and_then(|base| filled.value(base.name));
        _ = write!(text, "| {}{} |", filled.line.title, device(saved, filled));
        match base.and_then(|base| Some((base, base.figure?))) {
            Some((base, figure)) => {
                let name = if has_one_base { "" } else { base.entry.name };
                let figure = spread(figure, filled.line.unit);
                _ = write!(text, " {} |", format!("{name} {figure}{}", lost(base)).trim());
            }
            None => text.push_str(" - |"),
        }
        if has_one_base {
            let best = filled.best.and_then(|best| filled.value(best.name));
            match best.and_then(|best| Some((best.entry.name, best.ratio?))) {
                Some((name, ratio)) => _ = write!(text, " {name} {} |", digits(ratio.median)),
                None => text.push_str(" - |"),
            }
        }
        for entry in &columns {
            _ = write!(text, " {} |", filled.value(entry.name).map_or("-".into(), ratio));
        }
        text.push('\n');
    }
    text
}

/// A table of the figures as they are.
pub fn figures(saved: &Saved, lines: &[Filled], group: Group) -> String {
    let has = |entry: &&Entry| {
        lines.iter().any(|f| f.value(entry.name).is_some_and(|value| value.figure.is_some()))
    };
    let engines: Vec<_> = engines(saved, group).into_iter().filter(has).collect();
    let mut text = String::from("| |");
    engines.iter().for_each(|entry| _ = write!(text, " {} |", heading(entry)));
    text.push_str("\n|---|");
    engines.iter().for_each(|_| text.push_str("---:|"));
    text.push('\n');
    for filled in lines {
        _ = write!(text, "| {} |", filled.line.title);
        let best = best(filled);
        for entry in &engines {
            let figure = filled.value(entry.name).and_then(|value| value.figure);
            let figure = figure.map(|figure| written(figure.median, filled.line.unit));
            let is_best = figure.is_some() && best == figure;
            let figure = figure.unwrap_or_else(|| "-".to_owned());
            _ = if is_best { write!(text, " **{figure}** |") } else { write!(text, " {figure} |") };
        }
        text.push('\n');
    }
    text
}

/// The best figure of a line, as it is written; nothing if there is only one.
fn best(filled: &Filled) -> Option<String> {
    let all = filled.values.iter().filter_map(|value| Some(value.figure?.median));
    if all.clone().count() < 2 {
        return None;
    }
    let best = all.reduce(|one, two| match filled.line.better() {
        Better::High => one.max(two),
        Better::Low => one.min(two),
    });
    best.map(|best| written(best, filled.line.unit))
}

fn heading(entry: &Entry) -> String {
    match entry.role {
        Role::Own => format!("**{}**", entry.name),
        Role::Peer => entry.name.to_owned(),
        Role::Floor => format!("*{}*", entry.name),
    }
}

fn spread(spread: Spread, unit: Unit) -> String {
    let [median, min, max] =
        [spread.median, spread.min, spread.max].map(|figure| written(figure, unit));
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

fn ratio(value: &Value) -> String {
    let Some(ratio) = value.ratio else {
        let is_wrong = value.why.as_ref().is_some_and(|why| why.starts_with("WRONG"));
        return if is_wrong { "**WRONG**".to_owned() } else { "-".to_owned() };
    };
    let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(digits);
    let lost = lost(value);
    if value.entry.role == Role::Own && min != max {
        return format!("**{median}** ({min}–{max}){lost}");
    }
    format!("{median}{lost}")
}

fn lost(value: &Value) -> String {
    if value.lost < LOST_SHOWN {
        return String::new();
    }
    format!(" <sup>{:.0} %</sup>", value.lost * 100.0)
}

/// The device's own fsync, for a line of synced commits.
fn device(saved: &Saved, filled: &Filled) -> String {
    let median = |figure| {
        let rounds = saved.rounds(filled.line.workload, DEVICE, figure);
        Some(written(Spread::of(rounds.into_iter().map(|(_, x)| x))?.median, Unit::Time))
    };
    match (median("p50"), median("p99")) {
        (Some(p50), Some(p99)) if filled.line.unit == Unit::PerSecond => {
            format!(" (device: p50 {p50}, p99 {p99})")
        }
        _ => String::new(),
    }
}

/// In how many lines each of ours is ahead of the best peer, and by how much.
pub fn summary(lines: &[Filled]) -> String {
    let mut text = String::new();
    let own = lines.first().into_iter().flat_map(|filled| &filled.values);
    for entry in own.map(|value| value.entry).filter(|entry| entry.role == Role::Own) {
        let ratios: Vec<f64> = lines
            .iter()
            .filter_map(|filled| Some(filled.value(entry.name)?.to_best?.median))
            .collect();
        let ahead = ratios.iter().filter(|ratio| **ratio >= 1.0).count();
        if let Some(all) = Spread::of(ratios.iter().copied()) {
            let [median, min, max] = [all.median, all.min, all.max].map(digits);
            let name = entry.name;
            let count = ratios.len();
            _ = writeln!(
                text,
                "- **{name}** is at or ahead of the best peer in {ahead} of {count} rows; \
                 its ratio to that is {median} in the median row, from {min} to {max}."
            );
        }
        let alike: Vec<f64> =
            lines.iter().filter_map(|filled| filled.to_best_alike(entry.name)).collect();
        let ahead = alike.iter().filter(|ratio| **ratio >= 1.0).count();
        if let Some(all) = Spread::of(alike.iter().copied()) {
            let median = digits(all.median);
            let count = alike.len();
            _ = writeln!(
                text,
                "  Beside the best of those in Rust that keep their data on disk (without LMDB, \
                 RocksDB, surrealmx): ahead in {ahead} of {count} rows, {median} in the median row."
            );
        }
    }
    text
}

/// What each engine is, and how it was set up.
pub fn about_engines(saved: &Saved) -> String {
    let mut text = String::from(
        "| engine | measured | isolation | an unsynced commit is | note |\n|---|---|---|---|---|\n",
    );
    for group in [Group::Mem, Group::Disk] {
        for entry in engines(saved, group) {
            let Entry { package, isolation, buffered, note, .. } = entry;
            let name = heading(entry);
            _ = writeln!(text, "| {name} | {package} | {isolation} | {buffered} | {note} |");
        }
    }
    text
}

/// Why figures are missing, by engine.
pub fn missing(saved: &Saved) -> String {
    let mut reasons: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for row in saved.rows.iter().filter(|row| !row.why.is_empty()) {
        let known = reasons.iter_mut().find(|(e, why, _)| *e == row.engine && *why == row.why);
        match known {
            Some((_, _, workloads)) if workloads.contains(&&*row.workload) => {}
            Some((_, _, workloads)) => workloads.push(&row.workload),
            None => reasons.push((&row.engine, &row.why, vec![&row.workload])),
        }
    }
    reasons.sort_by_key(|(engine, ..)| *engine);
    let mut text = String::new();
    for (engine, why, workloads) in reasons {
        _ = writeln!(text, "- {engine}: {why} ({})", workloads.join(", "));
    }
    text
}

/// The machine and the settings, in a paragraph.
pub fn about(saved: &Saved) -> String {
    let facts = saved.about.iter().map(|(name, value)| format!("{name}: {value}"));
    format!("{}.\n", facts.collect::<Vec<_>>().join(" · "))
}
