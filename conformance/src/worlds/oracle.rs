//! What the contract says must happen, exactly, and nothing of how.
//!
//! It shares no code with the engine nor with the suite's random model: a
//! state is three cells, what was observed and written are sets of seven
//! places (three keys and the gaps around them), and the rule of I1, I2 and I5
//! is an intersection of two such sets.

use super::op::{Cell, Drive, KEYS, Key, Kind, Places, Script, Span, World, place, start};

/// What the keys hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State([Cell; 3]);

impl State {
    /// The state that a world begins with.
    pub(super) fn initial(world: &World) -> Self {
        let mut state = Self::default();
        for key in (0..KEYS).filter(|k| world.initial & (1 << k) != 0) {
            state.set(key, start(key));
        }
        state
    }

    pub(super) fn get(&self, key: Key) -> Cell {
        self.0.get(usize::from(key)).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, key: Key, cell: Cell) {
        if let Some(place) = self.0.get_mut(usize::from(key)) {
            *place = cell;
        }
    }

    /// The keys that have a value, with it.
    pub(super) fn items(&self) -> impl DoubleEndedIterator<Item = (Key, Cell)> + '_ {
        (0..KEYS).map(|k| (k, self.get(k))).filter(|(_, cell)| *cell != 0)
    }

    /// The keys whose values differ.
    fn differs(&self, other: &Self) -> Places {
        (0..KEYS).filter(|k| self.get(*k) != other.get(*k)).map(place).fold(0, |a, b| a | b)
    }
}

/// What a range yields, pull by pull; `None` is the end.
pub(super) type Items = Vec<Option<(Key, Cell)>>;

/// What a range over `state` must yield.
pub(super) fn items(state: &State, span: Span, drive: Drive) -> Items {
    let mut left = state.items().filter(|(k, _)| span.places() & place(*k) != 0);
    let mut pulled = Items::new();
    while let Some(back) = drive.pull(pulled.len()) {
        let item = if back { left.next_back() } else { left.next() };
        pulled.push(item);
        if item.is_none() {
            break;
        }
    }
    pulled
}

/// The places that a range observed which yielded `items` (I3, I4): up to the
/// last key from each end, and all once an end was met.
fn observed(span: Span, drive: Drive, items: &Items) -> Places {
    let all = span.places();
    items.iter().enumerate().fold(0, |seen, (n, item)| {
        seen | match (item, drive.pull(n)) {
            (None, _) => all,
            (Some((k, _)), Some(false)) => all & (place(*k) | (place(*k) - 1)),
            (Some((k, _)), _) => all & !(place(*k) - 1),
        }
    })
}

/// One transaction.
#[derive(Clone, Debug)]
struct Txn {
    kind: Kind,
    /// The state it began on with its own writes over it.
    view: State,
    /// How many commits it began after.
    since: usize,
    own: Places,
    observed: Places,
    marked: Places,
}

/// One commit, and who made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Committed {
    pub(super) by: usize,
    /// What the database said.
    pub(super) ts: u64,
    written: Places,
}

/// What must become of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It wrote nothing and gets no timestamp.
    Empty,
    /// It commits.
    Wins,
    /// It conflicts with these commits, by position, each at these places.
    Loses(Vec<(usize, Places)>),
}

/// What must become of a call on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Fine,
    /// A commit, with a timestamp if it changed something.
    Commits {
        changes: bool,
    },
    Saves(u64),
    Shows(State),
    /// Refused: a writer is open, or there is no such version, or both.
    Refused {
        open: bool,
        missing: bool,
    },
}

/// The world as it must be.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    pub(super) head: State,
    pub(super) commits: Vec<Committed>,
    /// Numbers with their states, ascending.
    pub(super) versions: Vec<(u64, State)>,
    txns: Vec<Option<Txn>>,
}

impl Oracle {
    pub(super) fn new(world: &World) -> Self {
        let head = State::initial(world);
        let versions = if world.has_versions() { vec![(1, head)] } else { Vec::new() };
        Self { head, commits: Vec::new(), versions, txns: vec![None; world.scripts.len()] }
    }

    fn txn(&self, who: usize) -> Option<&Txn> {
        self.txns.get(who)?.as_ref()
    }

