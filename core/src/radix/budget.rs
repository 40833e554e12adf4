use super::{Defect, Statistics};
use core::fmt;

/// How much a walk may do. What is used up first ends it, with a [`Defect::Budget`] that says which it was.
///
/// The paths through a few tables that share the tables below can be more than can ever be followed, so there is no
/// walk without a budget. Everything else that a walk does is bounded by these: a table has 512 entries, so of all
/// kinds together there are at most 513 events for each that was visited.
///
/// ```
/// use iopt::radix::Budget;
///
/// let brief = Budget { tables: 1000, ..Budget::default() };
/// # assert!(brief.runs > 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many table pages may be visited, of all kinds.
    pub tables: u64,
    /// How many runs of leaves may be found; behind a first stage, those of both stages.
    pub runs: u64,
    /// How many pages the reader may be asked for, whether it has them or not.
    pub reads: u64,
    /// How many entries that can't be followed may be told: pointers back into their own path cost no read.
    pub faults: u64,
}

impl Budget {
    /// All that can be counted.
    pub const UNLIMITED: Self = Self { tables: u64::MAX, runs: u64::MAX, reads: u64::MAX, faults: u64::MAX };

    /// What is told of one more thing that can't be followed: if that is too much, that it is.
    pub(crate) fn bound_faults(&self, told: u64) -> Option<Bound> {
        (told >= self.faults).then_some(Bound::Faults(self.faults))
    }

    /// Whether one more table may be read.
    #[inline]
    pub(super) fn allows_table(&self, done: &Statistics) -> Result<(), Defect> {
        if done.tables >= self.tables {
            Err(Defect::Budget(Bound::Tables(self.tables)))
        } else if done.reads >= self.reads {
            Err(Defect::Budget(Bound::Reads(self.reads)))
        } else {
            Ok(())
        }
    }
}

/// 16 Mi tables, which is 64 GiB of them and maps 32 TiB in pages of 4 KiB; 1 Gi runs; 64 Mi reads; 4 Mi faults.
impl Default for Budget {
    fn default() -> Self {
        Self { tables: 1 << 24, runs: 1 << 30, reads: 1 << 26, faults: 1 << 22 }
    }
}

/// What of a [`Budget`] is used up, and how much of it there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Table pages visited.
    Tables(u64),
    /// Runs of leaves found.
    Runs(u64),
    /// Pages that the reader was asked for.
    Reads(u64),
    /// Entries that can't be followed.
    Faults(u64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables(tables) => write!(f, "the work budget of {tables} tables is used up"),
            Self::Runs(runs) => write!(f, "the work budget of {runs} runs is used up"),
            Self::Faults(faults) => write!(f, "the work budget of {faults} faults is used up"),
            Self::Reads(reads) => write!(f, "the work budget of {reads} reads is used up"),
        }
    }
}
