//! All orders of a history's transactions, until one explains every read.

use std::collections::{HashMap, HashSet};

use super::super::anomaly::{Anomaly, Class, Verified};
use super::{Level, Untimed, UntimedOp, UntimedTxn};

/// How many situations are looked at before the search gives up.
const SITUATIONS_MAX: usize = if cfg!(test) { 63 } else { 2_000_000 };

/// A value or a list, by number; 0 is the initial one.
type Content = u32;

/// An operation with numbers for names.
enum Step {
    Read(usize, Content),
    Write(usize, Content),
    Append(usize, u32),
}

struct Prepared<'h> {
    txn: &'h UntimedTxn,
    steps: Vec<Step>,
    writes: Vec<usize>,
}

/// How far the search is.
#[derive(Clone)]
struct Situation {
    /// How many transactions of each session are over.
    done: Vec<usize>,
    /// What each session's open transaction will write; snapshots only.
    open: Vec<Option<Vec<(usize, Content)>>>,
    /// What each key holds.
    holds: Vec<Content>,
    /// The way here, in [`Search::way`].
    way: usize,
}

struct Search<'h> {
    sessions: Vec<Vec<Prepared<'h>>>,
    level: Level,
    keys: Vec<String>,
    /// The list that another one becomes by an element.
    appended: HashMap<(Content, u32), Content>,
    /// How each content reads.
    shown: Vec<String>,
    /// Each step with the one before it and the session that made it.
    way: Vec<(usize, usize, usize)>,
}

/// Tries all orders; every outcome is decided.
pub(super) fn search(history: &Untimed, level: Level) -> Result<Verified, Box<Anomaly>> {
    let mut search = Search::new(history, level);
    let start = search.start();
    let (mut seen, mut stack) = (HashSet::new(), vec![start.clone()]);
    let mut furthest = start;
    while let Some(here) = stack.pop() {
        if search.is_over(&here) {
            return Ok(search.verified(history));
        }
        if seen.len() > SITUATIONS_MAX {
            let story = format!("  {SITUATIONS_MAX} situations were looked at in vain.");
            return Err(Anomaly::new(Class::Undecided, vec![], story));
        }
        if here.done.iter().sum::<usize>() > furthest.done.iter().sum() {
            furthest = here.clone();
        }
        for next in search.next(&here) {
            if seen.insert(key_of(&next)) {
                stack.push(next);
            }
        }
    }
    Err(search.stuck(&furthest))
}

/// What distinguishes situations: how far each session is, whether it has a
/// transaction open, and the state. What an open one will write follows: the
/// keys that it writes have not changed since it began.
fn key_of(s: &Situation) -> (Vec<usize>, Vec<Content>) {
    let at = s.done.iter().zip(&s.open).map(|(n, open)| n * 2 + usize::from(open.is_some()));
    (at.collect(), s.holds.clone())
}

impl<'h> Search<'h> {
    fn new(history: &'h Untimed, level: Level) -> Self {
        let (keys, shown) = (Vec::new(), vec!["the initial value".into()]);
        let (sessions, appended, way) = (Vec::new(), HashMap::new(), Vec::new());
        let mut search = Self { sessions, level, keys, appended, shown, way };
        let mut names = Names::default();
        for session in &history.sessions {
            let committed = session.iter().filter(|t| t.committed == Some(true));
            let prepared = committed.map(|t| search.prepare(t, &mut names)).collect();
            search.sessions.push(prepared);
        }
        search
    }

