//! What a waiting user sees: bars on a terminal, a line a minute elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(60);

/// All the lines of a run.
#[derive(Debug, Default)]
pub(crate) struct Screen(MultiProgress);

impl Screen {
    /// A line with a bar, for work of `total` units.
    pub(crate) fn line(&self, name: &str, total: u64) -> Line {
        let style = ProgressStyle::with_template(
            "{prefix:>4} [{elapsed_precise}] {bar:30} {percent:>3} % {wide_msg}",
        );
        let bar = ProgressBar::new(total.max(1)).with_prefix(name.to_owned());
        let bar =
            self.0.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        let begun = Instant::now();
        Line {
            name: name.to_owned(),
            total,
            bar,
            plain: !std::io::stderr().is_terminal(),
            begun,
            said: Mutex::new(begun),
            alive: AtomicU64::new(0),
        }
    }
}

/// One line; moving it is a sign of life.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    total: u64,
    bar: ProgressBar,
    plain: bool,
    begun: Instant,
    said: Mutex<Instant>,
    /// When it last moved, in ms after it began.
    alive: AtomicU64,
}

impl Line {
    /// Shows that `done` of the total are done, and this text.
    pub(crate) fn show(&self, done: u64, text: &str) {
        self.alive();
        self.bar.set_position(done.min(self.total));
        self.bar.set_message(text.to_owned());
        if !self.plain {
            return;
        }
        let Ok(mut said) = self.said.lock() else { return };
        if said.elapsed() >= EVERY {
            *said = Instant::now();
            let minutes = self.begun.elapsed().as_secs() / 60;
            let share = done * 100 / self.total.max(1);
            // A closed standard error stops nothing.
            let mut out = std::io::stderr().lock();
            let _ = writeln!(out, "{} {minutes} min, {share} %: {text}", self.name);
        }
    }

    /// Notes a sign of life.
    pub(crate) fn alive(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.alive.store(now, Ordering::Relaxed);
    }

    /// For how long there was no sign of life.
    pub(crate) fn silent_for(&self) -> Duration {
        let alive = Duration::from_millis(self.alive.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(alive)
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
