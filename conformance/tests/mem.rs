//! The memory backend keeps the contract.

use vellum_conformance::{Capabilities, Erased, Factory, OverStore, StoreFactory};
use vellum_core::{Options, Result};
use vellum_mem::{MemDatabase, MemStore};

/// Every opening makes a database of its own.
struct Place;

impl Factory for Place {
    type Connection = MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

/// The same, one level down.
struct StorePlace;

impl StoreFactory for StorePlace {
    type Store = MemStore;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self) -> Result<MemStore> {
        Ok(MemStore::new())
    }

    fn destroy(&self) {}
}

vellum_conformance::suite!(statically: Place);
vellum_conformance::suite!(erased: Erased(Place));
vellum_conformance::suite!(failing: OverStore(StorePlace));
vellum_conformance::store_suite!(store: StorePlace);
