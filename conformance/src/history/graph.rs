//! Who must come before whom, and the shortest circle among them.
//!
//! Built only where a history was rejected: the verdict is the replay's, the
//! cycle is its explanation. Vertices are transactions, reverts and restores;
//! the order of the values of a key is that of their timestamps, and the value
//! that a read saw names its writer. Real time has vertices of its own, one for
//! each return, in a chain: so its edges are as many as there are calls and
//! not their square.

use std::collections::VecDeque;

use vellum_core::{Bytes, Isolation};

use super::anomaly::Class;
use super::timeline::{Timeline, Writer};
use super::types::{History, Op, Span, Txn, TxnKind};

/// Why one vertex comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// The second overwrote the first's value of this key.
    Overwrote(usize),
    /// The second read the first's value of this key.
    Read(usize),
    /// The first read this key before the second changed it; `by_range`.
    ReadBefore { key: usize, by_range: bool, may_cycle: bool },
    /// The first was over before the second began; part of the chain.
    Time,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    to: usize,
    because: Because,
}

/// The graph of a history.
pub(super) struct Graph {
    edges: Vec<Vec<Edge>>,
    txns: usize,
    /// Vertices below this are transactions and events, above it times.
    real: usize,
}

/// A cycle: each vertex with the reason why it comes before the next one, the
/// last before the first.
#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) steps: Vec<(Writer, Because)>,
    pub(super) class: Class,
}

/// Which edges a search may take.
#[derive(Clone, Copy)]
struct Spec {
    reads: bool,
    /// None, exactly one, or any number.
    read_before: ReadBefore,
    time: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadBefore {
    None,
    One,
    Any,
}

const SPECS: [Spec; 5] = [
    Spec { reads: false, read_before: ReadBefore::None, time: false },
    Spec { reads: true, read_before: ReadBefore::None, time: false },
    Spec { reads: true, read_before: ReadBefore::One, time: false },
    Spec { reads: true, read_before: ReadBefore::Any, time: false },
    Spec { reads: true, read_before: ReadBefore::Any, time: true },
];

impl Spec {
    fn allows(self, because: Because) -> bool {
        match because {
            Because::Overwrote(_) => true,
            Because::Read(_) => self.reads,
            Because::ReadBefore { may_cycle, .. } => match self.read_before {
                ReadBefore::None => false,
                ReadBefore::One => true,
                ReadBefore::Any => may_cycle,
            },
            Because::Time => self.time,
        }
    }
}

impl Graph {
    /// The graph of a history with the values that `line` replayed.
    pub(super) fn new(history: &History, line: &Timeline<'_>) -> Self {
        let (txns, events) = (history.txns.len(), history.events.len());
        let real = txns + events;
        let mut graph = Self { edges: vec![Vec::new(); real * 2], txns, real };
        for (id, values) in line.all() {
            for pair in values.windows(2) {
                if let [a, b] = pair {
                    graph.add(a.by, b.by, Because::Overwrote(id));
                }
            }
        }
        for (i, txn) in history.txns.iter().enumerate() {
            graph.reads(i, txn, line);
        }
        graph.times(history);
        graph
    }

    fn vertex(&self, by: Writer) -> Option<usize> {
        match by {
            Writer::Origin => None,
            Writer::Txn(i) => Some(i),
            Writer::Event(i) => Some(self.txns + i),
        }
    }

    fn writer(&self, vertex: usize) -> Writer {
        match vertex.checked_sub(self.txns) {
            None => Writer::Txn(vertex),
            Some(i) => Writer::Event(i),
        }
    }

    fn add(&mut self, from: Writer, to: Writer, because: Because) {
        if let (Some(from), Some(to)) = (self.vertex(from), self.vertex(to))
            && from != to
            && let Some(edges) = self.edges.get_mut(from)
        {
            edges.push(Edge { to, because });
        }
    }

    /// The edges of what a transaction read.
    fn reads(&mut self, i: usize, txn: &Txn, line: &Timeline<'_>) {
        let snapshot = matches!(txn.kind, TxnKind::Write { isolation: Isolation::Snapshot, .. });
        let own = |key: &[u8], upto: usize| {
            txn.ops.iter().take(upto).any(|op| match op {
                Op::Put { key: k, .. } | Op::Delete { key: k } => &k[..] == key,
                Op::Get { .. } | Op::Range(_) => false,
            })
        };
        for (n, op) in txn.ops.iter().enumerate() {
            match op {
                Op::Get { key, value, validated } => {
                    if let Some(id) = line.id(key).filter(|_| !own(key, n)) {
                        let may_cycle = *validated && !snapshot;
                        self.read(i, txn, line, (id, value.as_ref()), (false, may_cycle));
                    }
                }
                Op::Range(read) => {
                    let may_cycle = read.validated && !snapshot;
                    let (front, back) = (read.front.last(), read.back.last());
                    for id in line.ids_in(&read.range) {
                        let key = line.key(id);
                        let all = read.front.iter().chain(&read.back);
                        let item = all.clone().find(|(k, _)| &k[..] == key).map(|(_, v)| v);
                        let observed = read.ended
                            || front.is_some_and(|(last, _)| key <= &last[..])
                            || back.is_some_and(|(last, _)| key >= &last[..]);
                        if (item.is_some() || observed) && !own(key, n) {
                            self.read(i, txn, line, (id, item), (true, may_cycle));
                        }
                    }
                }
                Op::Put { .. } | Op::Delete { .. } => {}
            }
        }
    }

