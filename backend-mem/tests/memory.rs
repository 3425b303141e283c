//! How much memory the store holds, counted by the allocator. This test has a
//! binary of its own, so that nothing else is counted.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use vellum_core::{
    Bytes, Commit, Durability, Group, Previous, Retention, Snapshot, Store, Timestamp, Write,
};
use vellum_mem::MemStore;

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const VALUE: usize = 100;

fn put(store: &MemStore, at: u64, keys: impl Iterator<Item = u64>, keep: &Retention) {
    write(store, at, keys, || Some(Bytes::from(vec![at as u8; VALUE])), keep);
}

fn delete(store: &MemStore, at: u64, keys: impl Iterator<Item = u64>, keep: &Retention) {
    write(store, at, keys, || None, keep);
}

fn write(
    store: &MemStore,
    at: u64,
    keys: impl Iterator<Item = u64>,
    value: impl Fn() -> Option<Bytes>,
    keep: &Retention,
) {
    let previous = Previous::Unknown;
    let write = |n| Write {
        key: format!("user{n:012}").into(),
        value: value(),
        previous: previous.clone(),
    };
    let ts = Timestamp::new(at);
    let writes = keys.map(write).collect();
    let commit = Commit { ts, writes, catalog: vec![], preserve: None, logged: false };
    let durability = Durability::Buffered;
    store.apply(Group { commits: vec![commit], durability, retention: keep }).unwrap();
    store.publish(ts);
}

/// What is retained without readers and versions: the head alone.
fn head_only(store: &MemStore) -> Retention {
    Retention::new(vec![], vec![], store.snapshot().unwrap().ts())
}

fn held<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let store = f();
    (ALLOCATED.load(Ordering::Relaxed) - before, store)
}

/// V9, and how much a record costs. One test, since the allocator counts all
/// threads.
#[test]
fn memory_follows_what_can_be_seen() {
    let keys = 1000;
    let load = || {
        let store = MemStore::new();
        put(&store, 1, 0..keys, &head_only(&store));
        store
    };
    let (fresh, store) = held(load);
    drop(store);

    let (overwritten, store) = held(|| {
        let store = load();
        let mut most = 0;
        for at in 2..=1_000_000u64 {
            put(&store, at, [at * 7919 % keys].into_iter(), &head_only(&store));
            most = most.max(store.stats().records.unwrap());
        }
        assert!(most <= 3 * keys, "writes trim on the way: {most} records at most");
        store.prune(&head_only(&store)).unwrap();
        store
    });
    assert_eq!(store.stats().records, Some(keys));
    println!("{keys} records: {fresh} bytes fresh, {overwritten} after a million overwrites");
    assert!(overwritten <= fresh + fresh / 10, "{overwritten} bytes, {fresh} when fresh");
    drop(store);

    // Keys that come and go, as in a queue, leave nothing behind.
    let (drained, store) = held(|| {
        let store = load();
        for at in 2..200u64 {
            let first = at * 1000;
            put(&store, at * 2, first..first + 1000, &head_only(&store));
            delete(&store, at * 2 + 1, first..first + 1000, &head_only(&store));
            store.prune(&head_only(&store)).unwrap();
        }
        store
    });
    println!("{keys} records: {drained} bytes after 198 000 others came and went");
    assert_eq!(format!("{:?}", store.stats()), format!("{:?}", load().stats()));
    assert!(drained <= fresh + fresh / 3, "{drained} bytes, {fresh} when fresh");
    drop(store);

    // What is left of many is as compact as if it had come alone.
    let (sparse, store) = held(|| {
        let store = MemStore::new();
        put(&store, 1, 0..keys * 50, &head_only(&store));
        let deleted = (0..keys * 50).filter(|n| n % 50 > 0);
        delete(&store, 2, deleted, &head_only(&store));
        store.prune(&head_only(&store)).unwrap();
        store
    });
    println!("{keys} records: {sparse} bytes, left of fifty times as many");
    assert!(sparse <= fresh + fresh / 5, "{sparse} bytes, {fresh} when fresh");
    drop(store);

    let many = 100_000;
    let (random, store) = held(|| {
        let store = MemStore::new();
        for at in 1..=many {
            put(&store, at, [at * 7919 % many].into_iter(), &head_only(&store));
        }
        store
    });
    let estimate = store.stats().memory_bytes.unwrap() as usize;
    println!(
        "{many} records of 116 bytes in random order: {} bytes each, estimated {}",
        random / many as usize,
        estimate / many as usize
    );
    assert!(random / (many as usize) < 274);
    is_close(estimate, random);

    // And what a reader keeps, with it.
    let (kept, ()) = held(|| {
        let reader = Retention::new(vec![Timestamp::new(many)], vec![], Timestamp::new(many));
        put(&store, many + 1, 0..many, &reader);
    });
    let more = store.stats().memory_bytes.unwrap() as usize - estimate;
    println!("{kept} bytes more for as many that a reader sees, estimated {more}");
    is_close(more, kept);
    store.prune(&head_only(&store)).unwrap();
    assert_eq!(store.stats().memory_bytes.unwrap() as usize, estimate, "as before");
}

/// An estimate leaves out what the allocator rounds up and what is free in leaves, an
/// eighth at most, and makes nothing up.
fn is_close(estimate: usize, allocated: usize) {
    assert!((allocated - allocated / 8..=allocated).contains(&estimate), "{estimate} {allocated}");
}
