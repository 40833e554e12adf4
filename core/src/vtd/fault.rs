use super::FaultReason;
use crate::access::Access;
use crate::address::{Iova, PhysAddr, SourceId};
use crate::memory::{ReadError, ReadErrorKind};
use crate::radix::{Defect, Refusal};
use core::fmt;
use thiserror::Error;

/// A request that hardware would refuse, or an entry that it would refuse every request at.
///
/// It prints as one line for people: reason, place, cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub struct Fault {
    /// The hardware's fault reason; `None` where there is none, because the cause lies in the image or in
    /// this walk and not in the tables.
    pub reason: Option<FaultReason>,
    /// What was expected and what was found.
    pub cause: Cause,
    /// Where.
    pub place: Place,
}

/// The entry that a [`Fault`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What kind of table it is in.
    pub structure: Structure,
    /// The table.
    pub table: PhysAddr,
    /// The index of the entry in it.
    pub index: u16,
    /// The entry as it stands in memory: 64 bits of a page table, 128 of a root or context table. `None`
    /// when the table itself can't be read.
    pub entry: Option<u128>,
    /// Whose requests it concerns; `None` for a root entry, which concerns a whole bus.
    pub source_id: Option<SourceId>,
    /// The first address that it concerns; `None` when it concerns all of them.
    pub iova: Option<Iova>,
}

/// The kind of table that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Structure {
    /// The root table, indexed by bus.
    Root,
    /// A context table, indexed by devfn.
    Context,
    /// A page table of this level.
    PageTable(u8),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Context => f.write_str("context"),
            Self::PageTable(level) => write!(f, "level {level}"),
        }
    }
}

/// What limits the address of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WidthLimit {
    /// The maximum guest address width of the unit, CAP.MGAW.
    Unit,
    /// The adjusted guest address width of the page table, from AW.
    PageTable,
    /// The host address width, for requests that pass through.
    Host,
}

impl fmt::Display for WidthLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "the unit's maximum guest address width (CAP.MGAW)",
            Self::PageTable => "the address width of the page table (AW)",
            Self::Host => "the host address width",
        })
    }
}

/// Why a request is refused, or an entry can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The table can't be read: the one that the entry points to, or the root table itself.
    Unreadable(ReadError),
    /// The entry is not present.
    NotPresent,
    /// These bits of the entry are set and must not be.
    ReservedBits(u128),
    /// AW has no meaning, or the unit does not support it.
    AddressWidth {
        /// The field.
        aw: u8,
        /// CAP.SAGAW, where it is known.
        sagaw: Option<u8>,
    },
    /// TT 11b, which has no meaning.
    TranslationTypeReserved,
    /// TT 01b on a unit without ECAP.DT.
    NoDeviceTlb,
    /// TT 10b on a unit without ECAP.PT.
    NoPassThrough,
    /// The entry does not let the request through.
    Denied(Access),
    /// The address has more bits than can be translated.
    TooWide {
        /// How many bits there may be.
        bits: u8,
        /// What allows no more.
        limit: WidthLimit,
    },
    /// The address lies in the interrupt address range: the request is an interrupt and never translated.
    InterruptRequest,
    /// The page that the request would reach overlaps the interrupt address range.
    InterruptRangeOutput(PhysAddr),
    /// The table that the entry points to is already on its own path.
    Loop {
        /// The table.
        table: PhysAddr,
        /// The level at which the path went through it before.
        level: u8,
    },
    /// The format has no such level.
    NoSuchLevel {
        /// The level.
        level: u8,
    },
    /// The work budget is used up and the walk has ended.
    Budget {
        /// How many tables it allowed.
        tables: u64,
    },
}

impl From<Defect> for Cause {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::ReservedBits(bits) => Self::ReservedBits(bits.into()),
            Defect::Unreadable(error) | Defect::NotLocated { refusal: Refusal::Unreadable(error, _), .. } => {
                Self::Unreadable(error)
            }
            Defect::NotLocated { refusal: Refusal::Denied(_), .. } => Self::Denied(Access::Read),
            Defect::NotLocated { refusal: Refusal::ReservedBits(_, bits), .. } => Self::ReservedBits(bits.into()),
            Defect::BeyondInner { bits, .. } => Self::TooWide { bits, limit: WidthLimit::PageTable },
            Defect::Loop { table, level } => Self::Loop { table, level },
            Defect::Budget { tables } => Self::Budget { tables },
            Defect::NoSuchLevel { level } => Self::NoSuchLevel { level },
        }
    }
}

impl Cause {
    /// `reason`, if this is what hardware would find too. It knows no filters and no I/O errors of a backend,
    /// and neither loops nor budgets.
    pub(crate) fn reason(&self, reason: FaultReason) -> Option<FaultReason> {
        match self {
            Self::Unreadable(ReadError { kind: ReadErrorKind::Hole, .. }) => Some(reason),
            Self::Unreadable(_)
            | Self::Loop { .. }
            | Self::NoSuchLevel { .. }
            | Self::Budget { .. }
            | Self::InterruptRequest => None,
            _ => Some(reason),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => Defect::Unreadable(*error).fmt(f),
            Self::NotPresent => f.write_str("the entry is not present"),
            Self::ReservedBits(bits) => write!(f, "reserved bits {bits:#x} are set"),
            Self::AddressWidth { aw, sagaw: None } => {
                write!(f, "AW is {aw}, which means no address width (expected 1 to 3, on old hardware 0 or 4)")
            }
            Self::AddressWidth { aw, sagaw: Some(sagaw) } => {
                write!(f, "AW is {aw}, which the unit does not support (CAP.SAGAW is {sagaw:#07b})")
            }
            Self::TranslationTypeReserved => f.write_str("TT is 11b, which is reserved"),
            Self::NoDeviceTlb => f.write_str("TT is 01b, but the unit has no device-TLB support (ECAP.DT is 0)"),
            Self::NoPassThrough => f.write_str("TT is 10b, but the unit has no pass-through (ECAP.PT is 0)"),
            Self::Denied(Access::Read) => f.write_str("the entry has no read permission"),
            Self::Denied(Access::Write) => f.write_str("the entry has no write permission"),
            Self::TooWide { bits, limit } => write!(f, "the address has more than {bits} bits, {limit}"),
            Self::InterruptRequest => {
                f.write_str("the address is in the interrupt range 0xfee00000-0xfeefffff, whose requests are interrupts and never translated")
            }
            Self::InterruptRangeOutput(phys) => {
                write!(f, "the page at {phys} overlaps the interrupt range 0xfee00000-0xfeefffff")
            }
            Self::Loop { table, level } => Defect::Loop { table: *table, level: *level }.fmt(f),
            Self::NoSuchLevel { level } => Defect::NoSuchLevel { level: *level }.fmt(f),
            Self::Budget { tables } => Defect::Budget { tables: *tables }.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source_id) = self.place.source_id {
            write!(f, "{source_id} ")?;
        }
        if let Some(iova) = self.place.iova {
            write!(f, "iova {iova} ")?;
        }
        if let Some(reason) = self.reason {
            write!(f, "fault {reason} ")?;
        }
        write!(f, "at {}: {}", self.place, self.cause)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} entry {}", self.structure, self.table, self.index)?;
        match self.entry {
            Some(entry) => write!(f, " = {entry:#x}"),
            None => Ok(()),
        }
    }
}
