//! The backend on disk keeps the contract.

mod lsm_place;

use lsm_place::LsmPlace;
use vellum_conformance::{Capabilities, Erased, OverStore, StoreFactory};
use vellum_core::Result;
use vellum_lsm::LsmStore;

/// The same place, one level down.
struct StorePlace(LsmPlace);

impl StoreFactory for StorePlace {
    type Store = LsmStore;

    fn capabilities(&self) -> Capabilities {
        Capabilities::full().opens_slowly()
    }

    fn open(&self) -> Result<LsmStore> {
        self.0.builder().open_store()
    }

    fn destroy(&self) {
        self.0.remove();
    }
}

vellum_conformance::suite!(statically: LsmPlace::new());
vellum_conformance::suite!(erased: Erased(LsmPlace::quick()));
vellum_conformance::suite!(failing: OverStore(StorePlace(LsmPlace::quick())));
vellum_conformance::store_suite!(store: StorePlace(LsmPlace::new()));
