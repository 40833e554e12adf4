use super::{Cap, Cause, FaultReason, WidthLimit};
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::format::{FirstStage, SecondStage};
use crate::radix::{Format, Inner};

/// What an address of a device means: how its requests are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "almost every device has page tables, and there is no heap to put them on"
)]
pub enum AddressSpace {
    /// The address is the physical address, up to the host address width.
    PassThrough {
        /// The host address width in bits, where it is known.
        host_address_width: Option<u8>,
    },
    /// The address goes through second-stage page tables.
    SecondStage(SecondStageSpace),
    /// The address goes through first-stage page tables.
    FirstStage(FirstStageSpace),
    /// The address goes through first-stage page tables, whose own addresses and results go through second-stage
    /// page tables.
    Nested(FirstStageSpace, SecondStageSpace),
    /// Every request is refused, with this reason.
    Blocked(FaultReason),
}

/// Second-stage page tables and what of them the unit uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondStageSpace {
    /// The top table.
    pub root: PhysAddr,
    /// What the entries mean.
    pub format: SecondStage,
    /// How many address bits the unit translates: the lesser of AGAW and CAP.MGAW.
    pub input_bits: u8,
}

/// First-stage page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstStageSpace {
    /// The top table; an input of the second stage where one is nested.
    pub root: PhysAddr,
    /// What the entries mean.
    pub format: FirstStage,
}

/// The physical addresses that an unknown host address width allows: 52 bits, as many as an entry can hold.
const WIDEST_HOST: u8 = 52;

impl AddressSpace {
    /// The addresses that a request of the device may have; `None` if it may have none.
    ///
    /// Those of a first stage are signed, so this is the whole space, of which the middle is not canonical.
    #[must_use]
    pub fn input(&self) -> Option<IovaRange> {
        match self {
            Self::PassThrough { host_address_width } => {
                Some(IovaRange::block(Iova(0), host_address_width.unwrap_or(WIDEST_HOST)))
            }
            Self::SecondStage(space) => Some(IovaRange::block(Iova(0), space.input_bits)),
            Self::FirstStage(_) | Self::Nested(..) => Some(IovaRange::all()),
            Self::Blocked(_) => None,
        }
    }

    /// The first stage, if there is one.
    #[must_use]
    pub fn first_stage(&self) -> Option<&FirstStageSpace> {
        match self {
            Self::FirstStage(first) | Self::Nested(first, _) => Some(first),
            _ => None,
        }
    }

    /// The second stage, if there is one.
    #[must_use]
    pub fn second_stage(&self) -> Option<&SecondStageSpace> {
        match self {
            Self::SecondStage(second) | Self::Nested(_, second) => Some(second),
            _ => None,
        }
    }
}

impl SecondStageSpace {
    pub(super) fn new(root: PhysAddr, format: SecondStage, cap: Option<Cap>) -> Self {
        let unit = cap.map_or(64, Cap::max_guest_address_width);
        Self { root, format, input_bits: unit.min(format.input_bits()) }
    }

    /// How many levels the page tables have.
    #[must_use]
    pub fn levels(&self) -> u8 {
        levels(&self.format)
    }

    /// These tables behind those of a first stage.
    pub(crate) fn inner(&self) -> Inner<SecondStage> {
        Inner { format: self.format, root: self.root, input_bits: self.input_bits }
    }

    /// Whether an address is one that the unit translates.
    #[inline]
    pub(crate) fn reaches(&self, address: u64) -> bool {
        address.checked_shr(u32::from(self.input_bits)).unwrap_or(0) == 0
    }

    /// Why an address beyond the input range is refused.
    pub(crate) fn too_wide(&self) -> Cause {
        let limit = if self.input_bits < self.format.input_bits() { WidthLimit::Unit } else { WidthLimit::PageTable };
        Cause::TooWide { bits: self.input_bits, limit }
    }
}

impl FirstStageSpace {
    /// How many levels the page tables have.
    #[must_use]
    pub fn levels(&self) -> u8 {
        levels(&self.format)
    }

    /// Why an address that is not canonical is refused.
    pub(crate) fn not_canonical(&self) -> Cause {
        Cause::NotCanonical { bits: self.format.input_bits() }
    }
}

fn levels(format: &impl Format) -> u8 {
    u8::try_from(format.levels().len()).unwrap_or(0)
}
