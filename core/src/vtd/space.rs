use super::{Cap, Cause, WidthLimit};
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::format::SecondStage;

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

/// The physical addresses that an unknown host address width allows: 52 bits, as many as an entry can hold.
const WIDEST_HOST: u8 = 52;

impl AddressSpace {
    /// The addresses that a request of the device may have.
    #[must_use]
    pub fn input(&self) -> IovaRange {
        match self {
            Self::PassThrough { host_address_width } => {
                IovaRange::block(Iova(0), host_address_width.unwrap_or(WIDEST_HOST))
            }
            Self::SecondStage(space) => IovaRange::block(Iova(0), space.input_bits),
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
        u8::try_from(crate::radix::Format::levels(&self.format).len()).unwrap_or(0)
    }

    /// Why an address beyond the input range is refused.
    pub(crate) fn too_wide(&self) -> Cause {
        let limit = if self.input_bits < self.format.input_bits() { WidthLimit::Unit } else { WidthLimit::PageTable };
        Cause::TooWide { bits: self.input_bits, limit }
    }
}
