//! How many lines and locks a path touches that other cores write too: read from
//! the code, in one place. `docs/scaling.md` has the same table in words.

/// Lines of the pipeline's state that whoever commits reads or writes under its
/// lock, that of the lock included: eight of the state (`Pipeline::state`, laid out in
/// 520 bytes), two of the conflict index (its map, its log), one of the queue.
pub(crate) const UNDER_LOCK: u64 = 11;
/// Lines under the same lock for who looks whether it is done, or leads the next
/// group: the lock's, `decided`'s, `leading`'s.
pub(crate) const LOOK: u64 = 3;
/// Lines that a leader fetches of each commit that is not its own: the commit in
/// the queue, its writes (112 bytes each), its key.
pub(crate) const OF_A_COMMIT: u64 = 5;
/// Lines of the store that a leader takes over from the one before: the writer's
/// lock and state, and the counts.
pub(crate) const OF_THE_STORE: u64 = 3;
/// Keys in a leaf that was loaded in a random order: 128 at most, and halved then.
pub(crate) const KEYS_IN_A_LEAF: u64 = 90;
/// A leader steps down after so many groups.
pub(crate) const ROUNDS_MAX: u32 = 16;
/// A leader that fsyncs waits this part of what the last group took, and no
/// longer than that in nanoseconds; not if it took less than the least.
pub(crate) const GATHER: (u64, u64, u64) = (4, 1_000_000, 100_000);
/// How often a committer looks before it sleeps, at least and at most: once for
/// so many nanoseconds of a group. Each eighth time it yields.
pub(crate) const LOOKS: (u64, u64) = (64, 512);
pub(crate) const LOOK_OF: u64 = 64;
