//! Tables in Markdown.

use std::fmt::Write as _;

use crate::costs::{Costs, Local};
use crate::path::{Path, Variant};
use crate::world::Outcome;

/// What is simulated: so many cores.
pub(crate) const CORES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// What came out for a path.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) path: Path,
    /// Simulated, for each of [`CORES`].
    pub(crate) outcomes: Vec<Outcome>,
    /// Measured with one thread and with two, operations a second.
    pub(crate) measured: [f64; 2],
    /// Simulated with two cores, a line moving as it does on this machine.
    pub(crate) here: f64,
}

impl Row {
    /// Simulated operations a second with the n-th of [`CORES`].
    pub(crate) fn rate(&self, n: usize) -> f64 {
        self.outcomes.get(n).map_or(f64::NAN, |outcome| outcome.per_second)
    }
}

/// A number a second, in three digits.
pub(crate) fn short(figure: f64) -> String {
    let (figure, unit) = match figure {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    let digits = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
    format!("{figure:.digits$}{unit}")
}

/// What one core takes, measured.
pub(crate) fn costs(costs: &Costs) -> String {
    type Pick = fn(&Local) -> u64;
    let mut text = String::from("| nanoseconds of one core | memory | disk |\n|---|--:|--:|\n");
    let rows: [(&str, Pick); 8] = [
        ("begin and drop a read", |local| local.begin_read),
        ("get in it", |local| local.get),
        ("the same of one key", |local| local.get_hot),
        ("begin and drop a write", |local| local.begin_write),
        ("put, making its value included", |local| local.put),
        ("commit, without the store's part", |local| local.decide),
        ("the store's part, of a group", |local| local.group),
        ("the store's part, of a commit of one key", |local| local.apply),
    ];
    for (name, pick) in rows {
        let (memory, disk) = (pick(&costs.memory), pick(&costs.disk));
        let _ = writeln!(text, "| {name} | {memory} | {disk} |");
    }
    let _ = writeln!(text, "| an fsync, more than without | - | {} |", costs.fsync);
    for (name, ns) in [
        ("looks of a follower before it sleeps, the fewest", costs.spin),
        ("from a wake until the thread runs", costs.wake),
        ("to wake a thread", costs.waking),
    ] {
        let _ = writeln!(text, "| {name} | {ns} | {ns} |");
    }
    text
}

/// Cores by path.
pub(crate) fn simulated(rows: &[Row]) -> String {
    let mut text = String::from("| cores |");
    rows.iter().for_each(|row| text += &format!(" {} |", row.path.name()));
    text += "\n|--:|";
    rows.iter().for_each(|_| text += "--:|");
    text.push('\n');
    for (n, cores) in CORES.iter().enumerate() {
        let _ = write!(text, "| {cores} |");
        for row in rows {
            let rate = row.rate(n);
            let _ = write!(text, " {}", short(rate));
            if n > 0 {
                let _ = write!(text, " ({:.1}x)", rate / row.rate(0));
            }
            text += " |";
        }
        text.push('\n');
    }
    text
}

/// What holds each path up.
pub(crate) fn bottlenecks(rows: &[Row]) -> String {
    let mut text =
        String::from("| path | busy most at 64 cores | of the time | commits a group |\n");
    text += "|---|---|--:|--:|\n";
    for row in rows {
        let Some(Outcome { bottleneck: (name, share), group, .. }) = row.outcomes.last() else {
            continue;
        };
        let is_shared = *share > 0.5;
        let share = if is_shared { format!("{:.0} %", share * 100.0) } else { "-".into() };
        let group = if group.is_finite() { format!("{group:.1}") } else { "-".into() };
        let _ = writeln!(text, "| {} | {name} | {share} | {group} |", row.path.name());
    }
    text
}

/// What 64 cores would do if the engine were otherwise.
pub(crate) fn variants(rows: &[(Path, [f64; 3])]) -> String {
    let mut text = String::from("| of 64 cores |");
    rows.iter().for_each(|(path, _)| text += &format!(" {} |", path.name()));
    text += "\n|---|";
    rows.iter().for_each(|_| text += "--:|");
    text.push('\n');
    for (n, variant) in Variant::ALL.into_iter().enumerate() {
        let _ = write!(text, "| {} |", variant.name());
        for (_, rates) in rows {
            let rate = rates.get(n).copied().unwrap_or(f64::NAN);
            let _ = write!(text, " {} |", short(rate));
        }
        text.push('\n');
    }
    text
}

/// The model beside the real engine.
pub(crate) fn check(rows: &[Row], line_ns: u64, here: u64) -> String {
    let mut text = format!(
        "| path | 1 thread, measured | 1 core, simulated | 2 threads, measured \
         | 2 cores, lines of {line_ns} ns | 2 cores, lines of {here} ns |\n"
    );
    text += "|---|--:|--:|--:|--:|--:|\n";
    for row in rows {
        let [one, two] = row.measured;
        let beside = |simulated: f64, measured: f64| {
            format!("{} ({:.2} of measured)", short(simulated), simulated / measured)
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.path.name(),
            short(one),
            beside(row.rate(0), one),
            short(two),
            beside(row.rate(1), two),
            beside(row.here, two),
        );
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn rows() -> Vec<Row> {
        let outcome = |n: &usize| Outcome {
            per_second: 1e6 * *n as f64,
            bottleneck: ("the line of a < b", 0.9),
            group: f64::NAN,
        };
        let row = |path| Row {
            path,
            outcomes: CORES.iter().map(outcome).collect(),
            measured: [2e6, 1e6],
            here: 3e6,
        };
        Path::ALL.into_iter().map(row).collect()
    }

    #[test]
    fn tables_say_rates_speed_ups_and_how_far_the_model_is_off() {
        let rows = rows();
        assert!(simulated(&rows).contains("\n| 64 | 64.0M (64.0x) |"));
        assert!(bottlenecks(&rows).contains("| the line of a < b | 90 % | - |"));
        let check = check(&rows, 100, 40);
        assert!(check.contains("| 2.00M | 1.00M (0.50 of measured) | 1.00M | 2.00M (2.00 of"));
    }

    #[test]
    fn figures_have_three_digits() {
        let all = [999.0, 1_234.0, 12_340.0, 123_400.0, 1.5e6, 2.5e9].map(short);
        assert_eq!(all, ["999", "1.23k", "12.3k", "123k", "1.50M", "2.50G"]);
    }
}
