//! How the suite gets at a backend: [`Factory`] and what it [can](Capabilities).

use std::fmt;

use vellum_core::{AnyConnection, Connection, Options, Result, Store};

use crate::Failures;

/// One place where one database can stand: a directory, an address, a slot in
/// memory.
///
/// # Contract
/// A value of the factory is one place, apart from every other value's; the
/// suite makes one for each case. [`open`](Self::open) makes the database
/// there if there is none, and opens it again otherwise. **Everything in the
/// place is deleted** by [`destroy`](Self::destroy), which the suite calls
/// when the case is over: never point a factory at data of your own.
pub trait Factory: Send + Sync + 'static {
    /// What the backend gives.
    type Connection: Connection;

    /// What the backend can do. A case that needs more is listed as skipped,
    /// with the reason given here.
    fn capabilities(&self) -> Capabilities;

    /// Opens the database in this place.
    ///
    /// # Errors
    /// Whatever the backend reports; `Locked` where the place is open already
    /// and [`Capabilities::exclusive`] is claimed.
    fn open(&self, options: &Options) -> Result<Self::Connection>;

    /// Removes the place and everything in it. Every connection to it was
    /// closed or dropped before.
    fn destroy(&self);

    /// Opens the database with writes and fsyncs that fail when `failures`
    /// says so, for the cases of D3. `None`, the default, if the backend has
    /// no such hook; [`OverStore`] has it for every store.
    fn open_failing(
        &self,
        _options: &Options,
        _failures: &Failures,
    ) -> Option<Result<Self::Connection>> {
        None
    }
}

/// One place where a bare [`Store`] can stand. As [`Factory`], one level down.
pub trait StoreFactory: Send + Sync + 'static {
    /// What the backend gives.
    type Store: Store;

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Opens the store in this place, or makes it.
    ///
    /// # Errors
    /// Whatever the backend reports.
    fn open(&self) -> Result<Self::Store>;

    /// Removes the place and everything in it.
    fn destroy(&self);
}

/// Whether a backend can do something, or why it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It can, and the suite checks it.
    Yes,
    /// It cannot, for this reason, which is printed with every case skipped.
    No(&'static str),
}

/// What a backend can do, as far as backends may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What was committed is there after closing and opening again.
    pub durable: Support,
    /// Opening a place that is open already is refused with `Locked`.
    pub exclusive: Support,
    /// Past timestamps can be kept: `read_as_of` and `changes` under
    /// [`History`](vellum_core::History).
    pub history: Support,
    /// Ranges can be watched.
    pub watch: Support,
    /// [`Factory::open_failing`] gives a connection.
    pub failing: Support,
    /// Opening costs next to nothing. Where it costs an fsync or more, a tenth
    /// of the random histories is played, since each begins in a new place.
    pub opens_quickly: bool,
}

impl Capabilities {
    /// Everything. Take away what the backend cannot do, with a reason each.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            durable: Support::Yes,
            exclusive: Support::Yes,
            history: Support::Yes,
            watch: Support::Yes,
            failing: Support::No("the factory has no hook for failing writes"),
            opens_quickly: true,
        }
    }

    /// Everything but what outlives the process's handle: for databases that
    /// live in memory.
    #[must_use]
    pub const fn in_memory() -> Self {
        let mut can = Self::full();
        can.durable = Support::No("it keeps everything in memory");
        can.exclusive = Support::No("every opening makes a database of its own");
        can
    }

    /// Sets [`durable`](Self::durable).
    #[must_use]
    pub const fn durable(mut self, support: Support) -> Self {
        self.durable = support;
        self
    }

    /// Sets [`exclusive`](Self::exclusive).
    #[must_use]
    pub const fn exclusive(mut self, support: Support) -> Self {
        self.exclusive = support;
        self
    }

    /// Sets [`history`](Self::history).
    #[must_use]
    pub const fn history(mut self, support: Support) -> Self {
        self.history = support;
        self
    }

    /// Sets [`watch`](Self::watch).
    #[must_use]
    pub const fn watch(mut self, support: Support) -> Self {
        self.watch = support;
        self
    }

    /// Sets [`failing`](Self::failing).
    #[must_use]
    pub const fn failing(mut self, support: Support) -> Self {
        self.failing = support;
        self
    }

    /// Clears [`opens_quickly`](Self::opens_quickly).
    #[must_use]
    pub const fn opens_slowly(mut self) -> Self {
        self.opens_quickly = false;
        self
    }

    /// Why a case with this need is skipped; `None` if it runs.
    #[must_use]
    pub fn lacks(&self, need: Need) -> Option<&'static str> {
        let support = match need {
            Need::Durable => self.durable,
            Need::Exclusive => self.exclusive,
            Need::History => self.history,
            Need::Watch => self.watch,
            Need::Failing => self.failing,
        };
        match support {
            Support::Yes => None,
            Support::No(reason) => Some(reason),
        }
    }
}

/// The [capability](Capabilities) that a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// [`Capabilities::durable`].
    Durable,
    /// [`Capabilities::exclusive`].
    Exclusive,
    /// [`Capabilities::history`].
    History,
    /// [`Capabilities::watch`].
    Watch,
    /// [`Capabilities::failing`].
    Failing,
}

/// The same backend through [`AnyConnection`], which must change nothing.
#[derive(Clone, Copy, Debug)]
pub struct Erased<F>(pub F);

impl<F: Factory> Factory for Erased<F> {
    type Connection = AnyConnection;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn open(&self, options: &Options) -> Result<AnyConnection> {
        self.0.open(options).map(AnyConnection::new)
    }

    fn destroy(&self) {
        self.0.destroy();
    }

    fn open_failing(
        &self,
        options: &Options,
        failures: &Failures,
    ) -> Option<Result<AnyConnection>> {
        Some(self.0.open_failing(options, failures)?.map(AnyConnection::new))
    }
}

/// The engine over a store: a [`Factory`] from a [`StoreFactory`], with the
/// hook for failing writes.
pub struct OverStore<F>(pub F);

impl<F: StoreFactory> Factory for OverStore<F> {
    type Connection = vellum_core::Database<crate::FailingStore<F::Store>>;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().failing(Support::Yes)
    }

    fn open(&self, options: &Options) -> Result<Self::Connection> {
        let store = crate::FailingStore::new(self.0.open()?, Failures::default());
        vellum_core::Database::open(store, *options)
    }

    fn destroy(&self) {
        self.0.destroy();
    }

    fn open_failing(
        &self,
        options: &Options,
        failures: &Failures,
    ) -> Option<Result<Self::Connection>> {
        Some(self.0.open().and_then(|store| {
            let store = crate::FailingStore::new(store, failures.clone());
            vellum_core::Database::open(store, *options)
        }))
    }
}

impl<F> fmt::Debug for OverStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverStore").finish_non_exhaustive()
    }
}