    fn txn_mut(&mut self, who: usize) -> Option<&mut Txn> {
        self.txns.get_mut(who)?.as_mut()
    }

    pub(super) fn version(&self, number: u64) -> Option<State> {
        self.versions.iter().find(|(n, _)| *n == number).map(|(_, state)| *state)
    }

    /// Begins a transaction; false if its version does not exist.
    pub(super) fn begin(&mut self, who: usize, kind: Kind) -> bool {
        let view = match kind {
            Kind::ReaderAt(number) => self.version(number),
            _ => Some(self.head),
        };
        let since = self.commits.len();
        let begun = view.map(|view| Txn { kind, view, since, own: 0, observed: 0, marked: 0 });
        let began = begun.is_some();
        if let Some(slot) = self.txns.get_mut(who) {
            *slot = begun;
        }
        began
    }

    pub(super) fn is_open(&self, who: usize) -> bool {
        self.txn(who).is_some()
    }

    /// What a get shows. It observes the key unless the transaction wrote it.
    pub(super) fn get(&mut self, who: usize, key: Key, tracked: bool) -> Cell {
        let Some(txn) = self.txn_mut(who) else { return 0 };
        if tracked && txn.own & place(key) == 0 {
            txn.observed |= place(key);
        }
        txn.view.get(key)
    }

    pub(super) fn range(&mut self, who: usize, span: Span, drive: Drive) -> Items {
        let Some(txn) = self.txn_mut(who) else { return Items::new() };
        let items = items(&txn.view, span, drive);
        txn.observed |= observed(span, drive, &items);
        items
    }

    pub(super) fn write(&mut self, who: usize, key: Key, cell: Cell) {
        if let Some(txn) = self.txn_mut(who) {
            txn.view.set(key, cell);
            txn.own |= place(key);
        }
    }

    pub(super) fn mark_read(&mut self, who: usize, span: Span) {
        if let Some(txn) = self.txn_mut(who) {
            txn.observed |= span.places();
        }
    }

    pub(super) fn mark_written(&mut self, who: usize, span: Span) {
        if let Some(txn) = self.txn_mut(who) {
            txn.marked |= span.places();
        }
    }

    /// What must become of the commit (I1, I2, I5, I6, T7).
    pub(super) fn verdict(&self, who: usize) -> Verdict {
        let Some(txn) = self.txn(who) else { return Verdict::Empty };
        let written = txn.own | txn.marked;
        if written == 0 {
            return Verdict::Empty;
        }
        let reads = if txn.kind == Kind::Snapshot { 0 } else { txn.observed };
        let writes = if txn.kind == Kind::Blind { 0 } else { written };
        let since = self.commits.iter().enumerate().skip(txn.since);
        let lost = since.map(|(n, c)| (n, c.written & (reads | writes))).filter(|(_, at)| *at != 0);
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() { Verdict::Wins } else { Verdict::Loses(lost) }
    }

    /// It committed; `ts` is what the database said.
    pub(super) fn commit(&mut self, who: usize, ts: u64) {
        let Some(txn) = self.txns.get_mut(who).and_then(Option::take) else { return };
        for key in (0..KEYS).filter(|k| txn.own & place(*k) != 0) {
            self.head.set(key, txn.view.get(key));
        }
        self.commits.push(Committed { by: who, ts, written: txn.own | txn.marked });
    }

    /// It is over without a trace.
    pub(super) fn end(&mut self, who: usize) {
        if let Some(slot) = self.txns.get_mut(who) {
            *slot = None;
        }
    }

    /// Whether a write transaction is open (V2, V6).
    fn writers_open(&self) -> bool {
        self.txns.iter().flatten().any(|txn| txn.kind.writes())
    }

    pub(super) fn save(&mut self, among_writers: bool) -> Call {
        if self.writers_open() && !among_writers {
            return Call::Refused { open: true, missing: false };
        }
        let number = self.versions.last().map_or(0, |(n, _)| *n) + 1;
        self.versions.push((number, self.head));
        Call::Saves(number)
    }

    pub(super) fn delete_version(&mut self, number: u64) -> Call {
        if self.version(number).is_none() {
            return Call::Refused { open: false, missing: true };
        }
        self.versions.retain(|(n, _)| *n != number);
        Call::Fine
    }

