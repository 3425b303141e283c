//! Crashes: processes that are killed, power that is lost, calls that fail.
//!
//! A backend that keeps data promises that what it acknowledged is there
//! after a crash (D1), that what is there is a prefix of the commits (D2), that
//! failed I/O never looks like success (D3), and that life goes on above
//! everything that was (D6). Here its author finds out, in three ways, each
//! with a child process that works on a real directory:
//!
//! - [`kills`]: the child is killed at random moments under load. What the
//!   kernel has it keeps, so this tests everything but fsync.
//! - [`power`]: the system calls of the child are recorded; then the states
//!   are built that a power loss may leave after each of them, and each is
//!   opened. See [`power`] for what "may" means.
//! - [`faults`]: the child runs again and again, and each time another of its
//!   calls fails.
//!
//! The last two need `strace` and the right to trace (Linux); without, they
//! say so ([`Scene::cannot_trace`]) and nothing is claimed.
//!
//! # How
//! A child is the program that runs the checks, started again with a job in
//! its environment. So the program hands over to [`run_child_if_asked`] first
//! thing:
//!
//! ```no_run
//! use std::path::Path;
//! use vellum_conformance::crash::{self, Kills, Scene, Subject};
//!
//! struct MySubject;
//!
//! impl Subject for MySubject {
//!     type Connection = vellum_lsm::LsmDatabase;
//!
//!     fn open(&self, dir: &Path, options: &vellum_core::Options) -> vellum_core::Result<Self::Connection> {
//!         vellum_lsm::Builder::new(dir).memtable_bytes(64 << 10).options(*options).open()
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     crash::run_child_if_asked(&MySubject);
//!     let scene = Scene::new(std::env::temp_dir(), std::iter::empty::<String>());
//!     let plan = Kills { seed: 7, cycles: 100 };
//!     println!("{}", crash::kills(&MySubject, &scene, plan, &mut |done, of| eprintln!("{done} of {of}"))?);
//!     Ok(())
//! }
//! ```
//!
//! In a file under `tests/`, `vellum_conformance::crash_suite!(MySubject);` does
//! all of that.
//!
//! What the child does is a *ledger*: steps that a seed decides alone
//! (transactions of several keys, synced or not, of values from nothing to
//! several pages; saves, deletes, reverts, restores, prunes, reopenings). So
//! the parent knows what must be there after each step, and the child only
//! says how far it is. What is left is judged by opening it, reading all of
//! the head and of every version, verifying it, and committing and saving once
//! more.

mod child;
mod inject;
mod judge;
mod kill;
mod ledger;
mod power;
mod scene;
mod suite;
mod threads;

use std::path::Path;

use vellum_core::{Connection, Options, Result};

pub use child::run_child_if_asked;
pub use inject::{Endured, Faults, faults};
pub use kill::{Killed, Kills, kills};
pub use power::{Power, Profile, Survived, power};
pub use scene::{Broken, Scene};
#[doc(hidden)]
pub use suite::{faults_test, kills_test, power_test};

/// A backend that keeps its data in a directory.
pub trait Subject: Send + Sync + 'static {
    /// What it gives.
    type Connection: Connection;

    /// Opens the database in this directory, or creates it there. Small
    /// buffers make a short run reach more: tables, compactions, a second
    /// journal.
    ///
    /// # Errors
    /// Whatever the backend reports.
    fn open(&self, dir: &Path, options: &Options) -> Result<Self::Connection>;

    /// How many bytes are written before some of the recorded runs, so that
    /// what happens seldom comes up in them: a log that is full, say, and goes
    /// on in another file. Nothing, unless a subject says otherwise.
    fn filling(&self) -> u64 {
        0
    }
}