    fn prepare(&mut self, txn: &'h UntimedTxn, names: &mut Names) -> Prepared<'h> {
        let mut steps = Vec::with_capacity(txn.ops.len());
        let mut writes = Vec::new();
        for op in &txn.ops {
            let (UntimedOp::Read(key, _)
            | UntimedOp::ReadList(key, _)
            | UntimedOp::Write(key, _)
            | UntimedOp::Append(key, _)
            | UntimedOp::Delete(key)) = op;
            let known = names.keys.len();
            let k = *names.keys.entry(key.clone()).or_insert(known);
            if k == known {
                self.keys.push(key.clone());
            }
            steps.push(match op {
                UntimedOp::Read(_, value) => Step::Read(k, self.value(value.as_ref(), names)),
                UntimedOp::ReadList(_, list) => {
                    let elements: Vec<u32> = list.iter().map(|v| names.element(v)).collect();
                    let list = elements.iter().fold(0, |list, v| self.append(list, *v, names));
                    Step::Read(k, list)
                }
                UntimedOp::Write(_, value) => Step::Write(k, self.value(Some(value), names)),
                UntimedOp::Delete(_) => Step::Write(k, 0),
                UntimedOp::Append(_, value) => Step::Append(k, names.element(value)),
            });
            if !matches!(op, UntimedOp::Read(..) | UntimedOp::ReadList(..)) && !writes.contains(&k)
            {
                writes.push(k);
            }
        }
        Prepared { txn, steps, writes }
    }

    fn value(&mut self, value: Option<&String>, names: &mut Names) -> Content {
        let Some(value) = value else { return 0 };
        if let Some(known) = names.values.get(value) {
            return *known;
        }
        let new = self.content(value.clone());
        names.values.insert(value.clone(), new);
        new
    }

    fn content(&mut self, shown: String) -> Content {
        self.shown.push(shown);
        Content::try_from(self.shown.len() - 1).unwrap_or(Content::MAX)
    }

    /// The list with one more element.
    fn append(&mut self, list: Content, element: u32, names: &Names) -> Content {
        if let Some(known) = self.appended.get(&(list, element)) {
            return *known;
        }
        let name = names.elements.iter().find(|(_, n)| **n == element);
        let name = name.map_or_else(|| format!("#{element}"), |(name, _)| name.clone());
        let shown = match self.shown.get(list as usize).filter(|_| list > 0) {
            Some(before) => format!("{before} {name}"),
            None => name,
        };
        let new = self.content(shown);
        self.appended.insert((list, element), new);
        new
    }

    fn start(&self) -> Situation {
        let n = self.sessions.len();
        let holds = vec![0; self.keys.len()];
        Situation { done: vec![0; n], open: vec![None; n], holds, way: usize::MAX }
    }

    fn head(&self, s: &Situation, session: usize) -> Option<&Prepared<'h>> {
        self.sessions.get(session)?.get(*s.done.get(session)?)
    }

    fn is_over(&self, s: &Situation) -> bool {
        (0..self.sessions.len()).all(|n| self.head(s, n).is_none())
    }

    /// The situations that can follow.
    fn next(&mut self, here: &Situation) -> Vec<Situation> {
        let mut all = Vec::new();
        for session in 0..self.sessions.len() {
            if let Some(Some(writes)) = here.open.get(session) {
                let mut next = here.clone();
                put(&mut next.holds, writes);
                self.finish(&mut next, session);
                all.push(next);
                continue;
            }
            let Some(txn) = self.head(here, session) else { continue };
            if !self.may_begin(here, txn) {
                continue;
            }
            let reads_only = txn.writes.is_empty();
            let Ok(writes) = self.play(here, session) else { continue };
            let mut next = here.clone();
            if self.level == Level::Snapshot && !reads_only {
                if let Some(open) = next.open.get_mut(session) {
                    *open = Some(writes);
                }
                all.push(next);
                continue;
            }
            put(&mut next.holds, &writes);
            self.finish(&mut next, session);
            if reads_only {
                // It changes nothing for the others: no other choice is better.
                return vec![next];
            }
            all.push(next);
        }
        all
    }

    fn finish(&mut self, s: &mut Situation, session: usize) {
        if let (Some(open), Some(done)) = (s.open.get_mut(session), s.done.get_mut(session)) {
            *open = None;
            self.way.push((s.way, session, *done));
            *done += 1;
            s.way = self.way.len() - 1;
        }
    }

    /// Under snapshots: no open transaction writes what this one does. In
    /// strict orders: all that was over before it began is done.
    fn may_begin(&self, here: &Situation, txn: &Prepared<'_>) -> bool {
        if self.level == Level::Strict
            && let Some((called, _)) = txn.txn.span
        {
            let waits = self.sessions.iter().zip(&here.done).any(|(session, done)| {
                let ended = |t: &Prepared<'_>| t.txn.span.is_some_and(|(_, end)| end < called);
                session.iter().skip(*done).any(ended)
            });
            return !waits;
        }
        let open = here.open.iter().flatten().flatten();
        !open.into_iter().any(|(key, _)| txn.writes.contains(key))
    }

