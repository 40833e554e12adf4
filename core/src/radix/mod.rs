//! The engine: walks any radix table of 4 KiB pages. It knows no IOMMU; a [`Format`] tells it what the
//! bits of an entry mean.
//!
//! * [`Cursor`] visits a table tree in IOVA order and yields [`Run`]s of leaves: pull it with
//!   [`next`](Cursor::next), [`seek`](Cursor::seek) it, [`skip_table`](Cursor::skip_table).
//! * [`translate`] follows the path of one address and checks each entry as hardware does; [`translate_all`]
//!   does so for many at a time.
//! * [`Nested`] and [`translate_nested`] do the same for two trees of which one translates the addresses that the
//!   other holds.

mod budget;
mod cursor;
mod item;
mod locate;
mod nested;
mod run;
mod scan;
mod statistics;
mod translate;

pub use budget::{Bound, Budget};
pub use cursor::{Cursor, TableScratch};
pub(crate) use item::{Extent, Found};
pub use item::{Item, Malformed, Table};
pub use nested::{Inner, Nested, NestedItem, NestedRefusal, Stage, translate_nested};
pub(crate) use nested::{NestedExtent, NestedFound};
pub use run::{Leaf, Run};
pub(crate) use scan::{BLOCK, Masks, Survey};
pub use statistics::Statistics;
pub use translate::{Refusal, Translation, Visit, translate, translate_all};

use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr};
use crate::memory::ReadError;
use core::fmt;

/// The most levels that a format can have.
pub const MAX_LEVELS: usize = 6;

/// Shape and bits of the tables at one level. Entries are 64-bit words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// log2 of the bytes that one entry maps, below 64; 12 at level 1.
    pub size_log2: u8,
    /// How many address bits select the entry, 9 at most.
    pub index_bits: u8,
    /// An entry with none of these bits set is absent.
    pub present: u64,
    /// A present entry with any of these bits set is a leaf, any other points to a table.
    pub leaf: u64,
    /// Where an entry that points to a table has the table's address.
    pub table_address: u64,
    /// Where a leaf has its output address.
    pub leaf_address: u64,
    /// Bits that must be 0 in an entry that points to a table.
    pub table_reserved: u64,
    /// Bits that must be 0 in a leaf.
    pub leaf_reserved: u64,
    /// The bits by which an entry grants permissions.
    pub permissions: u64,
    /// The bits of a leaf that are memory attributes: leaves that differ in them are of different ranges.
    pub attributes: u64,
}

impl Level {
    /// The number of entries in a table of this level.
    #[must_use]
    pub fn entries(&self) -> usize {
        1usize.wrapping_shl(u32::from(self.index_bits))
    }

    /// Which entry of a table at this level the address selects.
    #[must_use]
    #[inline]
    pub fn index(&self, iova: u64) -> usize {
        let index = iova.wrapping_shr(u32::from(self.size_log2));
        usize::try_from(index & 0xffff_ffff).unwrap_or(0) & self.entries().wrapping_sub(1)
    }

    /// The bytes that one entry maps.
    #[must_use]
    #[inline]
    pub fn size(&self) -> u64 {
        1u64.wrapping_shl(u32::from(self.size_log2))
    }

    /// An entry that equals a valid leaf in these bits is a valid leaf too, with the same permissions and
    /// attributes: the two differ in address and ignored bits only.
    #[must_use]
    #[inline]
    pub fn run_mask(&self) -> u64 {
        self.present | self.leaf | self.leaf_reserved | self.permissions | self.attributes
    }
}

/// A page-table format: data about each level, and pure functions of an entry.
pub trait Format {
    /// The levels, from level 1 up; the last one is the top.
    fn levels(&self) -> &[Level];

    /// What a present entry lets through, by itself.
    fn permissions(&self, raw: u64) -> Permissions;

