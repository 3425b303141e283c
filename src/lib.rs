//! Vellum is a transactional key-value engine that remembers: serializable
//! transactions over an ordered map of bytes, numbered versions of the whole
//! map that can be read for ever, and storage backends to choose from.
//!
//! # Transactions
//! A [`Connection`] begins transactions. A read transaction is a snapshot: it
//! sees one state from begin to end, never waits and never fails because of
//! others. A write transaction reads that way too, sees its own writes, and
//! shows them to others all at once when it commits.
//!
//! ```
//! use vellum::{Connection, ConnectionExt, Options, ReadTxn, WriteTxn};
//!
//! let db = vellum::mem::open(Options::new())?;
//! let mut txn = db.begin_write()?;
//! txn.put(b"user/ada", "Ada")?;
//! txn.put(b"user/bob", "Bob")?;
//!
//! let before = db.begin_read()?;
//! txn.commit()?;
//! assert_eq!(before.get(b"user/ada")?, None);
//! assert_eq!(db.begin_read()?.get(b"user/ada")?.as_deref(), Some(&b"Ada"[..]));
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! Ranges are ordered bytewise and are read from both ends:
//!
//! ```
//! # use vellum::{Connection, ConnectionExt, KeyRange, Options, ReadTxn, ReadTxnExt, WriteTxn};
//! # let db = vellum::mem::open(Options::new())?;
//! db.transact(|txn| (1..=9).try_for_each(|n| txn.put(format!("event/{n}").as_bytes(), "")))?;
//! let txn = db.begin_read()?;
//! assert_eq!(txn.range("event/3".."event/6").count(), 3);
//! let newest = txn.last(KeyRange::prefix("event/"))?.map(|(key, _)| key);
//! assert_eq!(newest.as_deref(), Some(&b"event/9"[..]));
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! # Conflicts and retries
//! Write transactions are serializable: what commits is as if it had run one
//! transaction at a time, in the order of the commit timestamps. A transaction
//! fails with [`ErrorKind::Conflict`] if another that committed after it began
//! wrote something that it read (a key, or a key in a range that it went
//! through) or writes itself. Nothing was written then, and the error
//! [says](Error::conflict) which key it was.
//!
//! ```
//! # use vellum::{Connection, ConnectionExt, ErrorKind, Options, ReadTxn, WriteTxn};
//! # let db = vellum::mem::open(Options::new())?;
//! let (mut first, mut second) = (db.begin_write()?, db.begin_write()?);
//! first.get(b"seats")?;
//! second.get(b"seats")?;
//! first.put(b"seats", "41")?;
//! second.put(b"seats", "41")?;
//! first.commit()?;
//! let error = second.commit().unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Conflict);
//! assert_eq!(error.conflict().map(|c| &c.key[..]), Some(&b"seats"[..]));
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! [`transact`](ConnectionExt::transact) runs a closure in a transaction and
//! runs it again when it conflicts, with growing random waits; one that keeps
//! losing is let through alone in the end.
//!
//! ```
//! # use vellum::{Connection, ConnectionExt, Options, ReadTxn, WriteTxn, WriteTxnExt};
//! # let db = vellum::mem::open(Options::new())?;
//! let add = |n: Option<&vellum::Bytes>| Some(vec![n.map_or(0, |n| n[0]) + 1].into());
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| db.transact(|txn| txn.update(b"visits", add)));
//!     }
//! });
//! assert_eq!(db.begin_read()?.get(b"visits")?.as_deref(), Some(&[4][..]));
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! [`TxnOptions`] asks for less, where that is enough: snapshot isolation,
//! blind writes that never conflict, commits without fsync.
//!
//! # Versions
//! A saved version is the whole map at one instant, under a number. It can be
//! read, compared and returned to for as long as it is not deleted, and costs
//! what changed since.
//!
//! ```
//! use vellum::{At, Connection, ConnectionExt, Metadata, Options, ReadTxn, SaveOptions, WriteTxn};
//!
//! let db = vellum::mem::open(Options::new())?;
//! db.transact(|txn| txn.put(b"title", "Draft"))?;
//! let draft = db.save_version_with(
//!     SaveOptions::new().metadata(Metadata::new().message("as sent to the editor")),
//! )?;
//! db.transact(|txn| txn.put(b"title", "Final"))?;
//!
//! assert_eq!(db.read_at(draft)?.get(b"title")?.as_deref(), Some(&b"Draft"[..]));
//! let changed = db.diff(draft.into(), At::Head, (..).into())?.count();
//! assert_eq!(changed, 1);
//! db.revert_to(draft)?;
//! assert_eq!(db.begin_read()?.get(b"title")?.as_deref(), Some(&b"Draft"[..]));
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! # History
//! The [`History`] option keeps the states between versions too: then every
//! commit of that time can be [read](Connection::read_as_of) by its timestamp,
//! and [followed](Connection::changes) with all that it wrote.
//!
//! ```
//! use vellum::{Connection, ConnectionExt, History, Options, ReadTxn, Timestamp, WriteTxn};
//!
//! let db = vellum::mem::open(Options::new().history(History::All))?;
//! for price in ["10", "12", "11"] {
//!     db.transact(|txn| txn.put(b"price", price))?;
//! }
//! let head = db.begin_read()?.read_ts();
//! let mut prices = Vec::new();
//! for commit in db.changes(Timestamp::ZERO, head)? {
//!     let at = db.read_as_of(commit?.commit_ts)?;
//!     prices.extend(at.get(b"price")?);
//! }
//! assert_eq!(prices, ["10", "12", "11"]);
//! # Ok::<(), vellum::Error>(())
//! ```
//!
//! # Backends
//! | feature | open with | keeps |
//! |---|---|---|
//! | `mem` | `vellum::mem::open(options)` | everything in memory, nothing after the process |
//! | `lsm` | `vellum::lsm::open(path)` | a directory on disk: a log-structured merge tree |
//!
//! Both behave the same: every guarantee of `docs/contract.md` is tested on
//! each by one suite, the crate `vellum-conformance`. Code that is generic
//! over [`Connection`] runs on any; `AnyConnection` chooses at run time. A
//! backend of one's own is a [`Store`], which [`Database`] turns into a
//! connection: a store that is an ordered map of records has all of the above.
#![forbid(unsafe_code)]

pub use vellum_core::*;

#[cfg(feature = "lsm")]
#[doc(inline)]
pub use vellum_lsm as lsm;
#[cfg(feature = "mem")]
#[doc(inline)]
pub use vellum_mem as mem;

/// The code in the README is tested.
#[cfg(all(doctest, feature = "mem", feature = "lsm"))]
#[doc = include_str!("../README.md")]
struct Readme;
