//! What the run asks of a worker, and what it answers: a line each.

use std::fmt;
use std::str::FromStr;

use crate::Result;
use crate::engine::Unsupported;
use crate::ops::Wrong;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opens the engine, and reads a key of it if any were loaded.
    Open,
    /// Sets all records, in random order or ascending.
    Load { is_random: bool },
    /// Lets background work come to rest, and reads everything once.
    Settle,
    /// Measures a cell for so many milliseconds.
    Measure { cell: String, seed: u64, milliseconds: u64 },
    /// Looks for updates that were lost in a cell.
    Finish { cell: String },
    /// Overwrites everything under a snapshot.
    Held,
    /// So many saved versions.
    Saved { versions: u64 },
    /// What is taken of memory and disk.
    Space,
    /// Overwrites everything.
    Overwrite,
    /// Collects what no transaction needs.
    Collect,
    /// Commits without a sync, and then with one: to be killed after it.
    Dirty,
    /// Whether all that was loaded and synced is there.
    Check,
    /// Closes the engine in order.
    Close,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Load { is_random: true } => f.write_str("load random"),
            Self::Load { is_random: false } => f.write_str("load sequential"),
            Self::Settle => f.write_str("settle"),
            Self::Measure { cell, seed, milliseconds } => {
                write!(f, "measure {cell} {seed} {milliseconds}")
            }
            Self::Finish { cell } => write!(f, "finish {cell}"),
            Self::Held => f.write_str("held"),
            Self::Saved { versions } => write!(f, "saved {versions}"),
            Self::Space => f.write_str("space"),
            Self::Overwrite => f.write_str("overwrite"),
            Self::Collect => f.write_str("collect"),
            Self::Dirty => f.write_str("dirty"),
            Self::Check => f.write_str("check"),
            Self::Close => f.write_str("close"),
        }
    }
}

impl FromStr for Request {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["open"] => Self::Open,
            ["load", "random"] => Self::Load { is_random: true },
            ["load", "sequential"] => Self::Load { is_random: false },
            ["settle"] => Self::Settle,
            ["measure", cell, seed, milliseconds] => Self::Measure {
                cell: (*cell).to_owned(),
                seed: seed.parse()?,
                milliseconds: milliseconds.parse()?,
            },
            ["finish", cell] => Self::Finish { cell: (*cell).to_owned() },
            ["held"] => Self::Held,
            ["saved", versions] => Self::Saved { versions: versions.parse()? },
            ["space"] => Self::Space,
            ["overwrite"] => Self::Overwrite,
            ["collect"] => Self::Collect,
            ["dirty"] => Self::Dirty,
            ["check"] => Self::Check,
            ["close"] => Self::Close,
            _ => return Err(format!("not a request: {line}").into()),
        })
    }
}

/// Names and numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(pub Vec<(String, f64)>);

impl Figures {
    /// Adds one.
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done, with what was measured.
    Done(Figures),
    /// The engine does not offer it.
    Unsupported(String),
    /// It was wrong.
    Wrong(String),
    /// It failed, crashed, or took too long.
    Failed(String),
}

impl From<Result<Figures>> for Reply {
    fn from(result: Result<Figures>) -> Self {
        match result {
            Ok(figures) => Self::Done(figures),
            Err(error) => match error.downcast_ref::<Unsupported>() {
                Some(unsupported) => Self::Unsupported(unsupported.0.to_owned()),
                None => match error.downcast_ref::<Wrong>() {
                    Some(wrong) => Self::Wrong(wrong.0.clone()),
                    None => Self::Failed(error.to_string()),
                },
            },
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, why) = match self {
            Self::Done(figures) => {
                f.write_str("done")?;
                return figures.0.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"));
            }
            Self::Unsupported(why) => ("unsupported", why),
            Self::Wrong(why) => ("wrong", why),
            Self::Failed(why) => ("failed", why),
        };
        write!(f, "{kind} {}", why.replace(['\n', '\r'], " "))
    }
}

impl FromStr for Reply {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(line: &str) -> Result<Self> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match kind {
            "done" => {
                let mut figures = Figures::default();
                for word in rest.split_whitespace() {
                    let (name, value) = word.split_once('=').ok_or("a figure without a value")?;
                    figures.set(name, value.parse()?);
                }
                Self::Done(figures)
            }
            "unsupported" => Self::Unsupported(rest.to_owned()),
            "wrong" => Self::Wrong(rest.to_owned()),
            "failed" => Self::Failed(rest.to_owned()),
            _ => return Err(format!("not an answer: {line}").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_read_as_they_were_written() {
        let requests = [
            Request::Load { is_random: false },
            Request::Measure { cell: "get-1".into(), seed: 7, milliseconds: 200 },
            Request::Finish { cell: "rmw-zipf-8".into() },
            Request::Saved { versions: 1000 },
        ];
        for request in requests {
            assert_eq!(request.to_string().parse::<Request>().ok(), Some(request));
        }
        let mut figures = Figures::default();
        figures.set("ops", 1.5e6);
        figures.set("lost", 0.0);
        let replies =
            [Reply::Done(figures), Reply::Unsupported("no locks".into()), Reply::Wrong("2".into())];
        for reply in replies {
            assert_eq!(reply.to_string().parse::<Reply>().ok(), Some(reply));
        }
        assert_eq!(Reply::Failed("a\nb".into()).to_string(), "failed a b");
    }
}
