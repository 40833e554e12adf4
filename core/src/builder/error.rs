use super::{At, Stage};
use crate::access::Permissions;
use crate::address::{Iova, Pasid, PhysAddr};
use crate::memory::AllocErrorKind;
use crate::vtd::{Bits, RtaddrError};
use thiserror::Error;

/// What can't be built. Whatever was written before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such unit.
    #[error(transparent)]
    Mode(#[from] RtaddrError),
    /// The allocator has no page for a new table.
    #[error("no page for a new table: {0}")]
    Allocate(AllocErrorKind),
    /// The page of a table is not there: it was given back, or an entry was pointed at a hole.
    #[error("table page {addr}: {kind}")]
    Page {
        /// The page.
        addr: PhysAddr,
        /// Why not.
        kind: AllocErrorKind,
    },
    /// An entry that should lead further down is 0.
    #[error("{at}: expected an entry that points to a table, found 0")]
    NoTable {
        /// The entry.
        at: At,
    },
    /// Something stands already where something new should go.
    #[error("entry {addr}: expected 0, found {entry:#x}")]
    Occupied {
        /// Where the entry is.
        addr: PhysAddr,
        /// What stands there.
        entry: Bits,
    },
    /// A leaf stands where a table is looked for.
    #[error("level {level} entry {addr}: expected one that points to a table, found the leaf {entry:#x}")]
    Leaf {
        /// Where the entry is.
        addr: PhysAddr,
        /// Its level.
        level: u8,
        /// What stands there.
        entry: u64,
    },
    /// The address is no input of the page table: it has too many bits, or is not canonical.
    #[error("IOVA {iova}: expected an input of {bits} bits of the {stage} stage")]
    Iova {
        /// The address.
        iova: Iova,
        /// How many bits the page table translates.
        bits: u8,
        /// Whose it is.
        stage: Stage,
    },
    /// There is no room for so many leaves before the end of the 64-bit space.
    #[error("{count} leaves of {size:#x} bytes from IOVA {iova} on: expected an end below 2^64")]
    PastEnd {
        /// The first address.
        iova: Iova,
        /// How many leaves.
        count: u64,
        /// The size of each.
        size: u64,
    },
    /// The address does not fit into a page-table entry.
    #[error("memory at {phys}: expected an address of at most 52 bits")]
    Phys {
        /// The address.
        phys: PhysAddr,
    },
    /// The address is no multiple of a leaf's or a table's size.
    #[error("address {addr:#x}: expected a multiple of {size:#x}")]
    Misaligned {
        /// The address: an IOVA, or one in memory.
        addr: u64,
        /// The size.
        size: u64,
    },
    /// No page table of the stage has so many levels, or this one has not that level.
    #[error("{stage} stage: expected a level from {least} to {most}, found {level}")]
    Level {
        /// Whose levels.
        stage: Stage,
        /// The level, or how many of them.
        level: u8,
        /// The least that it can be.
        least: u8,
        /// The most that it can be.
        most: u8,
    },
    /// No present entry of the stage says this.
    #[error("{stage} stage: no present leaf has permissions {permissions}")]
    Permissions {
        /// The stage.
        stage: Stage,
        /// The permissions.
        permissions: Permissions,
    },
    /// A page table of the other stage was given.
    #[error("expected a page table of the {expected} stage")]
    Stage {
        /// The stage that should have been.
        expected: Stage,
    },
    /// Legacy mode has neither PASIDs nor a first stage.
    #[error("expected a unit in scalable mode, which alone has PASIDs and a first stage")]
    Legacy,
    /// The PASID directory is not that large.
    #[error("PASID {pasid}: expected one below {limit}, as the context entry says")]
    Pasid {
        /// The PASID.
        pasid: Pasid,
        /// The first one that is too large.
        limit: u32,
    },
    /// One entry can't be a copy of another.
    #[error("{to}: expected the same kind of entry as {from}")]
    Kind {
        /// What should be copied.
        from: At,
        /// Where to.
        to: At,
    },
    /// The bits are no part of the entry.
    #[error("{at}: expected at most {bits} bits, found {found:#x}")]
    TooManyBits {
        /// The entry.
        at: At,
        /// How many bits it has.
        bits: u16,
        /// What was given.
        found: Bits,
    },
}