    fn read(
        &mut self,
        i: usize,
        txn: &Txn,
        line: &Timeline<'_>,
        (id, saw): (usize, Option<&Bytes>),
        (by_range, may_cycle): (bool, bool),
    ) {
        let values = line.values(id);
        // The value of the snapshot if that is what was seen, else the newest
        // before it, else the first after it.
        let stood = line.place(id, txn.snapshot);
        let is = |n: &usize| match n.checked_sub(1) {
            None => saw.is_none(),
            Some(n) => values.get(n).is_some_and(|w| w.value == saw),
        };
        let found = (0..=stood).rev().find(is).or_else(|| (stood..=values.len()).find(is));
        let Some(place) = found else { return };
        let reader = Writer::Txn(i);
        if let Some(wrote) = place.checked_sub(1).and_then(|n| values.get(n)) {
            self.add(wrote.by, reader, Because::Read(id));
        }
        if let Some(next) = values.get(place) {
            self.add(reader, next.by, Because::ReadBefore { key: id, by_range, may_cycle });
        }
    }

    /// Real time, as a chain of returns.
    fn times(&mut self, history: &History) {
        let txns = history.txns.iter().map(|t| {
            let span = Span::new(t.began.called, t.ended.returned);
            (t.kind.is_of_the_head(), span)
        });
        let spans: Vec<(bool, Span)> =
            txns.chain(history.events.iter().map(|e| (true, e.span))).collect();
        let mut returns: Vec<(u64, usize)> =
            spans.iter().enumerate().map(|(v, (_, span))| (span.returned, v)).collect();
        returns.sort_unstable();
        for (j, (_, v)) in returns.iter().enumerate() {
            let time = self.real + j;
            if let Some(edges) = self.edges.get_mut(*v) {
                edges.push(Edge { to: time, because: Because::Time });
            }
            if j + 1 < returns.len()
                && let Some(edges) = self.edges.get_mut(time)
            {
                edges.push(Edge { to: time + 1, because: Because::Time });
            }
        }
        for (v, (of_the_head, span)) in spans.iter().enumerate() {
            let before = returns.partition_point(|(returned, _)| *returned < span.called);
            if let Some(j) = before.checked_sub(1).filter(|_| *of_the_head)
                && let Some(edges) = self.edges.get_mut(self.real + j)
            {
                edges.push(Edge { to: v, because: Because::Time });
            }
        }
    }

    /// The worst and then shortest cycle, if there is one; one through any of
    /// `suspects` rather than another.
    pub(super) fn cycle(&self, suspects: &[Writer]) -> Option<Cycle> {
        let suspects: Vec<usize> = suspects.iter().filter_map(|w| self.vertex(*w)).collect();
        for spec in SPECS {
            let of_suspects = suspects.iter().filter_map(|v| self.shortest(*v, spec));
            if let Some(cycle) = of_suspects.min_by_key(|c| c.steps.len()) {
                return Some(cycle);
            }
        }
        SPECS.iter().find_map(|spec| {
            // Every component is tried at a few of its vertices.
            const TRIED: usize = 64;
            let components = self.components(*spec);
            let vertices = components.iter().flat_map(|c| c.iter().take(TRIED));
            let cycles = vertices.filter(|v| **v < self.real).take(4 * TRIED);
            cycles.filter_map(|v| self.shortest(*v, *spec)).min_by_key(|c| c.steps.len())
        })
    }

