//! A run: tasks on each backend at the same time, watched, and its figures.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::args::{Common, Run, Soak, Which};
use crate::figures::{self, Figure};
use crate::places::{Lsm, Mem};
use crate::progress::{Line, Screen};
use crate::soak::{Found, Soaked, again, soak};
use crate::tally::Tally;
use crate::task::{Shown, Task};
use crate::{COMMAND, Failure, tasks};

/// One backend and what runs on it.
struct Lane {
    name: &'static str,
    tasks: Vec<Box<dyn Task>>,
    line: Line,
}

/// Soaks, or runs one round of a soak again. Whether nothing was found.
pub(crate) fn run_soak(args: &Soak) -> Result<bool, Failure> {
    let time = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let seed = args.common.seed;
    let lanes = lanes(&args.common, |_| true, |_| time.as_secs())?;
    let name = args.round.map_or("soak".to_owned(), |round| format!("round {round}"));
    let repeats = format!("soak --minutes {} --seed {seed}", args.minutes);
    finish(&name, &args.common, &repeats, &lanes, |lane| {
        let soaked = match args.round {
            Some(round) => again(&lane.tasks, seed, round, &lane.line),
            None => soak(&lane.tasks, seed, time, &lane.line),
        };
        soaked.map_err(|Found { round, task, failure }| {
            let repeat = format!("soak --backend {} --seed {seed} --round {round}", lane.name);
            format!("{failure}\nround {round} ({task}); run it again: {COMMAND} {repeat}").into()
        })
    })
}

/// Runs the task of this name alone. Whether nothing was found.
pub(crate) fn run_task(name: &'static str, args: &Run) -> Result<bool, Failure> {
    let budget = |task: &dyn Task| args.budget.unwrap_or(task.usual());
    let lanes = lanes(&args.common, |task| task.name() == name, budget)?;
    if lanes.is_empty() {
        return Err(format!("{name} needs --backend lsm: the other keeps nothing").into());
    }
    let seed = args.common.seed;
    let asked = args.budget.map_or(String::new(), |n| format!(" --budget {n}"));
    let repeats = format!("{name}{asked} --seed {seed}");
    finish(name, &args.common, &repeats, &lanes, |lane| {
        let mut soaked = Soaked::default();
        for task in &lane.tasks {
            let found = task.run(seed, budget(task.as_ref()), &Shown::alone(&lane.line));
            soaked.tally.add(&found.map_err(|failure| -> Failure {
                let repeat = format!("{repeats} --backend {}", lane.name);
                format!("{failure}\nrun it again: {COMMAND} {repeat}").into()
            })?);
            soaked.rounds += 1;
        }
        Ok(soaked)
    })
}

/// The lanes that the user asked for, as far as they have such tasks; `total`
/// says how long the line of one is.
fn lanes(
    common: &Common,
    wanted: impl Fn(&dyn Task) -> bool,
    total: impl Fn(&dyn Task) -> u64,
) -> Result<Vec<Lane>, Failure> {
    let scratch = scratch(common.scratch.as_deref())?;
    let mut all = Vec::new();
    if common.backend != Which::Lsm {
        all.push(("mem", tasks::of(&Mem, &scratch)));
    }
    if common.backend != Which::Mem {
        all.push(("lsm", tasks::of_persistent(&Lsm { scratch })));
    }
    let screen = Screen::default();
    let lanes = all.into_iter().map(|(name, mut tasks)| {
        tasks.retain(|task| wanted(task.as_ref()));
        let total = tasks.first().map_or(0, |task| total(task.as_ref()));
        Lane { name, tasks, line: screen.line(name, total) }
    });
    Ok(lanes.filter(|lane| !lane.tasks.is_empty()).collect())
}

/// Where databases stand: in memory if there is such a folder, since no proof
/// of this program depends on the disk.
fn scratch(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let shm = Path::new("/dev/shm");
    let folder = match asked {
        Some(folder) => folder.to_owned(),
        None if shm.is_dir() => shm.to_owned(),
        None => std::env::temp_dir(),
    };
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(format!("{} is not a folder: name another with --scratch", folder.display()).into())
}

/// Runs every lane in a thread, watches them, says and records what came out.
fn finish(
    name: &str,
    common: &Common,
    repeats: &str,
    lanes: &[Lane],
    work: impl Fn(&Lane) -> Result<Soaked, Failure> + Sync,
) -> Result<bool, Failure> {
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in lanes {
            let (ended, work) = (&ended, &work);
            scope.spawn(move || {
                let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(lane)));
                let outcome = outcome.unwrap_or_else(|_| {
                    Err(format!("a task panicked\nrun it again: {COMMAND} {repeats}").into())
                });
                lane.line.done();
                // At once: another lane may hang, which ends the process.
                if let Err(failure) = &outcome {
                    println!("{name} on {}: FOUND\n{failure}", lane.name);
                }
                if let Ok(mut ended) = ended.lock() {
                    ended.push((lane.name, outcome));
                }
            });
        }
        watch(lanes, Duration::from_secs(common.patience), repeats, &ended);
    });
    let mut well = true;
    let mut figures = Vec::new();
    for (backend, outcome) in ended.into_inner().unwrap_or_default() {
        match outcome {
            Ok(Soaked { rounds, tally }) => {
                println!("{name} on {backend}: {tally}; nothing wrong ({rounds} rounds)");
                figures.extend(rows(name, backend, &tally, repeats));
            }
            Err(_) => well = false,
        }
    }
    if let Some(page) = common.record.as_deref().filter(|_| well) {
        figures::record(page, &figures)?;
    }
    Ok(well)
}

/// A row of the table for each count.
fn rows(name: &str, backend: &str, tally: &Tally, repeats: &str) -> Vec<Figure> {
    let row = |(counted, n)| {
        let (figure, reached) = (format!("{name}: {counted}"), figures::count(n));
        Figure::today(&figure, backend, reached, format!("proof {repeats}"))
    };
    tally.iter().map(row).collect()
}

type Ended = Mutex<Vec<(&'static str, Result<Soaked, Failure>)>>;

/// Waits for all lanes, and ends the process when one hangs: nothing else can
/// end its threads.
fn watch(lanes: &[Lane], patience: Duration, repeats: &str, ended: &Ended) {
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let Ok(ended) = ended.lock().map(|e| e.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        else {
            return;
        };
        let open = lanes.iter().filter(|lane| !ended.contains(&lane.name));
        let mut silent = open.clone().filter(|lane| lane.line.silent_for() > patience);
        if let Some(lane) = silent.next() {
            let (name, seconds) = (lane.name, patience.as_secs());
            println!(
                "{name} HANGS: no sign of life for {seconds} s\nrun it again: {COMMAND} {repeats}"
            );
            std::process::exit(3);
        }
        if open.count() == 0 {
            return;
        }
    }
}
