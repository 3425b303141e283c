//! The table of figures: one row a figure and backend, rewritten by the command
//! that measured it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The head of the table, by which it is found in its page.
const HEAD: &str = "| figure | backend | reached | found wrong | day | command |";

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    /// What was counted. With the backend, the key of the row.
    pub(crate) name: String,
    /// Where it was counted.
    pub(crate) backend: String,
    /// How much of it there was.
    pub(crate) reached: String,
    /// How much of it was not as it must be.
    pub(crate) wrong: String,
    /// The day of the run, as year-month-day in UTC.
    pub(crate) day: String,
    /// What repeats it.
    pub(crate) command: String,
}

impl Figure {
    /// A figure of today.
    pub(crate) fn today(name: &str, backend: &str, reached: String, command: String) -> Self {
        let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let (name, backend) = (name.to_owned(), backend.to_owned());
        Self { name, backend, reached, wrong: "0".to_owned(), day, command }
    }

    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let mut cells = line.split(" | ").map(str::to_owned);
        let mut cell = || cells.next();
        let (name, backend, reached) = (cell()?, cell()?, cell()?);
        let (wrong, day, command) = (cell()?, cell()?, cell()?);
        let command = command.trim_matches('`').to_owned();
        Some(Self { name, backend, reached, wrong, day, command })
    }

    fn is_of(&self, other: &Self) -> bool {
        self.name == other.name && self.backend == other.backend
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A bar inside a cell would end it.
        let cell = |text: &str| text.replace('|', "/").replace('\n', " ");
        write!(
            f,
            "| {} | {} | {} | {} | {} | `{}` |",
            cell(&self.name),
            cell(&self.backend),
            cell(&self.reached),
            cell(&self.wrong),
            cell(&self.day),
            cell(&self.command)
        )
    }
}

/// Puts figures into the table of a page, each in place of the row of the same
/// name and backend, or at the end.
///
/// # Errors
/// If the page cannot be read or written, or has no table of figures.
pub(crate) fn record(page: &Path, figures: &[Figure]) -> io::Result<()> {
    let text = std::fs::read_to_string(page)?;
    let text = merge(&text, figures).ok_or_else(|| {
        let page = page.display();
        io::Error::other(format!("{page} has no table of figures: no line `{HEAD}`"))
    })?;
    // Whole or not at all: the rows of other commands took hours.
    let beside: PathBuf = page.with_extension("md.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, page)
}

fn merge(text: &str, figures: &[Figure]) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| *line == HEAD)?;
    let (before, table) = lines.split_at_checked(head + 2)?;
    let rows = table.iter().take_while(|line| line.starts_with("| ")).count();
    let (table, after) = table.split_at_checked(rows)?;
    // Rows of others stay as they are, to the letter: some are written by hand.
    let mut rows: Vec<String> = table.iter().map(|line| (*line).to_owned()).collect();
    for figure in figures {
        let is_its = |row: &&mut String| Figure::parse(row).is_some_and(|row| row.is_of(figure));
        match rows.iter_mut().find(is_its) {
            Some(row) => *row = figure.to_string(),
            None => rows.push(figure.to_string()),
        }
    }
    let lines = before.iter().copied();
    let lines = lines.chain(rows.iter().map(String::as_str)).chain(after.iter().copied());
    Some(lines.map(|line| format!("{line}\n")).collect())
}

/// A count with its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn figure(name: &str, backend: &str, reached: &str) -> Figure {
        Figure::today(name, backend, reached.to_owned(), "proof x".to_owned())
    }

    #[test]
    fn a_figure_replaces_the_row_of_its_name_and_backend_and_no_other() {
        let page = format!("# Title\n\n{HEAD}\n|---|---|---|---|---|---|\n\nThe end.\n");
        let rows = [figure("kills", "lsm", "1"), figure("worlds", "mem", "2")];
        let once = merge(&page, &rows).unwrap();
        let twice = merge(&once, &[figure("kills", "lsm", "30"), figure("kills", "mem", "4")]);
        let twice = twice.unwrap();
        let reached: Vec<_> = twice.lines().filter_map(Figure::parse).collect();
        let reached: Vec<_> = reached.iter().skip(1).map(|f| f.reached.as_str()).collect();
        assert_eq!(reached, ["30", "2", "4"]);
        assert!(twice.starts_with("# Title\n") && twice.ends_with("\n\nThe end.\n"));
    }

    #[test]
    fn rows_of_others_stay_as_they_are() {
        let by_hand = "| mutants | core | 1 of 2 | 1 left | today | `a` for `b`, and again |";
        let page = format!("{HEAD}\n|---|---|---|---|---|---|\n{by_hand}\n| a cell |\n");
        let merged = merge(&page, &[figure("kills", "lsm", "1")]).unwrap();
        let kills = figure("kills", "lsm", "1");
        assert_eq!(merged, format!("{page}{kills}\n"));
    }

    #[test]
    fn a_page_without_the_table_is_left_alone() {
        assert_eq!(merge("# Title\n", &[figure("kills", "lsm", "1")]), None);
    }

    #[test]
    fn thousands_stand_apart() {
        let shown = [0, 999, 1_000, 12_345_678].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
    }
}