    /// The shortest cycle through a vertex: breadth first, where the steps
    /// along the chain of time cost nothing.
    fn shortest(&self, start: usize, spec: Spec) -> Option<Cycle> {
        // A state is a vertex, and whether a ReadBefore was taken.
        let state = |vertex: usize, used: bool| vertex * 2 + usize::from(used);
        let goal = state(start, spec.read_before == ReadBefore::One);
        let mut came: Vec<Option<(usize, Because)>> = vec![None; self.edges.len() * 2];
        let mut queue = VecDeque::from([state(start, false)]);
        while let Some(here) = queue.pop_front() {
            let (vertex, used) = (here / 2, here % 2 == 1);
            for edge in self.edges.get(vertex).into_iter().flatten() {
                if !spec.allows(edge.because) {
                    continue;
                }
                let is_rw = matches!(edge.because, Because::ReadBefore { .. });
                if spec.read_before == ReadBefore::One && is_rw && used {
                    continue;
                }
                let counts = spec.read_before == ReadBefore::One;
                let next = state(edge.to, counts && (used || is_rw));
                let Some(slot) = came.get_mut(next).filter(|slot| slot.is_none()) else { continue };
                *slot = Some((here, edge.because));
                if next == goal {
                    return Some(self.trace(&came, goal));
                }
                if vertex >= self.real && edge.to >= self.real {
                    queue.push_front(next);
                } else {
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn trace(&self, came: &[Option<(usize, Because)>], goal: usize) -> Cycle {
        let mut steps = Vec::new();
        let mut here = goal;
        while let Some((from, because)) = came.get(here).copied().flatten() {
            if from / 2 < self.real {
                steps.push((self.writer(from / 2), because));
            }
            here = from;
            if here / 2 == goal / 2 {
                break;
            }
        }
        steps.reverse();
        let class = classify(&steps);
        Cycle { steps, class }
    }

    /// The strongly connected components of more than one vertex: Tarjan's
    /// algorithm, without recursion.
    fn components(&self, spec: Spec) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let n = self.edges.len();
        let (mut index, mut low) = (vec![UNSEEN; n], vec![0; n]);
        let (mut on_stack, mut stack) = (vec![false; n], Vec::new());
        let (mut counter, mut components) = (0, Vec::new());
        let mut calls: Vec<(usize, usize)> = Vec::new();
        let get = |v: &[usize], i: usize| v.get(i).copied().unwrap_or(UNSEEN);
        let set = |v: &mut [usize], i: usize, to: usize| {
            if let Some(slot) = v.get_mut(i) {
                *slot = to;
            }
        };
        for root in 0..n {
            if get(&index, root) != UNSEEN {
                continue;
            }
            calls.push((root, 0));
            while let Some((v, next)) = calls.pop() {
                if next == 0 {
                    set(&mut index, v, counter);
                    set(&mut low, v, counter);
                    counter += 1;
                    stack.push(v);
                    if let Some(slot) = on_stack.get_mut(v) {
                        *slot = true;
                    }
                }
                if let Some(edge) = self.edges.get(v).and_then(|edges| edges.get(next)) {
                    calls.push((v, next + 1));
                    if spec.allows(edge.because) {
                        if get(&index, edge.to) == UNSEEN {
                            calls.push((edge.to, 0));
                        } else if on_stack.get(edge.to).copied().unwrap_or(false) {
                            let least = get(&low, v).min(get(&index, edge.to));
                            set(&mut low, v, least);
                        }
                    }
                    continue;
                }
                if let Some((parent, _)) = calls.last() {
                    let least = get(&low, *parent).min(get(&low, v));
                    set(&mut low, *parent, least);
                }
                if get(&low, v) == get(&index, v) {
                    let mut component = Vec::new();
                    while let Some(w) = stack.pop() {
                        if let Some(slot) = on_stack.get_mut(w) {
                            *slot = false;
                        }
                        component.push(w);
                        if w == v {
                            break;
                        }
                    }
                    if component.len() > 1 {
                        components.push(component);
                    }
                }
            }
        }
        components.sort_by_key(Vec::len);
        components
    }
}

/// The class of a cycle.
fn classify(steps: &[(Writer, Because)]) -> Class {
    let (mut reads, mut rw, mut ranges, mut time) = (0, 0, 0, 0);
    for (_, because) in steps {
        match because {
            Because::Overwrote(_) => {}
            Because::Read(_) => reads += 1,
            Because::ReadBefore { by_range, .. } => {
                rw += 1;
                ranges += usize::from(*by_range);
            }
            Because::Time => time += 1,
        }
    }
    if let [(_, a), (_, b)] = steps
        && let (Because::ReadBefore { key, .. }, Because::Overwrote(k))
        | (Because::Overwrote(k), Because::ReadBefore { key, .. }) = (a, b)
        && key == k
    {
        return Class::LostUpdate;
    }
    match (time, rw, reads) {
        (1.., ..) => Class::RealTime,
        (0, 0, 0) => Class::G0,
        (0, 0, _) => Class::G1c,
        (0, 1, _) => Class::GSingle,
        _ if ranges > 0 => Class::G2,
        _ => Class::G2Item,
    }
}
