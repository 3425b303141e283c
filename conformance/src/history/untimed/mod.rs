//! Small histories without timestamps, and a verdict by trying all orders.

mod notation;
mod search;

use std::collections::HashMap;

use super::anomaly::{Anomaly, Class, Verified};

/// A history of which only is known what its clients saw.
///
/// Its notation has a line a session, and `|` between the transactions of one:
///
/// ```
/// use vellum_conformance::history::{Level, Untimed, check_untimed};
/// let skew: Untimed = "
///     r(x,_) r(y,_) w(x,1)
///     r(x,_) r(y,_) w(y,2)
/// ".parse()?;
/// assert!(check_untimed(&skew, Level::Snapshot).is_ok());
/// assert!(check_untimed(&skew, Level::Serializable).is_err());
/// # Ok::<(), String>(())
/// ```
///
/// | operation | means |
/// |---|---|
/// | `w(x,1)` | wrote 1 to x |
/// | `r(x,1)` | read x and saw 1 |
/// | `r(x,_)` | saw the initial value, which is none that anyone writes |
/// | `a(x,1)` | appended 1 to the list x |
/// | `r(x,[1 2])` | read the list x, which was 1, 2; `[]` is the initial one |
/// | `d(x)` | deleted x: back to the initial value |
/// | `!` after a transaction | it was aborted; its reads are not judged |
/// | `?` after a transaction | its outcome is unknown |
/// | `@3-7` before a transaction | called at tick 3, returned at tick 7 |
/// | `#` | a comment, to the end of the line |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untimed {
    /// The transactions of each session, in its order.
    pub sessions: Vec<Vec<UntimedTxn>>,
}

/// A transaction of an [`Untimed`] history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UntimedTxn {
    /// What it did.
    pub ops: Vec<UntimedOp>,
    /// `Some(false)` if it was aborted, `None` if nobody knows.
    pub committed: Option<bool>,
    /// When it was called and when it returned, if that is known.
    pub span: Option<(u64, u64)>,
}

/// An operation of an [`UntimedTxn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UntimedOp {
    /// Saw a value, or the initial one.
    Read(String, Option<String>),
    /// Saw a list.
    ReadList(String, Vec<String>),
    /// Wrote a value.
    Write(String, String),
    /// Appended to a list.
    Append(String, String),
    /// Removed a value.
    Delete(String),
}

/// What is asked of an [`Untimed`] history. Each keeps the order of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Every transaction reads the state of one moment, and of two that
    /// overlap and write one key not both commit.
    Snapshot,
    /// Some order of the transactions explains every read.
    Serializable,
    /// Some order that keeps real time does, where [spans](UntimedTxn::span)
    /// are known.
    Strict,
}

/// Judges a history by trying all orders of its transactions, remembering
/// which situations led nowhere (a situation is how far each session is, and
/// the state; after Biswas and Enea, "On the Complexity of Checking
/// Transactional Consistency", OOPSLA 2019). Exact, exponential in the number
/// of sessions.
///
/// # Errors
/// An [`Anomaly`] that says how far the orders go, and what then cannot be
/// explained; [`Undecided`](Class::Undecided) after two million situations, or
/// with more than 12 unknown outcomes.
pub fn check_untimed(history: &Untimed, level: Level) -> Result<Verified, Box<Anomaly>> {
    const UNKNOWN_MAX: usize = 12;
    garbage(history)?;
    let unknown: Vec<(usize, usize)> = history
        .sessions
        .iter()
        .enumerate()
        .flat_map(|(s, txns)| txns.iter().enumerate().map(move |(n, t)| (s, n, t)))
        .filter(|(_, _, t)| t.committed.is_none())
        .map(|(s, n, _)| (s, n))
        .collect();
    if unknown.len() > UNKNOWN_MAX {
        return Err(Anomaly::new(Class::Undecided, vec![], "  Too many outcomes are unknown."));
    }
    let mut first = None;
    for chosen in 0..1_u32 << unknown.len() {
        let mut decided = history.clone();
        for (bit, (s, n)) in unknown.iter().enumerate() {
            if let Some(txn) = decided.sessions.get_mut(*s).and_then(|txns| txns.get_mut(*n)) {
                txn.committed = Some(chosen >> bit & 1 == 1);
            }
        }
        match search::search(&decided, level) {
            Ok(verified) => return Ok(verified),
            Err(anomaly) => first.get_or_insert(anomaly),
        };
    }
    Err(first.unwrap_or_else(|| Anomaly::new(Class::NoOrder, vec![], "  Nothing was tried.")))
}

/// Reads that no order can explain: of a value that nobody wrote, of an
/// aborted write, of one that was written over before its commit.
fn garbage(history: &Untimed) -> Result<(), Box<Anomaly>> {
    #[derive(Clone, Copy)]
    enum From {
        Final,
        WrittenOver,
        Aborted,
    }
    let mut written: HashMap<(&str, &str), From> = HashMap::new();
    let txns = || history.sessions.iter().flatten();
    for txn in txns() {
        let mut last: HashMap<&str, &str> = HashMap::new();
        let mut by_it: HashMap<(&str, &str), From> = HashMap::new();
        for op in &txn.ops {
            let (key, value) = match op {
                UntimedOp::Write(key, value) => {
                    if let Some(over) = last.insert(key, value) {
                        by_it.insert((key, over), From::WrittenOver);
                    }
                    (key, value)
                }
                UntimedOp::Append(key, value) => (key, value),
                UntimedOp::Delete(key) => {
                    if let Some(over) = last.remove(key.as_str()) {
                        by_it.insert((key, over), From::WrittenOver);
                    }
                    continue;
                }
                UntimedOp::Read(..) | UntimedOp::ReadList(..) => continue,
            };
            let aborted = txn.committed == Some(false);
            by_it.insert((key, value), if aborted { From::Aborted } else { From::Final });
        }
        for (what, from) in by_it {
            // Values may repeat: one final write is enough.
            match from {
                From::Final => drop(written.insert(what, from)),
                From::WrittenOver | From::Aborted => drop(written.entry(what).or_insert(from)),
            }
        }
    }
    for txn in txns().filter(|t| t.committed == Some(true)) {
        for (n, op) in txn.ops.iter().enumerate() {
            let (key, values) = match op {
                UntimedOp::Read(key, Some(value)) => (key, std::slice::from_ref(value)),
                UntimedOp::ReadList(key, values) => (key, &values[..]),
                _ => continue,
            };
            let own = |value: &str| {
                txn.ops.iter().take(n).any(|op| {
                    matches!(op, UntimedOp::Write(k, v) | UntimedOp::Append(k, v)
                        if k == key && v == value)
                })
            };
            for value in values.iter().filter(|v| !own(v)) {
                let (class, why) = match written.get(&(key.as_str(), value.as_str())) {
                    Some(From::Final) => continue,
                    Some(From::WrittenOver) => (Class::G1b, "was written over before its commit"),
                    Some(From::Aborted) => (Class::G1a, "is of an aborted transaction"),
                    None => (Class::Garbage, "nobody wrote"),
                };
                let story = format!("  {txn} read {value}, which {why}.");
                return Err(Anomaly::new(class, vec![], story));
            }
        }
    }
    Ok(())
}
