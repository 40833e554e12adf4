use super::SourceValidation;
use crate::address::{PhysAddr, SourceId};
use crate::memory::{ReadError, ReadErrorKind};
use crate::vtd::{Bits, FaultReason};
use core::fmt;
use thiserror::Error;

/// An interrupt that hardware would refuse, or an entry that it would refuse every interrupt at.
///
/// It prints as one line for people: source-id, reason, place, cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub struct InterruptFault {
    /// The hardware's fault reason; `None` where there is none, because the cause lies in the image.
    pub reason: Option<FaultReason>,
    /// What was expected and what was found.
    pub cause: InterruptCause,
    /// Where; `None` for a request that is refused before it comes to the table.
    pub place: Option<InterruptPlace>,
    /// Who sent the interrupt; `None` when it is about the table alone.
    pub source_id: Option<SourceId>,
}

/// The entry that an [`InterruptFault`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterruptPlace {
    /// The first page of the table.
    pub table: PhysAddr,
    /// The index of the entry in the whole table; the first of the page when the page can't be read.
    pub index: u32,
    /// The entry as it stands in memory; `None` when it was not read.
    pub entry: Option<u128>,
}

impl InterruptPlace {
    /// The page of the table that holds the entry; `None` past the end of the 64-bit space.
    #[must_use]
    pub fn page(&self) -> Option<PhysAddr> {
        self.table.checked_add(u64::from(self.index >> 8) << 12)
    }
}

/// Why an interrupt is refused, or an entry can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterruptCause {
    /// The write goes to this address, which is not in the interrupt range: it is no interrupt.
    NotAnInterrupt(u64),
    /// These bits of the data of a remappable request are set and must not be.
    RequestReserved(u32),
    /// The request has the compatibility format, which extended interrupt mode blocks.
    CompatibilityBlocked,
    /// The table has no entry of this index.
    IndexTooLarge {
        /// How many it has.
        entries: u32,
    },
    /// The entry's address is past the end of the 64-bit space.
    BeyondMemory,
    /// The page of the table can't be read.
    Unreadable(ReadError),
    /// The entry is not present.
    NotPresent,
    /// These bits of the entry are set and must not be.
    ReservedBits(u128),
    /// DLM has this value, which has no meaning.
    DeliveryMode(u8),
    /// SVT is 11b, which has no meaning.
    ValidationReserved,
    /// The entry is for the interrupts of others.
    Source(SourceValidation),
    /// The page of the posted-interrupt descriptor that the entry points to can't be read.
    DescriptorUnreadable(ReadError),
    /// These of bits 511:256 of the posted-interrupt descriptor are set and must not be; below there are none.
    DescriptorReserved([u64; 4]),
}

impl InterruptCause {
    /// The fault reason that hardware gives for it; `None` where it would find nothing wrong, or something else. It
    /// knows no filters and no I/O errors of a backend.
    #[must_use]
    pub const fn reason(&self) -> Option<FaultReason> {
        Some(match self {
            Self::RequestReserved(_) => FaultReason::InterruptRequestReserved,
            Self::CompatibilityBlocked => FaultReason::CompatibilityInterruptBlocked,
            Self::IndexTooLarge { .. } | Self::BeyondMemory => FaultReason::InterruptIndexTooLarge,
            Self::Unreadable(ReadError { kind: ReadErrorKind::Hole, .. }) => FaultReason::InterruptUnreadable,
            Self::NotPresent => FaultReason::InterruptNotPresent,
            Self::ReservedBits(_) | Self::DeliveryMode(_) | Self::ValidationReserved => FaultReason::InterruptReserved,
            Self::Source(_) => FaultReason::InterruptSourceInvalid,
            Self::DescriptorUnreadable(ReadError { kind: ReadErrorKind::Hole, .. }) => {
                FaultReason::PostedDescriptorUnreadable
            }
            Self::DescriptorReserved(_) => FaultReason::PostedDescriptorReserved,
            Self::NotAnInterrupt(_) | Self::Unreadable(_) | Self::DescriptorUnreadable(_) => return None,
        })
    }

    /// The fault of this cause.
    pub(super) const fn at(self, place: Option<InterruptPlace>, source_id: Option<SourceId>) -> InterruptFault {
        InterruptFault { reason: self.reason(), cause: self, place, source_id }
    }
}

impl fmt::Display for InterruptCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnInterrupt(address) => {
                write!(f, "address {address:#x} is not in the interrupt range 0xfee00000-0xfeefffff")
            }
            Self::RequestReserved(bits) => write!(f, "reserved bits {bits:#x} of the request's data are set"),
            Self::CompatibilityBlocked => {
                f.write_str("the request has the compatibility format, which extended interrupt mode blocks")
            }
            Self::IndexTooLarge { entries } => write!(f, "the table has only {entries} entries"),
            Self::BeyondMemory => f.write_str("the table runs past the end of the 64-bit address space"),
            Self::Unreadable(error) => write!(f, "the table can't be read: {error}"),
            Self::NotPresent => f.write_str("the entry is not present"),
            Self::ReservedBits(bits) => write!(f, "reserved bits {bits:#x} are set"),
            Self::DeliveryMode(bits) => write!(f, "DLM is {bits:03b}b, which is reserved"),
            Self::ValidationReserved => f.write_str("SVT is 11b, which is reserved"),
            Self::Source(validation) => write!(f, "the entry expects {validation}"),
            Self::DescriptorUnreadable(error) => {
                write!(f, "the posted-interrupt descriptor can't be read: {error}")
            }
            &Self::DescriptorReserved([a, b, c, d]) => {
                let bits = Bits::from([0, 0, 0, 0, a, b, c, d]);
                write!(f, "reserved bits {} of the posted-interrupt descriptor are set", bits.mask())
            }
        }
    }
}

impl fmt::Display for InterruptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source_id) = self.source_id {
            write!(f, "{source_id} ")?;
        }
        f.write_str("interrupt")?;
        if let Some(reason) = self.reason {
            write!(f, " fault {reason}")?;
        }
        if let Some(place) = self.place {
            write!(f, " at {place}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl fmt::Display for InterruptPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} entry {}", self.table, self.index)?;
        match self.entry {
            Some(entry) => write!(f, " = {entry:#x}"),
            None => Ok(()),
        }
    }
}