    /// What a session's next transaction writes, if its reads hold here; else
    /// the key and what it should have held.
    fn play(
        &mut self,
        here: &Situation,
        session: usize,
    ) -> Result<Vec<(usize, Content)>, (usize, Content)> {
        let mut own: Vec<(usize, Content)> = Vec::new();
        let Some(txn) = self.sessions.get(session).and_then(|s| s.get(*here.done.get(session)?))
        else {
            return Ok(own);
        };
        for step in &txn.steps {
            let (Step::Read(key, _) | Step::Write(key, _) | Step::Append(key, _)) = step;
            let mine = own.iter().position(|(k, _)| k == key);
            let held = match mine.and_then(|n| own.get(n)) {
                Some((_, content)) => *content,
                None => here.holds.get(*key).copied().unwrap_or(0),
            };
            let content = match step {
                Step::Read(_, expected) if *expected == held => continue,
                Step::Read(_, expected) => return Err((*key, *expected)),
                Step::Write(_, content) => *content,
                Step::Append(_, element) => match self.appended.get(&(held, *element)) {
                    Some(list) => *list,
                    None => {
                        // A list that nobody saw: no later read of it can hold,
                        // but nobody need read it.
                        let list = Content::try_from(self.shown.len()).unwrap_or(Content::MAX);
                        self.shown.push(format!("a list that nobody saw ({list})"));
                        self.appended.insert((held, *element), list);
                        list
                    }
                },
            };
            match mine.and_then(|n| own.get_mut(n)) {
                Some(slot) => slot.1 = content,
                None => own.push((*key, content)),
            }
        }
        Ok(own)
    }

    fn verified(&self, history: &Untimed) -> Verified {
        let txns = || history.sessions.iter().flatten();
        let mut verified = Verified::default();
        verified.transactions = txns().count() as u64;
        verified.committed = txns().filter(|t| t.committed == Some(true)).count() as u64;
        verified.aborted = verified.transactions - verified.committed;
        verified.operations = txns().map(|t| t.ops.len() as u64).sum();
        let read = |op: &&UntimedOp| matches!(op, UntimedOp::Read(..) | UntimedOp::ReadList(..));
        verified.reads = txns().flat_map(|t| &t.ops).filter(read).count() as u64;
        verified
    }

    /// How far the orders go, and what then is in the way.
    fn stuck(&mut self, furthest: &Situation) -> Box<Anomaly> {
        let mut order = Vec::new();
        let mut at = furthest.way;
        while let Some(&(before, session, n)) = self.way.get(at) {
            if let Some(txn) = self.sessions.get(session).and_then(|s| s.get(n)) {
                order.push(format!("    {}", txn.txn));
            }
            at = before;
        }
        order.reverse();
        let mut story = format!(
            "  No order that is {} explains every read. The longest that does so far:\n",
            match self.level {
                Level::Snapshot => "of snapshots",
                Level::Serializable => "serial",
                Level::Strict => "serial and in real time",
            }
        );
        story += &order.join("\n");
        story += "\n  After it none of these can be next:\n";
        for session in 0..self.sessions.len() {
            let Some(text) = self.head(furthest, session).map(|t| t.txn.to_string()) else {
                continue;
            };
            let why = match self.play(furthest, session) {
                Err((key, expected)) => {
                    let shown =
                        |c: Content| self.shown.get(c as usize).cloned().unwrap_or_default();
                    let holds = furthest.holds.get(key).copied().unwrap_or(0);
                    format!(
                        "it reads {} = {}, where {} stands",
                        self.keys.get(key).map_or("", String::as_str),
                        shown(expected),
                        shown(holds)
                    )
                }
                Ok(_) => "another must come first, or writes the same key meanwhile".into(),
            };
            story += &format!("    {text}: {why}\n");
        }
        Anomaly::new(Class::NoOrder, vec![], story.trim_end())
    }
}

fn put(holds: &mut [Content], writes: &[(usize, Content)]) {
    for (key, content) in writes {
        if let Some(slot) = holds.get_mut(*key) {
            *slot = *content;
        }
    }
}

/// Numbers for names.
#[derive(Default)]
struct Names {
    keys: HashMap<String, usize>,
    values: HashMap<String, Content>,
    elements: HashMap<String, u32>,
}

impl Names {
    fn element(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.elements.len()).unwrap_or(u32::MAX);
        *self.elements.entry(name.into()).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_gives_up_after_so_many_situations_and_not_before() {
        // Of so many sessions any may be over: a power of two of situations, the first
        // of which is not counted.
        for (sessions, class) in [(6, Class::NoOrder), (7, Class::Undecided)] {
            let writes = (0..sessions).map(|n| format!("w(x{n},1)\n"));
            let history = writes.collect::<String>() + "r(x0,1) r(x0,_)";
            let said = history.parse().map(|history| search(&history, Level::Serializable));
            assert_eq!(said.map(|found| found.err().map(|e| e.class())), Ok(Some(class)));
        }
    }
}
