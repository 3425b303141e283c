//! Which tasks there are, on which backend.

use std::path::Path;

use vellum_conformance::crash::Scene;

use crate::crashes::{Crashes, Kind};
use crate::floods::Floods;
use crate::histories::{Histories, Judges};
use crate::places::{Backend, Lsm};
use crate::task::Task;
use crate::walks::Walks;
use crate::worlds::Worlds;

/// What every backend goes through; what is wrong is left in this folder.
pub(crate) fn of<B: Backend + Clone + 'static>(backend: &B, scratch: &Path) -> Vec<Box<dyn Task>> {
    let recorded = |judges| {
        Box::new(Histories { judges, backend: backend.clone(), scratch: scratch.to_owned() })
    };
    vec![
        recorded(Judges::Ours),
        recorded(Judges::Both),
        Box::new(Worlds(backend.clone())),
        Box::new(Walks(backend.clone())),
    ]
}

/// And what one goes through that keeps its data.
pub(crate) fn of_persistent(backend: &Lsm) -> Vec<Box<dyn Task>> {
    let scene = Scene::new(&backend.scratch, std::iter::empty::<std::ffi::OsString>());
    let mut tasks = of(backend, &backend.scratch);
    tasks.push(Box::new(Floods(backend.clone())));
    let mut kinds = vec![Kind::Kills];
    match Scene::cannot_trace() {
        None => kinds.extend([Kind::Power, Kind::Faults]),
        Some(why) => eprintln!("SKIPPED power and faults: {why}"),
    }
    for kind in kinds {
        tasks.push(Box::new(Crashes { kind, scene: scene.clone() }));
    }
    tasks
}
