//! The run: which process is asked what, and when.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use crate::Result;
use crate::args::RunArgs;
use crate::child::{Child, Start};
use crate::device;
use crate::engines::Entry;
use crate::keys::Rng;
use crate::machine;
use crate::plan::Plan;
use crate::protocol::{Reply, Request};
use crate::report;
use crate::results::{DEVICE, Recorder};

/// How often an engine whose process ended is started anew, in one run.
const RESTARTS: u32 = 2;
/// How often everything is overwritten before space is measured again.
const OVERWRITES: u32 = 5;

/// Measures what was asked for, and writes the report, also of a run that was
/// interrupted.
pub fn run(args: &RunArgs) -> Result {
    let plan = Plan::new(args)?;
    let data = args.data.clone().unwrap_or_else(|| args.out.join("data"));
    let logs = args.out.join("logs");
    fs::create_dir_all(&data)?;
    fs::create_dir_all(&logs)?;
    let mut about = machine::describe(&data);
    about.extend([
        ("records", plan.records.to_string()),
        ("cell", format!("{} ms", plan.time.as_millis())),
        ("rounds", format!("{} (what takes long: {})", plan.rounds, plan.long_rounds)),
        ("versions", plan.versions.to_string()),
        ("seed", args.seed.to_string()),
    ]);
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    ctrlc::set_handler(move || stop.store(true, Relaxed))?;

    let mut run = Run {
        recorder: Recorder::create(&args.out, &about)?,
        bar: bar(&plan),
        rng: Rng::new(args.seed),
        is_stopped,
        data,
        logs,
        plan,
    };
    let measured = run.measure();
    run.bar.finish_and_clear();
    if run.is_stopped.load(Relaxed) {
        println!("interrupted: the report shows what was measured until then");
    } else {
        measured?;
    }
    report::write(&args.out, None)
}