    /// The memory attributes of a leaf at this level, as a leaf at level 1 would have them, so that leaves of
    /// different sizes compare. They depend on the [`Level::attributes`] bits only.
    #[inline]
    fn attributes(&self, level: &Level, raw: u64) -> u64 {
        raw & level.attributes
    }

    /// Whether hardware has to write to an entry that it uses for this access, as to mark it as accessed or dirty.
    #[inline]
    fn must_mark(&self, level: &Level, raw: u64, leaf: bool, access: Access) -> bool {
        let _ = (level, raw, leaf, access);
        false
    }

    /// Whether the input is signed: the upper half of the top table maps the end of the 64-bit space, not what
    /// follows the lower half.
    #[inline]
    fn sign_extended(&self) -> bool {
        false
    }

    /// How many bits of an address the tables translate.
    fn input_bits(&self) -> u8 {
        self.levels().last().map_or(0, |top| top.size_log2.saturating_add(top.index_bits))
    }

    /// Whether the tables can map this address: its bits above the input are 0, or copies of the input's highest
    /// bit where that is [signed](Self::sign_extended).
    fn accepts(&self, iova: Iova) -> bool {
        let above = |bits: u8| u64::MAX.checked_shl(bits.into()).unwrap_or(0);
        if self.sign_extended() {
            let sign = above(self.input_bits().saturating_sub(1));
            iova.0 & sign == 0 || iova.0 & sign == sign
        } else {
            iova.0 & above(self.input_bits()) == 0
        }
    }

    /// What an entry at this level is.
    #[inline]
    fn decode(&self, level: &Level, raw: u64) -> Entry {
        if raw & level.present == 0 {
            return Entry::Absent;
        }
        let leaf = raw & level.leaf != 0;
        let reserved = raw & if leaf { level.leaf_reserved } else { level.table_reserved };
        if reserved != 0 {
            Entry::Malformed(reserved)
        } else if leaf {
            Entry::Leaf(PhysAddr(raw & level.leaf_address))
        } else {
            Entry::Table(PhysAddr(raw & level.table_address))
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing is mapped.
    Absent,
    /// The next table is here.
    Table(PhysAddr),
    /// The memory that is mapped starts here.
    Leaf(PhysAddr),
    /// Present, with these reserved bits set: hardware refuses it.
    Malformed(u64),
}

/// Why the walk can't go on below an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// These bits of the entry are set and must not be.
    ReservedBits(u64),
    /// The table that the entry points to could not be read.
    Unreadable(ReadError),
    /// The table that the entry points to is already on its own path, at this level.
    Loop {
        /// The table.
        table: PhysAddr,
        /// The level at which the path went through it before.
        level: u8,
    },
    /// The table that the entry points to lies at an address that the inner tables map to no memory.
    NotLocated {
        /// The address that the inner tables were asked for.
        table: PhysAddr,
        /// Their answer; its entries are those of inner tables.
        refusal: Refusal,
    },
    /// What the entry leads to is an address that the inner tables do not take.
    BeyondInner {
        /// The first such address.
        addr: PhysAddr,
        /// How many bits they take.
        bits: u8,
    },
    /// The format has no such level, so there is nothing that could be read.
    NoSuchLevel {
        /// The level asked for.
        level: u8,
    },
    /// The work budget is used up; the walk ends here.
    Budget(Bound),
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(bits) => write!(f, "reserved bits {bits:#x} are set"),
            Self::Unreadable(error) => write!(f, "its table can't be read: {error}"),
            Self::Loop { table, level } => {
                write!(f, "loop: table {table} is on its own path already, at level {level}")
            }
            Self::NotLocated { table, refusal } => write!(f, "its table {table} is not in memory: {refusal}"),
            Self::BeyondInner { addr, bits } => {
                write!(f, "it leads to {addr}, and the stage below takes {bits} bits")
            }
            Self::NoSuchLevel { level } => write!(f, "the format has no level {level}"),
            Self::Budget(bound) => write!(f, "{bound}; the walk ends here"),
        }
    }
}
