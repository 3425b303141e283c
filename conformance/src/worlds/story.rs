//! An interleaving that went wrong, told so that it can be read: a column for
//! each transaction, a line for each step.

use std::fmt;

use super::op::{Kind, Script, World, letter, show_cell, show_key};
use super::oracle::State;
use super::seen::{Step, Wrong, show};

/// An interleaving that went wrong, as short as it could be made.
///
/// Displayed, it is a table with a column for each transaction and a line for
/// each step, then what was expected and why, and the seed.
pub struct Counterexample {
    pub(super) seed: u64,
    pub(super) interleaving: u64,
    /// Whether it goes wrong in an empty database too. If not, what was played
    /// before it is needed: run the same plan again.
    pub(super) alone: bool,
    pub(super) failing: Failing,
}

/// What was played, up to where it went wrong.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) world: World,
    pub(super) schedule: Vec<u8>,
    pub(super) steps: Vec<Step>,
    pub(super) wrong: Wrong,
}

impl Counterexample {
    /// The seed of the plan.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Which interleaving of the plan it was, from 1.
    #[must_use]
    pub fn interleaving(&self) -> u64 {
        self.interleaving
    }

    /// What was wrong, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Wrong { got, want, why } = &self.failing.wrong;
        format!("{}: got {got}, expected {want}: {why}", self.failing.at())
    }
}

impl Failing {
    /// The step that went wrong: the first that is not among those taken.
    fn next(&self) -> Option<(usize, usize)> {
        let who = usize::from(*self.schedule.get(self.steps.len())?);
        Some((who, self.steps.iter().filter(|step| step.who == who).count()))
    }

    fn at(&self) -> String {
        match self.next() {
            Some((who, n)) => {
                let script = self.world.scripts.get(who);
                let call = script.map_or_else(String::new, |script| script.show(n));
                format!("{} {call}", letter(who))
            }
            None => "in the end".to_owned(),
        }
    }

    /// The table's lines, each of as many cells as there are scripts.
    fn lines(&self) -> Vec<(usize, String)> {
        let call = |who: usize, n: usize| {
            self.world.scripts.get(who).map_or_else(String::new, |script| script.show(n))
        };
        let taken = self.steps.iter().map(|step| {
            let shown = match show(&step.seen).as_str() {
                "ok" => String::new(),
                shown => format!(" → {shown}"),
            };
            (step.who, format!("{}{shown}", call(step.who, step.n)))
        });
        let last =
            self.next().map(|(who, n)| (who, format!("{} → {}  ✗", call(who, n), self.wrong.got)));
        taken.chain(last).collect()
    }
}

/// Columns are no wider than this.
const WIDEST: usize = 46;

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failing { world, wrong, .. } = &self.failing;
        write!(f, "An interleaving went wrong. It begins with")?;
        let mut any = false;
        for (key, cell) in State::initial(world).items() {
            write!(f, "{} {} = {}", if any { "," } else { "" }, show_key(key), show_cell(cell))?;
            any = true;
        }
        writeln!(
            f,
            "{}{}",
            if any { "" } else { " nothing" },
            match world.has_versions() {
                true => ", saved as version 1.\n",
                false => ".\n",
            }
        )?;
        let lines = self.failing.lines();
        let widths: Vec<usize> = (0..world.scripts.len())
            .map(|who| {
                let mine = lines.iter().filter(|(by, _)| *by == who);
                let cells = mine.map(|(_, text)| text.chars().count());
                cells.chain([name(world, who).chars().count()]).max().unwrap_or(0).min(WIDEST)
            })
            .collect();
        let row = |f: &mut fmt::Formatter<'_>, head: &str, at: &dyn Fn(usize) -> String| {
            write!(f, "  {head:>3} ")?;
            for (who, width) in widths.iter().enumerate() {
                write!(f, "| {:<width$} ", at(who))?;
            }
            writeln!(f, "|")
        };
        row(f, "", &|who| name(world, who))?;
        row(f, "", &|who| "-".repeat(widths.get(who).copied().unwrap_or(0)))?;
        for (n, (by, text)) in lines.iter().enumerate() {
            let cell = |who| if who == *by { text.clone() } else { String::new() };
            row(f, &(n + 1).to_string(), &cell)?;
        }
        writeln!(f, "\n  {}:", self.failing.at())?;
        writeln!(f, "    got      {}\n    expected {}", wrong.got, wrong.want)?;
        writeln!(f, "    because  {}", wrong.why)?;
        writeln!(f, "\n  A value is named after who put it: B2 is the second call of B.")?;
        write!(f, "  Seed {}, interleaving {} of the plan", self.seed, self.interleaving)?;
        match self.alone {
            true => write!(f, "; it goes wrong alone in an empty database."),
            false => write!(f, "; alone in an empty database it does not go wrong."),
        }
    }
}

/// What stands over a column.
fn name(world: &World, who: usize) -> String {
    let kind = match world.scripts.get(who) {
        Some(Script::Txn { kind, .. }) => match kind {
            Kind::Serializable => "serializable",
            Kind::Snapshot => "snapshot",
            Kind::Blind => "ignores write conflicts",
            Kind::Reader | Kind::ReaderAt(_) => "reader",
        },
        Some(Script::Act(_)) | None => "one call",
    };
    format!("{}: {kind}", letter(who))
}

impl fmt::Debug for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Counterexample {}
