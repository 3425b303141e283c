//! A place in memory that outlives the databases that are opened in it.

use std::sync::{Mutex, PoisonError};

use vellum_conformance::{Capabilities, StoreFactory, Support};
use vellum_core::Result;
use vellum_example_backend::MapStore;

/// The store of the example backend.
#[derive(Debug, Default)]
pub(crate) struct MapPlace(Mutex<MapStore>);

impl StoreFactory for MapPlace {
    type Store = MapStore;

    fn capabilities(&self) -> Capabilities {
        Capabilities::full().exclusive(Support::No("clones of the map are the same map"))
    }

    fn open(&self) -> Result<MapStore> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn destroy(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = MapStore::default();
    }
}
