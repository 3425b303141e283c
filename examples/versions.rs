//! Saved versions: read the past, compare it, return to it, forget it.
//! (`time_travel` does this with the whole history of a git repository.)
//!
//! ```text
//! cargo run --example versions
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use vellum::{
    At, Connection, ConnectionExt, ErrorKind, KeepRule, KeyRange, Metadata, Options, ReadTxn,
    Result, SaveOptions, VersionSet, WriteTxn,
};

fn main() -> Result<()> {
    let db = vellum::mem::open(Options::new())?;
    let save = |message: &str| {
        db.save_version_with(SaveOptions::new().metadata(Metadata::new().message(message)))
    };

    db.transact(|txn| {
        txn.put(b"config/colour", "red")?;
        txn.put(b"config/size", "10")
    })?;
    let v1 = save("the first configuration")?;
    db.transact(|txn| {
        txn.put(b"config/colour", "blue")?;
        txn.delete(b"config/size")
    })?;
    let v2 = save("blue, of any size")?;

    for info in db.versions()?.iter() {
        let message = info.metadata.message.unwrap_or_default();
        println!("version {} at commit {}: {message}", info.version, info.commit_ts);
    }

    // The past is read like the present, and stays as it was.
    let red = db.read_at(v1)?.get(b"config/colour")?;
    assert_eq!(red.as_deref(), Some(&b"red"[..]));

    println!("what version {v2} changed:");
    for entry in db.diff(v1.into(), v2.into(), KeyRange::all())? {
        let entry = entry?;
        println!("  {}: {:?} -> {:?}", entry.key.escape_ascii(), entry.before, entry.after);
    }

    // Back to one key of the past, as an ordinary commit; versions stay.
    db.restore(v1, KeyRange::key("config/size"))?;
    assert_eq!(db.begin_read()?.get(b"config/size")?.as_deref(), Some(&b"10"[..]));
    assert_eq!(db.versions()?.len(), 2);

    // Back to all of it: the versions above go, and the next number is 2 again.
    db.revert_to(v1)?;
    assert_eq!(db.diff(v1.into(), At::Head, KeyRange::all())?.count(), 0);
    assert_eq!(db.save_version()?, v2);

    // Forgetting: keep the last one only.
    let removed = db.keep_versions(&KeepRule::new().last(1))?;
    assert_eq!(removed, [v1]);
    let gone = db.read_at(v1).map(|_| ()).map_err(|e| e.kind());
    assert_eq!(gone, Err(ErrorKind::VersionNotFound));
    println!("reverted to version {v1}, saved again as {v2}, forgot {removed:?}");
    db.close()
}