fn bar(plan: &Plan) -> ProgressBar {
    let bar = ProgressBar::new(plan.total_ms());
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} % · {eta} left · {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

struct Run {
    plan: Plan,
    recorder: Recorder,
    bar: ProgressBar,
    rng: Rng,
    is_stopped: Arc<AtomicBool>,
    data: PathBuf,
    logs: PathBuf,
}

/// An engine's process that stays open, with its data.
struct Worker {
    entry: &'static Entry,
    child: Option<(Child, TempDir)>,
    restarts: u32,
}

impl Run {
    fn measure(&mut self) -> Result {
        if self.plan.has("load") {
            self.loads()?;
        }
        if self.plan.needs_open_workers() {
            self.cells()?;
        }
        for (workload, measure) in
            [("space", Self::space as fn(&mut Self, _) -> _), ("open", Self::open)]
        {
            if self.plan.has(workload) {
                for entry in self.plan.engines_of(workload) {
                    measure(self, entry)?;
                }
            }
        }
        if self.plan.has("versions") {
            self.versions()?;
        }
        Ok(())
    }

    fn start(&self, entry: &'static Entry, counts: bool) -> Result<(Child, TempDir)> {
        let dir = tempfile::Builder::new().prefix(entry.name).tempdir_in(&self.data)?;
        let child = self.start_in(entry, self.plan.records, counts, &dir)?;
        Ok((child, dir))
    }

    fn start_in(
        &self,
        entry: &'static Entry,
        records: u64,
        counts: bool,
        dir: &TempDir,
    ) -> Result<Child> {
        Child::start(Start { entry, records, counts, logs: &self.logs }, dir)
    }

    fn ask(&self, child: &mut Child, request: &Request) -> Result<Reply> {
        let is_wanted = || !self.is_stopped.load(Relaxed);
        if !is_wanted() {
            return Err("interrupted".into());
        }
        child.ask(request, self.plan.patience, is_wanted)
    }

    /// Asks all, and returns the last answer, or the first that is not `Done`.
    fn ask_all(&self, child: &mut Child, requests: &[Request]) -> Result<Reply> {
        let mut last = Reply::Failed("nothing was asked".to_owned());
        for request in requests {
            last = self.ask(child, request)?;
            if !matches!(last, Reply::Done(_)) {
                break;
            }
        }
        Ok(last)
    }

    /// Writes an answer down, and says aloud what went wrong.
    fn record(
        &mut self,
        workload: &str,
        entry: &Entry,
        round: u64,
        prefix: &str,
        reply: &Reply,
    ) -> Result {
        if let Reply::Wrong(why) | Reply::Failed(why) = reply {
            let name = entry.name;
            self.bar.suspend(|| println!("{name}, {workload}: {why}"));
        }
        self.recorder.record(workload, entry.name, round, prefix, reply)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = usize::try_from(self.rng.below(i as u64 + 1)).unwrap_or(0);
            items.swap(i, j);
        }
    }

    fn loads(&mut self) -> Result {
        for round in 0..self.plan.long_rounds {
            for (workload, is_random) in [("load-sequential", false), ("load-random", true)] {
                let mut engines = self.plan.engines_of("load");
                self.shuffle(&mut engines);
                for entry in engines {
                    self.bar.set_message(format!("{workload} · {}", entry.name));
                    let (mut child, _dir) = self.start(entry, false)?;
                    let requests = [Request::Open, Request::Load { is_random }];
                    let reply = self.ask_all(&mut child, &requests)?;
                    self.record(workload, entry, round, "", &reply)?;
                    self.bar.inc(self.plan.load_ms());
                }
            }
        }
        Ok(())
    }

    /// A process with its data loaded and at rest.
    fn loaded(&mut self, entry: &'static Entry) -> Result<Option<(Child, TempDir)>> {
        self.bar.set_message(format!("loading · {}", entry.name));
        let (mut child, dir) = self.start(entry, false)?;
        let requests = [Request::Open, Request::Load { is_random: true }, Request::Settle];
        match self.ask_all(&mut child, &requests)? {
            Reply::Done(_) => {
                child.pause();
                Ok(Some((child, dir)))
            }
            reply => {
                self.record("loading", entry, 0, "", &reply)?;
                Ok(None)
            }
        }
    }

    fn cells(&mut self) -> Result {
        let mut workers = Vec::new();
        for entry in self.plan.engines.clone() {
            let child = self.loaded(entry)?;
            workers.push(Worker { entry, child, restarts: 0 });
            self.bar.inc(self.plan.load_ms());
        }
        for cell in self.plan.cells.clone() {
            let mut order = self.plan.engines_of_cell(cell);
            // Of each engine that cannot do it, only the first refusal is kept.
            let mut is_out = vec![false; workers.len()];
            let mut seed = self.rng.next_u64();
            for round in 0..self.plan.rounds {
                self.shuffle(&mut order);
                seed = seed.wrapping_add(1);
                if cell.is_synced() {
                    let figures = device::fsyncs(&self.data, self.plan.time)?;
                    self.recorder.record(cell.id, DEVICE, round, "", &Reply::Done(figures))?;
                }
                for &i in &order {
                    let Some(worker) = workers.get_mut(i) else { continue };
                    let request = Request::Measure {
                        cell: cell.id.to_owned(),
                        seed,
                        milliseconds: u64::try_from(self.plan.time.as_millis())?,
                    };
                    self.bar.inc(self.plan.cell_ms());
                    if let Some(is_out) = is_out.get_mut(i).filter(|is_out| !**is_out) {
                        *is_out = !self.ask_open(worker, cell.id, round, &request)?;
                    }
                }
            }
            for (worker, _) in workers.iter_mut().zip(is_out).filter(|(_, is_out)| !is_out) {
                let request = Request::Finish { cell: cell.id.to_owned() };
                self.ask_open(worker, cell.id, self.plan.rounds, &request)?;
            }
        }
        if self.plan.has("held") {
            self.helds(&mut workers)?;
        }
        Ok(())
    }

    fn helds(&mut self, workers: &mut [Worker]) -> Result {
        let mut order: Vec<usize> = (0..workers.len()).collect();
        for round in 0..self.plan.long_rounds {
            self.shuffle(&mut order);
            for &i in &order {
                let Some(worker) = workers.get_mut(i) else { continue };
                self.ask_open(worker, "held", round, &Request::Held)?;
                self.bar.inc(self.plan.load_ms() * 3);
            }
        }
        Ok(())
    }

    /// Asks a process that stays open, which is stopped before and after, and
    /// writes the answer down. Says whether it could be done.
    fn ask_open(
        &mut self,
        worker: &mut Worker,
        workload: &str,
        round: u64,
        request: &Request,
    ) -> Result<bool> {
        let entry = worker.entry;
        if worker.child.as_ref().is_none_or(|(child, _)| !child.is_alive()) {
            if worker.restarts == RESTARTS {
                let gone = Reply::Failed("its process ended too often".to_owned());
                self.recorder.record(workload, entry.name, round, "", &gone)?;
                return Ok(false);
            }
            worker.restarts += 1;
            worker.child = None;
            worker.child = self.loaded(entry)?;
        }
        let Some((child, _)) = worker.child.as_mut() else { return Ok(false) };
        self.bar.set_message(format!("{workload} · round {} · {}", round + 1, entry.name));
        child.resume();
        let reply = self.ask(child, request)?;
        child.pause();
        self.record(workload, entry, round, "", &reply)?;
        Ok(matches!(reply, Reply::Done(_)))
    }

    fn space(&mut self, entry: &'static Entry) -> Result {
        let (mut child, _dir) = self.start(entry, true)?;
        let load = [Request::Open, Request::Load { is_random: true }, Request::Settle];
        let steps = [
            ("loaded_", &load[..], 1),
            ("overwritten_", &[Request::Overwrite][..], OVERWRITES),
            ("collected_", &[Request::Collect, Request::Settle][..], 1),
        ];
        for (prefix, requests, times) in steps {
            self.bar.set_message(format!("space · {} · {prefix}", entry.name));
            let mut reply = Reply::Failed(String::new());
            for _ in 0..times {
                reply = self.ask_all(&mut child, requests)?;
                if !matches!(reply, Reply::Done(_)) {
                    break;
                }
            }
            if matches!(reply, Reply::Done(_)) {
                let then = if times > 1 {
                    &[Request::Settle, Request::Space][..]
                } else {
                    &[Request::Space]
                };
                reply = self.ask_all(&mut child, then)?;
            }
            self.record("space", entry, 0, prefix, &reply)?;
            if !matches!(reply, Reply::Done(_)) {
                break;
            }
        }
        self.bar.inc(self.plan.load_ms() * 8);
        Ok(())
    }

    fn open(&mut self, entry: &'static Entry) -> Result {
        self.bar.set_message(format!("open · {}", entry.name));
        let (mut child, dir) = self.start(entry, false)?;
        let load =
            [Request::Open, Request::Load { is_random: true }, Request::Settle, Request::Close];
        let reply = self.ask_all(&mut child, &load)?;
        self.bar.inc(self.plan.load_ms());
        if !matches!(reply, Reply::Done(_)) {
            self.bar.inc(self.plan.load_ms() * 3 * self.plan.long_rounds);
            return self.record("open", entry, 0, "", &reply);
        }
        drop(child);
        for round in 0..self.plan.long_rounds {
            let records = self.plan.records;
            let mut child = self.start_in(entry, records, false, &dir)?;
            let reply = self.ask(&mut child, &Request::Open)?;
            self.record("open", entry, round, "clean_", &reply)?;
            // What follows is killed, so that it cannot be closed in order.
            let reply = self.ask(&mut child, &Request::Dirty)?;
            child.kill();
            if !matches!(reply, Reply::Done(_)) {
                return self.record("open", entry, round, "", &reply);
            }
            let mut child = self.start_in(entry, records, false, &dir)?;
            let reply = self.ask(&mut child, &Request::Open)?;
            self.record("open", entry, round, "killed_", &reply)?;
            let reply = self.ask_all(&mut child, &[Request::Check, Request::Close])?;
            if !matches!(reply, Reply::Done(_)) {
                return self.record("open", entry, round, "", &reply);
            }
            self.bar.inc(self.plan.load_ms() * 3);
        }
        Ok(())
    }

    fn versions(&mut self) -> Result {
        for round in 0..self.plan.long_rounds {
            let mut engines = self.plan.engines_of("versions");
            self.shuffle(&mut engines);
            for entry in engines {
                self.bar.set_message(format!("versions · {}", entry.name));
                let dir = tempfile::Builder::new().prefix(entry.name).tempdir_in(&self.data)?;
                let records = self.plan.versioned_records();
                let mut child = self.start_in(entry, records, false, &dir)?;
                let requests = [
                    Request::Open,
                    Request::Load { is_random: true },
                    Request::Saved { versions: self.plan.versions },
                ];
                let reply = self.ask_all(&mut child, &requests)?;
                self.record("versions", entry, round, "", &reply)?;
                self.bar.inc(self.plan.load_ms());
            }
        }
        Ok(())
    }
}
