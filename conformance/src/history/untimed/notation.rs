//! The notation of [`Untimed`] histories.

use std::fmt;
use std::str::FromStr;

use super::{Untimed, UntimedOp, UntimedTxn};

impl FromStr for Untimed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let sessions = lines.filter(|line| !line.is_empty()).map(session);
        Ok(Self { sessions: sessions.collect::<Result<_, _>>()? })
    }
}

fn session(line: &str) -> Result<Vec<UntimedTxn>, String> {
    line.split('|').map(txn).collect()
}

fn txn(text: &str) -> Result<UntimedTxn, String> {
    let bad = || format!("not a transaction: {text:?}");
    let mut rest = text.trim();
    let mut span = None;
    if let Some(after) = rest.strip_prefix('@') {
        let (times, ops) = after.split_once(char::is_whitespace).ok_or_else(bad)?;
        let (called, returned) = times.split_once('-').ok_or_else(bad)?;
        let number = |n: &str| n.parse::<u64>().map_err(|_| bad());
        span = Some((number(called)?, number(returned)?));
        rest = ops.trim();
    }
    let mut committed = Some(true);
    if let Some(before) = rest.strip_suffix('!') {
        (rest, committed) = (before.trim_end(), Some(false));
    } else if let Some(before) = rest.strip_suffix('?') {
        (rest, committed) = (before.trim_end(), None);
    }
    let mut ops = Vec::new();
    while !rest.is_empty() {
        let (one, after) = rest.split_once(')').ok_or_else(bad)?;
        ops.push(op(one.trim()).ok_or_else(bad)?);
        rest = after.trim_start();
    }
    Ok(UntimedTxn { ops, committed, span })
}

fn op(text: &str) -> Option<UntimedOp> {
    let (what, inside) = text.split_once('(')?;
    if what == "d" {
        return Some(UntimedOp::Delete(inside.trim().into()));
    }
    let (key, value) = inside.split_once(',')?;
    let (key, value) = (key.trim().to_owned(), value.trim());
    Some(match what {
        "w" => UntimedOp::Write(key, value.into()),
        "a" => UntimedOp::Append(key, value.into()),
        "r" => match value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
            Some(list) => {
                let elements = list.split_ascii_whitespace().map(Into::into).collect();
                UntimedOp::ReadList(key, elements)
            }
            None => UntimedOp::Read(key, (value != "_").then(|| value.into())),
        },
        _ => return None,
    })
}

impl fmt::Display for UntimedOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(key, value) => write!(f, "r({key},{})", value.as_deref().unwrap_or("_")),
            Self::ReadList(key, list) => write!(f, "r({key},[{}])", list.join(" ")),
            Self::Write(key, value) => write!(f, "w({key},{value})"),
            Self::Append(key, value) => write!(f, "a({key},{value})"),
            Self::Delete(key) => write!(f, "d({key})"),
        }
    }
}

impl fmt::Display for UntimedTxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((called, returned)) = self.span {
            write!(f, "@{called}-{returned} ")?;
        }
        for (n, op) in self.ops.iter().enumerate() {
            write!(f, "{}{op}", if n > 0 { " " } else { "" })?;
        }
        f.write_str(match self.committed {
            Some(true) => "",
            Some(false) => "!",
            None => "?",
        })
    }
}

impl fmt::Display for Untimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for session in &self.sessions {
            let txns: Vec<String> = session.iter().map(ToString::to_string).collect();
            writeln!(f, "{}", txns.join(" | "))?;
        }
        Ok(())
    }
}
