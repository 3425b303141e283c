//! The whole suite on the example backend.

use std::sync::Mutex;

use vellum_conformance::{Capabilities, Erased, OverStore, StoreFactory, Support};
use vellum_core::Result;
use vellum_example_backend::MapStore;

/// One store, which stays here when the database over it is closed.
#[derive(Default)]
struct Place(Mutex<MapStore>);

impl StoreFactory for Place {
    type Store = MapStore;

    fn capabilities(&self) -> Capabilities {
        Capabilities::full().exclusive(Support::No("clones of the map are the same map"))
    }

    fn open(&self) -> Result<MapStore> {
        Ok(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }

    fn destroy(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = MapStore::default();
    }
}

vellum_conformance::suite!(statically: OverStore(Place::default()));
vellum_conformance::suite!(erased: Erased(OverStore(Place::default())));
vellum_conformance::store_suite!(store: Place::default());