    pub(super) fn read_at(&self, number: u64) -> Call {
        match self.version(number) {
            Some(state) => Call::Shows(state),
            None => Call::Refused { open: false, missing: true },
        }
    }

    /// Reverts to the last version, or to this one.
    pub(super) fn revert(&mut self, who: usize, to: Option<u64>) -> Call {
        let missing = to.is_some_and(|n| self.version(n).is_none());
        if self.writers_open() || missing {
            return Call::Refused { open: self.writers_open(), missing };
        }
        let state = match to {
            Some(number) => self.version(number),
            None => self.versions.last().map(|(_, state)| *state),
        };
        if let Some(number) = to {
            self.versions.retain(|(n, _)| *n <= number);
        }
        self.replace(who, state.unwrap_or_default());
        Call::Commits { changes: true }
    }

    pub(super) fn restore(&mut self, who: usize, number: u64) -> Call {
        match self.version(number) {
            Some(state) => Call::Commits { changes: self.replace(who, state) },
            None => Call::Refused { open: false, missing: true },
        }
    }

    /// Makes the head `state`, as one commit, if that changes something.
    fn replace(&mut self, who: usize, state: State) -> bool {
        let written = self.head.differs(&state);
        self.head = state;
        if written != 0 {
            self.commits.push(Committed { by: who, ts: 0, written });
        }
        written != 0
    }

    /// What the database said of the commit that a call just made.
    pub(super) fn stamp(&mut self, who: usize, ts: u64) {
        if let Some(commit) = self.commits.last_mut().filter(|c| c.by == who && c.ts == 0) {
            commit.ts = ts;
        }
    }
}

/// Whether every transaction of the world is begun as serializable.
pub(super) fn is_serializable(world: &World) -> bool {
    world.scripts.iter().all(|script| match script {
        Script::Txn { kind, .. } => !matches!(kind, Kind::Snapshot),
        Script::Act(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::op::{Act, Op};
    use super::*;

    fn world(kinds: &[Kind]) -> World {
        let txn = |kind: &Kind| Script::Txn { kind: *kind, ops: vec![Op::Put(0)], commits: true };
        World { scripts: kinds.iter().map(txn).collect(), initial: 0b101 }
    }

    #[test]
    fn worlds_begin_with_what_they_say() {
        let state = State::initial(&world(&[]));
        assert_eq!(state.items().collect::<Vec<_>>(), [(0, start(0)), (2, start(2))]);
    }

    #[test]
    fn what_the_database_said_of_a_call_is_kept_with_its_commit_alone() {
        let kinds = [Kind::Serializable, Kind::Serializable];
        let mut oracle = Oracle::new(&world(&kinds));
        let stamps =
            |oracle: &Oracle| oracle.commits.iter().map(|c| (c.by, c.ts)).collect::<Vec<_>>();
        assert!(oracle.begin(0, Kind::Serializable));
        oracle.write(0, 0, 7);
        oracle.commit(0, 3);
        assert_eq!(oracle.revert(1, None), Call::Commits { changes: true });
        oracle.stamp(1, 4);
        assert_eq!(stamps(&oracle), [(0, 3), (1, 4)]);
        // Neither twice nor by another.
        oracle.stamp(1, 5);
        oracle.write(1, 0, 8);
        assert_eq!(oracle.save(false), Call::Saves(1));
        assert!(oracle.begin(0, Kind::Blind));
        oracle.write(0, 2, 9);
        oracle.commit(0, 6);
        assert_eq!(oracle.restore(1, 1), Call::Commits { changes: true });
        oracle.stamp(0, 7);
        assert_eq!(stamps(&oracle), [(0, 3), (1, 4), (0, 6), (1, 0)]);
    }

    #[test]
    fn world_is_serializable_if_no_transaction_is_under_snapshot_isolation() {
        let mut strict = world(&[Kind::Serializable, Kind::Blind, Kind::Reader]);
        strict.scripts.push(Script::Act(Act::Save));
        assert!(is_serializable(&strict));
        assert!(!is_serializable(&world(&[Kind::Serializable, Kind::Snapshot])));
    }
}
