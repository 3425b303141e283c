//! What was measured, as it came: lines of CSV that are appended and flushed
//! one by one, from which the report is made.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use crate::Result;
use crate::protocol::Reply;

const ROWS: &str = "raw.csv";
const ABOUT: &str = "about.csv";
const HEADER: &str = "workload,engine,round,figure,value,why";
/// The figure of a row that says why there is none.
pub const NONE: &str = "-";
/// The name under which the device's own fsync stands among the engines.
pub const DEVICE: &str = "device";

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The cell or workload.
    pub workload: String,
    /// The engine, or [`DEVICE`].
    pub engine: String,
    /// The round.
    pub round: u64,
    /// What was measured, or [`NONE`].
    pub figure: String,
    /// How much.
    pub value: f64,
    /// Why there is none.
    pub why: String,
}

/// The results of a run that goes on.
#[derive(Debug)]
pub struct Recorder {
    rows: File,
}

impl Recorder {
    /// Begins a new run in this directory; `about` are its settings and machine.
    pub fn create(dir: &Path, about: &[(&str, String)]) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut text = String::new();
        for (name, value) in about {
            text.push_str(&format!("{name},{}\n", value.replace('\n', " ")));
        }
        fs::write(dir.join(ABOUT), text)?;
        let mut rows = File::create(dir.join(ROWS))?;
        writeln!(rows, "{HEADER}")?;
        Ok(Self { rows })
    }

    /// Writes down what an engine answered.
    pub fn record(
        &mut self,
        workload: &str,
        engine: &str,
        round: u64,
        prefix: &str,
        reply: &Reply,
    ) -> Result {
        let mut text = String::new();
        let mut none = |kind: &str, why: &str| {
            let why = why.replace([',', '\n'], ";");
            text.push_str(&format!("{workload},{engine},{round},{NONE},,{kind}: {why}\n"));
        };
        match reply {
            Reply::Unsupported(why) => none("not offered", why),
            Reply::Wrong(why) => none("WRONG ANSWER", why),
            Reply::Failed(why) => none("failed", why),
            Reply::Done(figures) => {
                for (name, value) in &figures.0 {
                    text.push_str(&format!(
                        "{workload},{engine},{round},{prefix}{name},{value},\n"
                    ));
                }
            }
        }
        self.rows.write_all(text.as_bytes())?;
        Ok(self.rows.flush()?)
    }
}

/// A saved run: its settings and machine, and its rows.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Settings and machine, by name.
    pub about: Vec<(String, String)>,
    /// What was measured.
    pub rows: Vec<Row>,
}

impl Saved {
    /// Reads a run back. A last line that is cut short is left out.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(ROWS);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut rows = Vec::new();
        for line in BufReader::new(file).lines().skip(1) {
            rows.extend(parse(&line?));
        }
        let about = fs::read_to_string(dir.join(ABOUT))?;
        let about = about.lines().filter_map(|line| line.split_once(','));
        let about = about.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { about, rows })
    }

    /// A figure of an engine, in every round in which there is one.
    pub fn rounds(&self, workload: &str, engine: &str, figure: &str) -> Vec<(u64, f64)> {
        let is_it =
            |row: &&Row| row.workload == workload && row.engine == engine && row.figure == figure;
        self.rows.iter().filter(is_it).map(|row| (row.round, row.value)).collect()
    }

    /// Why an engine has no figure, in the first round without one.
    pub fn why(&self, workload: &str, engine: &str) -> Option<&str> {
        let is_it =
            |row: &&Row| row.workload == workload && row.engine == engine && row.figure == NONE;
        self.rows.iter().find(is_it).map(|row| &*row.why)
    }
}

fn parse(line: &str) -> Option<Row> {
    let [workload, engine, round, figure, value, why] =
        line.split(',').collect::<Vec<_>>().try_into().ok()?;
    let value = if figure == NONE { f64::NAN } else { value.parse().ok()? };
    Some(Row {
        workload: workload.to_owned(),
        engine: engine.to_owned(),
        round: round.parse().ok()?,
        figure: figure.to_owned(),
        value,
        why: why.to_owned(),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::protocol::Figures;

    #[test]
    fn rows_are_read_as_they_were_written_and_cut_ones_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(dir.path(), &[("cpu", "a, b".into())]).unwrap();
        let mut figures = Figures::default();
        figures.set("ops", 12.5);
        recorder.record("get-1", "redb", 3, "", &Reply::Done(figures)).unwrap();
        let wrong = Reply::Wrong("key 1, missing".into());
        recorder.record("get-1", "sled", 3, "", &wrong).unwrap();
        recorder.rows.write_all(b"get-1,redb,4,op").unwrap();

        let saved = Saved::read(dir.path()).unwrap();
        assert_eq!(saved.about, [("cpu".to_owned(), "a, b".to_owned())]);
        assert_eq!(saved.rounds("get-1", "redb", "ops"), [(3, 12.5)]);
        assert_eq!(saved.why("get-1", "sled"), Some("WRONG ANSWER: key 1; missing"));
        assert_eq!(saved.rows.len(), 2);
    }
}
