//! The paths, and what the engine could do otherwise on them.

use crate::counts::UNDER_LOCK;

/// What every core does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    BeginRead,
    GetSpread,
    GetHot,
    BeginWrite,
    Rmw,
    RmwFsync,
}

impl Path {
    pub(crate) const ALL: [Self; 6] = [
        Self::BeginRead,
        Self::GetSpread,
        Self::GetHot,
        Self::BeginWrite,
        Self::Rmw,
        Self::RmwFsync,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BeginRead => "begin and drop a read",
            Self::GetSpread => "get, spread keys",
            Self::GetHot => "get, one hot key",
            Self::BeginWrite => "begin and drop a write",
            Self::Rmw => "read-modify-write, memory",
            Self::RmwFsync => "read-modify-write, fsync",
        }
    }

    pub(crate) const fn is_on_disk(self) -> bool {
        matches!(self, Self::RmwFsync)
    }
}

/// What the engine could do otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing: as it is.
    AsItIs,
    /// Followers look on until they are done, where no fsync stands between.
    NeverSleeps,
    /// And the state under the pipeline's lock stands in half as many lines.
    HalfTheLines,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::AsItIs, Self::NeverSleeps, Self::HalfTheLines];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "as it is",
            Self::NeverSleeps => "no follower sleeps, but for an fsync",
            Self::HalfTheLines => "and the state under the lock is in half as many lines",
        }
    }

    pub(crate) fn never_sleeps(self) -> bool {
        matches!(self, Self::NeverSleeps | Self::HalfTheLines)
    }

    pub(crate) fn under_lock(self) -> u64 {
        if self == Self::HalfTheLines { UNDER_LOCK / 2 } else { UNDER_LOCK }
    }
}
