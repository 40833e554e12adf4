use crate::address::{DomainId, PhysAddr, Requester};
use crate::memory::{AllocError, ReserveError};
use crate::radix::Bound;
use crate::vtd::{Bits, Fault, Place, Rtaddr, TranslationMode};
use core::fmt;
use thiserror::Error;

/// Why a copy was not made. Nothing is left of it: all pages were given back, and nothing stays reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The new kernel uses another translation table mode. To change it, translation would have to be turned off.
    #[error("unit {unit} is in {old}, and the new kernel uses {new}: the mode can't change while devices do DMA")]
    ModeChange {
        /// Which unit.
        unit: usize,
        /// Its mode.
        old: TranslationMode,
        /// The mode asked for.
        new: TranslationMode,
    },
    /// Something could not be copied, and the caller asked for all or nothing. The first thing that is lost is this.
    #[error("unit {unit} can't be copied whole: {fault}")]
    Incomplete {
        /// Which unit.
        unit: usize,
        /// What can't be followed.
        fault: Fault,
    },
    /// A page for a new table could not be had.
    #[error("unit {unit}, copy of the table at {table}: {error}")]
    Pages {
        /// Which unit.
        unit: usize,
        /// The old table.
        table: PhysAddr,
        /// What went wrong.
        error: AllocError,
    },
    /// An address range could not be reserved.
    #[error("unit {unit}, {requester}: {error}")]
    Reserve {
        /// Which unit.
        unit: usize,
        /// Whose range.
        requester: Requester,
        /// What went wrong.
        error: ReserveError,
    },
    /// The work budget is used up.
    #[error("unit {unit}: {bound}")]
    Budget {
        /// Which unit.
        unit: usize,
        /// What of it, and how much there was.
        bound: Bound,
    },
    /// There is no room to remember more tables: see [`Workspace`](super::Workspace).
    #[error("the memo is full: {slots} slots are too few for these tables")]
    MemoFull {
        /// How many slots there are.
        slots: usize,
    },
    /// The tables are no longer those that were planned for.
    #[error("the tables have changed since they were planned for: {planned} pages planned, {found} found")]
    Changed {
        /// How many pages the plan has.
        planned: u64,
        /// How many there are now, at least.
        found: u64,
    },
    /// The entry that led to a page table which was copied is gone, or can't be read any more: memory changes while it is
    /// copied. A new plan takes it as it is then.
    #[error("the tables change while they are copied: nothing leads to the table at {table} any more")]
    Torn {
        /// The old table.
        table: PhysAddr,
    },
    /// There are not as many places for new root table addresses as there are units.
    #[error("expected room for the new root table addresses of {units} units, found room for {roots}")]
    Roots {
        /// How many units.
        units: usize,
        /// How much room.
        roots: usize,
    },
}

/// Something about the old tables that their new owner should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// What this fault is about can't be copied: its entry is not present in the copy.
    Lost(Fault),
    /// What this fault is about is not copied, and can't be read: what is mapped through it can't be reserved.
    Unreserved(Fault),
    /// The hardware refuses this entry, or finds no memory where it leads, in the copy as before. Pointers of refused
    /// entries are 0 there, but for the bits that they are refused for.
    Refused(Fault),
    /// The table is on its own path. It is copied once for each level that it is read at, so that the copy translates
    /// as before; ranges that are mapped through it are not reserved.
    Loop(Fault),
    /// More paths lead to the table that this entry points to than can be followed: all that a table of so many levels
    /// can map is reserved, and maybe more than is in use.
    Coarse {
        /// The entry.
        place: Place,
        /// How many levels of tables it leads to.
        levels: u8,
    },
    /// A table at address 0, which is more often a mistake than a table. It is copied.
    NullTable(Place),
    /// Two entries have the same domain-id and different page tables. Each is copied for what it is.
    DomainConflict {
        /// The domain-id.
        domain: DomainId,
        /// The later of the two.
        requester: Requester,
    },
    /// Domain-id 0 in caching mode (CAP.CM), where it is reserved for hardware.
    DomainReserved {
        /// Whose entry has it.
        requester: Requester,
    },
}

impl Problem {
    /// Whether something is lost: a table that is not copied, or ranges that are not reserved.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Unreserved(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(fault) => write!(f, "not copied: {fault}"),
            Self::Unreserved(fault) => write!(f, "not reserved, since unknown: {fault}"),
            Self::Refused(fault) => write!(f, "refused by the hardware, in the copy as before: {fault}"),
            Self::Loop(fault) => fault.fmt(f),
            Self::Coarse { place, levels } => write!(
                f,
                "{place} is on too many paths: everything that its {levels} levels can map is reserved, used or not"
            ),
            Self::NullTable(place) => write!(f, "{place} points to a table at address 0"),
            Self::DomainConflict { domain, requester } => {
                write!(
                    f,
                    "{requester}: domain-id {domain} stands for other page tables elsewhere; \
                     each is copied for what it is"
                )
            }
            Self::DomainReserved { requester } => {
                write!(f, "{requester}: domain-id 0 is reserved for hardware in caching mode (CAP.CM)")
            }
        }
    }
}

/// Where the copy is not what the old tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Difference {
    /// An entry is not as it was, but for its pointers.
    #[error("{old} was copied as {new:#x}")]
    Entry {
        /// The old entry.
        old: Place,
        /// The new one.
        new: Bits,
    },
    /// An entry of the copy is not present, and the old one was.
    #[error("{old} is missing in the copy")]
    Missing {
        /// The old entry.
        old: Place,
    },
    /// A pointer of the copy leads to memory that was not allocated for it.
    #[error("the copy of {old} points to {table}, which is not one of the new pages")]
    OldMemory {
        /// The old entry.
        old: Place,
        /// Where the new one leads.
        table: PhysAddr,
    },
    /// One old table has two copies.
    #[error("the table of {old} has two copies, {one} and {other}")]
    Twice {
        /// The old entry.
        old: Place,
        /// The copy met first.
        one: PhysAddr,
        /// The other one.
        other: PhysAddr,
    },
    /// An old table can't be read any more.
    #[error("{0}")]
    Unreadable(Fault),
    /// There is no room to remember more tables.
    #[error("the memo is full: {slots} slots are too few for these tables")]
    MemoFull {
        /// How many slots there are.
        slots: usize,
    },
    /// There are not as many new root table addresses as there are units.
    #[error("expected the new root table addresses of {units} units, found {roots}")]
    Roots {
        /// How many units.
        units: usize,
        /// How many addresses.
        roots: usize,
    },
    /// The bits of a root table address that say how the tables are read are not as they were.
    #[error("unit {unit}: expected the mode bits of root table address {:#x}, found {:#x}", old.0, new.0)]
    Mode {
        /// Which unit.
        unit: usize,
        /// The old value of RTADDR.
        old: Rtaddr,
        /// The new one.
        new: Rtaddr,
    },
    /// The new root table can't be found.
    #[error("the new root table {0} is not one of the new pages")]
    Root(PhysAddr),
}
